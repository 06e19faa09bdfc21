/*-------------------------------------------------------------------------
 *
 * prefetch.c
 *		The plan node that makes the calls of the rows to come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

#include "prefetch.h"
#include "window.h"

#define AP_NODE_NAME "AllpassPrefetch"

/* The places in custom_private, a list of integers. */
enum
{
	PRIVATE_AHEAD,				/* may read ahead */
	PRIVATE_LEAN,				/* the rows below cost calls, too */
	PRIVATE_GROWTH,				/* of the calls made ahead, from row to row */
	PRIVATE_SERIAL				/* sites of the statement without a node */
};

/* The places in custom_exprs. */
enum
{
	EXPRS_SITES,
	EXPRS_COUNT,				/* of LIMIT, or NULL */
	EXPRS_OFFSET
};

typedef struct PrefetchState
{
	CustomScanState css;
	bool		is_idle;		/* there only to tell of serial calls */
	bool		has_begun;
	ExprState  *limit_count;
	ExprState  *limit_offset;
	ApWindow	window;
}			PrefetchState;

/*-------------------------------------------------------------------------
 * Giving rows
 *-------------------------------------------------------------------------
 */

/*
 * Give a row, projected.
 */
static TupleTableSlot *
give(PrefetchState *node, const ApRow *row)
{
	ScanState  *ss = &node->css.ss;

	ExecStoreVirtualTuple(ExecClearTuple(ss->ss_ScanTupleSlot));
	ss->ss_ScanTupleSlot->tts_tid = row->tid;
	ss->ss_ScanTupleSlot->tts_tableOid = row->table;
	return ss->ps.ps_ProjInfo != NULL ? ExecProject(ss->ps.ps_ProjInfo) : ss->ss_ScanTupleSlot;
}

/*
 * Find out how many rows a LIMIT above lets pass.
 */
static void
find_bound(PrefetchState *node)
{
	ExprContext *econtext = node->css.ss.ps.ps_ExprContext;
	int64		count;
	int64		offset = 0;
	bool		isnull;

	node->has_begun = true;
	node->window.bound = -1;
	if (node->limit_count == NULL)
		return;
	count = DatumGetInt64(ExecEvalExprSwitchContext(node->limit_count, econtext, &isnull));
	if (isnull)
		return;
	if (node->limit_offset != NULL)
		offset = DatumGetInt64(ExecEvalExprSwitchContext(node->limit_offset, econtext, &isnull));
	if (isnull)
		offset = 0;
	if (count < 0 || offset < 0 || pg_add_s64_overflow(count, offset, &node->window.bound))
		node->window.bound = -1;
	ExecSetTupleBound(node->window.bound, outerPlanState(node));
}

/*
 * Give the child's next row, as it comes.
 */
static TupleTableSlot *
pass_on(PrefetchState *node)
{
	ScanState  *ss = &node->css.ss;
	TupleTableSlot *slot = ExecProcNode(outerPlanState(node));
	ApRow		row;

	ExecClearTuple(ss->ss_ScanTupleSlot);
	if (TupIsNull(slot))
		return NULL;
	ap_window_note_place(&node->window, &row);
	ResetExprContext(ss->ps.ps_ExprContext);
	ss->ps.ps_ExprContext->ecxt_outertuple = slot;
	return give(node, &row);
}

/*
 * Give the next row that passes the filter.
 */
static TupleTableSlot *
exec_node(CustomScanState *css)
{
	PrefetchState *node = (PrefetchState *) css;
	ExprContext *econtext = css->ss.ps.ps_ExprContext;

	if (!node->has_begun)
		find_bound(node);
	if (node->is_idle)
		return pass_on(node);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		if (!ap_window_go(&node->window))
		{
			ExecClearTuple(css->ss.ss_ScanTupleSlot);
			return NULL;
		}
		econtext->ecxt_outertuple = node->window.row_slot;
		if (css->ss.ps.qual == NULL || ExecQual(css->ss.ps.qual, econtext))
			break;
		InstrCountFiltered1(css, 1);
	}
	ap_window_pass(&node->window);
	return give(node, node->window.current);
}

/*-------------------------------------------------------------------------
 * The node's life
 *-------------------------------------------------------------------------
 */

static Node *create_state(CustomScan *plan);

static const CustomScanMethods scan_methods = {
	.CustomName = AP_NODE_NAME,
	.CreateCustomScanState = create_state,
};

/*
 * Give the state of a node that is ours, or NULL.
 */
static PrefetchState *
own_state(PlanState *state)
{
	return IsA(state, CustomScanState) && ap_prefetch_is_node(state->plan) ?
		(PrefetchState *) state : NULL;
}

