/*-------------------------------------------------------------------------
 *
 * intake.c
 *		Many jobs of one operation on their way into the queue.
 *
 * As long as nobody has added a column, a constraint or a trigger to the
 * queue, rows are stored by the page, and enter one index after the other,
 * that of applicants in its order: each row is known to be what the check of the
 * queue would let pass.  Else they go in one by one, with all that belongs to
 * an INSERT.
 *
 * An applicant needs no job if there is one already that does the same: its
 * newest living job, if that has the operation, waits, and is due.  Such a job
 * is locked against being cancelled until the transaction ends, but not
 * against being claimed by a worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "access.h"
#include "intake.h"
#include "keyset.h"
#include "settings.h"
#include "shared.h"

#define ORDER_INDEX "allpass_queue_order"
#define IN_FLIGHT_INDEX "allpass_queue_in_flight"

/* What the script of the extension gives the queue. */
#define AP_QUEUE_COLUMNS AP_JOB_IN_DOUBT
#define AP_QUEUE_CHECKS 1
#define AP_QUEUE_TRIGGERS 2

/* Rows that are stored together: each has a slot, of which many at a time cost. */
#define AP_ROWS 200

/* Fewer entries than this are on a page of the index of waiting jobs. */
#define AP_ENTRIES_PER_PAGE 200

struct ApIntake
{
	ApAccess	access;
	const ApEndpoint *endpoint;
	char	   *server;
	/* what is prepared, for as long as no relation changes */
	uint64		prepared;		/* the count of changes then */
	EState	   *estate;
	MemoryContext context;
	bool		bare;			/* the queue is as the script makes it */
	Datum	   *values;			/* of a row, where all rows have the same */
	bool	   *isnull;
	ExprState **defaults;		/* NULL where there is none, or a constant */
	List	   *ids;			/* of all indexes */
	IndexInfo **infos;			/* of these */
	bool	   *alike;			/* for each: it has all rows of an intake, or none */
	int			order;			/* which of them is that of applicants, or -1 */
	/* while it is open */
	Relation	queue;
	List	   *indexes;
	ResultRelInfo *result;		/* unless it is bare */
	MemoryContext opened_context;
	MemoryContext rows;			/* what the rows that are not stored yet hold */
	TupleTableSlot *slots[AP_ROWS];	/* NULL until used */
	int			count;			/* of rows that are not stored yet */
	TimestampTz due;			/* the earliest of these */
	Tuplesortstate *sort;		/* of the entries of one index, or NULL */
	TimestampTz opened;
	Relation	waiting_index;	/* those that were needed to look jobs up */
	Relation	in_flight_index;
	ApKeyset   *waiting;		/* applicants that may have jobs, or NULL if unknown */
};

/* Changes of relations that this process has heard of. */
static uint64 changes = 0;

/*
 * Take notice of a relation that has changed.
 */
static void
note_change(Datum arg, Oid relation)
{
	(void) arg;
	(void) relation;
	changes++;
}

/*
 * Set a column of a row.
 */
static void
set_value(Datum *values, bool *isnull, AttrNumber column, Datum value)
{
	values[column - 1] = value;
	isnull[column - 1] = false;
}

/*
 * Have a row made of what all rows have in common, and of the defaults of the
 * other columns.
 */
static void
prepare_row(ApIntake *intake, Relation queue)
{
	TupleDesc	desc = RelationGetDescr(queue);

	intake->values = palloc0((Size) desc->natts * sizeof(*intake->values));
	intake->isnull = palloc((Size) desc->natts * sizeof(*intake->isnull));
	intake->defaults = palloc0((Size) desc->natts * sizeof(*intake->defaults));
	for (int i = 0; i < desc->natts; i++)
	{
		Expr	   *expr = NULL;

		intake->isnull[i] = true;
		if (!TupleDescAttr(desc, i)->attisdropped && i + 1 != AP_JOB_SERVER && i + 1 != AP_JOB_REQUESTED_BY)
			expr = (Expr *) build_column_default(queue, i + 1);
		if (expr != NULL)
			expr = expression_planner(expr);
		if (expr != NULL && IsA(expr, Const))
		{
			intake->values[i] = ((Const *) expr)->constvalue;
			intake->isnull[i] = ((Const *) expr)->constisnull;
		}
		else if (expr != NULL)
			intake->defaults[i] = ExecInitExpr(expr, NULL);
	}
	set_value(intake->values, intake->isnull, AP_JOB_OPERATION, CStringGetTextDatum(intake->endpoint->name));
	set_value(intake->values, intake->isnull, AP_JOB_SERVER, CStringGetTextDatum(intake->server));
	set_value(intake->values, intake->isnull, AP_JOB_REQUESTED_BY, ObjectIdGetDatum(intake->access.role));
}

