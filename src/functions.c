/*-------------------------------------------------------------------------
 *
 * functions.c
 *		The SQL functions of the API's operations, and the small ones.
 *
 * An operation's function has the arguments of its entry in endpoint.c, in
 * that order; a reading one then has missing_ok.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/reloptions.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "codes.h"
#include "document.h"
#include "fetch.h"
#include "options.h"

/*
 * Call an operation that changes something, and return its data.
 */
static Datum
write_operation(FunctionCallInfo fcinfo, ApOperation operation)
{
	const ApEndpoint *endpoint = ap_endpoint_get(operation);
	const char *values[AP_MAX_PARAMS];

	ap_fetch_arguments(fcinfo, endpoint, values);
	PG_RETURN_JSONB_P(ap_fetch(fcinfo, endpoint, values, false));
}

/*
 * Call an operation that reads.  A null id, or a null missing_ok, makes no
 * call; then, and for what the API does not know if that is all right, the
 * result is NULL.
 */
static Jsonb *
read_operation(FunctionCallInfo fcinfo, ApOperation operation)
{
	const ApEndpoint *endpoint = ap_endpoint_get(operation);
	int			count = ap_endpoint_params(endpoint);
	const char *values[AP_MAX_PARAMS];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(count))
		return NULL;
	ap_fetch_arguments(fcinfo, endpoint, values);
	return ap_fetch(fcinfo, endpoint, values, PG_GETARG_BOOL(count));
}

/*
 * Return a document, or NULL.
 */
#define RETURN_DOCUMENT(document) \
	do { \
		Jsonb	   *result = (document); \
		\
		if (result == NULL) \
			PG_RETURN_NULL(); \
		PG_RETURN_JSONB_P(result); \
	} while (0)

/*
 * SQL function: allpass_create_applicant(external_user_id text, flow_name
 * text, phone text, email text, lang text, supplied_info jsonb) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_create_applicant);
Datum
allpass_create_applicant(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_CREATE_APPLICANT);
}

/*
 * SQL function: allpass_applicant(applicant_id text, missing_ok boolean)
 * returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_applicant);
Datum
allpass_applicant(PG_FUNCTION_ARGS)
{
	RETURN_DOCUMENT(read_operation(fcinfo, AP_APPLICANT));
}

/*
 * SQL function: allpass_applicant_status(applicant_id text, missing_ok
 * boolean) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_applicant_status);
Datum
allpass_applicant_status(PG_FUNCTION_ARGS)
{
	RETURN_DOCUMENT(read_operation(fcinfo, AP_APPLICANT_STATUS));
}

/*
 * SQL function: allpass_status(applicant_id text, missing_ok boolean) returns
 * text
 *
 * The status alone.  NULL if the answer has none.
 */
PG_FUNCTION_INFO_V1(allpass_status);
Datum
allpass_status(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = read_operation(fcinfo, AP_APPLICANT_STATUS);
	JsonbValue	value;
	char	   *text = NULL;

	if (document != NULL && ap_document_find(document, "status", &value))
		text = ap_document_text(&value);
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/*
 * SQL function: allpass_move_to_flow(applicant_id text, flow_id text) returns
 * jsonb
 */
PG_FUNCTION_INFO_V1(allpass_move_to_flow);
Datum
allpass_move_to_flow(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_MOVE_TO_FLOW);
}

/*
 * SQL function: allpass_schedule_deletion(applicant_id text) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_schedule_deletion);
Datum
allpass_schedule_deletion(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_SCHEDULE_DELETION);
}

/*
 * SQL function: allpass_restore(applicant_id text) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_restore);
Datum
allpass_restore(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_RESTORE);
}

/*
 * SQL function: allpass_token(applicant_id text, locale text, ttl bigint,
 * flow_name text) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_token);
Datum
allpass_token(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_TOKEN);
}

/*
 * SQL function: allpass_questionnaire(id text, missing_ok boolean) returns
 * jsonb
 */
PG_FUNCTION_INFO_V1(allpass_questionnaire);
Datum
allpass_questionnaire(PG_FUNCTION_ARGS)
{
	RETURN_DOCUMENT(read_operation(fcinfo, AP_QUESTIONNAIRE));
}

/*
 * SQL function: allpass_aml_search(blockchain text, address text, tx_hash
 * text) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_aml_search);
Datum
allpass_aml_search(PG_FUNCTION_ARGS)
{
	return write_operation(fcinfo, AP_AML_SEARCH);
}

/*
 * SQL function: allpass_aml_details(aml_id text, type text, missing_ok
 * boolean) returns jsonb
 */
PG_FUNCTION_INFO_V1(allpass_aml_details);
Datum
allpass_aml_details(PG_FUNCTION_ARGS)
{
	RETURN_DOCUMENT(read_operation(fcinfo, AP_AML_DETAILS));
}

/*
 * Refuse a kind of code that there is not, naming those that there are.
 */
static void
refuse_kind(const char *kind)
{
	StringInfoData kinds;

	initStringInfo(&kinds);
	for (int i = 0; ap_codes_kind(i) != NULL; i++)
		appendStringInfo(&kinds, "%s%s", i > 0 ? ", " : "", ap_codes_kind(i));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized kind of code: \"%s\"", kind),
			 errhint("Valid kinds are: %s.", kinds.data)));
}

/*
 * SQL function: allpass_code_name(kind text, code integer) returns text
 *
 * The label of a numeric code, or NULL for a code that has none.
 */
PG_FUNCTION_INFO_V1(allpass_code_name);
Datum
allpass_code_name(PG_FUNCTION_ARGS)
{
	char	   *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const ApCodeTable *table = ap_codes_find(kind);
	const char *name;

	if (table == NULL)
		refuse_kind(kind);
	name = ap_codes_name(table, PG_GETARG_INT32(1));
	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * SQL function: allpass_validator(options text[], catalog oid) returns void
 *
 * Checks the options of servers and user mappings as they are set.
 */
PG_FUNCTION_INFO_V1(allpass_validator);
Datum
allpass_validator(PG_FUNCTION_ARGS)
{
	ApStatus	status;

	ap_status_clear(&status);
	if (!ap_options_check(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1), &status))
		ap_status_throw(&status);
	PG_RETURN_VOID();
}