/*
 * Find the node below that can say that it is dry: all that is between passes
 * that on as the end, and goes on when it is asked again.  Tells whether what is
 * between filters rows; it does not know which one it gave last then.
 */
static ApWindow *
find_source(PlanState *state, bool *filters)
{
	*filters = false;
	while (state != NULL && own_state(state) == NULL)
	{
		*filters |= state->qual != NULL;
		switch (nodeTag(state))
		{
			case T_NestLoopState:
			case T_ResultState:
			case T_ProjectSetState:
				state = outerPlanState(state);
				break;
			case T_SubqueryScanState:
				state = ((SubqueryScanState *) state)->subplan;
				break;
			default:
				return NULL;
		}
	}
	return state != NULL ? &own_state(state)->window : NULL;
}

/*
 * Find the scan of a table whose rows the node gives one for one, or NULL.
 */
static PlanState *
find_scan(PlanState *state)
{
	while (state != NULL)
	{
		switch (nodeTag(state))
		{
			case T_SeqScanState:
			case T_SampleScanState:
			case T_IndexScanState:
			case T_IndexOnlyScanState:
			case T_BitmapHeapScanState:
			case T_TidScanState:
			case T_TidRangeScanState:
				return state;
			case T_CustomScanState:
				return ((ScanState *) state)->ss_currentRelation != NULL ? state : NULL;
			case T_ResultState:
				state = outerPlanState(state);
				break;
			case T_SubqueryScanState:
				state = ((SubqueryScanState *) state)->subplan;
				break;
			default:
				return NULL;
		}
	}
	return NULL;
}

/*
 * Begin: open the child, and the answers of this execution.
 */
static void
begin_node(CustomScanState *css, EState *estate, int eflags)
{
	PrefetchState *node = (PrefetchState *) css;
	CustomScan *plan = (CustomScan *) css->ss.ps.plan;
	PlanState  *child = ExecInitNode(outerPlan(plan), estate, eflags & ~EXEC_FLAG_MARK);
	ApWindow   *window = &node->window;
	bool		filters;

	outerPlanState(css) = child;
	ap_window_open(window, &css->ss.ps, ap_prefetch_sites(plan));
	window->may_read_ahead = list_nth_int(plan->custom_private, PRIVATE_AHEAD) != 0;
	window->is_lean = list_nth_int(plan->custom_private, PRIVATE_LEAN) != 0;
	window->growth = list_nth_int(plan->custom_private, PRIVATE_GROWTH);
	window->source = find_source(child, &filters);
	if (window->source != NULL && filters && (eflags & EXEC_FLAG_BACKWARD))
		window->may_read_ahead = false;
	window->scan = find_scan(child);
	if (window->scan != NULL)
		css->ss.ss_currentRelation = ((ScanState *) window->scan)->ss_currentRelation;
	node->limit_count = ExecInitExpr(list_nth(plan->custom_exprs, EXPRS_COUNT), &css->ss.ps);
	node->limit_offset = ExecInitExpr(list_nth(plan->custom_exprs, EXPRS_OFFSET), &css->ss.ps);
	node->is_idle = window->nsites == 0 && plan->scan.plan.qual == NIL;
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && !node->is_idle)
		window->answers = ap_answers_open(estate->es_query_cxt);
}

/*
 * End.  The answers, and what is under way, go with the execution.
 */
static void
end_node(CustomScanState *css)
{
	ExecEndNode(outerPlanState(css));
}

/*
 * Begin anew.  The answers are kept.
 */
static void
rescan_node(CustomScanState *css)
{
	PrefetchState *node = (PrefetchState *) css;
	PlanState  *child = outerPlanState(css);

	if (!node->is_idle)
		ap_window_rescan(&node->window);
	node->has_begun = false;
	if (child->chgParam == NULL)
		ExecReScan(child);
}

/*
 * Show which calls are made ahead, and how that went.
 */
