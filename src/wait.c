/*-------------------------------------------------------------------------
 *
 * wait.c
 *		The SQL function that waits until a job is settled.
 *
 * Who settles the job sets the latch of this process.  Only where nothing is
 * preloaded does it have to look again and again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "access.h"
#include "shared.h"

/* How long to wait between two looks at the job. */
#define AP_FIRST_LOOK_MS 100
#define AP_LAST_LOOK_MS 1000
/* if told: whoever should tell may have been killed */
#define AP_SAFETY_LOOK_MS 10000

static ApStatement look_at_job = {
	"SELECT requested_by, state, xmin, j FROM %1$s AS j WHERE id OPERATOR(pg_catalog.=) $1",
	true, 1, {INT8OID}, NULL, NULL
};

/*
 * Give a timeout in milliseconds.  Months count as 30 days; what is too long
 * to count is as long as can be.
 */
static int64
timeout_ms(const Interval *timeout)
{
	double		ms = (double) timeout->time / 1000.0 +
		((double) timeout->month * DAYS_PER_MONTH + timeout->day) * (double) SECS_PER_DAY * 1000.0;

	if (ms < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "timeout")));
	return (int64) Min(ceil(ms), (double) PG_INT32_MAX * 1000.0);
}

/*
 * Look at a job: give its row, and whether it may still change while this
 * transaction waits.
 */
static bool
look(const ApAccess *access, int64 id, bool waits, Datum *row)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	Datum		value = Int64GetDatum(id);
	bool		isnull;
	bool		settled;
	char	   *state;

	SPI_connect();
	if (ap_access_run(access, &look_at_job, &value, NULL) == 0 ||
		!ap_access_sees(access, DatumGetObjectId(ap_access_value(1, &isnull))))
		ap_access_refuse_job(id);
	state = TextDatumGetCString(ap_access_value(2, &isnull));
	settled = strcmp(state, "waiting") != 0 && strcmp(state, "in_flight") != 0;
	if (!settled && waits &&
		TransactionIdIsCurrentTransactionId(DatumGetTransactionId(ap_access_value(3, &isnull))))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for job " INT64_FORMAT " in the transaction that put it into the queue", id),
				 errhint("Commit first.")));
	spi_context = MemoryContextSwitchTo(context);
	*row = datumCopy(ap_access_value(4, &isnull), false, -1);
	MemoryContextSwitchTo(spi_context);
	SPI_finish();
	return settled;
}

/*
 * Wait until a job is settled or the time is over, and give its row.
 */
static Datum
wait_for(const ApAccess *access, int64 id, int64 timeout)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	bool		told = timeout > 0 && ap_shared_watch(id);
	long		pause = told ? AP_SAFETY_LOOK_MS : AP_FIRST_LOOK_MS;
	long		left = (long) timeout;
	Datum		row;

	for (;;)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (look(access, id, left > 0, &row) || left <= 0)
			return row;
		pfree(DatumGetPointer(row));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(pause, left), ap_compat_job_wait_event());
		if (!told)
			pause = Min(pause * 2, AP_LAST_LOOK_MS);
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
	}
}

/*
 * SQL function: allpass_wait(id bigint, timeout interval) returns allpass_queue
 */
PG_FUNCTION_INFO_V1(allpass_wait);
Datum
allpass_wait(PG_FUNCTION_ARGS)
{
	ApAccess	access;
	volatile Datum row;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be null", "timeout")));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	ap_access_open(&access, fcinfo->flinfo->fn_oid);
	PG_TRY();
	{
		row = wait_for(&access, PG_GETARG_INT64(0), timeout_ms(PG_GETARG_INTERVAL_P(1)));
	}
	PG_FINALLY();
	{
		ap_shared_unwatch();
	}
	PG_END_TRY();
	return row;
}
