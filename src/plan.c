/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Finished plans, and where they get nodes that make calls ahead.
 *
 * A node with call sites in its filter or its columns is split: its filters up
 * to the first with a site stay with it; that one and all after it, in the same
 * order, go up into a node of ours, or several on each other, since the calls
 * of one filter are to be made only for the rows that pass the one before.  The
 * topmost one has the columns.  The node itself gives what those refer to.  For
 * sites that are evaluated elsewhere, the rows they are evaluated for come
 * through a node that only makes their calls: below aggregates and set-returning
 * functions, and on the outer side of a join with functions of its rows.
 *
 * A statement that changes something at the API is left as it is: what it reads
 * there may be what it has just written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "plan.h"
#include "prefetch.h"
#include "site.h"
#include "tree.h"

/*
 * How the calls that are made ahead grow with each row that is used: slowly if
 * somebody may stop after a few.
 */
#define AP_SLOW_GROWTH 2
#define AP_FAST_GROWTH 4

/* A statement that is being rewritten. */
typedef struct Rewrite
{
	PlannedStmt *stmt;
	int			next_id;		/* for a plan node */
	int			sites;			/* without a node, so far */
	CustomScan *latest;			/* the node that was made last */
}			Rewrite;

/* A filter, or several, that one node of ours applies. */
typedef struct Stage
{
	List	   *sites;
	List	   *filters;
}			Stage;

/*-------------------------------------------------------------------------
 * Walks over a whole statement
 *-------------------------------------------------------------------------
 */

/* What there is in a statement. */
typedef struct Survey
{
	int			sites;
	bool		writes;
	bool		has_node;
	int			highest_id;
}			Survey;

/*
 * Survey a plan and all below it.
 */
static void
survey_plan(Plan *plan, Survey *survey)
{
	ListCell   *cell;

	if (plan == NULL)
		return;
	check_stack_depth();
	survey->has_node |= ap_prefetch_is_node(plan);
	survey->highest_id = Max(survey->highest_id, plan->plan_node_id);
	survey->sites += ap_site_count((Node *) ap_tree_expressions(plan), &survey->writes);
	foreach(cell, ap_tree_children(plan))
		survey_plan(*(Plan **) lfirst(cell), survey);
}

/*
 * Survey a statement.
 */
static Survey
survey_statement(PlannedStmt *stmt)
{
	Survey		survey = {0, false, false, 0};
	ListCell   *cell;

	foreach(cell, stmt->subplans)
		survey_plan(lfirst(cell), &survey);
	survey_plan(stmt->planTree, &survey);
	return survey;
}

/*-------------------------------------------------------------------------
 * Making nodes
 *-------------------------------------------------------------------------
 */

/*
 * Put a node above a plan that makes the calls of these sites ahead.  It reads
 * no further ahead than harmless: one row if reading has effects, or if it makes
 * calls and somebody above may stop at any time.
 */
static CustomScan *
make_node(Rewrite *rewrite, Plan *child, List *sites, bool may_stop)
{
	ApReading	reading = ap_tree_reading(rewrite->stmt, child);
	List	   *distinct = list_concat_unique(NIL, sites);
	CustomScan *node = ap_prefetch_make(child, rewrite->next_id++, distinct);

	ap_prefetch_set_reach(node, !reading.is_impure && !(reading.calls > 0 && may_stop),
						  reading.calls > 0, may_stop ? AP_SLOW_GROWTH : AP_FAST_GROWTH);
	rewrite->latest = node;
	return node;
}

/*
 * Put a node above a plan that passes its rows on.
 */
static void
feed(Rewrite *rewrite, Plan **place, List *sites, bool may_stop)
{
	if (sites == NIL)
		return;
	*place = &make_node(rewrite, *place, sites, may_stop)->scan.plan;
	rewrite->sites -= list_length(sites);
}

/*
 * Put a node above a plan that keeps its rows, so that a merge join can go back
 * to one that it marked.
 */
