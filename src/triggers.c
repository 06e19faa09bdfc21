/*-------------------------------------------------------------------------
 *
 * triggers.c
 *		The trigger functions that put jobs into the queue: verify who comes
 *		into a table, and forget who leaves it.
 *
 * Both look for the keys that a change brings, or takes away, and that were
 * not, or are not, there otherwise: those of the new rows without those of the
 * old ones, or the other way round.  Of one row or of a whole statement, in
 * its transition tables, that is the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "intake.h"
#include "job.h"
#include "keyset.h"

/* A column, taken as text. */
typedef struct Column
{
	AttrNumber	number;			/* 0 for none */
	FmgrInfo	output;
} Column;

/* The arguments that may be columns, in the order of keys in a jsonb object. */
static const char *const names[] = {"lang", "email", "phone"};

#define AP_COLUMNS ((int) lengthof(names))

/* What a trigger is defined to do; lives in fn_extra. */
typedef struct Definition
{
	const char *function;
	const char *usage;
	bool		verifies;
	char	   *flow;
	Column		key;
	Column		columns[lengthof(names)];
	Oid			role;			/* whose the intake is */
	ApIntake   *intake;
} Definition;

/*-------------------------------------------------------------------------
 * The definition of a trigger
 *-------------------------------------------------------------------------
 */

/*
 * Complain of how a trigger is defined.
 */
static void
refuse(const Definition *definition, int sqlstate, const char *message)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("trigger function \"%s\" %s", definition->function, message),
			 errhint("Use it as %s.", definition->usage)));
}

/*
 * Find a column of the table.
 */
static void
find_column(Relation table, const char *name, Column *column)
{
	TupleDesc	desc = RelationGetDescr(table);
	Oid			function;
	bool		is_varlena;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
		{
			column->number = attribute->attnum;
			getTypeOutputInfo(attribute->atttypid, &function, &is_varlena);
			fmgr_info(function, &column->output);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist",
					name, RelationGetRelationName(table)),
			 errhint("The arguments of the trigger name columns as the catalogs do, without quotes.")));
}

/*
 * Take an argument of the form name=column.
 */
static void
read_option(Definition *definition, Relation table, const char *option)
{
	const char *equals = strchr(option, '=');

	for (int i = 0; i < AP_COLUMNS && equals != NULL; i++)
	{
		if (strlen(names[i]) != (size_t) (equals - option) ||
			strncmp(option, names[i], (size_t) (equals - option)) != 0)
			continue;
		if (definition->columns[i].number != 0)
			refuse(definition, ERRCODE_INVALID_PARAMETER_VALUE,
				   psprintf("has the argument \"%s\" twice", names[i]));
		find_column(table, equals + 1, &definition->columns[i]);
		return;
	}
	refuse(definition, ERRCODE_INVALID_PARAMETER_VALUE,
		   psprintf("has the unrecognized argument \"%s\"", option));
}

/*
 * Read the arguments of a trigger.
 */
static void
read_arguments(Definition *definition, TriggerData *trigger)
{
	char	  **args = trigger->tg_trigger->tgargs;
	int			count = trigger->tg_trigger->tgnargs;
	int			first = 0;

	if (definition->verifies)
	{
		if (count < 2 || args[0][0] == '\0')
			refuse(definition, ERRCODE_INVALID_PARAMETER_VALUE, "needs a flow and an id column");
		definition->flow = pstrdup(args[first++]);
	}
	else if (count != 1)
		refuse(definition, ERRCODE_INVALID_PARAMETER_VALUE, "needs an id column, and nothing else");
	find_column(trigger->tg_relation, args[first++], &definition->key);
	for (int i = first; i < count; i++)
		read_option(definition, trigger->tg_relation, args[i]);
}

/*
 * Check when a trigger fires.  A row that moves to another partition fires the
 * row triggers of a deletion; nobody is to be forgotten because of that.
 */
