/*-------------------------------------------------------------------------
 *
 * sets.c
 *		The SQL functions over sets of ids: rows as answers arrive.
 *
 * Each element of the array gives a row: a NULL one a row of nulls, and equal
 * ones the same answer, which is fetched once.  What fails is a row with the
 * SQLSTATE and the words of the error.  Errors of the statement are what holds
 * for all elements and is known before any call, interrupts, and a lack of
 * memory.
 *
 * Rows are given one by one, so that a reader that stops early stops the
 * calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "document.h"
#include "fetch.h"
#include "gather.h"
#include "rowset.h"
#include "settings.h"

#define AP_MAX_SET_COLUMNS 7

/* How long a report that is not ready is asked for, and the first pause. */
#define AP_REPORT_PATIENCE_US (INT64CONST(60) * 1000000)
#define AP_REPORT_FIRST_PAUSE_MS 100
#define AP_REPORT_MAX_PAUSE_MS 5000

/* A function: what it calls, and the columns of its rows. */
typedef struct SetKind
{
	ApErrands	errands;
	ApOperation operation;
	int			element_param;	/* which parameter of it the element is */
	int			ncolumns;		/* the element, those of "read", SQLSTATE, error */
	Oid			types[AP_MAX_SET_COLUMNS];
	void		(*read) (const ApErrand *errand, Datum *values, bool *nulls);
} SetKind;

/* A set that is being read. */
typedef struct Set
{
	const SetKind *kind;
	TupleDesc	result;
	const char *blockchain;
	Datum	   *elements;
	bool	   *nulls;
	bool	   *repeated;		/* an equal element stands before this one */
	int		   *next_equal;		/* the element that is equal to this one, or -1 */
	int			count;
	int			position;		/* of the next element to ask for */
	ApGather   *gather;
	ApErrand   *errand;			/* behind the current row */
	int			row;			/* the element of the current row */
} Set;

/*-------------------------------------------------------------------------
 * Errands
 *-------------------------------------------------------------------------
 */

/*
 * Fill in the errand of the next element that none before it equals.
 */
static bool
next_errand(void *arg, ApErrand *errand)
{
	Set		   *set = arg;

	while (set->position < set->count && set->repeated[set->position])
		set->position++;
	if (set->position == set->count)
		return false;
	errand->element = set->position++;
	if (set->nulls[errand->element])
		return true;
	errand->endpoint = ap_endpoint_get(set->kind->operation);
	if (set->kind->element_param > 0)
		errand->values[0] = set->blockchain;
	errand->values[set->kind->element_param] =
		ap_endpoint_utf8(TextDatumGetCString(set->elements[errand->element]));
	return true;
}

/* What a search has brought, in the server's encoding. */
typedef struct Search
{
	char	   *aml_id;
	char	   *type;
} Search;

/*
 * Give a member of an errand's document as a text, or NULL.
 */
static char *
find_text(const ApErrand *errand, const char *name)
{
	JsonbValue	value;

	return errand->data != NULL && ap_document_find(errand->data, name, &value) ?
		ap_document_text(&value) : NULL;
}

/*
 * Turn an errand whose search has succeeded to the details.
 */
static bool
turn_to_details(ApErrand *errand)
{
	Search	   *search = palloc0(sizeof(*search));

	search->aml_id = find_text(errand, "id");
	search->type = find_text(errand, "type");
	if (search->aml_id == NULL)
	{
		ap_status_not_understood(&errand->status, "The search has no id.");
		return false;
	}
	if (search->type == NULL)
		search->type = pstrdup("WALLET");
	errand->notes = search;
	errand->endpoint = ap_endpoint_get(AP_AML_DETAILS);
	errand->values[0] = ap_endpoint_utf8(search->aml_id);
	errand->values[1] = ap_endpoint_utf8(search->type);
	errand->values[2] = NULL;
	errand->began_us = ap_http_clock_us();
	errand->rounds = 0;
	return true;
}

/*
 * Tell whether a report is not ready: the API does not know it yet, or its
 * score is not there.  The API's page names no state for that.
 */
static bool
is_unready(const ApErrand *errand)
{
	JsonbValue	score;

	if (errand->status.code != AP_OK)
		return ap_status_is_missing(&errand->status);
	return !ap_document_find(errand->data, "score", &score) || score.type == jbvNull;
}

/*
 * Let the details follow a search, and follow themselves, in growing pauses,
 * as long as the report is not ready.
 */
