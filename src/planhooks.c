/*-------------------------------------------------------------------------
 *
 * planhooks.c
 *		The hooks by which plans get nodes that make calls ahead, and nodes that
 *		give the rows of functions over sets one by one.
 *
 * Nothing has to be preloaded: the planner itself loads the module when it
 * meets a function of ours, since each has a support function.  It is too late
 * for the hook of the planner then, so from then on plans are looked at when
 * they are executed, too: such a plan may be cached.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/supportnodes.h"
#include "optimizer/planner.h"

#include "plan.h"
#include "planhooks.h"
#include "prefetch.h"
#include "settings.h"
#include "stream.h"
#include "tree.h"

static planner_hook_type next_planner = NULL;
static ExecutorStart_hook_type next_start = NULL;

/* How many plans are being made through the hook. */
static int	planning = 0;

/* Whether there may be plans that were not made through it. */
static bool missed_plans = false;

/*
 * SQL function: allpass_support(internal) returns internal
 *
 * Supports the planner with nothing but its presence.
 */
PG_FUNCTION_INFO_V1(allpass_support);
Datum
allpass_support(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	if (planning == 0)
		missed_plans = true;
	PG_RETURN_POINTER(NULL);
}

/*
 * SQL function: allpass_set_support(internal) returns internal
 *
 * Tells the planner how many rows a function over a set will give.
 */
PG_FUNCTION_INFO_V1(allpass_set_support);
Datum
allpass_set_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *rows = (SupportRequestRows *) request;
	Node	   *array;

	if (planning == 0)
		missed_plans = true;
	if (!IsA(request, SupportRequestRows) || !IsA(rows->node, FuncExpr))
		PG_RETURN_POINTER(NULL);
	array = llast(((FuncExpr *) rows->node)->args);
	/* of other expressions the planner would only guess */
	if (!IsA(array, Const) && !IsA(array, ArrayExpr))
		PG_RETURN_POINTER(NULL);
	rows->rows = ap_compat_array_length(rows->root, array);
	PG_RETURN_POINTER(rows);
}

/*
 * Replace scans of functions over sets by nodes that give their rows one by one,
 * or only tell whether there are any.
 */
static bool
stream_sets(Plan **place, PlannedStmt *stmt, bool replace)
{
	bool		found = false;
	ListCell   *cell;

	if (*place == NULL)
		return false;
	check_stack_depth();
	foreach(cell, ap_tree_children(*place))
	{
		found |= stream_sets(lfirst(cell), stmt, replace);
	}
	if (!IsA(*place, FunctionScan) || !ap_stream_fits((FunctionScan *) *place, stmt))
		return found;
	if (replace)
		*place = ap_stream_replace((FunctionScan *) *place, stmt);
	return true;
}

/*
 * Do the same in all plans of a statement.
 */
static bool
stream_sets_of(PlannedStmt *stmt, bool replace)
{
	bool		found = stream_sets(&stmt->planTree, stmt, replace);
	ListCell   *cell;

	foreach(cell, stmt->subplans)
	{
		found |= stream_sets((Plan **) &lfirst(cell), stmt, replace);
	}
	return found;
}

/*
 * Plan a statement.
 */
static PlannedStmt *
plan_statement(AP_COMPAT_PLANNER_PARAMS)
{
	PlannedStmt *stmt;

	planning++;
	PG_TRY();
	{
		stmt = next_planner != NULL ? next_planner(AP_COMPAT_PLANNER_ARGS) :
			standard_planner(AP_COMPAT_PLANNER_ARGS);
	}
	PG_FINALLY();
	{
		planning--;
	}
	PG_END_TRY();
	if (ap_prefetch)
		(void) ap_plan_rewrite(stmt, (options & CURSOR_OPT_FAST_PLAN) != 0);
	(void) stream_sets_of(stmt, true);
	return stmt;
}

/*
 * Begin to execute a statement; rewrite a copy of its plan if the hook of the
 * planner has missed it.
 */
static void
start_statement(QueryDesc *query, int eflags)
{
	if (missed_plans && !IsParallelWorker() && query->plannedstmt->planTree != NULL &&
		((ap_prefetch && ap_plan_is_plain(query->plannedstmt)) ||
		 stream_sets_of(query->plannedstmt, false)))
	{
		PlannedStmt *copy = copyObject(query->plannedstmt);
		bool		rewritten = ap_prefetch && ap_plan_is_plain(copy) &&
			ap_plan_rewrite(copy, (eflags & EXEC_FLAG_BACKWARD) != 0);

		rewritten |= stream_sets_of(copy, true);
		if (rewritten)
			query->plannedstmt = copy;
	}
	if (next_start != NULL)
		next_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/*
 * Install the hooks, in a backend or in the postmaster.
 */
void
ap_plan_hooks_install(void)
{
	ap_prefetch_register();
	ap_stream_register();
	next_planner = planner_hook;
	planner_hook = plan_statement;
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_statement;
}
