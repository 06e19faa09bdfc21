/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		Carrying out the jobs of a queue: claim, send, settle, again and again.
 *
 * An attempt is in one of three lists: ready (claimed, its call to be sent when
 * the transaction has committed), flying, or ended (to be settled).  What a
 * transaction changes in memory holds only if it commits, or is put right
 * when it does not: attempts it claimed are dropped, those it was to settle stay
 * in their list, and lanes are swept anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "dispatch.h"
#include "lane.h"
#include "pauses.h"

/* The rare look at everything, in case that news got lost. */
#define AP_LOOK_MS (60 * 1000)

/* Between renewals of leases; well below a lease. */
#define AP_RENEW_MS (20 * 1000)

/* Of waits after a transaction that failed, doubled each time. */
#define AP_FIRST_WAIT_MS 100
#define AP_LONGEST_WAIT_MS (30 * 1000)

/* While the table is locked by somebody. */
#define AP_BUSY_WAIT_MS 50

/* Before a settlement that met a lock is tried again. */
#define AP_LOCKED_WAIT_MS 250

/* How many claims are made one by one to find the job that cannot be claimed. */
#define AP_CAREFUL_CLAIMS 64

/* Between reports of transactions that failed. */
#define AP_REPORT_MS (5 * 1000)

/* The part of the time of a transaction that is waited to make it a larger one. */
#define AP_GATHERING_SHARE 2

/* How often a job is settled in vain before it is done without its result. */
#define AP_SETTLE_TRIES 5

struct ApDispatch
{
	ApQueue    *queue;
	ApDispatchConfig config;
	MemoryContext context;
	MemoryContext cycle;		/* reset for each transaction */
	ApLanes		lanes;
	dlist_head	ready;
	dlist_head	flying;
	dlist_head	ended;
	int			nattempts;		/* in all three */
	int			nended;
	bool		absent;
	bool		purging;		/* there may be more to purge */
	ApPauses	pauses;
	int			careful;		/* steps in which to settle or claim one job only */
	int			settling;		/* jobs that this transaction settles */
	int64		transaction_us;	/* what the latest one with jobs took */
	TimestampTz settle_from;	/* the first that has ended waits so long for others */
	ApAttempt  *settled_alone;	/* the one, if it is one */
	ApLane	   *claiming;		/* in careful steps: the lane, and the job */
	ApQueuePlace claiming_place;
	int			failures;		/* of transactions, one after the other */
	TimestampTz reported_at;	/* the latest of them in the log */
	TimestampTz not_before;		/* of the next transaction */
	TimestampTz look_at;		/* the next look at everything */
	TimestampTz renew_at;
};

/*
 * Make a dispatcher of a queue.
 */
ApDispatch *
ap_dispatch_create(ApQueue *queue)
{
	ApDispatch *dispatch = palloc0(sizeof(*dispatch));

	dispatch->queue = queue;
	dispatch->context = CurrentMemoryContext;
	dispatch->cycle = AllocSetContextCreate(CurrentMemoryContext, "allpass cycle",
											ALLOCSET_DEFAULT_SIZES);
	dispatch->lanes.context = CurrentMemoryContext;
	dispatch->pauses.queue = queue;
	dispatch->pauses.lanes = &dispatch->lanes;
	dispatch->config.count = 1;
	dispatch->config.max_jobs = -1;
	dlist_init(&dispatch->ready);
	dlist_init(&dispatch->flying);
	dlist_init(&dispatch->ended);
	return dispatch;
}

/*
 * Give what the surface decides, to be changed.
 */
ApDispatchConfig *
ap_dispatch_config(ApDispatch *dispatch)
{
	return &dispatch->config;
}

/*
 * Tell how many jobs are claimed and not settled.
 */
int
ap_dispatch_in_flight(const ApDispatch *dispatch)
{
	return dispatch->nattempts;
}

/*
 * Take notice of what backends have told.
 */
void
ap_dispatch_news(ApDispatch *dispatch, const ApNews *news)
{
	TimestampTz now = GetCurrentTimestamp();

	if (news->all || news->config)
		dispatch->look_at = now;
	dispatch->pauses.may_be_mended |= news->config;
	dispatch->pauses.changed_elsewhere |= news->pauses;
	for (int i = 0; i < news->count; i++)
	{
		const ApLaneNews *told = &news->lanes[i];
		ApLane	   *lane = ap_lanes_get(&dispatch->lanes, told->server, told->priority);

		if (told->due != DT_NOEND)
			ap_lane_news(lane, told->due, now);
		if (told->later != DT_NOEND)
			ap_lane_news(lane, told->later, now);
	}
}