static bool
follow_search(void *arg, ApErrand *errand, int *pause_ms)
{
	int64		left_us;

	(void) arg;
	if (errand->notes == NULL)
		return errand->status.code == AP_OK && turn_to_details(errand);
	left_us = errand->began_us + AP_REPORT_PATIENCE_US - ap_http_clock_us();
	if (!is_unready(errand) || left_us <= 0)
		return false;
	*pause_ms = AP_REPORT_FIRST_PAUSE_MS;
	for (int i = 1; i < errand->rounds && *pause_ms < AP_REPORT_MAX_PAUSE_MS; i++)
		*pause_ms *= 2;
	*pause_ms = Min(*pause_ms, AP_REPORT_MAX_PAUSE_MS);
	return true;
}

/*-------------------------------------------------------------------------
 * Columns
 *-------------------------------------------------------------------------
 */

/*
 * Set a column to a text, or to null.
 */
static void
put_text(const char *text, Datum *value, bool *null)
{
	*null = text == NULL;
	*value = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
}

/*
 * Set a column to an errand's document, or to null.
 */
static void
put_document(const ApErrand *errand, Datum *value, bool *null)
{
	*null = errand->data == NULL;
	*value = JsonbPGetDatum(errand->data);
}

/*
 * Read the columns of allpass_applicants().
 */
static void
read_applicant(const ApErrand *errand, Datum *values, bool *nulls)
{
	put_document(errand, &values[0], &nulls[0]);
}

/*
 * Read the columns of allpass_statuses().
 */
static void
read_status(const ApErrand *errand, Datum *values, bool *nulls)
{
	put_text(find_text(errand, "status"), &values[0], &nulls[0]);
}

/*
 * Read the columns of allpass_aml_screen().  A search that was paid for shows,
 * whatever became of its report.
 */
static void
read_report(const ApErrand *errand, Datum *values, bool *nulls)
{
	const Search *search = errand->notes;
	JsonbValue	score;

	nulls[0] = nulls[1] = nulls[2] = nulls[3] = true;
	if (search == NULL)
		return;
	put_text(search->aml_id, &values[0], &nulls[0]);
	put_text(search->type, &values[1], &nulls[1]);
	if (errand->data == NULL)
		return;
	nulls[2] = !ap_document_find(errand->data, "score", &score) ||
		!ap_document_numeric(&score, &values[2]);
	put_document(errand, &values[3], &nulls[3]);
}

static const SetKind applicants = {
	{AP_PROGRESS_APPLICANTS, false, next_errand, NULL},
	AP_APPLICANT, 0, 4, {TEXTOID, JSONBOID, TEXTOID, TEXTOID}, read_applicant
};

static const SetKind statuses = {
	{AP_PROGRESS_STATUSES, false, next_errand, NULL},
	AP_APPLICANT_STATUS, 0, 4, {TEXTOID, TEXTOID, TEXTOID, TEXTOID}, read_status
};

static const SetKind screen = {
	{AP_PROGRESS_AML_SCREEN, true, next_errand, follow_search},
	AP_AML_SEARCH, 1, 7, {TEXTOID, TEXTOID, TEXTOID, NUMERICOID, JSONBOID, TEXTOID, TEXTOID},
	read_report
};

/*-------------------------------------------------------------------------
 * Sets
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether two elements are equal, byte by byte.
 */
