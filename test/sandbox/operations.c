/*-------------------------------------------------------------------------
 *
 * operations.c
 *		The ten calls of the API, acting on the store.
 *
 * Each one takes a request that passed validation, and leaves a status and,
 * for a success, the text of "data".
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "clock.h"
#include "documents.h"
#include "operations.h"

#define GRACE_MS (INT64_C(20) * 24 * 3600 * 1000)
#define DEFAULT_TTL "3600"
#define LINK_BASE "https://verification.example.com/"

typedef void (*Run) (SbRequest *request, SbText *data);

/* Get a string of the request's body; the absent slice if it is not there */
static SbSlice
member(const SbRequest *request, const char *name)
{
	return sb_json_string(json_object_object_get(request->members, name));
}

/* Append {"id":…} with an open end */
static void
open_id(const SbApplicant *applicant, SbText *data)
{
	sb_text_printf(data, "{\"id\":\"%s\"", applicant->id);
}

/* POST applicant */
static void
create_applicant(SbRequest *request, SbText *data)
{
	SbApplicant draft = {
		.external_id = member(request, "externalUserId"),
		.flow_name = member(request, "flowName"),
		.phone = member(request, "phone"),
		.email = member(request, "email"),
		.lang = member(request, "lang"),
		.status = SB_LITERAL("INIT")
	};
	SbApplicant *made;

	draft.flow_id = sb_store_flow(draft.flow_name);
	made = sb_store_create(&draft);
	if (made == NULL)
		request->answer.status = 409;
	else
		sb_document_applicant(made, data);
	sb_applicant_release(made);
}

/* GET applicant/{id} */
static void
read_applicant(SbRequest *request, SbText *data)
{
	SbSlice		id = sb_text_slice(&request->subject);
	SbOverride *override = sb_store_find_override(SB_DOCUMENT_APPLICANT, id);
	SbApplicant *applicant = override ? NULL : sb_store_find(id);

	if (override != NULL)
		sb_text_put(data, sb_text_slice(&override->data));
	else if (applicant != NULL)
		sb_document_applicant(applicant, data);
	else
		request->answer.status = 404;
	sb_override_release(override);
	sb_applicant_release(applicant);
}

/* GET applicant/{id}/status */
static void
read_status(SbRequest *request, SbText *data)
{
	SbSlice		id = sb_text_slice(&request->subject);
	SbOverride *override = sb_store_find_override(SB_DOCUMENT_APPLICANT, id);
	SbApplicant *applicant = override ? NULL : sb_store_find(id);

	if (override != NULL)
		sb_text_put(data, sb_text_slice(&override->status));
	else if (applicant != NULL)
		sb_document_status(applicant, data);
	else
		request->answer.status = 404;
	sb_override_release(override);
	sb_applicant_release(applicant);
}

/* Where an applicant moves to */
typedef struct Move
{
	int64_t		flow_id;
	SbText		flow_name;
} Move;

/* Put an applicant at the start of another flow */
static void
change_flow(SbApplicant *draft, const void *argument)
{
	const Move *move = argument;

	draft->flow_id = move->flow_id;
	draft->flow_name = sb_text_slice(&move->flow_name);
	draft->status = SB_LITERAL("INIT");
}

/* POST applicant/{id}/moveToFlow; the id of a flow is its number, as text, or its name */
static void
move_to_flow(SbRequest *request, SbText *data)
{
	SbSlice		flow = member(request, "flowId");
	Move		move = {0};
	SbApplicant *changed;

	if (flow.length <= 15 && strspn(flow.data, "0123456789") == flow.length)
	{
		move.flow_id = strtoll(flow.data, NULL, 10);
		sb_store_flow_name(move.flow_id, &move.flow_name);
	}
	else
	{
		move.flow_id = sb_store_flow(flow);
		sb_text_put(&move.flow_name, flow);
	}
	changed = sb_store_change(sb_text_slice(&request->subject), change_flow, &move);
	if (changed == NULL)
		request->answer.status = 404;
	else
		sb_document_status(changed, data);
	sb_applicant_release(changed);
	sb_text_free(&move.flow_name);
}

/* Set or clear the date of deletion */
static void
change_deletion(SbApplicant *draft, const void *argument)
{
	draft->deletion_ms = *(const int64_t *) argument;
}

/* POST applicant/{id}/schedule-deletion; in test mode the applicant goes at once */
static void
schedule_deletion(SbRequest *request, SbText *data)
{
	SbSlice		id = sb_text_slice(&request->subject);
	bool		test = request->config->test_mode;
	int64_t		date = sb_clock_wall() + (test ? 0 : GRACE_MS);
	SbApplicant *changed = sb_store_change(id, change_deletion, &date);
	char		text[SB_TIME_LENGTH + 1];

	if (changed == NULL)
	{
		request->answer.status = 404;
		return;
	}
	if (test)
		sb_store_remove(id);
	sb_clock_format(date, text);
	open_id(changed, data);
	sb_text_printf(data, ",\"scheduledDeletionDate\":\"%s\"}", text);
	sb_applicant_release(changed);
}