/*
 * Give the time until which the first attempt that has ended waits for others,
 * to be settled together.  If answers take longer than a transaction does, it
 * does not: more jobs come of it when the next one is sent soon.
 */
static TimestampTz
gathering_end(const ApDispatch *dispatch, const ApAttempt *attempt)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now - attempt->sent_at > dispatch->transaction_us)
		return now;
	return now + dispatch->transaction_us / AP_GATHERING_SHARE;
}

/*
 * Move attempts whose calls have ended to those that are to be settled.
 */
static void
gather_ended(ApDispatch *dispatch)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatch->flying)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (!ap_attempt_has_ended(attempt))
			continue;
		if (dispatch->nended == 0)
			dispatch->settle_from = gathering_end(dispatch, attempt);
		dlist_delete(&attempt->node);
		dlist_push_tail(&dispatch->ended, &attempt->node);
		dispatch->nended++;
	}
}

/*
 * Tell how many jobs of a server may be claimed now.
 */
static int
room(ApDispatch *dispatch, const ApServerLine *line, TimestampTz now)
{
	int			room = ap_line_room(line, now, dispatch->config.index, dispatch->config.count);

	if (dispatch->careful > 0 && !dlist_is_empty(&dispatch->ready))
		return 0;
	if (dispatch->config.max_jobs >= 0 && dispatch->config.max_jobs < room)
		return (int) dispatch->config.max_jobs;
	return room;
}

/*
 * Tell whether jobs of a server can be claimed now, if there are any.
 */
static bool
may_claim(ApDispatch *dispatch, const ApServerLine *line, TimestampTz now)
{
	return room(dispatch, line, now) > 0 &&
		(line->nfollowers > 0 || ap_line_next(line, now) <= now);
}

/*
 * Give the time at which something that has ended can be settled, or infinity.
 */
static TimestampTz
settle_time(ApDispatch *dispatch)
{
	TimestampTz at = DT_NOEND;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatch->ended)
	{
		at = Min(at, dlist_container(ApAttempt, node, iter.cur)->settle_at);
	}
	return dlist_is_empty(&dispatch->flying) ? at : Max(at, dispatch->settle_from);
}

/*
 * Tell whether a transaction has anything to do.
 */
static bool
has_work(ApDispatch *dispatch, TimestampTz now)
{
	ListCell   *cell;

	if (dispatch->not_before > now)
		return false;
	if (settle_time(dispatch) <= now || dispatch->look_at <= now || dispatch->purging ||
		dispatch->pauses.changed_elsewhere ||
		(dispatch->nattempts > 0 && dispatch->renew_at <= now))
		return true;
	foreach(cell, dispatch->lanes.lines)
	{
		if (may_claim(dispatch, lfirst(cell), now))
			return true;
	}
	return false;
}

/*
 * Give the milliseconds until a transaction will have something to do by the
 * clock alone, at most so many.
 */
static long
time_left(ApDispatch *dispatch, TimestampTz now, long timeout_ms)
{
	TimestampTz next = Min(dispatch->look_at, settle_time(dispatch));
	ListCell   *cell;
	long		left;

	if (dispatch->nattempts > 0)
		next = Min(next, dispatch->renew_at);
	foreach(cell, dispatch->lanes.lines)
	{
		const ApServerLine *line = lfirst(cell);
		TimestampTz at = ap_line_next(line, now);

		/* without room the next step is an answer */
		if (at > now || room(dispatch, line, now) > 0)
			next = Min(next, at);
	}
	next = Max(next, dispatch->not_before);
	left = TimestampDifferenceMilliseconds(now, next);
	return timeout_ms < 0 ? left : Min(left, timeout_ms);
}

/*-------------------------------------------------------------------------
 * Settling
 *-------------------------------------------------------------------------
 */

/*
 * Forget an attempt.
 */
static void
drop(ApDispatch *dispatch, ApAttempt *attempt)
{
	ApServerLine *line = ap_lanes_line(&dispatch->lanes, attempt->server);
	ApPause    *pause = ap_line_pause(line, attempt->role);

	dlist_delete(&attempt->node);
	dispatch->nattempts--;
	line->in_flight--;
	if (pause != NULL && pause->in_flight > 0)
		pause->in_flight--;
	ap_attempt_free(attempt);
}

