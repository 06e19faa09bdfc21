/*-------------------------------------------------------------------------
 *
 * api.c
 *		The way of an API request: route, check, meet a fault, act, answer.
 *
 * All of this happens at once when the request is whole; a delay only holds
 * back the answer. So counters, log and state are right while it runs, and a
 * client that gives up meets the state it must reckon with.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "api.h"
#include "log.h"
#include "operations.h"
#include "validate.h"

#define MAX_LOGGED_BODY 65536

/* Get a request header */
static const char *
header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Refuse a request in the form of Nest; message is JSON text */
static void
refuse(SbRequest *request, int status, SbSlice message)
{
	SbAnswer   *answer = &request->answer;

	request->rejected = true;
	answer->status = status;
	answer->sized = true;
	sb_text_printf(&answer->body, "{\"statusCode\":%d,\"message\":", status);
	sb_text_put(&answer->body, message);
	sb_text_puts(&answer->body, ",\"error\":");
	sb_text_quote(&answer->body, sb_slice(MHD_get_reason_phrase_for((unsigned int) status)));
	sb_text_puts(&answer->body, "}");
}

/* Refuse a method or path as Nest does */
static void
refuse_route(SbRequest *request, const char *method, int status)
{
	SbText		plain = {0};
	SbText		message = {0};

	sb_text_printf(&plain, "Cannot %s %s", method, request->target);
	sb_text_quote(&message, sb_text_slice(&plain));
	refuse(request, status, sb_text_slice(&message));
	sb_text_free(&plain);
	sb_text_free(&message);
}

/* Find the operation; false if the request is refused */
static bool
route(SbRequest *request, const char *method, SbSlice *query)
{
	switch (sb_route(method, request->target, &request->operation, &request->subject, query))
	{
		case SB_ROUTED:
			return true;
		case SB_NO_PATH:
			refuse_route(request, method, 404);
			break;
		case SB_NO_METHOD:
			request->answer.allow = strcmp(method, "GET") == 0 ? "POST" : "GET";
			refuse_route(request, method, 405);
			break;
		case SB_BAD_TARGET:
			refuse(request, 400, sb_slice("[\"the request target is not percent-encoded\"]"));
			break;
	}
	return false;
}

/* Tell whether a content type is JSON, with or without a parameter */
static bool
is_json_type(const char *type)
{
	static const char json[] = "application/json";
	size_t		length = sizeof(json) - 1;

	return type != NULL && strncasecmp(type, json, length) == 0 &&
		(type[length] == '\0' || type[length] == ';' || type[length] == ' ');
}

/* Put the opened form of a sealed body in its place; false if it is refused */
static bool
open_body(SbRequest *request, const char *signature, SbText *complaints)
{
	struct json_object *data = NULL;
	const char *refusal;
	SbText		plain = {0};

	if (request->config->encryption == SB_ENCRYPTION_NONE ||
		!json_object_object_get_ex(request->members, "data", &data) ||
		json_object_object_length(request->members) != 1)
		return true;
	if (!json_object_is_type(data, json_type_string))
		refusal = "data must be a string";
	else
		refusal = sb_envelope_open(request->config, sb_json_string(data),
								   sb_text_slice(&request->body), signature, &plain);
	json_object_put(request->members);
	request->members = refusal ? NULL : sb_json_parse(sb_text_slice(&plain));
	sb_text_free(&plain);
	if (refusal == NULL && !json_object_is_type(request->members, json_type_object))
		refusal = "the decrypted data must be a JSON object";
	if (refusal != NULL)
		sb_complain(complaints, "%s", refusal);
	return refusal == NULL;
}

/* Check the body of a POST and take it in */
static void
check_body(SbRequest *request, struct MHD_Connection *connection, SbText *complaints)
{
	if (request->body.length == 0)
	{
		if (sb_needs_body(request->operation))
			sb_complain(complaints, "the body must be a JSON object");
		else
			request->members = json_object_new_object();
		return;
	}
	if (!is_json_type(header(connection, "Content-Type")))
		sb_complain(complaints, "Content-Type must be application/json");
	request->members = sb_json_parse(sb_text_slice(&request->body));
	if (!json_object_is_type(request->members, json_type_object))
		sb_complain(complaints, "the body must be a JSON object");
	else if (open_body(request, header(connection, "x-allpass-signature"), complaints))
		sb_validate_members(request->operation, request->members, complaints);
}

/* Check everything that the page prescribes; false if the request is refused */
static bool
check(SbRequest *request, struct MHD_Connection *connection, SbSlice query)
{
	const char *key = header(connection, "x-private-app-key");
	const char *request_id = header(connection, "x-request-id");
	SbText		complaints = {0};
	SbText		message = {0};
	bool		good;

	if (key == NULL || strcmp(key, request->config->api_key) != 0)
	{
		refuse(request, 401, sb_slice("\"Unauthorized\""));
		return false;
	}
	if (request->too_large)
	{
		refuse(request, 413, sb_slice("\"request entity too large\""));
		return false;
	}
	if (request_id == NULL || *request_id == '\0')
		sb_complain(&complaints, "x-request-id must be given");
	sb_validate_query(request->operation, query, &request->transaction, &complaints);
	if (!sb_operation_is_get(request->operation))
		check_body(request, connection, &complaints);
	else if (request->body.length > 0)
		sb_complain(&complaints, "a GET request must not have a body");
	good = complaints.length == 0;
	if (!good)
	{
		sb_text_printf(&message, "[%s]", complaints.data);
		refuse(request, 400, sb_text_slice(&message));
	}
	sb_text_free(&complaints);
	sb_text_free(&message);
	return good;
}