static void
check_event(const Definition *definition, TriggerData *trigger)
{
	TriggerEvent event = trigger->tg_event;
	bool		updates = TRIGGER_FIRED_BY_UPDATE(event);

	if (!TRIGGER_FIRED_AFTER(event))
		refuse(definition, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "must be fired AFTER the event");
	if (TRIGGER_FIRED_BY_TRUNCATE(event))
		refuse(definition, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
			   "cannot be fired by TRUNCATE, which tells no rows");
	if (definition->verifies ? TRIGGER_FIRED_BY_DELETE(event) : TRIGGER_FIRED_BY_INSERT(event))
		refuse(definition, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
			   definition->verifies ? "must be fired by INSERT or UPDATE" : "must be fired by DELETE or UPDATE");
	if (TRIGGER_FIRED_FOR_ROW(event))
	{
		if (!definition->verifies && trigger->tg_relation->rd_rel->relispartition)
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("trigger function \"%s\" cannot be fired for rows of a partition", definition->function),
					 errdetail("A row that moves to another partition would count as deleted."),
					 errhint("Make it a trigger FOR EACH STATEMENT on the partitioned table.")));
		return;
	}
	if ((trigger->tg_newtable == NULL && (updates || definition->verifies)) ||
		(trigger->tg_oldtable == NULL && (updates || !definition->verifies)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger function \"%s\" needs transition tables to be fired for a statement",
						definition->function),
				 errhint("Add REFERENCING %s to the trigger.",
						 updates ? "OLD TABLE AS old_rows NEW TABLE AS new_rows" :
						 definition->verifies ? "NEW TABLE AS new_rows" : "OLD TABLE AS old_rows")));
}

/*
 * Give the definition of the trigger that calls, checked.
 */
static Definition *
get_definition(FunctionCallInfo fcinfo, const Definition *kind, ApOperation operation)
{
	Definition *definition = fcinfo->flinfo->fn_extra;
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context;

	if (definition != NULL && definition->role == GetUserId())
		return definition;
	context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	definition = palloc(sizeof(*definition));
	*definition = *kind;
	if (!CALLED_AS_TRIGGER(fcinfo))
		refuse(definition, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "must be called as a trigger");
	check_event(definition, trigger);
	read_arguments(definition, trigger);
	definition->role = GetUserId();
	definition->intake = ap_intake_create(fcinfo->flinfo->fn_oid, operation);
	MemoryContextSwitchTo(context);
	fcinfo->flinfo->fn_extra = definition;
	return definition;
}

/*-------------------------------------------------------------------------
 * From rows to jobs
 *-------------------------------------------------------------------------
 */

/*
 * Give a column of a row as text, or NULL.
 */
static char *
column_text(TupleTableSlot *row, Column *column)
{
	bool		isnull;
	Datum		value = slot_getattr(row, column->number, &isnull);

	return isnull ? NULL : OutputFunctionCall(&column->output, value);
}

/*
 * Give a text as a JSON value.
 */
static JsonbValue
json_text(const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) strlen(text);
	return value;
}

/*
 * Give the arguments of a job for a row.  A text of such a length that all might
 * not fit is left out: it would fail the write, to nobody's use.
 */
static Jsonb *
job_arguments(Definition *definition, TupleTableSlot *row)
{
	JsonbPair	pairs[lengthof(names) + 1];
	JsonbValue	object;
	int			count = 0;

	for (int i = 0; i < AP_COLUMNS; i++)
	{
		Column	   *column = &definition->columns[i];
		char	   *text = column->number == 0 ? NULL : column_text(row, column);

		if (text != NULL && strlen(text) < AP_JOB_MAX_ARGUMENTS / (AP_COLUMNS + 1))
		{
			pairs[count].key = json_text(names[i]);
			pairs[count++].value = json_text(text);
		}
	}
	pairs[count].key = json_text("flow_name");
	pairs[count++].value = json_text(definition->flow);
	object.type = jbvObject;
	object.val.object.nPairs = count;
	object.val.object.pairs = pairs;
	return JsonbValueToJsonb(&object);
}

/*
 * Give the key of a row, or NULL.  What the API refuses as an id is no key: it
 * would fail the write, to nobody's use.
 */
