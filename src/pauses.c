/*-------------------------------------------------------------------------
 *
 * pauses.c
 *		What holds up the jobs of a server, or those of a role for it: learned
 *		from attempts, and remembered in the table.
 *
 * An attempt says something of a pause only if it was made after the pause
 * began: of those that were under way when the fault showed, the rest neither
 * prolongs the pause nor ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "pauses.h"

/* Between lines of the log about the same server. */
#define AP_LOG_MS (60 * 1000)

/*
 * Log that jobs wait, now and then.
 */
static void
log_pause(ApServerLine *line, const ApAttempt *attempt, Oid role, int64 pause_ms, TimestampTz now)
{
	char	   *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	if (!TimestampDifferenceExceeds(line->logged_at, now, AP_LOG_MS))
		return;
	line->logged_at = now;
	ereport(LOG,
			(errhidestmt(true),
			 errhidecontext(true),
			 name != NULL ?
			 errmsg("queued jobs of role \"%s\" for server \"%s\" are paused for " INT64_FORMAT " ms",
					name, line->name, pause_ms) :
			 errmsg("queued jobs for server \"%s\" are paused for " INT64_FORMAT " ms",
					line->name, pause_ms),
			 errdetail_internal("%s", attempt->status.message)));
}

/*
 * Pause the jobs that would meet the same fault.  Those that were under way
 * when the first one met it count as one failure.
 */
static void
pause_jobs(ApPauses *pauses, ApServerLine *line, const ApAttempt *attempt, TimestampTz now)
{
	ApScope		scope = attempt->retry.scope;
	Oid			role = scope == AP_SCOPE_ROLE ? attempt->role : InvalidOid;
	ApPause    *pause = ap_line_pause(line, role);
	ApQueuePause stored = {.role = role};
	int64		pause_ms;
	TimestampTz until;

	/* what was sent before the pause began adds nothing to it */
	if (pause != NULL && attempt->started_at < pause->since && attempt->status.retry_after_s == 0)
		return;
	/* nor does a fault that has been mended since */
	if (attempt->started_at < line->mended_at && attempt->status.retry_after_s == 0)
		return;
	pause = ap_line_put_pause(line, role);
	if (pause->until <= now)
		pause->failures++;
	pause_ms = ap_retry_pause(scope, &attempt->status, pause->failures);
	until = TimestampTzPlusMilliseconds(now, pause_ms);
	if (pause->until > now && until <= pause->until)
		return;
	pause->since = now;
	pause->until = until;
	pauses->changed_here = true;
	strlcpy(stored.server, line->name, sizeof(stored.server));
	stored.until = until;
	stored.failures = pause->failures;
	stored.sqlstate = unpack_sql_state(ap_status_sqlstate(&attempt->status));
	stored.reason = attempt->status.message;
	ap_queue_pause(pauses->queue, &stored);
	log_pause(line, attempt, role, pause_ms, now);
}

/*
 * End a pause.
 */
void
ap_pauses_end(ApPauses *pauses, ApServerLine *line, ApPause *pause)
{
	ap_queue_resume(pauses->queue, line->name, pause->role);
	ap_line_drop_pause(line, pause);
	pauses->changed_here = true;
}

/*
 * End the pauses that the success of an attempt disproves.
 */
static void
resume_jobs(ApPauses *pauses, ApServerLine *line, const ApAttempt *attempt)
{
	const Oid	roles[] = {InvalidOid, attempt->role};

	for (int i = 0; i < (int) lengthof(roles); i++)
	{
		ApPause    *pause = ap_line_pause(line, roles[i]);

		if (pause == NULL || attempt->started_at < pause->since)
			continue;
		line->logged_at = 0;
		ap_pauses_end(pauses, line, pause);
	}
}

/*
 * Tell whether a pause may be over since servers or mappings have changed: not
 * if the API has asked for it.
 */
static bool
is_mendable(const ApQueuePause *pause)
{
	return strcmp(pause->sqlstate, "KY429") != 0;
}

/*
 * Take the pauses over that are in the table, but for those that may be mended,
 * if that is to be found out.
 */
void
ap_pauses_load(ApPauses *pauses)
{
	TimestampTz now = ap_queue_now(pauses->queue);
	ListCell   *cell;

	foreach(cell, ap_queue_pauses(pauses->queue))
	{
		const ApQueuePause *stored = lfirst(cell);
		ApPause    *pause;

		if (pauses->may_be_mended && is_mendable(stored))
		{
			ap_queue_resume(pauses->queue, stored->server, stored->role);
			continue;
		}
		pause = ap_line_put_pause(ap_lanes_line(pauses->lanes, stored->server), stored->role);
		if (pause->until != stored->until)
			pause->since = now;
		pause->until = stored->until;
		pause->failures = stored->failures;
		pause->stored = true;
	}
	foreach(cell, pauses->lanes->lines)
	{
		ApServerLine *line = lfirst(cell);

		ap_line_keep_stored(line);
		if (pauses->may_be_mended)
			line->mended_at = now;
	}
	pauses->may_be_mended = false;
	pauses->changed_elsewhere = false;
}

/*
 * Act on the outcome of an attempt, for the other jobs of its server.
 */
void
ap_pauses_learn(ApPauses *pauses, const ApAttempt *attempt)
{
	ApServerLine *line = ap_lanes_line(pauses->lanes, attempt->server);

	if (attempt->retry.verdict == AP_VERDICT_AGAIN && attempt->retry.scope != AP_SCOPE_JOB)
		pause_jobs(pauses, line, attempt, ap_queue_now(pauses->queue));
	else if (attempt->retry.verdict == AP_VERDICT_DONE || attempt->status.http_status != 0)
		resume_jobs(pauses, line, attempt);
}