static Plan *
make_material(Rewrite *rewrite, Plan *child)
{
	Material   *material = makeNode(Material);

	ap_prefetch_put_above(&material->plan, child, rewrite->next_id++);
	return &material->plan;
}

/*-------------------------------------------------------------------------
 * Splitting
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether a node is of a kind whose filter and columns can go up.
 */
static bool
can_split(const Plan *plan)
{
	bool		writes;

	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_ValuesScan:
		case T_TableFuncScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_ForeignScan:
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
		case T_Gather:
		case T_GatherMerge:
			return true;
		case T_WindowAgg:
			/* its filter is not only a filter */
			return ap_site_count((Node *) plan->qual, &writes) == 0;
		case T_Result:
			return plan->lefttree != NULL;
		default:
			return false;
	}
}

/*
 * Collect what expressions that go up refer to in the node that they leave.
 */
static bool
collect_leaves(Node *node, void *context)
{
	List	  **leaves = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc))
	{
		if (!list_member(*leaves, node))
			*leaves = lappend(*leaves, node);
		return false;
	}
	return expression_tree_walker(node, collect_leaves, context);
}

/*
 * Refer to the columns of the node below, which are these leaves.
 */
static Node *
refer_to_leaves(Node *node, void *context)
{
	List	   *leaves = context;
	ListCell   *cell;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc))
	{
		foreach(cell, leaves)
		{
			if (equal(lfirst(cell), node))
				return (Node *) makeVar(OUTER_VAR, foreach_current_index(cell) + 1, exprType(node),
										exprTypmod(node), exprCollation(node), 0);
		}
		elog(ERROR, "expression is not in the list of leaves");
	}
	return expression_tree_mutator(node, refer_to_leaves, context);
}

/*
 * Take the filters from the first with a site on out of a node, as stages.
 */
static List *
take_filters(Plan *plan)
{
	List	   *kept = NIL;
	List	   *stages = NIL;
	ListCell   *cell;

	foreach(cell, plan->qual)
	{
		Node	   *filter = lfirst(cell);
		List	   *sites = ap_site_collect(filter);
		bool		writes;
		Stage	   *stage;

		if (stages == NIL && ap_site_count(filter, &writes) == 0)
		{
			kept = lappend(kept, filter);
			continue;
		}
		if (sites != NIL || stages == NIL)
		{
			stage = palloc0(sizeof(*stage));
			stages = lappend(stages, stage);
		}
		stage = llast(stages);
		stage->sites = list_concat(stage->sites, sites);
		stage->filters = lappend(stage->filters, filter);
	}
	plan->qual = kept;
	return stages;
}

/*
 * Add the sites of the columns to the stages: to the last one if its filter
 * makes the same calls, else as one more.
 */
static List *
add_columns(List *stages, List *columns)
{
	List	   *sites = ap_site_collect((Node *) columns);
	Stage	   *stage;

	if (stages != NIL && list_difference(sites, ((Stage *) llast(stages))->sites) == NIL)
	{
		stage = llast(stages);
		stage->sites = list_concat(stage->sites, sites);
		return stages;
	}
	stage = palloc0(sizeof(*stage));
	stage->sites = sites;
	return lappend(stages, stage);
}

/*
 * Split a node if it has sites in its filter or columns.
 */
