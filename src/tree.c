/*-------------------------------------------------------------------------
 *
 * tree.c
 *		The nodes of finished plans: their children, their expressions, and what
 *		reading ahead in them would do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "prefetch.h"
#include "site.h"
#include "tree.h"

/*
 * List the places of a node's children, as pointers to Plan *.
 */
List *
ap_tree_children(Plan *plan)
{
	List	   *places = NIL;
	List	   *members = NIL;
	ListCell   *cell;

	if (plan->lefttree != NULL)
		places = lappend(places, &plan->lefttree);
	if (plan->righttree != NULL)
		places = lappend(places, &plan->righttree);
	switch (nodeTag(plan))
	{
		case T_Append:
			members = ((Append *) plan)->appendplans;
			break;
		case T_MergeAppend:
			members = ((MergeAppend *) plan)->mergeplans;
			break;
		case T_BitmapAnd:
			members = ((BitmapAnd *) plan)->bitmapplans;
			break;
		case T_BitmapOr:
			members = ((BitmapOr *) plan)->bitmapplans;
			break;
		case T_CustomScan:
			members = ((CustomScan *) plan)->custom_plans;
			break;
		case T_SubqueryScan:
			places = lappend(places, &((SubqueryScan *) plan)->subplan);
			break;
		default:
			break;
	}
	foreach(cell, members)
		places = lappend(places, &lfirst(cell));
	return places;
}

/*
 * List the expressions that are of a kind of node only; of those that a node
 * holds in two forms, one.
 */
static List *
special_expressions(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Result:
			return list_make1(((Result *) plan)->resconstantqual);
		case T_SampleScan:
			return list_make1(((SampleScan *) plan)->tablesample);
		case T_IndexScan:
			return list_make2(((IndexScan *) plan)->indexqual, ((IndexScan *) plan)->indexorderby);
		case T_IndexOnlyScan:
			return list_make2(((IndexOnlyScan *) plan)->indexqual, ((IndexOnlyScan *) plan)->indexorderby);
		case T_BitmapIndexScan:
			return list_make1(((BitmapIndexScan *) plan)->indexqual);
		case T_TidScan:
			return list_make1(((TidScan *) plan)->tidquals);
		case T_TidRangeScan:
			return list_make1(((TidRangeScan *) plan)->tidrangequals);
		case T_FunctionScan:
			return list_make1(((FunctionScan *) plan)->functions);
		case T_TableFuncScan:
			return list_make1(((TableFuncScan *) plan)->tablefunc);
		case T_ValuesScan:
			return list_make1(((ValuesScan *) plan)->values_lists);
		case T_ForeignScan:
			return list_make1(((ForeignScan *) plan)->fdw_exprs);
		case T_CustomScan:
			return ap_prefetch_is_node(plan) ? NIL : list_make1(((CustomScan *) plan)->custom_exprs);
		case T_NestLoop:
			return list_make1(((Join *) plan)->joinqual);
		case T_MergeJoin:
			return list_make2(((Join *) plan)->joinqual, ((MergeJoin *) plan)->mergeclauses);
		case T_HashJoin:
			return list_make2(((Join *) plan)->joinqual, ((HashJoin *) plan)->hashclauses);
		case T_Memoize:
			return list_make1(((Memoize *) plan)->param_exprs);
		case T_WindowAgg:
			return list_make3(((WindowAgg *) plan)->startOffset, ((WindowAgg *) plan)->endOffset,
							  ((WindowAgg *) plan)->runCondition);
		case T_Limit:
			return list_make2(((Limit *) plan)->limitOffset, ((Limit *) plan)->limitCount);
		case T_ModifyTable:
			return list_make4(((ModifyTable *) plan)->returningLists, ((ModifyTable *) plan)->onConflictSet,
							  ((ModifyTable *) plan)->onConflictWhere, ((ModifyTable *) plan)->mergeActionLists);
		default:
			return NIL;
	}
}

/*
 * List the expressions of a node.
 */