/*
 * Judge the attempts that have ended, and collect those to settle.  Some go on
 * with another call.
 */
static List *
judge_ended(ApDispatch *dispatch)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	List	   *judged = NIL;
	int			ndone = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatch->ended)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (attempt->settle_at > now || (dispatch->careful > 0 && judged != NIL))
			continue;
		dispatch->settled_alone = attempt;
		dispatch->settling++;
		if (attempt->judged || ap_attempt_judge(attempt))
		{
			/* those that are done come first */
			if (attempt->retry.verdict == AP_VERDICT_DONE)
				judged = list_insert_nth(judged, ndone++, attempt);
			else
				judged = lappend(judged, attempt);
			continue;
		}
		dlist_delete(&attempt->node);
		dlist_push_tail(&dispatch->ready, &attempt->node);
		dispatch->nended--;
	}
	return judged;
}

/*
 * Settle the attempts that have ended.  Returns those that were settled, with
 * the next jobs of their applicants in *next.
 */
static List *
settle(ApDispatch *dispatch, int64 **next)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	List	   *judged = judge_ended(dispatch);
	int			count = list_length(judged);
	ApSettlement *settlements;
	ListCell   *cell;

	if (count == 0)
		return NIL;
	settlements = palloc(count * sizeof(*settlements));
	*next = palloc(count * sizeof(int64));
	foreach(cell, judged)
	{
		ApAttempt  *attempt = lfirst(cell);

		ap_pauses_learn(&dispatch->pauses, attempt);
		ap_attempt_settlement(attempt, now, dispatch->config.max_age_s,
							  &settlements[foreach_current_index(cell)]);
	}
	(void) ap_queue_settle(dispatch->queue, settlements, count, *next);
	/* their places are free for what this transaction claims */
	foreach(cell, judged)
	{
		ap_lanes_line(&dispatch->lanes, ((ApAttempt *) lfirst(cell))->server)->settling++;
	}
	/* a job that waits again becomes due in its lane */
	foreach(cell, judged)
	{
		ApAttempt  *attempt = lfirst(cell);
		const ApSettlement *settlement = &settlements[foreach_current_index(cell)];

		if (strcmp(settlement->state, "waiting") == 0)
			ap_lane_news(attempt->lane, Max(settlement->retry_at, attempt->run_at), now);
	}
	return judged;
}

/*
 * After the commit: let go of what was settled, and tell who waits for it.
 */
static void
finish_settled(ApDispatch *dispatch, List *settled, const int64 *next)
{
	int			count = list_length(settled);
	int64	   *ids = palloc(Max(count, 1) * sizeof(int64));
	ListCell   *cell;

	foreach(cell, settled)
	{
		ApAttempt  *attempt = lfirst(cell);
		int			i = foreach_current_index(cell);

		ids[i] = attempt->id;
		if (next[i] != 0)
			ap_line_follow(ap_lanes_line(&dispatch->lanes, attempt->server), next[i]);
		ap_lanes_line(&dispatch->lanes, attempt->server)->settling--;
		drop(dispatch, attempt);
		dispatch->nended--;
	}
	ap_shared_tell_watchers(ids, count);
}

/*-------------------------------------------------------------------------
 * Claiming
 *-------------------------------------------------------------------------
 */

/*
 * Make attempts of claimed jobs.
 */
static void
take(ApDispatch *dispatch, ApServerLine *line, List *claimed)
{
	ListCell   *cell;

	foreach(cell, claimed)
	{
		const ApClaimed *job = lfirst(cell);
		MemoryContext old = MemoryContextSwitchTo(dispatch->context);
		ApAttempt  *attempt = ap_attempt_create(dispatch->queue, line->name, job,
												dispatch->config.max_answer_size);
		ApPause    *pause = ap_line_pause(line, attempt->role);

		MemoryContextSwitchTo(old);
		attempt->lane = ap_lanes_get(&dispatch->lanes, line->name, job->priority);
		dlist_push_tail(&dispatch->ready, &attempt->node);
		dispatch->nattempts++;
		line->in_flight++;
		if (pause != NULL)
			pause->in_flight++;
		if (dispatch->config.max_jobs > 0)
			dispatch->config.max_jobs--;
	}
}

/*
 * Have the jobs that a claim has left since they are locked looked at again.
 * Returns whether there are any.
 */
