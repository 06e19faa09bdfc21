/*-------------------------------------------------------------------------
 *
 * stream.c
 *		Functions over sets in FROM, row by row.
 *
 * The server's own scan of a function collects all its rows before it gives
 * the first one.  For our functions over sets a custom scan takes its place in
 * the finished plan: it gives each row as it comes.  Like the server's, it
 * calls the function once, and again only when an argument has changed: where
 * the plan or a cursor may want to see rows again, it keeps them.
 *
 * The functions are known by their support function, so neither schema nor name
 * matters; and as the planner calls that one, the module is there in time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"

#include "gather.h"
#include "stream.h"

/* In custom_private. */
enum
{
	AP_READ_ONCE,				/* nothing in the plan makes it scan again */
	AP_READING,					/* how many rows will be read, for gather.h */
	AP_PARAMS					/* those that the arguments depend on */
};

typedef struct StreamState
{
	CustomScanState css;
	SetExprState *function;
	TupleDesc	row_type;
	ExprContext *calls;			/* of the function, over all its rows */
	MemoryContext arguments;
	Bitmapset  *params;
	bool		keep;			/* rows that were given */
	int			eflags;
	Tuplestorestate *kept;
	TupleTableSlot *kept_slot;	/* for a row of these */
	bool		at_end;			/* of the function's rows */
}			StreamState;

/*-------------------------------------------------------------------------
 * Planning
 *-------------------------------------------------------------------------
 */

/* in planhooks.c; every function over a set has it */
extern PGDLLEXPORT Datum allpass_set_support(PG_FUNCTION_ARGS);

/*
 * Tell whether a function is one of ours over a set.
 */
static bool
is_over_set(Oid function)
{
	Oid			support = get_func_support(function);
	FmgrInfo	info;

	if (!OidIsValid(support))
		return false;
	fmgr_info(support, &info);
	return info.fn_addr == allpass_set_support;
}

/*
 * Make the Vars of a scan refer to the rows of the custom scan instead, whose
 * columns are the function's, and after them the row as a whole.
 */
static Node *
refer_to_rows(Node *node, void *context)
{
	const CustomScan *stream = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		if (bms_is_member(var->varno, stream->custom_relids))
		{
			var->varno = INDEX_VAR;
			if (var->varattno == 0)
				var->varattno = list_length(stream->custom_scan_tlist);
		}
		return (Node *) var;
	}
	return expression_tree_mutator(node, refer_to_rows, context);
}

/*
 * List the columns of a custom scan's rows.
 */
static List *
list_columns(Index relation, Oid type, TupleDesc desc)
{
	List	   *columns = NIL;
	Var		   *var;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		var = makeVar(relation, i + 1, column->atttypid, column->atttypmod,
					  column->attcollation, 0);
		columns = lappend(columns, makeTargetEntry((Expr *) var, i + 1,
												   pstrdup(NameStr(column->attname)), false));
	}
	var = makeVar(relation, 0, type, -1, InvalidOid, 0);
	return lappend(columns, makeTargetEntry((Expr *) var, desc->natts + 1, NULL, false));
}

/*
 * Give how many rows a node reads of its child, if so many are read of itself.
 */
static int
child_reading(const Plan *plan, const Plan *child, int reading)
{
	const Limit *limit = (const Limit *) plan;
	int64		count;

	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
			return AP_READ_ALL;
		case T_Agg:
			return ((const Agg *) plan)->aggstrategy == AGG_SORTED ? reading : AP_READ_ALL;
		case T_Limit:
			if (limit->limitCount == NULL || !IsA(limit->limitCount, Const) ||
				((Const *) limit->limitCount)->constisnull || limit->limitOffset != NULL ||
				limit->limitOption != LIMIT_OPTION_COUNT || child->qual != NIL)
				return AP_READ_SOME;
			count = DatumGetInt64(((Const *) limit->limitCount)->constvalue);
			return count > 0 && count <= PG_INT32_MAX ? (int) count : AP_READ_SOME;
		case T_MergeJoin:
			return AP_READ_SOME;
		default:
			return reading == AP_READ_ALL ? reading : AP_READ_SOME;
	}
}

/*
 * Tell whether a node of a plan is read once, from its start: none above it
 * rescans it, unless the whole plan is read again.  If so, give how many rows
 * are read of it.
 */