List *
ap_tree_expressions(Plan *plan)
{
	List	   *expressions = list_concat(list_make1(plan->qual), special_expressions(plan));

	/* that of ModifyTable repeats RETURNING */
	if (!IsA(plan, ModifyTable))
		expressions = lappend(expressions, plan->targetlist);
	return expressions;
}

/*-------------------------------------------------------------------------
 * Functions of a join's outer row
 *-------------------------------------------------------------------------
 */

/* What becomes of parameters, and whether there was one. */
typedef struct Substitution
{
	List	   *parameters;		/* of the join */
	bool		done;
}			Substitution;

/*
 * Put the values of the outer row in the place of parameters.
 */
static Node *
substitute(Node *node, void *context)
{
	Substitution *substitution = context;
	ListCell   *cell;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
	{
		foreach(cell, substitution->parameters)
		{
			NestLoopParam *parameter = lfirst_node(NestLoopParam, cell);

			if (parameter->paramno != ((Param *) node)->paramid)
				continue;
			substitution->done = true;
			return copyObject((Node *) parameter->paramval);
		}
	}
	return expression_tree_mutator(node, substitute, context);
}

/*
 * Tell whether a LIMIT reads at least one row.
 */
static bool
reads_a_row(const Limit *limit)
{
	const Const *count = (const Const *) limit->limitCount;

	return count == NULL ||
		(IsA(count, Const) && (count->constisnull || DatumGetInt64(count->constvalue) > 0));
}

/*
 * Find the function that a plan calls first of all, whenever it is read anew;
 * or NULL.
 */
static FunctionScan *
first_function(Plan *plan)
{
	while (plan != NULL)
	{
		switch (nodeTag(plan))
		{
			case T_FunctionScan:
				return (FunctionScan *) plan;
			case T_SubqueryScan:
				plan = ((SubqueryScan *) plan)->subplan;
				break;
			case T_Limit:
				if (!reads_a_row((Limit *) plan))
					return NULL;
				plan = plan->lefttree;
				break;
			case T_Result:
				if (((Result *) plan)->resconstantqual != NULL)
					return NULL;
				plan = plan->lefttree;
				break;
			case T_CustomScan:
				if (!ap_prefetch_is_node(plan))
					return NULL;
				plan = plan->lefttree;
				break;
			case T_Agg:
			case T_Group:
			case T_IncrementalSort:
			case T_Material:
			case T_Memoize:
			case T_NestLoop:
			case T_ProjectSet:
			case T_Sort:
			case T_Unique:
			case T_WindowAgg:
				plan = plan->lefttree;
				break;
			default:
				return NULL;
		}
	}
	return NULL;
}

/*
 * List the sites in functions that the inner side of a join calls first of all
 * for each outer row, with arguments that refer to that row.
 */
List *
ap_tree_lateral_sites(NestLoop *join)
{
	FunctionScan *scan = first_function(join->join.plan.righttree);
	Substitution substitution = {join->nestParams, false};
	List	   *sites = NIL;
	ListCell   *cell;

	if (scan == NULL)
		return NIL;
	foreach(cell, ap_site_collect((Node *) scan->functions))
	{
		Node	   *site;

		substitution.done = false;
		site = substitute(lfirst(cell), &substitution);
		if (substitution.done)
			sites = lappend(sites, site);
	}
	return sites;
}

/*-------------------------------------------------------------------------
 * What reading a row does
 *-------------------------------------------------------------------------
 */

static void read_plan(PlannedStmt *stmt, Plan *plan, bool on_chain, bool anew, ApReading *reading);

/*
 * Look at expressions, of which so many sites have their calls made ahead, and
 * at their subplans.
 */
static void
read_expressions(PlannedStmt *stmt, List *expressions, int covered, ApReading *reading)
{
	List	   *subplans = NIL;
	bool		writes = false;
	ListCell   *cell;

	reading->is_impure |= ap_site_is_impure((Node *) expressions, &subplans);
	reading->calls += ap_site_count((Node *) expressions, &writes) - covered;
	foreach(cell, subplans)
		read_plan(stmt, list_nth(stmt->subplans, lfirst_int(cell) - 1), false, true, reading);
}