static bool
return_to_locked(ApDispatch *dispatch, ApServerLine *line, const ApClaim *claim)
{
	List	   *locked = ap_queue_locked(dispatch->queue, claim);
	ListCell   *cell;

	foreach(cell, locked)
	{
		const ApClaimed *job = lfirst(cell);
		ApQueuePlace place = {job->place.due, job->place.id - 1};

		ap_lane_return(ap_lanes_get(&dispatch->lanes, line->name, job->priority), &place,
					   ap_queue_now(dispatch->queue));
	}
	return locked != NIL;
}

/*
 * Claim the jobs that may have become the next of their applicants.
 */
static void
claim_followers(ApDispatch *dispatch, ApServerLine *line, ApClaim *claim)
{
	List	   *claimed;

	if (line->nfollowers == 0 || line->lanes == NIL)
		return;
	claim->limit = room(dispatch, line, ap_queue_now(dispatch->queue));
	if (claim->limit == 0 || dispatch->careful > 0)
		return;
	claim->nids = Min(line->nfollowers, claim->limit);
	claim->ids = line->followers + line->nfollowers - claim->nids;
	claimed = ap_queue_claim(dispatch->queue, claim);
	take(dispatch, line, claimed);
	if (list_length(claimed) < claim->nids)
		return_to_locked(dispatch, line, claim);
	line->nfollowers -= claim->nids;
	claim->ids = NULL;
}

/*
 * Claim jobs of a lane, from where the last sweep has ended.
 */
static void
sweep(ApDispatch *dispatch, ApLane *lane, ApClaim *claim)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	const ApQueuePlace *last = NULL;
	List	   *claimed;
	ListCell   *cell;

	claim->limit = room(dispatch, lane->line, now);
	if (claim->limit == 0 || !ap_lane_has_work(lane, now))
		return;
	ap_lane_begin(lane, now);
	claim->priority = lane->priority;
	claim->after = lane->place;
	if (dispatch->careful > 0)
	{
		/* should it fail, this is where to go on */
		claim->limit = 1;
		if (ap_queue_peek(dispatch->queue, claim, &dispatch->claiming_place))
			dispatch->claiming = lane;
	}
	claimed = ap_queue_claim(dispatch->queue, claim);
	take(dispatch, lane->line, claimed);
	foreach(cell, claimed)
	{
		const ApQueuePlace *place = &((ApClaimed *) lfirst(cell))->place;

		if (last == NULL || place->due > last->due ||
			(place->due == last->due && place->id > last->id))
			last = place;
	}
	dispatch->claiming = NULL;
	if (list_length(claimed) < claim->limit && !return_to_locked(dispatch, lane->line, claim))
		lane->returns = 0;
	ap_lane_advance(lane, list_length(claimed) == claim->limit ? last : NULL, now);
	if (lane->is_dry && lane->next_due == 0)
		lane->next_due = ap_queue_next_due(dispatch->queue, lane->line->name, lane->priority);
}

/*
 * Let one job try whether what paused a role's jobs is over.
 */
static void
try_paused(ApDispatch *dispatch, ApServerLine *line, ApPause *pause, ApClaim *claim)
{
	List	   *claimed = NIL;
	ListCell   *cell;

	if (room(dispatch, line, ap_queue_now(dispatch->queue)) == 0)
		return;
	claim->limit = 1;
	claim->only_role = pause->role;
	claim->nexcluded = 0;
	claim->after.due = DT_NOBEGIN;
	claim->after.id = 0;
	foreach(cell, line->lanes)
	{
		ApLane	   *lane = lfirst(cell);

		if (claimed != NIL)
			break;
		claim->priority = lane->priority;
		claimed = ap_queue_claim(dispatch->queue, claim);
		take(dispatch, line, claimed);
	}
	claim->only_role = InvalidOid;
	if (claimed != NIL)
		return;
	ap_pauses_end(&dispatch->pauses, line, pause);
}

/*
 * Claim jobs of a server: those known to be next, one of each role that is on
 * probation, then lane by lane.
 */
