/*-------------------------------------------------------------------------
 *
 * site.c
 *		Call sites: where the expressions of a plan call the API.
 *
 * A function of ours is known by its support function and its C symbol, so
 * neither its schema nor a new name matters.
 *
 * The calls of a site can be made ahead if it is reached for every row, so not
 * in a later branch of CASE, COALESCE, AND or OR, and if its arguments are of
 * the row and come from nothing but built-in functions, which can be evaluated
 * once more and have no effects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "site.h"

/* The C symbol of the support function of ours. */
#define AP_SUPPORT "allpass_support"

typedef struct Symbol
{
	const char *name;
	ApOperation operation;
}			Symbol;

static const Symbol symbols[] = {
	{"allpass_aml_comments_of_id", AP_AML_DETAILS},
	{"allpass_aml_details", AP_AML_DETAILS},
	{"allpass_aml_entities_of_id", AP_AML_DETAILS},
	{"allpass_aml_funds_of_id", AP_AML_DETAILS},
	{"allpass_aml_search", AP_AML_SEARCH},
	{"allpass_aml_timeline_of_id", AP_AML_DETAILS},
	{"allpass_applicant", AP_APPLICANT},
	{"allpass_applicant_status", AP_APPLICANT_STATUS},
	{"allpass_create_applicant", AP_CREATE_APPLICANT},
	{"allpass_document_fields_of_id", AP_APPLICANT},
	{"allpass_document_images_of_id", AP_APPLICANT},
	{"allpass_documents_of_id", AP_APPLICANT},
	{"allpass_move_to_flow", AP_MOVE_TO_FLOW},
	{"allpass_questionnaire", AP_QUESTIONNAIRE},
	{"allpass_restore", AP_RESTORE},
	{"allpass_schedule_deletion", AP_SCHEDULE_DELETION},
	{"allpass_services_of_id", AP_APPLICANT},
	{"allpass_status", AP_APPLICANT_STATUS},
	{"allpass_token", AP_TOKEN},
};

/* What a count of sites found. */
typedef struct Count
{
	int			sites;
	bool		writes;
}			Count;

/*
 * Give the C symbol of a function in C, allocated, and its support function;
 * NULL for any other function.
 */
static char *
c_symbol(Oid function, Oid *support)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	char	   *symbol = NULL;
	Datum		source;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	*support = form->prosupport;
	if (form->prolang == ClanguageId)
	{
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		symbol = isnull ? NULL : TextDatumGetCString(source);
	}
	ReleaseSysCache(tuple);
	return symbol;
}

/*
 * Give the operation that a function calls, or NULL.
 */
const ApEndpoint *
ap_site_endpoint(Oid function)
{
	Oid			support;
	Oid			none;
	char	   *symbol;

	if (function < FirstNormalObjectId)
		return NULL;
	symbol = c_symbol(function, &support);
	if (symbol == NULL || !OidIsValid(support))
		return NULL;
	for (int i = 0; i < (int) lengthof(symbols); i++)
	{
		if (strcmp(symbol, symbols[i].name) != 0)
			continue;
		symbol = c_symbol(support, &none);
		if (symbol != NULL && strcmp(symbol, AP_SUPPORT) == 0)
			return ap_endpoint_get(symbols[i].operation);
		return NULL;
	}
	return NULL;
}

/*
 * Give the endpoint of a node that is a call, or NULL.
 */
static const ApEndpoint *
node_endpoint(Node *node)
{
	return node != NULL && IsA(node, FuncExpr) ?
		ap_site_endpoint(((FuncExpr *) node)->funcid) : NULL;
}

/*
 * Count the sites below a node.
 */
static bool
count_walker(Node *node, void *context)
{
	Count	   *count = context;
	const ApEndpoint *endpoint = node_endpoint(node);

	if (node == NULL)
		return false;
	if (endpoint != NULL)
	{
		count->sites++;
		count->writes |= endpoint->is_post;
	}
	return expression_tree_walker(node, count_walker, context);
}

/*
 * Count the sites in an expression or a list of them; *writes is set if one of
 * them changes something.
 */
