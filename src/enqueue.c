/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *		The SQL functions that put jobs into the queue, take them back, and put
 *		them in again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "intake.h"
#include "job.h"

/* the states of living jobs, whose request keys are unique */
#define ALIVE "state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'in_flight'])"

static ApStatement find_key = {
	"SELECT id FROM %1$s WHERE requested_by OPERATOR(pg_catalog.=) $1"
	" AND request_key OPERATOR(pg_catalog.=) $2 AND " ALIVE,
	true, 2, {REGROLEOID, TEXTOID}, NULL, NULL
};

static ApStatement insert_job = {
	"INSERT INTO %1$s (operation, applicant_id, arguments, run_at, request_key, requested_by)"
	" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id",
	false, 6, {TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TEXTOID, REGROLEOID}, NULL, NULL
};

static ApStatement find_job = {
	"SELECT requested_by FROM %1$s WHERE id OPERATOR(pg_catalog.=) $1",
	true, 1, {INT8OID}, NULL, NULL
};

/* this lock waits for those who rely on the job, triggers.c tells why */
static ApStatement lock_job = {
	"SELECT state, requested_by, request_key FROM %1$s WHERE id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
	false, 1, {INT8OID}, NULL, NULL
};

static ApStatement cancel_job = {
	"UPDATE %1$s SET state = 'cancelled', finished_at = pg_catalog.clock_timestamp()"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	false, 1, {INT8OID}, NULL, NULL
};

#define WAIT_AGAIN "state = 'waiting', retry_at = NULL, finished_at = NULL"

static ApStatement retry_job = {
	"UPDATE %1$s SET " WAIT_AGAIN ", run_at = pg_catalog.clock_timestamp()"
	" WHERE id OPERATOR(pg_catalog.=) $1",
	false, 1, {INT8OID}, NULL, NULL
};

/* all at one time, so that they keep their order; of equal request keys the latest */
static ApStatement retry_jobs = {
	"UPDATE %1$s AS j SET " WAIT_AGAIN ", run_at = $5"
	" WHERE j.state OPERATOR(pg_catalog.=) 'failed' AND j.operation OPERATOR(pg_catalog.=) $1"
	" AND ($2 IS NULL OR j.server OPERATOR(pg_catalog.=) $2)"
	" AND ($3 OR pg_catalog.pg_has_role($4, j.requested_by::pg_catalog.oid, 'USAGE'))"
	" AND NOT EXISTS (SELECT FROM %1$s AS k WHERE k.requested_by OPERATOR(pg_catalog.=) j.requested_by"
	" AND k.request_key OPERATOR(pg_catalog.=) j.request_key AND (k." ALIVE
	" OR k.state OPERATOR(pg_catalog.=) 'failed' AND k.operation OPERATOR(pg_catalog.=) $1"
	" AND ($2 IS NULL OR k.server OPERATOR(pg_catalog.=) $2) AND k.id OPERATOR(pg_catalog.>) j.id))",
	false, 5, {TEXTOID, TEXTOID, BOOLOID, OIDOID, TIMESTAMPTZOID}, NULL, NULL
};

/*-------------------------------------------------------------------------
 * Putting in
 *-------------------------------------------------------------------------
 */

/*
 * Refuse a NULL as an argument.
 */
static void
refuse_null(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be null", name)));
}

/*
 * Give the living job of the role that has a request key.
 */
static bool
find_living(const ApAccess *access, Datum key, int64 *id)
{
	Datum		values[] = {ObjectIdGetDatum(access->role), key};
	bool		isnull;

	if (ap_access_run(access, &find_key, values, NULL) == 0)
		return false;
	*id = DatumGetInt64(ap_access_value(1, &isnull));
	return true;
}

/*
 * Give the intake for an operation, which serves the calls of a statement.
 */
static ApIntake *
get_intake(FunctionCallInfo fcinfo, const char *name)
{
	ApIntake   *intake = fcinfo->flinfo->fn_extra;
	MemoryContext context;
	ApStatus	status;
	ApOperation operation;

	if (intake != NULL && ap_intake_fits(intake, name))
		return intake;
	ap_status_clear(&status);
	if (!ap_job_operation(name, &operation, &status))
		ap_status_throw(&status);
	context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	intake = ap_intake_create(fcinfo->flinfo->fn_oid, operation);
	MemoryContextSwitchTo(context);
	fcinfo->flinfo->fn_extra = intake;
	return intake;
}

/*
 * Put a job into the queue, and give its id.
 */
static int64
put_in(ApIntake *intake, const char *operation, FunctionCallInfo fcinfo, TimestampTz run_at)
{
	char	   *applicant_id = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Jsonb	   *arguments = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	ApStatus	status;
	ApJobCall	call;
	int64		id;

	ap_status_clear(&status);
	if (!ap_job_read(operation, applicant_id, arguments, &call, &status))
		ap_status_throw(&status);
	ap_intake_open(intake, 1);
	id = ap_intake_add(intake, applicant_id, arguments, run_at);
	ap_intake_close(intake);
	return id;
}

/*
 * Put a job that has a request key into the queue, or find the living one.
 */
