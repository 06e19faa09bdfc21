/*-------------------------------------------------------------------------
 *
 * check.c
 *		The triggers of the queue: what comes in is checked, and the workers
 *		hear of it.
 *
 * A role that manages the queue, its owner or a superuser, may put in jobs for
 * others, and of any state, as the restore of a dump does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "access.h"
#include "job.h"
#include "shared.h"

/*
 * A run_at that is this little in the past is the default of the column, which
 * is read just before.  It is left as it is, since a changed row costs.
 */
#define AP_FRESH_US 100

/* How far created_at may be from now to pass for the default. */
#define AP_CREATED_US USECS_PER_SEC

/* What a statement has to find out once; lives in fn_extra. */
typedef struct CheckState
{
	ApAccess	access;
	uint64		allowed;		/* bit set of the operations that the role may execute */
} CheckState;

/* A row of the queue. */
typedef struct JobRow
{
	Datum	   *values;
	bool	   *isnull;
} JobRow;

#define VALUE(row, column) ((row)->values[(column) - 1])
#define ISNULL(row, column) ((row)->isnull[(column) - 1])
#define TEXT(row, column) TextDatumGetCString(VALUE(row, column))

/* The columns that only the worker has something to put into. */
static const AttrNumber outcomes[] = {
	AP_JOB_SQLSTATE, AP_JOB_HTTP_STATUS, AP_JOB_ERROR, AP_JOB_RESULT, AP_JOB_ACCEPTED_AT,
	AP_JOB_FINISHED_AT, AP_JOB_RETRY_AT, AP_JOB_OWNER, AP_JOB_LEASE_UNTIL
};

/*
 * Take a row apart.
 */
static void
read_row(Relation table, HeapTuple tuple, JobRow *row)
{
	int			count = RelationGetDescr(table)->natts;

	row->values = palloc((Size) count * sizeof(*row->values));
	row->isnull = palloc((Size) count * sizeof(*row->isnull));
	heap_deform_tuple(tuple, RelationGetDescr(table), row->values, row->isnull);
}

/*
 * Complain of a trigger function of the queue that is used elsewhere.
 */
static void
refuse_table(FunctionCallInfo fcinfo)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" is for the triggers of the queue alone",
					get_func_name(fcinfo->flinfo->fn_oid))));
}

/*
 * Give what the statement has found out, or begin with it.
 */
static CheckState *
check_state(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CheckState *state = fcinfo->flinfo->fn_extra;

	if (!CALLED_AS_TRIGGER(fcinfo))
		refuse_table(fcinfo);
	if (state != NULL && state->access.role == GetUserId())
		return state;
	state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*state));
	ap_access_open(&state->access, fcinfo->flinfo->fn_oid);
	if (RelationGetRelid(trigger->tg_relation) != state->access.table)
		refuse_table(fcinfo);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

/*
 * Check that a row is a job that its operation's function would accept, and
 * that the role may call that function.
 */
static void
check_call(CheckState *state, const JobRow *row)
{
	ApStatus	status;
	ApJobCall	call;
	char	   *applicant_id = ISNULL(row, AP_JOB_APPLICANT_ID) ? NULL : TEXT(row, AP_JOB_APPLICANT_ID);
	Jsonb	   *arguments = NULL;

	if (!ISNULL(row, AP_JOB_ARGUMENTS))
	{
		if (toast_raw_datum_size(VALUE(row, AP_JOB_ARGUMENTS)) > AP_JOB_MAX_ARGUMENTS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errhidestmt(true),
					 errhidecontext(true),
					 errmsg("arguments of a job are larger than %d bytes", AP_JOB_MAX_ARGUMENTS)));
		arguments = DatumGetJsonbP(VALUE(row, AP_JOB_ARGUMENTS));
	}
	ap_status_clear(&status);
	if (!ap_job_read(TEXT(row, AP_JOB_OPERATION), applicant_id, arguments, &call, &status))
		ap_status_throw(&status);
	ap_access_check_server(TEXT(row, AP_JOB_SERVER));
	if ((state->allowed & (UINT64CONST(1) << call.operation)) == 0)
	{
		ap_access_require(&state->access, call.endpoint);
		state->allowed |= UINT64CONST(1) << call.operation;
	}
}

/*
 * Complain of a column that the role may not set.
 */
static void
refuse_column(Relation table, AttrNumber column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errhidestmt(true),
			 errhidecontext(true),
			 errmsg("permission denied to set column \"%s\" of a job",
					NameStr(TupleDescAttr(RelationGetDescr(table), column - 1)->attname)),
			 errdetail("Only the owner of table \"%s\" and superusers may set it.",
					   RelationGetRelationName(table)),
			 errhint("Leave it out.")));
}

/*
 * Check that a row is the role's own, and has no outcome yet.
 */