static void
explain_node(CustomScanState *css, List *ancestors, ExplainState *es)
{
	PrefetchState *node = (PrefetchState *) css;
	ApWindow   *window = &node->window;
	CustomScan *plan = (CustomScan *) css->ss.ps.plan;
	List	   *context = set_deparse_context_plan(es->deparse_cxt, css->ss.ps.plan, ancestors);
	bool		prefix = es->verbose || AP_COMPAT_RTABLE_SIZE(es) > 1;
	int			serial = list_nth_int(plan->custom_private, PRIVATE_SERIAL);
	List	   *texts = NIL;
	ListCell   *cell;

	foreach(cell, ap_prefetch_sites(plan))
		texts = lappend(texts, deparse_expression(lfirst(cell), context, prefix, false));
	if (texts != NIL)
		ExplainPropertyList("Prefetch", texts, es);
	if (serial > 0)
		ExplainPropertyInteger("Serial Calls", NULL, serial, es);
	if (node->is_idle)
		return;
	if (!window->may_read_ahead)
		ExplainPropertyInteger("Window", NULL, 1, es);
	else if (es->analyze)
		ExplainPropertyInteger("Window", NULL, ap_answers_window(window->answers), es);
	if (!es->analyze)
		return;
	ExplainPropertyInteger("Calls", NULL, window->made, es);
	ExplainPropertyInteger("Duplicates Saved", NULL, window->duplicates, es);
	ExplainPropertyInteger("Peak Concurrency", NULL, window->peak, es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = AP_NODE_NAME,
	.BeginCustomScan = begin_node,
	.ExecCustomScan = exec_node,
	.EndCustomScan = end_node,
	.ReScanCustomScan = rescan_node,
	.ExplainCustomScan = explain_node,
};

/*
 * Make the state of a node.
 */
static Node *
create_state(CustomScan *plan)
{
	PrefetchState *node = (PrefetchState *) newNode(sizeof(PrefetchState), T_CustomScanState);

	(void) plan;
	node->css.methods = &exec_methods;
	/* expressions see the child's slots and those of rows that waited */
	node->css.ss.ps.outeropsset = true;
	node->css.ss.ps.outeropsfixed = false;
	return (Node *) node;
}

/*-------------------------------------------------------------------------
 * The node in a plan
 *-------------------------------------------------------------------------
 */

/*
 * Make the kind of node known, in a backend or in the postmaster.
 */
void
ap_prefetch_register(void)
{
	RegisterCustomScanMethods(&scan_methods);
}

/*
 * Tell whether a plan node is of this kind.
 */
bool
ap_prefetch_is_node(const Plan *plan)
{
	return plan != NULL && IsA(plan, CustomScan) &&
		((const CustomScan *) plan)->methods == &scan_methods;
}

/*
 * Put a plan node that passes rows on above the node that gives them.
 */
void
ap_prefetch_put_above(Plan *plan, Plan *child, int plan_node_id)
{
	ListCell   *cell;

	ap_compat_copy_cost(plan, child);
	plan->plan_node_id = plan_node_id;
	plan->extParam = bms_copy(child->extParam);
	plan->allParam = bms_copy(child->allParam);
	plan->lefttree = child;
	foreach(cell, child->targetlist)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));

		entry->expr = (Expr *) makeVarFromTargetEntry(OUTER_VAR, entry);
		plan->targetlist = lappend(plan->targetlist, entry);
	}
}

/*
 * Make a node that passes the rows of its child on, and makes the calls of
 * these sites ahead.  The arguments of the sites refer to the child's columns.
 */
CustomScan *
ap_prefetch_make(Plan *child, int plan_node_id, List *sites)
{
	CustomScan *node = makeNode(CustomScan);

	ap_prefetch_put_above(&node->scan.plan, child, plan_node_id);
	node->methods = &scan_methods;
	node->flags = ExecSupportsBackwardScan(child) ? CUSTOMPATH_SUPPORT_BACKWARD_SCAN : 0;
	node->custom_exprs = list_make3(sites, NULL, NULL);
	node->custom_private = list_make4_int(0, 0, 1, 0);
	return node;
}

/*
 * List the sites whose calls a node makes ahead.
 */
List *
ap_prefetch_sites(const CustomScan *node)
{
	return list_nth(node->custom_exprs, EXPRS_SITES);
}

/*
 * Say whether a node may read ahead; whether it should be lean then, since what
 * it reads costs calls; and how its calls ahead grow from row to row.
 */
void
ap_prefetch_set_reach(CustomScan *node, bool ahead, bool lean, int growth)
{
	lfirst_int(list_nth_cell(node->custom_private, PRIVATE_GROWTH)) = growth;
	lfirst_int(list_nth_cell(node->custom_private, PRIVATE_AHEAD)) = ahead;
	lfirst_int(list_nth_cell(node->custom_private, PRIVATE_LEAN)) = lean;
}

/*
 * Tell a node of a LIMIT that takes no more of its rows.
 */
void
ap_prefetch_set_limit(CustomScan *node, Node *count, Node *offset)
{
	lfirst(list_nth_cell(node->custom_exprs, EXPRS_COUNT)) = count;
	lfirst(list_nth_cell(node->custom_exprs, EXPRS_OFFSET)) = offset;
}

/*
 * Note for EXPLAIN how many sites of the statement have no node.
 */
void
ap_prefetch_set_serial(CustomScan *node, int sites)
{
	lfirst_int(list_nth_cell(node->custom_private, PRIVATE_SERIAL)) = sites;
}