/*
 * Have the indexes ready, and tell whether all of them are of the plain kind.
 */
static bool
prepare_indexes(ApIntake *intake, Relation queue)
{
	List	   *ids = RelationGetIndexList(queue);
	bool		plain = true;
	ListCell   *cell;
	Bitmapset  *same = bms_make_singleton(AP_JOB_STATE - FirstLowInvalidHeapAttributeNumber);

	same = bms_add_member(same, AP_JOB_REQUEST_KEY - FirstLowInvalidHeapAttributeNumber);
	intake->ids = ids;
	intake->alike = palloc((Size) list_length(ids) * sizeof(*intake->alike));
	intake->infos = palloc((Size) list_length(ids) * sizeof(*intake->infos));
	intake->order = -1;
	foreach(cell, ids)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		IndexInfo  *info = BuildIndexInfo(index);
		Bitmapset  *columns = NULL;

		pull_varattnos((Node *) info->ii_Predicate, 1, &columns);
		intake->alike[foreach_current_index(cell)] = bms_is_subset(columns, same);
		info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, intake->estate);
		intake->infos[foreach_current_index(cell)] = info;
		if (strcmp(RelationGetRelationName(index), ORDER_INDEX) == 0)
			intake->order = foreach_current_index(cell);
		plain = plain && index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisready &&
			index->rd_index->indimmediate && info->ii_ExclusionOps == NULL;
		index_close(index, NoLock);
	}
	return plain;
}

/*
 * Learn how the queue looks.
 */
static void
prepare(ApIntake *intake, Relation queue)
{
	MemoryContext context = MemoryContextSwitchTo(GetMemoryChunkContext(intake));

	/* with what it was opened for, should an error have come in between */
	if (intake->estate != NULL)
		FreeExecutorState(intake->estate);
	intake->opened_context = NULL;
	memset(intake->slots, 0, sizeof(intake->slots));
	intake->prepared = changes;
	intake->estate = CreateExecutorState();
	intake->context = intake->estate->es_query_cxt;
	MemoryContextSwitchTo(intake->context);
	prepare_row(intake, queue);
	intake->bare = prepare_indexes(intake, queue) &&
		RelationGetDescr(queue)->natts == AP_QUEUE_COLUMNS &&
		RelationGetDescr(queue)->constr->num_check == AP_QUEUE_CHECKS &&
		queue->trigdesc != NULL && queue->trigdesc->numtriggers == AP_QUEUE_TRIGGERS;
	MemoryContextSwitchTo(context);
}

/*
 * Make an intake in the current memory context, for the extension that an SQL
 * function belongs to.
 */
ApIntake *
ap_intake_create(Oid function, ApOperation operation)
{
	static bool registered = false;
	ApIntake   *intake = palloc0(sizeof(*intake));

	if (!registered)
		CacheRegisterRelcacheCallback(note_change, (Datum) 0);
	registered = true;
	intake->endpoint = ap_endpoint_get(operation);
	ap_access_open(&intake->access, function);
	ap_access_require(&intake->access, intake->endpoint);
	ap_access_check_server(ap_server);
	intake->server = pstrdup(ap_server);
	return intake;
}

/*
 * Tell whether an intake is for this operation, and for the role and the server
 * that are current.
 */
bool
ap_intake_fits(const ApIntake *intake, const char *operation)
{
	return intake->access.role == GetUserId() && strcmp(intake->endpoint->name, operation) == 0 &&
		strcmp(intake->server, ap_server) == 0;
}

/*
 * Give an index of the queue, opened by its name when it is first asked for.
 */
static Relation
get_index(ApIntake *intake, Relation *index, const char *name)
{
	if (*index == NULL)
		*index = index_open(get_relname_relid(name, intake->access.schema), AccessShareLock);
	return *index;
}

