/*-------------------------------------------------------------------------
 *
 * documents.c
 *		The SQL functions that give parts of a document as rows.
 *
 * Each is a map of columns, in the order of the function's result, and two
 * entry points: of a document at hand, and of an id, which fetches first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "funcapi.h"

#include "fetch.h"
#include "rowset.h"

#define COLUMNS(...) \
	lengthof(((const ApColumn[]) {__VA_ARGS__})), {__VA_ARGS__}

/*-------------------------------------------------------------------------
 * Applicants.  Levels: 1 the service, 2 its data, 3 a type or a group, 4 an
 * entry of the group.
 *-------------------------------------------------------------------------
 */
static const ApRowset services = {
	2, {{"servicesData", false}, {"data", true}},
	COLUMNS({AP_POSITION, 1, NULL, 0},
			{AP_TEXT, 1, "service", 0},
			{AP_TEXT, 1, "status", 0},
			{AP_TEXT, 1, "type", 0},
			{AP_TEXT, 2, "stepType", 0},
			{AP_INTEGER, 2, "overallResult", 0},
			{AP_NUMERIC, 2, "elapsedTime", 0},
			{AP_NUMERIC, 2, "elapsedTimeRFID", 0},
			{AP_INTEGER, 2, "uploadedPagesCount", 0},
			{AP_INTEGER, 1, "deactivatedServiceCount", 0},
			{AP_TEXT, 1, "errorMessage", 0},
			{AP_TEXT, 1, "reason", 0},
			{AP_TIME, 2, "createdAt", 0},
			{AP_JSON, 1, "data", 0})
};

static const ApRowset documents = {
	3, {{"servicesData", false}, {"data", false}, {"types", false}},
	COLUMNS({AP_ROW_NUMBER, 0, NULL, 0},
			{AP_TEXT, 3, "id", 0},
			{AP_TEXT, 3, "docId", 0},
			{AP_TEXT, 3, "name", 0},
			{AP_INTEGER, 3, "pageIndex", 0},
			{AP_BOOLEAN, 3, "hasMRZ", 0},
			{AP_TEXT, 3, "icao", 0},
			{AP_INTEGER, 3, "type", 0},
			{AP_TEXT, 3, "year", 0},
			{AP_INTEGER, 3, "format", 0},
			{AP_TIME, 3, "createdAt", 0},
			{AP_POSITION, 1, NULL, 0})
};

static const ApRowset document_fields = {
	4, {{"servicesData", false}, {"data", false}, {"fields", false}, {"data", false}},
	COLUMNS({AP_ROW_NUMBER, 0, NULL, 0},
			{AP_INTEGER, 4, "fieldType", 3},
			{AP_TEXT, 4, "id", 3},
			{AP_TEXT, 4, "docId", 3},
			{AP_INTEGER, 4, "lcid", 3},
			{AP_INTEGER, 4, "status", 3},
			{AP_INTEGER, 4, "pageIndex", 3},
			{AP_NUMERIC, 4, "probability", 3},
			{AP_INTEGER, 4, "validity", 3},
			{AP_TEXT, 4, "value", 3},
			{AP_INTEGER, 4, "sourceType", 3},
			{AP_JSON, 4, "comparison", 3},
			{AP_TIME, 4, "createdAt", 3},
			{AP_POSITION, 1, NULL, 0})
};

static const ApRowset document_images = {
	4, {{"servicesData", false}, {"data", false}, {"graphics", false}, {"data", false}},
	COLUMNS({AP_ROW_NUMBER, 0, NULL, 0},
			{AP_INTEGER, 4, "fieldType", 3},
			{AP_TEXT, 4, "id", 3},
			{AP_TEXT, 4, "docId", 3},
			{AP_INTEGER, 4, "sourceType", 3},
			{AP_INTEGER, 4, "containerType", 3},
			{AP_INTEGER, 4, "pageIndex", 3},
			{AP_IMAGE, 4, "image", 3},
			{AP_TIME, 4, "createdAt", 3},
			{AP_POSITION, 1, NULL, 0})
};

/*-------------------------------------------------------------------------
 * AML reports
 *-------------------------------------------------------------------------
 */
#define FUNDS(direction, member) { \
	1, {{member, false}}, \
	COLUMNS({AP_LABEL, 1, direction, 0}, \
			{AP_POSITION, 1, NULL, 0}, \
			{AP_TEXT, 1, "hash", 0}, \
			{AP_BOOLEAN, 1, "forward", 0}, \
			{AP_TEXT, 1, "owner", 0}, \
			{AP_NUMERIC, 1, "score", 0}, \
			{AP_TEXT, 1, "type", 0}, \
			{AP_INTEGER, 1, "depth", 0}, \
			{AP_NUMERIC, 1, "amount", 0}, \
			{AP_TEXT, 1, "address", 0}, \
			{AP_NUMERIC, 1, "share", 0}, \
			{AP_BIGINT, 1, "transactionCount", 0}, \
			{AP_BOOLEAN, 1, "unidentified", 0}, \
			{AP_BOOLEAN, 1, "unknown", 0}, \
			{AP_NUMERIC, 1, "amountCur", 0}, \
			{AP_NUMERIC, 1, "cluster", 0}, \
			{AP_NUMERIC, 1, "directStamp", 0}, \
			{AP_NUMERIC, 1, "timestamp", 0}, \
			{AP_TEXT, 1, "listType", 0}, \
			{AP_NUMERIC, 1, "amountDec", 0}, \
			{AP_TEXT, 1, "directTx", 0}) \
}