static const char *
row_key(Definition *definition, TupleTableSlot *row)
{
	char	   *key = column_text(row, &definition->key);

	if (key == NULL || key[0] == '\0' || strcmp(key, ".") == 0 || strcmp(key, "..") == 0)
		return NULL;
	return key;
}

/*
 * Take a row: one that the change leaves as it was, or one that makes a job.
 */
static void
take_row(Definition *definition, ApKeyset *seen, TupleTableSlot *row, bool makes_job)
{
	const char *key = row_key(definition, row);

	if (key == NULL || !ap_keyset_add(seen, key) || !makes_job ||
		ap_intake_covers(definition->intake, key))
		return;
	(void) ap_intake_add(definition->intake, key,
						 definition->verifies ? job_arguments(definition, row) : NULL, 0);
}

/*
 * Take the rows of a transition table.
 */
static void
take_rows(Definition *definition, ApKeyset *seen, TupleDesc desc, Tuplestorestate *rows, bool make_jobs)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "allpass trigger",
												  ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int			pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	MemoryContext context;

	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scratch);
		context = MemoryContextSwitchTo(scratch);
		take_row(definition, seen, slot, make_jobs);
		MemoryContextSwitchTo(context);
		tuplestore_select_read_pointer(rows, pointer);
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(scratch);
}

/*
 * Put the jobs of a row into the queue.
 */
static void
fire_for_row(Definition *definition, TriggerData *trigger)
{
	bool		updates = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	TupleTableSlot *old = trigger->tg_trigslot;
	TupleTableSlot *new = updates ? trigger->tg_newslot : trigger->tg_trigslot;
	ApKeyset   *seen = ap_keyset_create(2);

	ap_intake_open(definition->intake, 1);
	if (updates)
		take_row(definition, seen, definition->verifies ? old : new, false);
	take_row(definition, seen, definition->verifies ? new : old, true);
	ap_intake_close(definition->intake);
}

/*
 * Put the jobs of a statement into the queue.
 */
static void
fire_for_statement(Definition *definition, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Tuplestorestate *rows = definition->verifies ? trigger->tg_newtable : trigger->tg_oldtable;
	Tuplestorestate *others = definition->verifies ? trigger->tg_oldtable : trigger->tg_newtable;
	int64		count = tuplestore_tuple_count(rows);
	ApKeyset   *seen;

	if (count == 0)
		return;
	seen = ap_keyset_create(count);
	ap_intake_open(definition->intake, count);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		take_rows(definition, seen, desc, others, false);
	take_rows(definition, seen, desc, rows, true);
	ap_intake_close(definition->intake);
}

/*
 * Put the jobs of a firing into the queue.
 */
static Datum
fire(Definition *definition, TriggerData *trigger)
{
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		fire_for_row(definition, trigger);
	else
		fire_for_statement(definition, trigger);
	return PointerGetDatum(NULL);
}

/*
 * SQL function: allpass_verify_trigger() returns trigger
 */
PG_FUNCTION_INFO_V1(allpass_verify_trigger);
Datum
allpass_verify_trigger(PG_FUNCTION_ARGS)
{
	static const Definition verify = {
		.function = "allpass_verify_trigger", .verifies = true,
		.usage = "EXECUTE FUNCTION allpass_verify_trigger('flow', 'id column', "
		"'email=column', 'phone=column', 'lang=column'), the last three optional"
	};

	return fire(get_definition(fcinfo, &verify, AP_CREATE_APPLICANT), (TriggerData *) fcinfo->context);
}

/*
 * SQL function: allpass_forget_trigger() returns trigger
 */
PG_FUNCTION_INFO_V1(allpass_forget_trigger);
Datum
allpass_forget_trigger(PG_FUNCTION_ARGS)
{
	static const Definition forget = {
		.function = "allpass_forget_trigger",
		.usage = "EXECUTE FUNCTION allpass_forget_trigger('id column')"
	};

	return fire(get_definition(fcinfo, &forget, AP_SCHEDULE_DELETION), (TriggerData *) fcinfo->context);
}