static void
claim_of_server(ApDispatch *dispatch, ApServerLine *line)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	Oid		   *roles = palloc((list_length(line->pauses) + 1) * sizeof(Oid));
	ApClaim		claim = {.server = line->name, .excluded_roles = roles};
	ApPause    *pause;
	ListCell   *cell;

	claim.nexcluded = ap_line_excluded(line, roles);
	claim_followers(dispatch, line, &claim);
	while ((pause = ap_line_probation(line, now)) != NULL &&
		   room(dispatch, line, now) > 0)
		try_paused(dispatch, line, pause, &claim);
	claim.nexcluded = ap_line_excluded(line, roles);
	foreach(cell, line->lanes)
	{
		sweep(dispatch, lfirst(cell), &claim);
	}
}

/*
 * Claim what is due and fits.
 */
static void
claim(ApDispatch *dispatch)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	ListCell   *cell;

	foreach(cell, dispatch->lanes.lines)
	{
		ApServerLine *line = lfirst(cell);

		if (!may_claim(dispatch, line, now))
			continue;
		/* a server that is not there still has its jobs find that out */
		line->max_concurrency = Max(ap_profile_max_concurrency(line->name), 1);
		line->is_known = true;
		claim_of_server(dispatch, line);
	}
}

/*-------------------------------------------------------------------------
 * Transactions
 *-------------------------------------------------------------------------
 */

/*
 * Look at everything: jobs whose owner is gone, lanes, pauses, old jobs.
 */
static void
look(ApDispatch *dispatch)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	ListCell   *cell;

	(void) ap_queue_release(dispatch->queue);
	ap_pauses_load(&dispatch->pauses);
	ap_lanes_forget_idle(&dispatch->lanes);
	foreach(cell, ap_queue_lanes(dispatch->queue))
	{
		const ApLaneKey *key = lfirst(cell);

		(void) ap_lanes_get(&dispatch->lanes, key->server, key->priority);
	}
	ap_lanes_rewind(&dispatch->lanes);
	dispatch->look_at = TimestampTzPlusMilliseconds(now, AP_LOOK_MS);
	dispatch->purging = dispatch->config.retention_s >= 0;
}

/*
 * Renew the leases of all that is in flight.
 */
static void
renew(ApDispatch *dispatch)
{
	int64	   *ids = palloc(Max(dispatch->nattempts, 1) * sizeof(int64));
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &dispatch->flying)
	{
		ids[count++] = dlist_container(ApAttempt, node, iter.cur)->id;
	}
	dlist_foreach(iter, &dispatch->ended)
	{
		ids[count++] = dlist_container(ApAttempt, node, iter.cur)->id;
	}
	ap_queue_renew(dispatch->queue, ids, count);
	dispatch->renew_at = TimestampTzPlusMilliseconds(ap_queue_now(dispatch->queue), AP_RENEW_MS);
}

/*
 * Send the calls of the jobs that are claimed for good.
 */
static void
send_ready(ApDispatch *dispatch)
{
	TimestampTz now = GetCurrentTimestamp();

	while (!dlist_is_empty(&dispatch->ready))
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, dlist_pop_head_node(&dispatch->ready));

		attempt->fresh = false;
		attempt->sent_at = now;
		if (attempt->call != NULL)
			ap_client_send(attempt->call);
		dlist_push_tail(&dispatch->flying, &attempt->node);
	}
}

/*
 * Tell whether what is claimed must not be lost in a crash: an attempt to
 * create, or to search, which costs, has to be known of before it is made.
 */
static bool
must_be_durable(ApDispatch *dispatch)
{
	dlist_iter	iter;

	dlist_foreach(iter, &dispatch->ready)
	{
		const ApAttempt *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (attempt->job.endpoint != NULL && attempt->job.operation != AP_SCHEDULE_DELETION &&
			attempt->job.operation != AP_RESTORE)
			return true;
	}
	return false;
}

/*
 * Do what there is to do in one transaction.
 */
static ApQueueState
transact(ApDispatch *dispatch)
{
	ApQueueState state = ap_queue_begin(dispatch->queue);
	TimestampTz now;
	List	   *settled;
	int64	   *next = NULL;

	if (state != AP_QUEUE_OPEN)
		return state;
	now = ap_queue_now(dispatch->queue);
	dispatch->settling = 0;
	dispatch->claiming = NULL;
	settled = settle(dispatch, &next);
	/* one thing at a time, where it has to be found out what fails */
	if (dispatch->careful == 0 || settled == NIL)
	{
		if (dispatch->look_at <= now)
			look(dispatch);
		else if (dispatch->pauses.changed_elsewhere)
			ap_pauses_load(&dispatch->pauses);
		if (dispatch->nattempts > 0 && dispatch->renew_at <= now)
			renew(dispatch);
		claim(dispatch);
		if (dispatch->purging)
			dispatch->purging = ap_queue_purge(dispatch->queue, dispatch->config.retention_s);
	}
	ap_queue_commit(dispatch->queue, settled != NIL || must_be_durable(dispatch));
	finish_settled(dispatch, settled, next);
	dispatch->transaction_us = GetCurrentTimestamp() - now;
	send_ready(dispatch);
	if (dispatch->pauses.changed_here)
		ap_shared_tell_pauses();
	dispatch->pauses.changed_here = false;
	dispatch->failures = 0;
	if (dispatch->careful > 0)
		dispatch->careful--;
	return state;
}