static const ApRowset sources_of_funds = FUNDS("source", "sof");
static const ApRowset uses_of_funds = FUNDS("use", "uof");

static const ApRowset entities = {
	1, {{"entities", false}},
	COLUMNS({AP_POSITION, 1, NULL, 0},
			{AP_TEXT, 1, "id", 0},
			{AP_NUMERIC, 1, "score", 0},
			{AP_TEXT, 1, "scoreType", 0},
			{AP_TEXT, 1, "name", 0},
			{AP_TEXT, 1, "scoreTypeId", 0})
};

static const ApRowset timeline = {
	1, {{"timelines", false}},
	COLUMNS({AP_POSITION, 1, NULL, 0},
			{AP_TEXT, 1, "id", 0},
			{AP_TEXT, 1, "requestUniqueId", 0},
			{AP_TEXT, 1, "eventName", 0},
			{AP_TEXT, 1, "applicantId", 0},
			{AP_TEXT, 1, "appKey", 0},
			{AP_JSON, 1, "data", 0},
			{AP_TEXT, 1, "amlId", 0},
			{AP_BIGINT, 1, "userId", 0},
			{AP_JSON, 1, "device", 0},
			{AP_JSON, 1, "geo", 0},
			{AP_TIME, 1, "createdAt", 0},
			{AP_TIME, 1, "updatedAt", 0})
};

static const ApRowset comments = {
	1, {{"comments", false}},
	COLUMNS({AP_POSITION, 1, NULL, 0},
			{AP_TEXT, 1, "id", 0},
			{AP_TEXT, 1, "content", 0},
			{AP_TEXT, 1, "amlId", 0},
			{AP_BIGINT, 1, "authorId", 0},
			{AP_TEXT, 1, "parentId", 0},
			{AP_TEXT, 1, "authorName", 0},
			{AP_TIME, 1, "updatedAt", 0},
			{AP_TIME, 1, "createdAt", 0},
			{AP_JSON, 1, "parentComment", 0})
};

/*-------------------------------------------------------------------------
 * Entry points
 *-------------------------------------------------------------------------
 */

/*
 * Add the rows of a document, of one map or two, to the function's result.
 */
static void
emit(FunctionCallInfo fcinfo, Jsonb *document, const ApRowset *first, const ApRowset *second)
{
	ap_rowset_emit(first, document, (ReturnSetInfo *) fcinfo->resultinfo);
	if (second != NULL)
		ap_rowset_emit(second, document, (ReturnSetInfo *) fcinfo->resultinfo);
}

/*
 * Give the rows of the document in the first argument.
 */
static Datum
rows_of_document(FunctionCallInfo fcinfo, const ApRowset *first, const ApRowset *second)
{
	InitMaterializedSRF(fcinfo, 0);
	emit(fcinfo, PG_GETARG_JSONB_P(0), first, second);
	return (Datum) 0;
}

/*
 * Give the rows of the document that a call of an operation returns.  The
 * arguments are those of the operation and then missing_ok; a null id makes no
 * call and no rows.
 */
static Datum
rows_of_id(FunctionCallInfo fcinfo, ApOperation operation,
		   const ApRowset *first, const ApRowset *second)
{
	const ApEndpoint *endpoint = ap_endpoint_get(operation);
	int			count = ap_endpoint_params(endpoint);
	const char *values[AP_MAX_PARAMS];
	Jsonb	   *document;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(count))
		return (Datum) 0;
	ap_fetch_arguments(fcinfo, endpoint, values);
	document = ap_fetch(fcinfo, endpoint, values, PG_GETARG_BOOL(count));
	if (document != NULL)
		emit(fcinfo, document, first, second);
	return (Datum) 0;
}

/*
 * Define the SQL functions name(document jsonb) and name(id text, ...).
 */
#define ROW_FUNCTIONS(name, operation, first, second) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		return rows_of_document(fcinfo, first, second); \
	} \
	PG_FUNCTION_INFO_V1(name##_of_id); \
	Datum \
	name##_of_id(PG_FUNCTION_ARGS) \
	{ \
		return rows_of_id(fcinfo, operation, first, second); \
	} \
	extern Datum name(PG_FUNCTION_ARGS)

ROW_FUNCTIONS(allpass_services, AP_APPLICANT, &services, NULL);
ROW_FUNCTIONS(allpass_documents, AP_APPLICANT, &documents, NULL);
ROW_FUNCTIONS(allpass_document_fields, AP_APPLICANT, &document_fields, NULL);
ROW_FUNCTIONS(allpass_document_images, AP_APPLICANT, &document_images, NULL);
ROW_FUNCTIONS(allpass_aml_funds, AP_AML_DETAILS, &sources_of_funds, &uses_of_funds);
ROW_FUNCTIONS(allpass_aml_entities, AP_AML_DETAILS, &entities, NULL);
ROW_FUNCTIONS(allpass_aml_timeline, AP_AML_DETAILS, &timeline, NULL);
ROW_FUNCTIONS(allpass_aml_comments, AP_AML_DETAILS, &comments, NULL);