static bool
is_read_once(const Plan *plan, const Plan *node, int *reading)
{
	List	   *children = list_make1(plan->lefttree);
	ListCell   *cell;

	if (plan == node)
		return true;
	if (IsA(plan, HashJoin))
		children = lappend(children, plan->righttree);
	else if (IsA(plan, SubqueryScan))
		children = lappend(children, ((const SubqueryScan *) plan)->subplan);
	else if (IsA(plan, Append))
		children = list_concat(children, ((const Append *) plan)->appendplans);
	foreach(cell, children)
	{
		const Plan *child = lfirst(cell);
		int			of_child;

		if (child == NULL)
			continue;
		of_child = child_reading(plan, child, *reading);
		if (is_read_once(child, node, &of_child))
		{
			*reading = of_child;
			return true;
		}
	}
	return false;
}

static const CustomScanMethods scan_methods;

/*
 * Tell whether a scan is of a function over a set, alone, and may be replaced.
 */
bool
ap_stream_fits(const FunctionScan *scan, const PlannedStmt *stmt)
{
	const RangeTblFunction *function = linitial(scan->functions);

	return list_length(scan->functions) == 1 && !scan->funcordinality && stmt->rowMarks == NIL &&
		IsA(function->funcexpr, FuncExpr) &&
		is_over_set(((FuncExpr *) function->funcexpr)->funcid);
}

/*
 * Give what takes the place of a function's scan in a finished plan: itself,
 * unless it scans one of our functions over a set.  It is still in the plan of
 * the statement, and the caller puts what is given in its place.
 *
 * Where rows are locked or changed, the server may have to look at rows of
 * other tables again; then it takes those of a function from its own scan.
 */
Plan *
ap_stream_replace(FunctionScan *scan, PlannedStmt *stmt)
{
	RangeTblFunction *function = linitial(scan->functions);
	FuncExpr   *call = (FuncExpr *) function->funcexpr;
	List	   *params = NIL;
	int			param = -1;
	int			reading = AP_READ_ALL;
	bool		once;
	CustomScan *stream;
	TupleDesc	desc;

	if (!ap_stream_fits(scan, stmt) ||
		get_expr_result_type((Node *) call, NULL, &desc) != TYPEFUNC_COMPOSITE)
		return (Plan *) scan;
	while ((param = bms_next_member(function->funcparams, param)) >= 0)
		params = lappend_int(params, param);
	once = is_read_once(stmt->planTree, &scan->scan.plan, &reading);

	stream = makeNode(CustomScan);
	stream->scan.plan = scan->scan.plan;
	stream->scan.plan.type = T_CustomScan;
	stream->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN | CUSTOMPATH_SUPPORT_PROJECTION;
	stream->custom_exprs = list_make1(call);
	stream->custom_private = list_make3(makeInteger(once),
										makeInteger(once ? reading : AP_READ_SOME), params);
	stream->custom_scan_tlist = list_columns(scan->scan.scanrelid, call->funcresulttype, desc);
	stream->custom_relids = bms_make_singleton(scan->scan.scanrelid);
	stream->methods = &scan_methods;
	stream->scan.plan.targetlist = (List *) refer_to_rows((Node *) scan->scan.plan.targetlist, stream);
	stream->scan.plan.qual = (List *) refer_to_rows((Node *) scan->scan.plan.qual, stream);
	return (Plan *) stream;
}

/*-------------------------------------------------------------------------
 * Running
 *-------------------------------------------------------------------------
 */

/*
 * Begin a scan.
 */
