/*-------------------------------------------------------------------------
 *
 * hooks.c
 *		The hooks by which plans get nodes that make calls ahead.
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
#include "optimizer/planner.h"

#include "hooks.h"
#include "plan.h"
#include "prefetch.h"
#include "settings.h"

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
	return stmt;
}

/*
 * Begin to execute a statement; rewrite a copy of its plan if the hook of the
 * planner has missed it.
 */
static void
start_statement(QueryDesc *query, int eflags)
{
	if (missed_plans && ap_prefetch && !IsParallelWorker() &&
		query->plannedstmt->planTree != NULL && ap_plan_is_plain(query->plannedstmt))
	{
		PlannedStmt *copy = copyObject(query->plannedstmt);

		if (ap_plan_rewrite(copy, (eflags & EXEC_FLAG_BACKWARD) != 0))
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
ap_hooks_install(void)
{
	ap_prefetch_register();
	next_planner = planner_hook;
	planner_hook = plan_statement;
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_statement;
}