static void
split(Rewrite *rewrite, Plan **place, bool may_stop)
{
	Plan	   *bottom = *place;
	Plan	   *plan = bottom;
	List	   *columns = bottom->targetlist;
	List	   *leaves = NIL;
	List	   *stages;
	ListCell   *cell;

	if (!can_split(bottom) || ap_site_collect((Node *) list_make2(bottom->qual, columns)) == NIL)
		return;
	stages = add_columns(take_filters(bottom), columns);
	foreach(cell, stages)
		collect_leaves((Node *) ((Stage *) lfirst(cell))->filters, &leaves);
	collect_leaves((Node *) columns, &leaves);
	bottom->targetlist = NIL;
	foreach(cell, leaves)
	{
		TargetEntry *entry = makeTargetEntry(lfirst(cell), foreach_current_index(cell) + 1, NULL, false);

		bottom->targetlist = lappend(bottom->targetlist, entry);
	}
	foreach(cell, stages)
	{
		Stage	   *stage = lfirst(cell);
		CustomScan *node;

		rewrite->sites -= list_length(stage->sites);
		node = make_node(rewrite, plan, (List *) refer_to_leaves((Node *) stage->sites, leaves), may_stop);
		plan = &node->scan.plan;
		plan->qual = (List *) refer_to_leaves((Node *) stage->filters, leaves);
	}
	plan->targetlist = (List *) refer_to_leaves((Node *) columns, leaves);
	plan->initPlan = bottom->initPlan;
	bottom->initPlan = NIL;
	*place = plan;
}

/*-------------------------------------------------------------------------
 * Rewriting
 *-------------------------------------------------------------------------
 */

/*
 * Collect the sites in the arguments of aggregates, which are evaluated for
 * each row unless there is a FILTER.
 */
static bool
collect_aggregates(Node *node, void *context)
{
	List	  **sites = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		Aggref	   *aggregate = (Aggref *) node;

		if (aggregate->aggfilter == NULL)
			*sites = list_concat(*sites, ap_site_collect((Node *) aggregate->args));
		else
			*sites = list_concat(*sites, ap_site_collect((Node *) aggregate->aggfilter));
		return false;
	}
	return expression_tree_walker(node, collect_aggregates, context);
}

/*
 * Make the calls of an aggregation's arguments ahead.
 */
static void
rewrite_aggregation(Rewrite *rewrite, Plan *plan, bool may_stop)
{
	List	   *sites = NIL;

	collect_aggregates((Node *) plan->targetlist, &sites);
	collect_aggregates((Node *) plan->qual, &sites);
	feed(rewrite, &plan->lefttree, sites, may_stop);
}

/*
 * Let a merge join go back in its inner side, also where that is ours now.
 */
static void
rewrite_merge_join(Rewrite *rewrite, MergeJoin *join)
{
	Plan	  **inner = &join->join.plan.righttree;

	while (IsA(*inner, Result) && (*inner)->lefttree != NULL)
		inner = &(*inner)->lefttree;
	if (ap_prefetch_is_node(*inner) && !join->skip_mark_restore)
		*inner = make_material(rewrite, *inner);
}

/*
 * Tell whether a node may stop reading a child before its end.
 */
static bool
may_stop_reading(const Plan *plan, Plan **child, bool may_stop)
{
	switch (nodeTag(plan))
	{
		case T_Limit:
		case T_MergeJoin:
			return true;
		case T_Sort:
		case T_Hash:
			return false;
		case T_Agg:
			return ((const Agg *) plan)->aggstrategy == AGG_SORTED && may_stop;
		case T_NestLoop:
			return may_stop ||
				(child == &((Plan *) plan)->righttree && ((const Join *) plan)->inner_unique) ||
				(child == &((Plan *) plan)->righttree &&
				 (((const Join *) plan)->jointype == JOIN_SEMI || ((const Join *) plan)->jointype == JOIN_ANTI));
		default:
			return may_stop;
	}
}

/*
 * Rewrite a plan, from the bottom up.
 */
static void
rewrite_plan(Rewrite *rewrite, Plan **place, bool may_stop)
{
	Plan	   *plan = *place;
	ListCell   *cell;

	if (plan == NULL)
		return;
	check_stack_depth();
	foreach(cell, ap_tree_children(plan))
	{
		Plan	  **child = lfirst(cell);

		rewrite_plan(rewrite, child, may_stop_reading(plan, child, may_stop));
	}
	switch (nodeTag(plan))
	{
		case T_Agg:
			rewrite_aggregation(rewrite, plan, may_stop_reading(plan, &plan->lefttree, may_stop));
			break;
		case T_ProjectSet:
			feed(rewrite, &plan->lefttree, ap_site_collect((Node *) plan->targetlist), may_stop);
			break;
		case T_NestLoop:
			feed(rewrite, &plan->lefttree, ap_tree_lateral_sites((NestLoop *) plan), may_stop);
			break;
		case T_MergeJoin:
			rewrite_merge_join(rewrite, (MergeJoin *) plan);
			break;
		default:
			break;
	}
	split(rewrite, place, may_stop);
}