/*
 * Let go of an index, if it was opened.
 */
static void
drop_index(Relation *index)
{
	if (*index != NULL)
		index_close(*index, NoLock);
	*index = NULL;
}

/*
 * Give a value of a job that is never NULL.
 */
static Datum
job_value(ApIntake *intake, HeapTuple job, AttrNumber column)
{
	bool		isnull;

	return heap_getattr(job, column, RelationGetDescr(intake->queue), &isnull);
}

/*
 * Learn which applicants have jobs that wait, if these are so few that this
 * costs less than to look for each of the applicants to come.
 */
static void
read_waiting(ApIntake *intake, int64 expected)
{
	Relation	order = get_index(intake, &intake->waiting_index, ORDER_INDEX);
	SysScanDesc scan;
	HeapTuple	job;
	bool		isnull;

	if ((int64) RelationGetNumberOfBlocks(order) * AP_ENTRIES_PER_PAGE <= expected)
	{
		intake->waiting = ap_keyset_create(0);
		scan = systable_beginscan_ordered(intake->queue, order, GetActiveSnapshot(), 0, NULL);
		while ((job = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
		{
			Datum		applicant = heap_getattr(job, AP_JOB_APPLICANT_ID,
												 RelationGetDescr(intake->queue), &isnull);

			if (!isnull)
				ap_keyset_add(intake->waiting, TextDatumGetCString(applicant));
		}
		systable_endscan_ordered(scan);
	}
}

/*
 * Open the queue for some jobs.
 */
void
ap_intake_open(ApIntake *intake, int64 expected)
{
	MemoryContext context;
	ListCell   *cell;

	intake->queue = table_open(intake->access.table, RowExclusiveLock);
	if (intake->estate == NULL || intake->prepared != changes || intake->opened_context != NULL)
		prepare(intake, intake->queue);
	intake->opened_context = AllocSetContextCreate(intake->context, "allpass intake",
												   ALLOCSET_DEFAULT_SIZES);
	context = MemoryContextSwitchTo(intake->opened_context);
	intake->rows = AllocSetContextCreate(intake->opened_context, "allpass intake rows",
										 ALLOCSET_DEFAULT_SIZES);
	intake->opened = GetCurrentTimestamp();
	intake->count = 0;
	intake->waiting = NULL;
	intake->waiting_index = NULL;
	intake->in_flight_index = NULL;
	intake->sort = NULL;
	intake->indexes = NIL;
	if (intake->bare)
	{
		/* one that has come since waits for this transaction to end */
		foreach(cell, intake->ids)
		{
			intake->indexes = lappend(intake->indexes, index_open(lfirst_oid(cell), RowExclusiveLock));
		}
		if (expected > AP_ROWS && intake->order >= 0)
			intake->sort = tuplesort_begin_index_btree(intake->queue, list_nth(intake->indexes, intake->order),
													   false, false, work_mem, NULL, TUPLESORT_NONE);
	}
	else
	{
		intake->result = makeNode(ResultRelInfo);
		InitResultRelInfo(intake->result, intake->queue, 0, NULL, 0);
		ExecOpenIndices(intake->result, false);
		intake->estate->es_opened_result_relations = list_make1(intake->result);
		AfterTriggerBeginQuery();
		ExecBSInsertTriggers(intake->estate, intake->result);
	}
	PushActiveSnapshot(GetLatestSnapshot());
	if (expected > 1)
		read_waiting(intake, expected);
	MemoryContextSwitchTo(context);
}

/*
 * Find the last job of an applicant in an index: the newest of those that
 * wait, or the one that is in flight.
 */
static HeapTuple
find_last(ApIntake *intake, Relation index, Datum applicant_id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	job;

	ScanKeyEntryInitialize(&key, 0, AP_JOB_APPLICANT_ID, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, applicant_id);
	scan = systable_beginscan_ordered(intake->queue, index, GetActiveSnapshot(), 1, &key);
	do
		job = systable_getnext_ordered(scan, BackwardScanDirection);
	while (job != NULL &&
		   strcmp(TextDatumGetCString(job_value(intake, job, AP_JOB_SERVER)), intake->server) != 0);
	if (job != NULL)
		job = heap_copytuple(job);
	systable_endscan_ordered(scan);
	return job;
}

/*
 * Tell whether a job is the newest one of its applicant, has the operation, and
 * is due.
 */
static bool
is_same(ApIntake *intake, HeapTuple job, Datum applicant_id)
{
	TimestampTz due = DatumGetTimestampTz(job_value(intake, job, AP_JOB_RUN_AT));
	HeapTuple	in_flight;

	if (due > intake->opened ||
		strcmp(TextDatumGetCString(job_value(intake, job, AP_JOB_OPERATION)), intake->endpoint->name) != 0)
		return false;
	in_flight = find_last(intake, get_index(intake, &intake->in_flight_index, IN_FLIGHT_INDEX), applicant_id);
	return in_flight == NULL ||
		DatumGetTimestampTz(job_value(intake, in_flight, AP_JOB_RUN_AT)) < due;
}

/*
 * Tell whether an applicant has a job already that does what one more would
 * do.  The caller sees to it that no applicant comes twice while it is open.
 */
bool
ap_intake_covers(ApIntake *intake, const char *applicant_id)
{
	Datum		applicant;
	HeapTuple	job;
	TM_FailureData failure;
	TupleTableSlot *slot;
	bool		covers;

	if (intake->waiting != NULL && !ap_keyset_has(intake->waiting, applicant_id))
		return false;
	applicant = CStringGetTextDatum(applicant_id);
	job = find_last(intake, get_index(intake, &intake->waiting_index, ORDER_INDEX), applicant);
	if (job == NULL || !is_same(intake, job, applicant))
		return false;
	slot = table_slot_create(intake->queue, NULL);
	covers = table_tuple_lock(intake->queue, &job->t_self, GetActiveSnapshot(), slot,
							  GetCurrentCommandId(true), LockTupleKeyShare, LockWaitSkip, 0,
							  &failure) == TM_Ok;
	ExecDropSingleTupleTableSlot(slot);
	return covers;
}

/*
 * Let the rows that were stored enter an index, or the sort of its entries.
 */
static void
enter_index(ApIntake *intake, Relation index, int number)
{
	IndexInfo  *info = intake->infos[number];
	bool		alike = intake->alike[number];
	Tuplesortstate *sort = number == intake->order ? intake->sort : NULL;
	ExprContext *econtext = GetPerTupleExprContext(intake->estate);
	IndexUniqueCheck check = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	for (int i = 0; i < intake->count; i++)
	{
		TupleTableSlot *slot = intake->slots[i];

		ResetPerTupleExprContext(intake->estate);
		econtext->ecxt_scantuple = slot;
		if ((i == 0 || !alike) && !ExecQual(info->ii_PredicateState, econtext))
		{
			if (alike)
				return;
			continue;
		}
		FormIndexDatum(info, slot, intake->estate, values, isnull);
		if (sort != NULL)
			tuplesort_putindextuplevalues(sort, index, &slot->tts_tid, values, isnull);
		else
			(void) index_insert(index, values, isnull, &slot->tts_tid, intake->queue, check, false, info);
	}
}

/*
 * Let the entries that were sorted enter their index.
 */
static void
enter_sorted(ApIntake *intake)
{
	Relation	index = list_nth(intake->indexes, intake->order);
	IndexTuple	entry;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	tuplesort_performsort(intake->sort);
	while ((entry = tuplesort_getindextuple(intake->sort, true)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		index_deform_tuple(entry, RelationGetDescr(index), values, isnull);
		(void) index_insert(index, values, isnull, &entry->t_tid, intake->queue,
							UNIQUE_CHECK_NO, false, intake->infos[intake->order]);
	}
	tuplesort_end(intake->sort);
	intake->sort = NULL;
}

/*
 * Store the rows gathered.
 */
static void
flush(ApIntake *intake)
{
	ListCell   *cell;

	if (intake->count == 0)
		return;
	table_multi_insert(intake->queue, intake->slots, intake->count, GetCurrentCommandId(true), 0, NULL);
	foreach(cell, intake->indexes)
	{
		enter_index(intake, lfirst(cell), foreach_current_index(cell));
	}
	ap_shared_note_job(intake->server,
					   DatumGetInt32(intake->slots[0]->tts_values[AP_JOB_PRIORITY - 1]), intake->due);
	for (int i = 0; i < intake->count; i++)
		ExecClearTuple(intake->slots[i]);
	intake->count = 0;
	MemoryContextReset(intake->rows);
}

/*
 * Give a slot for one more row.
 */
static TupleTableSlot *
next_slot(ApIntake *intake)
{
	TupleTableSlot **slot = &intake->slots[intake->count];
	MemoryContext context;

	if (*slot == NULL)
	{
		context = MemoryContextSwitchTo(intake->opened_context);
		*slot = table_slot_create(intake->queue, NULL);
		MemoryContextSwitchTo(context);
	}
	return *slot;
}

/*
 * Make the row of a job.
 */
static TupleTableSlot *
make_row(ApIntake *intake, const char *applicant_id, Jsonb *arguments, TimestampTz run_at)
{
	ExprContext *econtext = GetPerTupleExprContext(intake->estate);
	TupleTableSlot *slot = next_slot(intake);
	int			count = slot->tts_tupleDescriptor->natts;
	Datum	   *values = slot->tts_values;
	bool	   *isnull = slot->tts_isnull;

	memcpy(values, intake->values, (Size) count * sizeof(*values));
	memcpy(isnull, intake->isnull, (Size) count * sizeof(*isnull));
	for (int i = 0; i < count; i++)
	{
		if (intake->defaults[i] != NULL)
			values[i] = ExecEvalExpr(intake->defaults[i], econtext, &isnull[i]);
	}
	if (applicant_id != NULL)
		set_value(values, isnull, AP_JOB_APPLICANT_ID, CStringGetTextDatum(applicant_id));
	if (arguments != NULL)
		set_value(values, isnull, AP_JOB_ARGUMENTS, datumCopy(JsonbPGetDatum(arguments), false, -1));
	if (run_at != 0)
		set_value(values, isnull, AP_JOB_RUN_AT, TimestampTzGetDatum(run_at));
	return ExecStoreVirtualTuple(slot);
}

/*
 * Add a job that runs at a time, or now for 0.  Returns its id.
 */
int64
ap_intake_add(ApIntake *intake, const char *applicant_id, Jsonb *arguments, TimestampTz run_at)
{
	MemoryContext context = MemoryContextSwitchTo(intake->rows);
	TupleTableSlot *slot = make_row(intake, applicant_id, arguments, run_at);
	TimestampTz due = DatumGetTimestampTz(slot->tts_values[AP_JOB_RUN_AT - 1]);
	int64		id = DatumGetInt64(slot->tts_values[AP_JOB_ID - 1]);

	if (intake->bare)
	{
		intake->due = intake->count == 0 ? due : Min(intake->due, due);
		if (++intake->count == AP_ROWS)
			flush(intake);
	}
	else
	{
		MemoryContextSwitchTo(intake->opened_context);
		ExecSimpleRelationInsert(intake->result, intake->estate, slot);
		ExecClearTuple(slot);
		MemoryContextReset(intake->rows);
	}
	MemoryContextSwitchTo(context);
	return id;
}

/*
 * Close the queue.  What comes next sees the jobs.
 */
void
ap_intake_close(ApIntake *intake)
{
	ListCell   *cell;

	flush(intake);
	if (intake->sort != NULL)
		enter_sorted(intake);
	PopActiveSnapshot();
	if (!intake->bare)
	{
		ExecASInsertTriggers(intake->estate, intake->result, NULL);
		AfterTriggerEndQuery(intake->estate);
		ExecCloseIndices(intake->result);
		ExecResetTupleTable(intake->estate->es_tupleTable, false);
		intake->estate->es_tupleTable = NIL;
		intake->estate->es_opened_result_relations = NIL;
	}
	for (int i = 0; i < AP_ROWS && intake->slots[i] != NULL; i++)
	{
		ExecDropSingleTupleTableSlot(intake->slots[i]);
		intake->slots[i] = NULL;
	}
	foreach(cell, intake->indexes)
	{
		index_close(lfirst(cell), NoLock);
	}
	drop_index(&intake->waiting_index);
	drop_index(&intake->in_flight_index);
	table_close(intake->queue, NoLock);
	MemoryContextDelete(intake->opened_context);
	intake->opened_context = NULL;
	CommandCounterIncrement();
}