static void
begin(CustomScanState *node, EState *estate, int eflags)
{
	StreamState *state = (StreamState *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	List	   *params = list_nth(plan->custom_private, AP_PARAMS);

	state->function = ExecInitFunctionResultSet(linitial(plan->custom_exprs),
												node->ss.ps.ps_ExprContext, &node->ss.ps);
	if (get_expr_result_type(linitial(plan->custom_exprs), NULL,
							 &state->row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function over a set returns no rows");
	state->calls = CreateExprContext(estate);
	state->arguments = AllocSetContextCreate(estate->es_query_cxt, "allpass stream arguments",
											 ALLOCSET_DEFAULT_SIZES);
	state->eflags = eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD);
	if (!intVal(list_nth(plan->custom_private, AP_READ_ONCE)))
		state->eflags |= EXEC_FLAG_REWIND;
	state->keep = state->eflags != 0;
	/* a cursor, which has a name, may stop anywhere */
	if (state->keep || (ActivePortal != NULL && ActivePortal->name[0] != '\0'))
		state->function->fcinfo->context = (Node *) makeInteger(AP_READ_SOME);
	else
		state->function->fcinfo->context = list_nth(plan->custom_private, AP_READING);
	for (int i = 0; i < list_length(params); i++)
		state->params = bms_add_member(state->params, list_nth_int(params, i));
}

/*
 * Fetch the function's next row into a slot.  Returns false if there is none.
 */
static bool
fetch_row(StreamState *state, TupleTableSlot *slot)
{
	MemoryContext old =
		MemoryContextSwitchTo(state->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);
	int			whole = slot->tts_tupleDescriptor->natts - 1;
	HeapTupleData tuple;
	ExprDoneCond done;
	Datum		row;
	bool		null;

	ExecClearTuple(slot);
	row = ExecMakeFunctionResultSet(state->function, state->calls, state->arguments, &null, &done);
	MemoryContextSwitchTo(old);
	state->at_end = done != ExprMultipleResult;
	if (done == ExprEndResult || null)
		return false;
	tuple.t_data = DatumGetHeapTupleHeader(row);
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	heap_deform_tuple(&tuple, state->row_type, slot->tts_values, slot->tts_isnull);
	slot->tts_values[whole] = row;
	slot->tts_isnull[whole] = false;
	ExecStoreVirtualTuple(slot);
	return true;
}

/*
 * Fetch a row that was kept into a slot, in a direction.  Returns false if there
 * is none.
 */
static bool
fetch_kept(StreamState *state, bool forward, TupleTableSlot *slot)
{
	TupleTableSlot *kept = state->kept_slot;
	int			natts = slot->tts_tupleDescriptor->natts;

	if (!tuplestore_gettupleslot(state->kept, forward, false, kept))
		return false;
	slot_getallattrs(kept);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, kept->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, kept->tts_isnull, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	return true;
}

/*
 * Give the next row of a scan, or an empty slot: one that was kept, else one of
 * the function's.
 */
static TupleTableSlot *
next(ScanState *node)
{
	StreamState *state = (StreamState *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	bool		forward = ScanDirectionIsForward(node->ps.state->es_direction);
	Tuplestorestate *kept = state->kept;

	if (state->keep && kept == NULL)
	{
		kept = state->kept = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_set_eflags(kept, state->eflags);
		if (state->kept_slot == NULL)
			state->kept_slot = ExecInitExtraTupleSlot(node->ps.state, slot->tts_tupleDescriptor,
													  &TTSOpsMinimalTuple);
	}
	if (kept != NULL)
	{
		/* what was kept last is the row that is current */
		if (!forward && tuplestore_ateof(kept) && !state->at_end &&
			!tuplestore_advance(kept, false))
			return ExecClearTuple(slot);
		if ((!forward || !tuplestore_ateof(kept)) &&
			fetch_kept(state, forward, slot))
			return slot;
	}
	if (!forward || state->at_end || !fetch_row(state, slot))
		return ExecClearTuple(slot);
	if (kept != NULL)
		tuplestore_puttupleslot(kept, slot);
	return slot;
}

/*
 * Check a row again: there is nothing to check.
 */
static bool
recheck(ScanState *node, TupleTableSlot *slot)
{
	(void) node;
	(void) slot;
	return true;
}

/*
 * Give the next row that passes the filter, projected.
 */
static TupleTableSlot *
execute(CustomScanState *node)
{
	return ExecScan(&node->ss, next, recheck);
}

/*
 * Forget the rows, and give up what is under way.
 */
static void
forget(StreamState *state)
{
	if (state->kept != NULL)
		tuplestore_end(state->kept);
	state->kept = NULL;
	ReScanExprContext(state->calls);
	MemoryContextReset(state->arguments);
	state->at_end = false;
}

/*
 * End a scan.
 */
static void
end(CustomScanState *node)
{
	forget((StreamState *) node);
}

/*
 * Begin a scan again: with the rows that were kept, unless an argument of the
 * function has changed.
 */
static void
rescan(CustomScanState *node)
{
	StreamState *state = (StreamState *) node;

	ExecScanReScan(&node->ss);
	if (!state->keep || bms_overlap(node->ss.ps.chgParam, state->params))
		forget(state);
	else if (state->kept != NULL)
		tuplestore_rescan(state->kept);
}

/*
 * Show which function is called.
 */
static void
explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	Oid			function = ((FuncExpr *) linitial(plan->custom_exprs))->funcid;

	(void) ancestors;
	ExplainPropertyText("Function", get_func_name(function), es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "AllpassStream",
	.BeginCustomScan = begin,
	.ExecCustomScan = execute,
	.EndCustomScan = end,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain,
};

/*
 * Make the state of a scan.
 */
static Node *
create(CustomScan *plan)
{
	StreamState *state = palloc0(sizeof(*state));

	(void) plan;
	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "AllpassStream",
	.CreateCustomScanState = create,
};

/*
 * Make the node known to the server.
 */
void
ap_stream_register(void)
{
	RegisterCustomScanMethods(&scan_methods);
}