static int64
put_in_once(FunctionCallInfo fcinfo, TimestampTz run_at)
{
	ApAccess	access;
	Datum		values[6];
	char		nulls[7] = "      ";
	bool		isnull;
	int64		id = 0;

	ap_access_open(&access, fcinfo->flinfo->fn_oid);
	for (int i = 0; i < PG_NARGS(); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		if (PG_ARGISNULL(i))
			nulls[i] = 'n';
	}
	values[3] = TimestampTzGetDatum(run_at);
	nulls[3] = ' ';
	values[5] = ObjectIdGetDatum(access.role);
	SPI_connect();
	while (!find_living(&access, values[4], &id))
	{
		CHECK_FOR_INTERRUPTS();
		if (ap_access_run(&access, &insert_job, values, nulls) == 0)
			continue;
		id = DatumGetInt64(ap_access_value(1, &isnull));
		break;
	}
	SPI_finish();
	return id;
}

/*
 * SQL function: allpass_enqueue(operation text, applicant_id text, arguments
 * jsonb, run_at timestamptz, request_key text) returns bigint
 *
 * A time that has passed becomes the present here already, since the check of
 * the row lets a default pass that is a little older.
 */
PG_FUNCTION_INFO_V1(allpass_enqueue);
Datum
allpass_enqueue(PG_FUNCTION_ARGS)
{
	TimestampTz run_at = GetCurrentTimestamp();
	char	   *operation;
	ApIntake   *intake;

	refuse_null(fcinfo, 0, "operation");
	operation = text_to_cstring(PG_GETARG_TEXT_PP(0));
	intake = get_intake(fcinfo, operation);
	if (!PG_ARGISNULL(3))
		run_at = Max(run_at, PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_INT64(PG_ARGISNULL(4) ? put_in(intake, operation, fcinfo, run_at) :
					put_in_once(fcinfo, run_at));
}

/*-------------------------------------------------------------------------
 * Taking back, and putting in again
 *-------------------------------------------------------------------------
 */

/*
 * Lock a job and give its state.  A job that the role does not see does not
 * exist for it, and is not locked.
 */
static char *
lock(const ApAccess *access, int64 id)
{
	Datum		value = Int64GetDatum(id);
	bool		isnull;

	if (ap_access_run(access, &find_job, &value, NULL) == 0 ||
		!ap_access_sees(access, DatumGetObjectId(ap_access_value(1, &isnull))) ||
		ap_access_run(access, &lock_job, &value, NULL) == 0)
		ap_access_refuse_job(id);
	return TextDatumGetCString(ap_access_value(1, &isnull));
}

/*
 * Complain that the state of a job does not allow something.
 */
static void
refuse_state(int64 id, const char *state, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("job " INT64_FORMAT " cannot be %s: its state is \"%s\"", id, what, state)));
}

/*
 * SQL function: allpass_cancel(id bigint) returns void
 */
PG_FUNCTION_INFO_V1(allpass_cancel);
Datum
allpass_cancel(PG_FUNCTION_ARGS)
{
	ApAccess	access;
	char	   *state;
	Datum		id = PG_GETARG_DATUM(0);

	ap_access_open(&access, fcinfo->flinfo->fn_oid);
	SPI_connect();
	state = lock(&access, DatumGetInt64(id));
	if (strcmp(state, "waiting") != 0)
		refuse_state(DatumGetInt64(id), state, "cancelled");
	ap_access_run(&access, &cancel_job, &id, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Refuse to put a job in again while another one has its request key.
 */
static void
check_key(const ApAccess *access, int64 id)
{
	bool		isnull;
	Datum		values[2];

	values[0] = ap_access_value(2, &isnull);
	values[1] = ap_access_value(3, &isnull);
	if (isnull || ap_access_run(access, &find_key, values, NULL) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("job " INT64_FORMAT " cannot be retried: job " INT64_FORMAT " has the same request key",
					id, DatumGetInt64(ap_access_value(1, &isnull)))));
}

/*
 * SQL function: allpass_retry(id bigint) returns void
 */
PG_FUNCTION_INFO_V1(allpass_retry);
Datum
allpass_retry(PG_FUNCTION_ARGS)
{
	ApAccess	access;
	char	   *state;
	Datum		id = PG_GETARG_DATUM(0);

	ap_access_open(&access, fcinfo->flinfo->fn_oid);
	SPI_connect();
	state = lock(&access, DatumGetInt64(id));
	if (strcmp(state, "failed") != 0 && strcmp(state, "cancelled") != 0)
		refuse_state(DatumGetInt64(id), state, "retried");
	check_key(&access, DatumGetInt64(id));
	ap_access_run(&access, &retry_job, &id, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * SQL function: allpass_retry(operation text, server text) returns bigint
 */
PG_FUNCTION_INFO_V1(allpass_retry_failed);
Datum
allpass_retry_failed(PG_FUNCTION_ARGS)
{
	ApAccess	access;
	ApStatus	status;
	ApOperation operation;
	Datum		values[5];
	uint64		count;

	refuse_null(fcinfo, 0, "operation");
	ap_status_clear(&status);
	if (!ap_job_operation(text_to_cstring(PG_GETARG_TEXT_PP(0)), &operation, &status))
		ap_status_throw(&status);
	ap_access_open(&access, fcinfo->flinfo->fn_oid);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = BoolGetDatum(access.manages);
	values[3] = ObjectIdGetDatum(access.role);
	values[4] = TimestampTzGetDatum(GetCurrentTimestamp());
	SPI_connect();
	count = ap_access_run(&access, &retry_jobs, values, PG_ARGISNULL(1) ? " n   " : NULL);
	SPI_finish();
	PG_RETURN_INT64((int64) count);
}
