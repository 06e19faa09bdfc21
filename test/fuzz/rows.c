/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Fuzz targets: documents as rows, and the scalars in them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../../src/compat.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "../../src/document.h"

#include "fuzz.h"

/* The row functions, each of a jsonb. */
static const char *const names[] = {
	"allpass_services", "allpass_documents", "allpass_document_fields",
	"allpass_document_images", "allpass_aml_funds", "allpass_aml_entities",
	"allpass_aml_timeline", "allpass_aml_comments"
};

static FmgrInfo functions[lengthof(names)];

/*
 * Look the row functions up, once.
 */
static void
look_up_functions(void)
{
	Oid			type = JSONBOID;

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		List	   *name = list_make1(makeString(pstrdup(names[i])));

		if (functions[i].fn_oid == InvalidOid)
			fmgr_info_cxt(LookupFuncName(name, 1, &type, false), &functions[i],
						  TopMemoryContext);
	}
}

/*
 * Show every column of the rows of a result, as a client would get them.
 */
static void
show_rows(const ReturnSetInfo *result)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(result->setDesc, &TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(result->setResult, true, false, slot))
	{
		slot_getallattrs(slot);
		for (int i = 0; i < result->setDesc->natts; i++)
		{
			Oid			output;
			bool		is_varlena;

			if (slot->tts_isnull[i])
				continue;
			getTypeOutputInfo(TupleDescAttr(result->setDesc, i)->atttypid, &output, &is_varlena);
			if (!fuzz_is_text(OidOutputFunctionCall(output, slot->tts_values[i])))
				fuzz_fail("column %d is no text", i + 1);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Run a row function on a document.
 */
static void
run_function(FmgrInfo *function, Jsonb *document)
{
	LOCAL_FCINFO(fcinfo, 1);
	ReturnSetInfo result = {.type = T_ReturnSetInfo};

	result.econtext = CreateStandaloneExprContext();
	result.allowedModes = SFRM_Materialize;
	InitFunctionCallInfoData(*fcinfo, function, 1, InvalidOid, NULL, (Node *) &result);
	fcinfo->args[0].value = JsonbPGetDatum(document);
	fcinfo->args[0].isnull = false;
	FunctionCallInvoke(fcinfo);
	if (result.returnMode != SFRM_Materialize || result.setResult == NULL)
		fuzz_fail("a row function without rows");
	show_rows(&result);
	tuplestore_end(result.setResult);
	FreeExprContext(result.econtext, true);
}

/*
 * Run all row functions on a text, if it is a document.
 */
static void
run_all(const char *text, size_t len)
{
	const char *reason = NULL;
	Jsonb	   *document = ap_document_parse(text, len, &reason);

	look_up_functions();
	if (document == NULL && reason == NULL)
		fuzz_fail("no document, and no reason");
	for (int i = 0; document != NULL && i < (int) lengthof(names); i++)
		run_function(&functions[i], document);
}

/*
 * A document: its text.
 */
void
fuzz_document(FuzzInput *input)
{
	ApBytes		text = fuzz_rest(input);
	ApBuffer   *copy = palloc(sizeof(ApBuffer));

	ap_buffer_init(copy, text.len);
	ap_buffer_own(copy, CurrentMemoryContext);
	ap_buffer_append(copy, text.data, text.len);
	run_all(ap_buffer_text(copy), text.len);
}

/*
 * Check that the time in a value does not depend on the session.
 */
static void
check_time(const JsonbValue *value)
{
	pg_tz	   *zone = session_timezone;
	int			order = DateOrder;
	TimestampTz time = 0;
	TimestampTz other = 0;
	bool		is_time = ap_document_time(value, &time);
	bool		is_other;

	session_timezone = pg_tzset("America/New_York");
	DateOrder = order == DATEORDER_DMY ? DATEORDER_MDY : DATEORDER_DMY;
	is_other = ap_document_time(value, &other);
	session_timezone = zone;
	DateOrder = order;
	if (is_time != is_other || time != other)
		fuzz_fail("a time that depends on the session");
}

/*
 * Check that the integer in a value is the number in it.
 */
static void
check_integer(const JsonbValue *value)
{
	int64		integer;
	Datum		number;

	if (!ap_document_int64(value, &integer))
		return;
	if (!ap_document_numeric(value, &number) ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
										  NumericGetDatum(int64_to_numeric(integer)))))
		fuzz_fail("an integer that is not the number");
}

/*
 * Put a token into every member of an object that holds a scalar.
 */
static void
put_members(StringInfo json, const char *token)
{
	static const char *const members[] = {
		"createdAt", "updatedAt", "elapsedTime", "overallResult", "fieldType", "probability",
		"value", "image", "hasMRZ", "transactionCount", "amount", "timestamp", "depth", "userId",
		"comparison", "device"
	};

	for (int i = 0; i < (int) lengthof(members); i++)
		appendStringInfo(json, "%s\"%s\":%s", i > 0 ? "," : "", members[i], token);
}

/*
 * A scalar wherever a document may hold one: as a text or as it is, scalar.
 */
void
fuzz_scalar(FuzzInput *input)
{
	bool		quoted = fuzz_flag(input, 2) == 0;
	ApBytes		rest = fuzz_rest(input);
	char	   *scalar = pnstrdup((const char *) rest.data, rest.len);
	JsonbValue	value = {.type = jbvString};
	StringInfoData token;
	StringInfoData members;
	StringInfoData json;

	if (!fuzz_is_text(scalar))
		return;
	value.val.string.val = scalar;
	value.val.string.len = (int) strlen(scalar);
	check_time(&value);
	check_integer(&value);

	initStringInfo(&token);
	initStringInfo(&members);
	initStringInfo(&json);
	if (quoted)
		escape_json(&token, scalar);
	else
		appendStringInfoString(&token, scalar);
	put_members(&members, token.data);
	appendStringInfo(&json, "{\"servicesData\":[{%s,\"data\":{%s,\"types\":[{%s}],"
					 "\"fields\":[{\"data\":[{%s}]}],\"graphics\":[{\"data\":[{%s}]}]}}],"
					 "\"sof\":[{%s}],\"timelines\":[{%s}],\"comments\":[{%s}]}",
					 members.data, members.data, members.data, members.data,
					 members.data, members.data, members.data, members.data);
	run_all(json.data, json.len);
}
