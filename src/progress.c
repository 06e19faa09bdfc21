/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far a long statement is, for other sessions to read.
 *
 * The figures stand where those of VACUUM and other commands stand, in the
 * backend's entry of pg_stat_activity, under a number of our own for the
 * command: so there is shared memory for them without preloading, and a
 * report is a few stores.  Commands that report by themselves, such as COPY of
 * a query, keep the place; then ours is not shown.  The server clears the place
 * when a subtransaction fails, so it is taken again if need be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "progress.h"

/* No command of the server's has this number. */
#define AP_COMMAND ((ProgressCommandType) 0x4150)

/* The places of the figures. */
enum
{
	AP_KIND, AP_DONE, AP_IN_FLIGHT, AP_FAILED, AP_STARTED, AP_FIGURES
};

#define AP_COLUMNS 6

static const char *const kinds[] = {
	[AP_PROGRESS_APPLICANTS] = "allpass_applicants",
	[AP_PROGRESS_STATUSES] = "allpass_statuses",
	[AP_PROGRESS_AML_SCREEN] = "allpass_aml_screen",
	[AP_PROGRESS_PREFETCH] = "prefetch",
};

static int64 figures[AP_FIGURES];
static int	reporters = 0;

/*
 * Show the figures, if the place is ours or free.
 */
static void
show(void)
{
	static const int places[] = {AP_KIND, AP_DONE, AP_IN_FLIGHT, AP_FAILED, AP_STARTED};

	if (MyBEEntry == NULL)
		return;
	if (MyBEEntry->st_progress_command == PROGRESS_COMMAND_INVALID)
		pgstat_progress_start_command(AP_COMMAND, InvalidOid);
	if (MyBEEntry->st_progress_command == AP_COMMAND)
		pgstat_progress_update_multi_param(AP_FIGURES, places, figures);
}

/*
 * Begin to report.
 */
void
ap_progress_begin(ApProgress *progress, ApProgressKind kind)
{
	progress->in_flight = 0;
	if (reporters++ == 0)
	{
		memset(figures, 0, sizeof(figures));
		figures[AP_KIND] = kind;
		figures[AP_STARTED] = GetCurrentTimestamp();
	}
	show();
}

/*
 * Count a call that has started.
 */
void
ap_progress_start_call(ApProgress *progress)
{
	progress->in_flight++;
	figures[AP_IN_FLIGHT]++;
	show();
}

/*
 * Count a call that has ended.
 */
void
ap_progress_end_call(ApProgress *progress, bool failed)
{
	progress->in_flight--;
	figures[AP_IN_FLIGHT]--;
	figures[AP_DONE]++;
	if (failed)
		figures[AP_FAILED]++;
	show();
}

/*
 * End to report; calls under way are given up.  Does not throw.
 */
void
ap_progress_end(ApProgress *progress)
{
	figures[AP_IN_FLIGHT] -= progress->in_flight;
	if (--reporters > 0)
		show();
	else if (MyBEEntry != NULL && MyBEEntry->st_progress_command == AP_COMMAND)
		pgstat_progress_end_command();
}

/*
 * Tell whether the current user may see what a backend does, by the rule of
 * pg_stat_activity.
 */
static bool
may_see(const PgBackendStatus *backend)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), backend->st_userid);
}

/*
 * SQL function: allpass_progress_entries() returns setof record
 *
 * The rows of the view allpass_progress.
 */
PG_FUNCTION_INFO_V1(allpass_progress_entries);
Datum
allpass_progress_entries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	count = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= count; i++)
	{
		const PgBackendStatus *backend = ap_compat_backend_status(i);
		const int64 *params = backend->st_progress_param;
		Datum		values[AP_COLUMNS];
		bool		nulls[AP_COLUMNS] = {false};

		if (backend->st_progress_command != AP_COMMAND || !may_see(backend) ||
			params[AP_KIND] < 0 || params[AP_KIND] >= (int64) lengthof(kinds))
			continue;
		values[0] = Int32GetDatum(backend->st_procpid);
		values[1] = CStringGetTextDatum(kinds[params[AP_KIND]]);
		values[2] = Int64GetDatum(params[AP_DONE]);
		values[3] = Int64GetDatum(params[AP_IN_FLIGHT]);
		values[4] = Int64GetDatum(params[AP_FAILED]);
		values[5] = TimestampTzGetDatum(params[AP_STARTED]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
