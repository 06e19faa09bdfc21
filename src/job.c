/*-------------------------------------------------------------------------
 *
 * job.c
 *		A job of the queue as the call that it is: operation and arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "job.h"

/* What may be queued.  Not token, whose answer is a secret. */
static const ApOperation operations[] = {
	AP_SCHEDULE_DELETION, AP_RESTORE, AP_CREATE_APPLICANT, AP_MOVE_TO_FLOW, AP_AML_SEARCH
};

/*
 * Refuse an operation, naming those that there are.
 */
static bool
refuse_operation(const char *name, ApStatus *status)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(operations); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", ap_endpoint_get(operations[i])->name);
	ap_status_set(status, AP_BAD_ARGUMENT, "unrecognized operation: \"%s\"", name);
	ap_status_hint(status, "Valid operations are: %s.", names.data);
	return false;
}

/*
 * Find an operation by its name.
 */
bool
ap_job_operation(const char *name, ApOperation *operation, ApStatus *status)
{
	for (int i = 0; i < (int) lengthof(operations); i++)
	{
		*operation = operations[i];
		if (strcmp(ap_endpoint_get(*operation)->name, name) == 0)
			return true;
	}
	return refuse_operation(name, status);
}

/*
 * Tell which of the parameters comes first in the arguments: where an
 * applicant is named, it has a column of its own.
 */
static int
first_argument(ApOperation operation)
{
	return operation == AP_AML_SEARCH ? 0 : 1;
}

/*
 * Refuse a key that is no argument of the operation, naming those that are.
 */
static bool
refuse_key(const ApJobCall *call, const char *key, ApStatus *status)
{
	int			count = ap_endpoint_params(call->endpoint);
	int			first = first_argument(call->operation);
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = first; i < count; i++)
		appendStringInfo(&keys, "%s%s", i > first ? ", " : "", call->endpoint->params[i].name);
	ap_status_set(status, AP_BAD_ARGUMENT, "unrecognized argument of operation \"%s\": \"%s\"",
				  call->endpoint->name, key);
	if (keys.len > 0)
		ap_status_hint(status, "Valid arguments are: %s.", keys.data);
	else
		ap_status_hint(status, "It takes no arguments besides the applicant_id.");
	return false;
}

/*
 * Give the text of a JSON value as an argument; NULL for a null.  Strings and
 * numbers are texts alike, as the flow of a document is a number, and the
 * argument a text.
 */
static bool
read_value(const ApParam *param, const JsonbValue *value, const char **text, ApStatus *status)
{
	if (value->type == jbvNull)
		return true;
	if (param->place == AP_IN_BODY_OBJECT)
	{
		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			return ap_status_set(status, AP_BAD_ARGUMENT,
								 "argument \"%s\" must be a JSON object", param->name);
		*text = ap_endpoint_utf8(JsonbToCString(NULL, value->val.binary.data,
												value->val.binary.len));
	}
	else if (value->type == jbvString)
		*text = ap_endpoint_utf8(pnstrdup(value->val.string.val, value->val.string.len));
	else if (value->type == jbvNumeric)
		*text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else
		return ap_status_set(status, AP_BAD_ARGUMENT,
							 "argument \"%s\" must be a string or a number", param->name);
	return true;
}

/*
 * Take one member of the arguments.
 */
static bool
read_member(ApJobCall *call, const JsonbValue *key, const JsonbValue *value, ApStatus *status)
{
	int			count = ap_endpoint_params(call->endpoint);

	for (int i = first_argument(call->operation); i < count; i++)
	{
		const ApParam *param = &call->endpoint->params[i];

		if (strlen(param->name) == (size_t) key->val.string.len &&
			memcmp(param->name, key->val.string.val, (size_t) key->val.string.len) == 0)
			return read_value(param, value, &call->values[i], status);
	}
	return refuse_key(call, pnstrdup(key->val.string.val, key->val.string.len), status);
}

/*
 * Take the arguments from a JSON object.
 */
static bool
read_arguments(Jsonb *arguments, ApJobCall *call, ApStatus *status)
{
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(arguments))
		return ap_status_set(status, AP_BAD_ARGUMENT, "the arguments of a job must be a JSON object");
	iterator = JsonbIteratorInit(&arguments->root);
	(void) JsonbIteratorNext(&iterator, &key, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (!read_member(call, &key, &value, status))
			return false;
	}
	return true;
}

/*
 * Read a job, and check it as the function of its operation would.  Texts are
 * in the encoding of the database, and those of the call in the current memory
 * context.  Returns false and fills the status if the job makes no sense.
 */
bool
ap_job_read(const char *operation, const char *applicant_id, Jsonb *arguments,
			ApJobCall *call, ApStatus *status)
{
	memset(call, 0, sizeof(*call));
	if (!ap_job_operation(operation, &call->operation, status))
		return false;
	call->endpoint = ap_endpoint_get(call->operation);
	if (first_argument(call->operation) == 1)
		call->values[0] = applicant_id == NULL ? NULL : ap_endpoint_utf8(applicant_id);
	else if (applicant_id != NULL)
		return ap_status_set(status, AP_BAD_ARGUMENT, "operation \"%s\" takes no applicant_id",
							 operation);
	if (arguments != NULL && !read_arguments(arguments, call, status))
		return false;
	return ap_endpoint_check(call->endpoint, call->values, status);
}