/*
 * Tell nodes below a LIMIT of it, if they give as many rows as they read and it
 * takes as many as they give.
 */
static void
pass_limit(Limit *limit)
{
	Plan	   *plan = limit->plan.lefttree;

	if (limit->limitOption != LIMIT_OPTION_COUNT || limit->limitCount == NULL ||
		ap_site_is_impure((Node *) list_make2(limit->limitCount, limit->limitOffset), NULL))
		return;
	while (plan != NULL && plan->qual == NIL)
	{
		if (ap_prefetch_is_node(plan))
			ap_prefetch_set_limit((CustomScan *) plan, limit->limitCount, limit->limitOffset);
		else if (!IsA(plan, Result) && !IsA(plan, SubqueryScan))
			break;
		plan = IsA(plan, SubqueryScan) ? ((SubqueryScan *) plan)->subplan : plan->lefttree;
	}
}

/*
 * Tell nodes of the LIMITs above them.
 */
static void
pass_limits(Plan *plan)
{
	ListCell   *cell;

	if (plan == NULL)
		return;
	if (IsA(plan, Limit))
		pass_limit((Limit *) plan);
	foreach(cell, ap_tree_children(plan))
		pass_limits(*(Plan **) lfirst(cell));
}

/*
 * Tell whether there is something to do in what a survey found.
 */
static bool
is_plain(const Survey *survey)
{
	return survey->sites > 0 && !survey->writes && !survey->has_node;
}

/*
 * Tell whether a statement makes calls and has not been rewritten.
 */
bool
ap_plan_is_plain(PlannedStmt *stmt)
{
	Survey		survey = survey_statement(stmt);

	return is_plain(&survey);
}

/*
 * Put a node on a plan that does nothing but tell of its serial calls, if they
 * are made for rows at all.
 */
static void
tell_of_serial_calls(Rewrite *rewrite)
{
	Plan	  **place = &rewrite->stmt->planTree;

	while (IsA(*place, Limit) || IsA(*place, LockRows) || IsA(*place, ModifyTable))
		place = &(*place)->lefttree;
	if ((IsA(*place, Result) && (*place)->lefttree == NULL) || IsA(*place, FunctionScan))
		return;
	rewrite->latest = ap_prefetch_make(*place, rewrite->next_id++, NIL);
	rewrite->latest->scan.plan.initPlan = (*place)->initPlan;
	(*place)->initPlan = NIL;
	*place = &rewrite->latest->scan.plan;
}

/*
 * Put the nodes into a finished plan that make its calls ahead; the client may
 * stop to read its result.  Returns false if there was nothing to do.
 */
bool
ap_plan_rewrite(PlannedStmt *stmt, bool may_stop)
{
	Survey		survey = survey_statement(stmt);
	Rewrite		rewrite = {stmt, survey.highest_id + 1, survey.sites, NULL};
	ListCell   *cell;

	if (!is_plain(&survey))
		return false;
	foreach(cell, stmt->subplans)
		rewrite_plan(&rewrite, (Plan **) &lfirst(cell), true);
	rewrite_plan(&rewrite, &stmt->planTree, may_stop);
	if (rewrite.latest == NULL)
		tell_of_serial_calls(&rewrite);
	if (rewrite.latest == NULL)
		return false;
	foreach(cell, stmt->subplans)
		pass_limits(lfirst(cell));
	pass_limits(stmt->planTree);
	ap_prefetch_set_serial(rewrite.latest, rewrite.sites);
	return true;
}