/*
 * Put off the settlement of a job that cannot be settled: since somebody has it
 * locked, or for another reason.  In the end do without its result.
 */
static void
put_off(ApAttempt *attempt, int sqlstate, TimestampTz now)
{
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		attempt->settle_at = TimestampTzPlusMilliseconds(now, AP_LOCKED_WAIT_MS);
		return;
	}
	attempt->settle_at = TimestampTzPlusMilliseconds(now, ap_retry_delay(++attempt->unsettled, 0, 0));
	if (attempt->unsettled == AP_SETTLE_TRIES)
		ap_attempt_give_up_result(attempt);
}

/*
 * Put right what a transaction that failed has left in memory, find out which
 * job it was, and wait a little where it was none.
 */
static void
recover(ApDispatch *dispatch, int sqlstate)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_mutable_iter iter;
	ListCell   *cell;
	int64		wait_ms = AP_FIRST_WAIT_MS;

	foreach(cell, dispatch->lanes.lines)
	{
		((ApServerLine *) lfirst(cell))->settling = 0;
	}
	dlist_foreach_modify(iter, &dispatch->ready)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (!attempt->fresh)
			continue;
		drop(dispatch, attempt);
		if (dispatch->config.max_jobs >= 0)
			dispatch->config.max_jobs++;
	}
	send_ready(dispatch);
	dispatch->failures++;
	if (dispatch->careful > 0 && dispatch->settling == 1)
		put_off(dispatch->settled_alone, sqlstate, now);
	else if (dispatch->careful > 0 && dispatch->claiming != NULL)
	{
		/* it is looked at again with everything else */
		ereport(LOG,
				(errmsg("job " INT64_FORMAT " cannot be claimed, and is passed over for now",
						dispatch->claiming_place.id)));
		dispatch->claiming->place = dispatch->claiming_place;
		dispatch->failures = 0;
	}
	else if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		ap_lanes_rewind(&dispatch->lanes);
	else
	{
		for (int i = 1; i < dispatch->failures && wait_ms < AP_LONGEST_WAIT_MS; i++)
			wait_ms *= 2;
		dispatch->not_before = TimestampTzPlusMilliseconds(now, Min(wait_ms, AP_LONGEST_WAIT_MS));
		ap_lanes_rewind(&dispatch->lanes);
	}
	dispatch->careful = dispatch->nended + AP_CAREFUL_CLAIMS;
}

/*
 * Report the error of a transaction, unless one was just reported: without its
 * detail and context, which may show what is in a row.  A lock or a cancel, by
 * which a worker is also told to end, is no fault.  Returns its SQLSTATE.
 */
static int
report_error(ApDispatch *dispatch)
{
	TimestampTz now = GetCurrentTimestamp();
	ErrorData  *error = CopyErrorData();
	int			sqlstate = error->sqlerrcode;

	FlushErrorState();
	if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE && sqlstate != ERRCODE_QUERY_CANCELED &&
		TimestampDifferenceExceeds(dispatch->reported_at, now, AP_REPORT_MS))
	{
		dispatch->reported_at = now;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errhidestmt(true),
				 errhidecontext(true),
				 errmsg("a step of the queue failed, and is tried again: %s", error->message)));
	}
	FreeErrorData(error);
	return sqlstate;
}

/*
 * Run a transaction, and go on after an error in it, but for an interrupt.
 */
