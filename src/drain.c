/*-------------------------------------------------------------------------
 *
 * drain.c
 *		The SQL procedure that drains the queue from a session.
 *
 * It does what the worker does, until nothing is due: where the module is not
 * preloaded, and in tests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "dispatch.h"
#include "settings.h"

/*
 * Refuse to run where the procedure cannot commit.
 */
static void
check_context(FunctionCallInfo fcinfo)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!((CallContext *) fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("allpass_drain() cannot be called inside a transaction block or a function"),
			 errhint("It commits after each step.")));
}

/*
 * Give the time at which to stop, infinity for a timeout that is NULL.
 */
static TimestampTz
end_time(FunctionCallInfo fcinfo, int argument)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;

	if (PG_ARGISNULL(argument))
		return DT_NOEND;
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(now),
												  PG_GETARG_DATUM(argument)));
	if (end < now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "timeout")));
	return end;
}

/*
 * Carry out jobs until nothing is due, or the time is up.
 */
static void
drain(ApDispatch *dispatch, TimestampTz end)
{
	TimestampTz now;

	while ((now = GetCurrentTimestamp()) < end)
	{
		if (!ap_dispatch_step(dispatch, end == DT_NOEND ? -1 : TimestampDifferenceMilliseconds(now, end)) ||
			ap_dispatch_is_idle(dispatch))
			return;
	}
	ap_dispatch_give_up(dispatch, 0);
}

/*
 * Carry out jobs, and give back what is in flight before an error goes on.
 */
static void
carry_out(ApDispatch *dispatch, ApQueue *queue, TimestampTz end)
{
	const MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		drain(dispatch, end);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* which outlives the transaction */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		SPI_rollback();
		ap_dispatch_give_up(dispatch, 0);
		ap_queue_destroy(queue);
		ReThrowError(error);
	}
	PG_END_TRY();
	/* what it has left over, others may have passed over */
	ap_shared_tell_all();
}

/*
 * SQL procedure: allpass_drain(max_jobs bigint, timeout interval)
 *
 * Carries out the jobs that are due, of all roles, with their own mappings and
 * rights.  Commits after each step.
 */
PG_FUNCTION_INFO_V1(allpass_drain);
Datum
allpass_drain(PG_FUNCTION_ARGS)
{
	ApQueue    *queue;
	ApDispatch *dispatch;
	ApDispatchConfig *config;

	check_context(fcinfo);
	PreventCommandDuringRecovery("allpass_drain()");
	if (!PG_ARGISNULL(0) && PG_GETARG_INT64(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "max_jobs")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	queue = ap_queue_create(true);
	dispatch = ap_dispatch_create(queue);
	config = ap_dispatch_config(dispatch);
	config->max_age_s = ap_job_max_age;
	config->retention_s = -1;
	config->can_be_cancelled = true;
	config->claim.max_answer_size = (size_t) ap_max_response_size * 1024;
	config->claim.max_jobs = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT64(0);
	carry_out(dispatch, queue, end_time(fcinfo, 1));
	ap_queue_destroy(queue);
	SPI_finish();
	PG_RETURN_VOID();
}