static bool
are_equal(const Set *set, int one, int other)
{
	text	   *a = DatumGetTextPP(set->elements[one]);
	text	   *b = DatumGetTextPP(set->elements[other]);

	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * Give the hash of an element.
 */
static uint32
hash_element(const Set *set, int element)
{
	text	   *value = DatumGetTextPP(set->elements[element]);

	return hash_bytes((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/*
 * Chain equal elements, each to the first of its kind.
 */
static void
chain_equals(Set *set)
{
	uint32		size = 16;
	int		   *places;

	while (size / 2 < (uint32) set->count)
		size *= 2;
	/* of elements, plus one; 0 for none */
	places = MemoryContextAllocExtended(CurrentMemoryContext, size * sizeof(int),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	set->repeated = palloc0(set->count * sizeof(bool));
	set->next_equal = palloc(set->count * sizeof(int));
	for (int i = 0; i < set->count; i++)
	{
		uint32		place;
		int			first;

		set->next_equal[i] = -1;
		if (set->nulls[i])
			continue;
		place = hash_element(set, i) & (size - 1);
		while ((first = places[place] - 1) >= 0 && !are_equal(set, first, i))
			place = (place + 1) & (size - 1);
		if (first < 0)
		{
			places[place] = i + 1;
			continue;
		}
		set->repeated[i] = true;
		set->next_equal[i] = set->next_equal[first];
		set->next_equal[first] = i;
	}
	pfree(places);
}

/*
 * Give the row type of the result, after a check that it has the columns of
 * this version.
 */
static TupleDesc
result_type(FunctionCallInfo fcinfo, const SetKind *kind)
{
	TupleDesc	result;

	if (get_call_result_type(fcinfo, NULL, &result) != TYPEFUNC_COMPOSITE)
		result = CreateTemplateTupleDesc(0);
	ap_rowset_check(result, kind->types, kind->ncolumns);
	return BlessTupleDesc(result);
}

/*
 * Tell how many of the answers will be taken: stream.c says so, and the server
 * does where it collects them all.
 */
static int
reading(FunctionCallInfo fcinfo)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, Integer))
		return intVal(fcinfo->context);
	return ((ReturnSetInfo *) fcinfo->resultinfo)->allowedModes & SFRM_Materialize_Preferred ?
		AP_READ_ALL : AP_READ_SOME;
}

/*
 * Open the set in the last argument, in the current memory context.  Returns
 * NULL if it has no elements.
 */
static Set *
open_set(FunctionCallInfo fcinfo, const SetKind *kind)
{
	int			param = kind->element_param;
	Set		   *set = palloc0(sizeof(*set));
	ApStatus	status;
	ApProfile  *profile;

	set->kind = kind;
	set->result = result_type(fcinfo, kind);
	if (PG_ARGISNULL(param))
		return NULL;
	if (param > 0 && !PG_ARGISNULL(0))
		set->blockchain = ap_endpoint_utf8(TextDatumGetCString(PG_GETARG_DATUM(0)));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P_COPY(param), TEXTOID, -1, false, TYPALIGN_INT,
					  &set->elements, &set->nulls, &set->count);
	if (set->count == 0)
		return NULL;
	chain_equals(set);
	ap_status_clear(&status);
	profile = ap_profile_get(ap_server, GetUserId(), &status);
	if (profile == NULL)
		ap_status_throw(&status);
	set->gather = ap_gather_begin(profile, &kind->errands, set, reading(fcinfo));
	return set;
}

/*
 * Go to the next row of a set.  Returns false if there is none.
 */
static bool
advance(Set *set)
{
	if (set->errand != NULL && set->next_equal[set->row] >= 0)
	{
		set->row = set->next_equal[set->row];
		return true;
	}
	set->errand = ap_gather_next(set->gather);
	if (set->errand == NULL)
		return false;
	set->row = set->errand->element;
	return true;
}

/*
 * Give the words of a failure, in one text.
 */
static const char *
describe(const ApStatus *status)
{
	if (status->detail[0] == '\0')
		return status->message;
	return psprintf("%s: %s", status->message, status->detail);
}

/*
 * Make the current row of a set.
 */
static Datum
make_row(const Set *set)
{
	const ApErrand *errand = set->errand;
	int			last = set->kind->ncolumns - 1;
	Datum		values[AP_MAX_SET_COLUMNS] = {0};
	bool		nulls[AP_MAX_SET_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	if (!set->nulls[set->row])
	{
		values[0] = set->elements[set->row];
		nulls[0] = false;
		set->kind->read(errand, &values[1], &nulls[1]);
		if (errand->status.code != AP_OK)
		{
			put_text(unpack_sql_state(ap_status_sqlstate(&errand->status)),
					 &values[last - 1], &nulls[last - 1]);
			put_text(describe(&errand->status), &values[last], &nulls[last]);
		}
	}
	return HeapTupleGetDatum(heap_form_tuple(set->result, values, nulls));
}

/*
 * Give the next row of a function's set.
 */
static Datum
next_row(FunctionCallInfo fcinfo, const SetKind *kind)
{
	FuncCallContext *calls;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		calls = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(calls->multi_call_memory_ctx);
		calls->user_fctx = open_set(fcinfo, kind);
		MemoryContextSwitchTo(old);
	}
	calls = SRF_PERCALL_SETUP();
	if (calls->user_fctx == NULL || !advance(calls->user_fctx))
		SRF_RETURN_DONE(calls);
	SRF_RETURN_NEXT(calls, make_row(calls->user_fctx));
}

/*
 * SQL function: allpass_applicants(applicant_ids text[]) returns setof
 * allpass_applicant_answer
 */
PG_FUNCTION_INFO_V1(allpass_applicants);
Datum
allpass_applicants(PG_FUNCTION_ARGS)
{
	return next_row(fcinfo, &applicants);
}

/*
 * SQL function: allpass_statuses(applicant_ids text[]) returns setof
 * allpass_status_answer
 */
PG_FUNCTION_INFO_V1(allpass_statuses);
Datum
allpass_statuses(PG_FUNCTION_ARGS)
{
	return next_row(fcinfo, &statuses);
}

/*
 * SQL function: allpass_aml_screen(blockchain text, addresses text[]) returns
 * setof allpass_aml_answer
 */
PG_FUNCTION_INFO_V1(allpass_aml_screen);
Datum
allpass_aml_screen(PG_FUNCTION_ARGS)
{
	return next_row(fcinfo, &screen);
}