static void
check_plain(CheckState *state, Relation table, const JobRow *row)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz created = DatumGetTimestampTz(VALUE(row, AP_JOB_CREATED_AT));

	if (DatumGetObjectId(VALUE(row, AP_JOB_REQUESTED_BY)) != state->access.role)
		refuse_column(table, AP_JOB_REQUESTED_BY);
	if (DatumGetInt32(VALUE(row, AP_JOB_ATTEMPTS)) != 0)
		refuse_column(table, AP_JOB_ATTEMPTS);
	if (DatumGetBool(VALUE(row, AP_JOB_IN_DOUBT)))
		refuse_column(table, AP_JOB_IN_DOUBT);
	if (created < now - AP_CREATED_US || created > now + AP_CREATED_US)
		refuse_column(table, AP_JOB_CREATED_AT);
	for (int i = 0; i < (int) lengthof(outcomes); i++)
	{
		if (!ISNULL(row, outcomes[i]))
			refuse_column(table, outcomes[i]);
	}
}

/*
 * Check that a job which a role changes is still its to change.
 */
static void
check_change(CheckState *state, Relation table, const JobRow *old, const JobRow *new)
{
	char	   *was = TEXT(old, AP_JOB_STATE);

	if (DatumGetObjectId(VALUE(new, AP_JOB_REQUESTED_BY)) != state->access.role)
		refuse_column(table, AP_JOB_REQUESTED_BY);
	if (strcmp(was, "waiting") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " cannot be changed: its state is \"%s\"",
						DatumGetInt64(VALUE(old, AP_JOB_ID)), was)));
}

/*
 * Give the time from which on a job may run, if it is another one than its row
 * says: a time that has passed becomes the present, so that a job never goes
 * before those that its applicant had already.  In a dump the present is the
 * time when the job was created, and the order of jobs remains.
 */
static bool
correct_time(const JobRow *row, bool manages, TimestampTz *due)
{
	static TimestampTz latest = 0;	/* what was stored last in its place */
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz created = DatumGetTimestampTz(VALUE(row, AP_JOB_CREATED_AT));
	bool		restored = manages && created < now - AP_CREATED_US;
	TimestampTz present = restored ? created : now;

	if (*due >= present)
		return false;
	if (*due >= present - AP_FRESH_US && (restored || *due >= latest))
	{
		latest = Max(latest, *due);
		return false;
	}
	*due = present;
	latest = Max(latest, *due);
	return true;
}

/*
 * Refuse a row that lacks something.  The server would say so, too, but with
 * the whole row.
 */
static void
check_complete(Relation table, const JobRow *row)
{
	for (int i = 0; i < AP_JOB_IN_DOUBT; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table), i);

		if (row->isnull[i] && column->attnotnull)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errhidestmt(true),
					 errhidecontext(true),
					 errmsg("column \"%s\" of a job must not be null", NameStr(column->attname))));
	}
}

/*
 * Check the row that fires the trigger; tell whether its job waits, and so has
 * to be looked at further.
 */
static bool
check_row(CheckState *state, TriggerData *trigger, const JobRow *row, const JobRow *old)
{
	Relation	table = trigger->tg_relation;
	bool		plain = !state->access.manages;

	check_complete(table, row);
	if (plain && old != NULL)
		check_change(state, table, old, row);
	if (strcmp(TEXT(row, AP_JOB_STATE), "waiting") != 0)
	{
		if (plain)
			refuse_column(table, AP_JOB_STATE);
		return false;
	}
	check_call(state, row);
	if (plain && old == NULL)
		check_plain(state, table, row);
	return true;
}

/*
 * Give the row as it is to be stored, with its time corrected.
 */
static HeapTuple
correct_row(const ApAccess *access, Relation table, HeapTuple tuple, const JobRow *row,
			const JobRow *old)
{
	TimestampTz due = DatumGetTimestampTz(VALUE(row, AP_JOB_RUN_AT));
	int			column = AP_JOB_RUN_AT;
	bool		isnull = false;
	Datum		value;

	if ((old == NULL || DatumGetTimestampTz(VALUE(old, AP_JOB_RUN_AT)) != due) &&
		correct_time(row, access->manages, &due))
	{
		value = TimestampTzGetDatum(due);
		tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(table), 1, &column, &value, &isnull);
	}
	ap_shared_note_job(TEXT(row, AP_JOB_SERVER), DatumGetInt32(VALUE(row, AP_JOB_PRIORITY)), due);
	return tuple;
}

/*
 * SQL function: allpass_queue_check() returns trigger
 */
PG_FUNCTION_INFO_V1(allpass_queue_check);
Datum
allpass_queue_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CheckState *state = check_state(fcinfo);
	HeapTuple	tuple = trigger->tg_trigtuple;
	JobRow		row;
	JobRow		old;
	bool		updates = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

	if (updates)
	{
		read_row(trigger->tg_relation, tuple, &old);
		tuple = trigger->tg_newtuple;
	}
	read_row(trigger->tg_relation, tuple, &row);
	if (check_row(state, trigger, &row, updates ? &old : NULL))
		tuple = correct_row(&state->access, trigger->tg_relation, tuple, &row, updates ? &old : NULL);
	return PointerGetDatum(tuple);
}

/*
 * SQL function: allpass_queue_changed() returns trigger
 */
PG_FUNCTION_INFO_V1(allpass_queue_changed);
Datum
allpass_queue_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		refuse_table(fcinfo);
	if (!ap_queue_is_mine)
		ap_shared_note_all();
	return PointerGetDatum(NULL);
}