/* Find what a POST without an id in its path is about */
static void
find_subject(SbRequest *request)
{
	SbSlice		subject = {0};

	if (request->members == NULL)
		return;
	if (request->operation == SB_CREATE_APPLICANT)
		subject = sb_json_string(json_object_object_get(request->members, "externalUserId"));
	else if (request->operation == SB_AML_SEARCH)
	{
		subject = sb_json_string(json_object_object_get(request->members, "address"));
		if (subject.data == NULL)
			subject = sb_json_string(json_object_object_get(request->members, "txHash"));
	}
	if (subject.data != NULL)
		sb_text_put(&request->subject, subject);
}

/* Append a header to the log entry; one that came twice is named twice */
static enum MHD_Result
log_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	SbText	   *out = context;
	size_t		first;

	(void) kind;
	sb_text_puts(out, out->data[out->length - 1] == '{' ? "" : ",");
	first = out->length;
	sb_text_quote(out, sb_slice(name));
	for (size_t i = first; i < out->length; i++)
		if (out->data[i] >= 'A' && out->data[i] <= 'Z')
			out->data[i] = (char) (out->data[i] - 'A' + 'a');
	sb_text_puts(out, ":");
	sb_text_quote(out, sb_slice(value ? value : ""));
	return MHD_YES;
}

/* Append a member with a text or null to the log entry */
static void
log_member(SbText *out, const char *name, SbSlice value)
{
	sb_text_printf(out, ",\"%s\":", name);
	sb_text_quote(out, value);
}

/* Record a request with the answer that was decided for it */
static void
record(const SbRequest *request, struct MHD_Connection *connection, const char *method)
{
	bool		dropped = request->fault != NULL && request->fault->drop != SB_DROP_NOT;
	SbText		out = {0};
	SbSlice		body = sb_text_slice(&request->body);
	SbSlice		operation = {0};

	if (request->operation != SB_NO_OPERATION)
		operation = sb_slice(sb_operation_name(request->operation));
	body.length = body.length < MAX_LOGGED_BODY ? body.length : MAX_LOGGED_BODY;
	sb_text_puts(&out, "\"operation\":");
	sb_text_quote(&out, operation);
	log_member(&out, "method", sb_slice(method));
	log_member(&out, "target", sb_slice(request->target));
	log_member(&out, "applicant", (SbSlice) {request->subject.data, request->subject.length});
	if (dropped)
		sb_text_puts(&out, ",\"status\":null");
	else
		sb_text_printf(&out, ",\"status\":%d", request->answer.status);
	sb_text_printf(&out, ",\"acted\":%s", request->acted ? "true" : "false");
	log_member(&out, "request_id", sb_slice(header(connection, "x-request-id")));
	log_member(&out, "idempotency_key", sb_slice(header(connection, "Idempotency-Key")));
	log_member(&out, "user_agent", sb_slice(header(connection, "User-Agent")));
	sb_text_puts(&out, ",\"headers\":{");
	MHD_get_connection_values(connection, MHD_HEADER_KIND, log_header, &out);
	sb_text_puts(&out, "}");
	log_member(&out, "body", body);
	sb_text_printf(&out, ",\"connection\":%llu,\"at\":%lld.%06d",
				   (unsigned long long) request->connection->number,
				   (long long) (request->arrived_us / 1000000),
				   (int) (request->arrived_us % 1000000));
	sb_log_add(&out);
}

/* Answer a call that a rule keeps from being carried out */
static void
pretend(SbRequest *request)
{
	request->answer.status = sb_operation_status(request->operation);
	sb_text_puts(&request->answer.data, "{\"id\":");
	sb_text_quote(&request->answer.data, sb_text_slice(&request->subject));
	sb_text_puts(&request->answer.data, "}");
}

/* Decide the answer of a whole request, act, count and record */
void
sb_api_decide(SbRequest *request, struct MHD_Connection *connection, const char *method)
{
	SbSlice		query = {0};

	if (route(request, method, &query))
	{
		bool		good = check(request, connection, query);

		find_subject(request);
		if (good)
		{
			request->fault = sb_fault_match(request->operation, sb_text_slice(&request->subject));
			if (sb_fault_acts(request->fault))
			{
				sb_operation_run(request);
				request->acted = request->answer.status < 300;
			}
			else
				pretend(request);
		}
	}
	sb_answer_complete(request);
	sb_stats_call(request->operation, sb_text_slice(&request->subject), request->rejected);
	if (request->config->log)
		record(request, connection, method);
	request->decided = true;
}