static bool
run(ApDispatch *dispatch)
{
	MemoryContext old = MemoryContextSwitchTo(dispatch->cycle);
	volatile ApQueueState state = AP_QUEUE_OPEN;

	PG_TRY();
	{
		state = transact(dispatch);
	}
	PG_CATCH();
	{
		int			sqlstate;

		MemoryContextSwitchTo(dispatch->context);
		if (geterrcode() == ERRCODE_QUERY_CANCELED && dispatch->config.can_be_cancelled)
		{
			ErrorData  *error = CopyErrorData();

			FlushErrorState();
			ap_queue_rollback(dispatch->queue);
			ReThrowError(error);
		}
		sqlstate = report_error(dispatch);
		ap_queue_rollback(dispatch->queue);
		recover(dispatch, sqlstate);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(dispatch->cycle);
	if (state == AP_QUEUE_BUSY && dispatch->failures == 0)
		dispatch->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AP_BUSY_WAIT_MS);
	return state != AP_QUEUE_ABSENT;
}

/*
 * Tell whether nothing is in flight, and nothing can be claimed now.
 */
bool
ap_dispatch_is_idle(ApDispatch *dispatch)
{
	TimestampTz now = GetCurrentTimestamp();

	return dispatch->nattempts == 0 && dispatch->not_before <= now && !has_work(dispatch, now);
}

/*
 * Take a step: run a transaction if there is anything to do in one, else wait
 * for at most timeout_ms (-1 for no limit).  Returns false if there is no queue.
 * Throws on interrupts.
 */
bool
ap_dispatch_step(ApDispatch *dispatch, long timeout_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	gather_ended(dispatch);
	if (has_work(dispatch, now))
		return run(dispatch);
	ap_client_progress(time_left(dispatch, now, timeout_ms));
	gather_ended(dispatch);
	return true;
}

/*
 * Settle what has ended, and let the rest wait for whoever comes next: of all
 * attempts, or of the one given.
 */
static void
give_back(ApDispatch *dispatch, const ApAttempt *only)
{
	dlist_head *lists[] = {&dispatch->ended, &dispatch->flying, &dispatch->ready};
	ApSettlement *settlements = palloc((dispatch->nattempts + 1) * sizeof(*settlements));
	int64	   *next = palloc((dispatch->nattempts + 1) * sizeof(*next));
	int			count = 0;

	if (ap_queue_begin(dispatch->queue) != AP_QUEUE_OPEN)
		return;
	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		dlist_iter	iter;

		dlist_foreach(iter, lists[i])
		{
			ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

			if (only != NULL && attempt != only)
				continue;
			if (i == 0 && (attempt->judged || ap_attempt_judge(attempt)))
				ap_attempt_settlement(attempt, ap_queue_now(dispatch->queue),
									  dispatch->config.max_age_s, &settlements[count++]);
			else
				ap_attempt_abandon(attempt, &settlements[count++]);
		}
	}
	for (int i = 0; i < count; i++)
		(void) ap_queue_settle(dispatch->queue, &settlements[i], 1, &next[i]);
	ap_queue_commit(dispatch->queue, true);
}

/*
 * Do the same, and survive an error in it.  Returns whether it went well.
 */
static bool
try_to_give_back(ApDispatch *dispatch, const ApAttempt *only)
{
	MemoryContext old = MemoryContextSwitchTo(dispatch->cycle);
	volatile bool well = true;

	PG_TRY();
	{
		give_back(dispatch, only);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(dispatch->context);
		(void) report_error(dispatch);
		ap_queue_rollback(dispatch->queue);
		well = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(dispatch->cycle);
	return well;
}

/*
 * Give everything in flight up, after waiting a little for what ends by itself.
 * What cannot be given back, such as a job that somebody has locked, is taken
 * back by others when this process has ended, or its lease.
 */
void
ap_dispatch_give_up(ApDispatch *dispatch, long grace_ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), grace_ms);
	TimestampTz now;
	dlist_head *lists[] = {&dispatch->ended, &dispatch->flying, &dispatch->ready};

	while ((now = GetCurrentTimestamp()) < end && !dlist_is_empty(&dispatch->flying))
	{
		ap_client_progress(TimestampDifferenceMilliseconds(now, end));
		gather_ended(dispatch);
	}
	if (dispatch->nattempts > 0 && !try_to_give_back(dispatch, NULL))
	{
		for (int i = 0; i < (int) lengthof(lists); i++)
		{
			dlist_iter	iter;

			dlist_foreach(iter, lists[i])
			{
				(void) try_to_give_back(dispatch, dlist_container(ApAttempt, node, iter.cur));
			}
		}
	}
	/* others may have passed over what comes next */
	ap_shared_tell_all();
}