int
ap_site_count(Node *expression, bool *writes)
{
	Count		count = {0, false};

	count_walker(expression, &count);
	*writes |= count.writes;
	return count.sites;
}

/*
 * Tell whether a function can be evaluated ahead of its row's turn: it has no
 * effects, and if it fails, it leaves nothing behind.
 */
static bool
is_pure(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		pure;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	pure = form->provolatile != PROVOLATILE_VOLATILE &&
		(form->proleakproof ||
		 (function < FirstNormalObjectId && form->prolang == INTERNALlanguageId));
	ReleaseSysCache(tuple);
	return pure;
}

/*
 * Tell whether a function must not be evaluated ahead, for a walk.
 */
static bool
is_impure(Oid function, void *context)
{
	(void) context;
	return !is_pure(function);
}

/*
 * Tell whether something below a node keeps it from being evaluated ahead.
 * The context is a place for the list of subplans, whose plans are not looked
 * at; if it is NULL, neither they nor sites are allowed.
 */
static bool
impure_walker(Node *node, void *context)
{
	List	  **subplans = context;

	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) || IsA(node, CoerceToDomain) || IsA(node, CurrentOfExpr))
		return true;
	if (IsA(node, SubPlan))
	{
		if (subplans == NULL)
			return true;
		*subplans = lappend_int(*subplans, ((SubPlan *) node)->plan_id);
	}
	else if (subplans != NULL && node_endpoint(node) != NULL)
		return impure_walker((Node *) ((FuncExpr *) node)->args, context);
	else if (check_functions_in_node(node, is_impure, NULL))
		return true;
	return expression_tree_walker(node, impure_walker, context);
}

/*
 * Tell whether something besides sites keeps an expression, or a list of them,
 * from being evaluated ahead.  Adds the numbers of its subplans to a list.
 */
bool
ap_site_is_impure(Node *expression, List **subplans)
{
	return impure_walker(expression, subplans);
}

/*
 * Find a value of the row: of its table, or of the outer row of a join.
 */
static bool
row_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) ||
		(IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC))
		return true;
	return expression_tree_walker(node, row_walker, context);
}

/*
 * Tell whether the calls of a site can be made ahead.
 */
static bool
is_eligible(FuncExpr *site)
{
	return !site->funcvariadic && row_walker((Node *) site->args, NULL) &&
		!impure_walker((Node *) site->args, NULL);
}

/*
 * Collect the sites below a node that are reached for every row.
 */
static bool
collect_walker(Node *node, void *context)
{
	List	  **sites = context;
	const ApEndpoint *endpoint;

	if (node == NULL)
		return false;
	endpoint = node_endpoint(node);
	if (endpoint != NULL && !endpoint->is_post && is_eligible((FuncExpr *) node))
	{
		*sites = list_append_unique(*sites, node);
		return false;
	}
	switch (nodeTag(node))
	{
		case T_BoolExpr:
			if (((BoolExpr *) node)->boolop != NOT_EXPR)
				return collect_walker(linitial(((BoolExpr *) node)->args), context);
			break;
		case T_CoalesceExpr:
			return collect_walker(linitial(((CoalesceExpr *) node)->args), context);
		case T_CaseExpr:
			if (((CaseExpr *) node)->arg != NULL)
				return collect_walker((Node *) ((CaseExpr *) node)->arg, context);
			return collect_walker((Node *) ((CaseWhen *) linitial(((CaseExpr *) node)->args))->expr,
								  context);
		case T_SubscriptingRef:
			return collect_walker((Node *) ((SubscriptingRef *) node)->refexpr, context);
		case T_ArrayCoerceExpr:
			return collect_walker((Node *) ((ArrayCoerceExpr *) node)->arg, context);
		case T_List:
		case T_TargetEntry:
		case T_RangeTblFunction:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ConvertRowtypeExpr:
		case T_CoerceToDomain:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_FieldSelect:
			break;
		default:
			return false;
	}
	return expression_tree_walker(node, collect_walker, context);
}

/*
 * List the sites in an expression or a list of them whose calls can be made
 * ahead.
 */
List *
ap_site_collect(Node *expression)
{
	List	   *sites = NIL;

	collect_walker(expression, &sites);
	return sites;
}