/* POST applicant/{id}/restore */
static void
restore(SbRequest *request, SbText *data)
{
	int64_t		date = 0;
	SbApplicant *changed = sb_store_change(sb_text_slice(&request->subject),
										   change_deletion, &date);

	if (changed == NULL)
	{
		request->answer.status = 404;
		return;
	}
	open_id(changed, data);
	sb_text_puts(data, "}");
	sb_applicant_release(changed);
}

/* Append random characters of base64url */
static void
put_random(SbText *text, size_t length)
{
	static const char *const digits =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char bytes[64];

	if (length > sizeof(bytes) || !sb_cipher_random(bytes, length))
		abort();
	for (size_t i = 0; i < length; i++)
		sb_text_add(text, &digits[bytes[i] % 64], 1);
}

/* POST applicant/{id}/token; the token has the form of a JWT and no meaning */
static void
make_token(SbRequest *request, SbText *data)
{
	SbApplicant *applicant = sb_store_find(sb_text_slice(&request->subject));
	struct json_object *ttl = json_object_object_get(request->members, "ttl");
	char		transaction[SB_ID_LENGTH + 1];
	uint64_t	seed;
	SbText		token = {0};

	if (applicant == NULL)
	{
		request->answer.status = 404;
		return;
	}
	if (!sb_cipher_random((unsigned char *) &seed, sizeof(seed)))
		abort();
	sb_uuid(seed, transaction);
	sb_text_puts(&token, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ");
	put_random(&token, 64);
	sb_text_puts(&token, ".");
	put_random(&token, 43);
	sb_text_printf(data, "{\"transactionId\":\"%s\",\"accessToken\":\"%s\",\"link\":\"%s%s\","
				   "\"applicantId\":\"%s\",\"ttl\":%s}", transaction, token.data, LINK_BASE,
				   token.data, applicant->id,
				   ttl ? sb_json_text(ttl) : DEFAULT_TTL);
	sb_text_free(&token);
	sb_applicant_release(applicant);
}

/* GET questionnaire/{id} */
static void
read_questionnaire(SbRequest *request, SbText *data)
{
	SbSlice		id = sb_text_slice(&request->subject);
	SbOverride *override = sb_store_find_override(SB_DOCUMENT_QUESTIONNAIRE, id);

	if (override != NULL)
		sb_text_put(data, sb_text_slice(&override->data));
	else if (!sb_document_questionnaire(id, data))
		request->answer.status = 404;
	sb_override_release(override);
}

/* POST crypto-aml/search */
static void
search_aml(SbRequest *request, SbText *data)
{
	SbSlice		address = member(request, "address");
	bool		transaction = address.data == NULL;
	SbReport   *report = sb_store_add_report(member(request, "blockchain"),
											 transaction ? member(request, "txHash") : address,
											 transaction);

	sb_text_printf(data, "{\"id\":\"%s\",\"type\":\"%s\"}", report->id,
				   transaction ? "TRANSACTION" : "WALLET");
	sb_report_release(report);
}

/* GET crypto-aml/{id}/details */
static void
read_aml(SbRequest *request, SbText *data)
{
	SbSlice		id = sb_text_slice(&request->subject);
	SbOverride *override = sb_store_find_override(SB_DOCUMENT_AML, id);
	SbReport   *report = override ? NULL : sb_store_find_report(id);

	if (override != NULL)
		sb_text_put(data, sb_text_slice(&override->data));
	else if (report != NULL && report->transaction == request->transaction)
		sb_document_report(report, data);
	else
		request->answer.status = 404;
	sb_override_release(override);
	sb_report_release(report);
}

static const struct
{
	Run			run;
	int			status;			/* of a success */
	const char *missing;		/* message of a 404 */
}			operations[SB_OPERATION_COUNT] = {
	[SB_CREATE_APPLICANT] = {create_applicant, 201, NULL},
	[SB_APPLICANT] = {read_applicant, 200, "\"Applicant not found\""},
	[SB_APPLICANT_STATUS] = {read_status, 200, "\"Applicant not found\""},
	[SB_MOVE_TO_FLOW] = {move_to_flow, 201, "\"Applicant not found\""},
	[SB_SCHEDULE_DELETION] = {schedule_deletion, 201, "\"Applicant not found\""},
	[SB_RESTORE] = {restore, 201, "\"Applicant not found\""},
	[SB_TOKEN] = {make_token, 201, "\"Applicant not found\""},
	[SB_QUESTIONNAIRE] = {read_questionnaire, 200, "\"Questionnaire not found\""},
	[SB_AML_SEARCH] = {search_aml, 201, NULL},
	[SB_AML_DETAILS] = {read_aml, 200, "\"AML report not found\""},
};

/* Give the status of a success */
int
sb_operation_status(SbOperation operation)
{
	return operations[operation].status;
}

/* Carry out a request; a failure leaves its error envelope in the body */
void
sb_operation_run(SbRequest *request)
{
	SbAnswer   *answer = &request->answer;
	const char *message = "\"An applicant with this externalUserId exists\"";

	answer->status = operations[request->operation].status;
	operations[request->operation].run(request, &answer->data);
	if (answer->status < 400)
		return;
	if (answer->status == 404)
		message = operations[request->operation].missing;
	sb_envelope_error(answer->status, sb_slice(message), (SbSlice) {0}, &answer->body);
	answer->sized = true;
}