/*
 * Look at a node that is ours.
 */
static void
read_own_node(PlannedStmt *stmt, Plan *plan, bool on_chain, bool anew, ApReading *reading)
{
	List	   *expressions = ap_tree_expressions(plan);

	read_expressions(stmt, expressions, list_length(ap_site_collect((Node *) expressions)), reading);
	/* what is directly below makes no calls when it is read ahead */
	if (on_chain)
		return;
	reading->calls += list_length(ap_prefetch_sites((CustomScan *) plan));
	read_plan(stmt, plan->lefttree, false, anew, reading);
}

/*
 * Look at a join of loops, whose inner side is read anew for each outer row.
 */
static void
read_nest_loop(PlannedStmt *stmt, Plan *plan, bool on_chain, bool anew, ApReading *reading)
{
	int			covered = 0;

	if (ap_prefetch_is_node(plan->lefttree))
		covered = list_length(ap_tree_lateral_sites((NestLoop *) plan));
	read_expressions(stmt, ap_tree_expressions(plan), covered, reading);
	read_plan(stmt, plan->lefttree, on_chain, anew, reading);
	read_plan(stmt, plan->righttree, false, true, reading);
}

/*
 * Tell whether a node does all its reading before it gives its first row.
 */
static bool
is_blocking(const Plan *plan)
{
	return IsA(plan, Sort) || IsA(plan, Hash) ||
		(IsA(plan, Agg) && ((const Agg *) plan)->aggstrategy != AGG_SORTED);
}

/*
 * Look at what is evaluated when another row of a plan is read.  It is on the
 * chain if nothing but nodes that can be asked again are above it; it is read
 * anew if its first row is read more than once.
 */
static void
read_plan(PlannedStmt *stmt, Plan *plan, bool on_chain, bool anew, ApReading *reading)
{
	ListCell   *cell;
	int			covered = 0;

	if (plan == NULL)
		return;
	check_stack_depth();
	foreach(cell, plan->initPlan)
		read_plan(stmt, list_nth(stmt->subplans, lfirst_node(SubPlan, cell)->plan_id - 1),
				  false, true, reading);
	if (ap_prefetch_is_node(plan))
	{
		read_own_node(stmt, plan, on_chain, anew, reading);
		return;
	}
	if (IsA(plan, NestLoop))
	{
		read_nest_loop(stmt, plan, on_chain, anew, reading);
		return;
	}
	if (IsA(plan, LockRows) || IsA(plan, ModifyTable) || IsA(plan, CustomScan) ||
		(IsA(plan, ForeignScan) && ((ForeignScan *) plan)->operation != CMD_SELECT))
		reading->is_impure = true;
	if (is_blocking(plan) && !anew)
	{
		read_expressions(stmt, list_make2(plan->qual, plan->targetlist), 0, reading);
		return;
	}
	if (IsA(plan, FunctionScan) && !anew)
	{
		read_expressions(stmt, list_make2(plan->qual, plan->targetlist), 0, reading);
		return;
	}
	if (IsA(plan, ProjectSet) && ap_prefetch_is_node(plan->lefttree))
		covered = list_length(ap_site_collect((Node *) plan->targetlist));
	if (IsA(plan, CteScan))
		read_plan(stmt, list_nth(stmt->subplans, ((CteScan *) plan)->ctePlanId - 1),
				  false, anew, reading);
	read_expressions(stmt, ap_tree_expressions(plan), covered, reading);
	on_chain = on_chain && (IsA(plan, Result) || IsA(plan, ProjectSet) || IsA(plan, SubqueryScan));
	foreach(cell, ap_tree_children(plan))
		read_plan(stmt, *(Plan **) lfirst(cell), on_chain, anew, reading);
}

/*
 * Say what is evaluated when another row of a plan is read.
 */
ApReading
ap_tree_reading(PlannedStmt *stmt, Plan *plan)
{
	ApReading	reading = {false, 0};

	read_plan(stmt, plan, true, false, &reading);
	return reading;
}
