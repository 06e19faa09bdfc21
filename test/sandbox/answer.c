/*-------------------------------------------------------------------------
 *
 * answer.c
 *		From a decided answer to bytes on the wire, bent by a fault.
 *
 * An ordinary answer is one buffer that libmicrohttpd takes over. Whatever is
 * cut, chunked, slow or larger than memory should be goes through stream.c.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "answer.h"
#include "operations.h"
#include "stream.h"

#define JSON_TYPE "application/json; charset=utf-8"

/* Write a success whose data is one string of many bytes, without the bytes */
static void
prepare_oversize(SbAnswer *answer, uint64_t fill)
{
	SbConfig	plain = {.encryption = SB_ENCRYPTION_NONE};
	SbText		whole = {0};
	SbSlice		data = SB_LITERAL("{\"filler\":\"\"}");
	size_t		head;

	sb_envelope_success(&plain, data, &whole, answer->signature);
	head = (size_t) (strstr(whole.data, "\"filler\":\"") - whole.data) + 10;
	sb_text_add(&answer->body, whole.data, head);
	sb_text_add(&answer->tail, whole.data + head, whole.length - head);
	answer->fill = fill;
	sb_text_free(&whole);
}

/* Tell whether a fault puts another answer in the place of the operation's */
static bool
replaces(const SbFault *fault)
{
	return fault->body.data != NULL || fault->oversize >= 0 || fault->data.data != NULL ||
		fault->message.data != NULL || fault->status >= 300;
}

/*
 * Bend what the operation answered the way the fault says.
 *
 * A rule with a status of 300 and above, or a message, makes an error; "data"
 * replaces the data of either. A replaced answer without a status of its own
 * has the one of a success, also where the operation failed.
 */
static void
apply_fault(SbRequest *request)
{
	const SbFault *fault = request->fault;
	SbAnswer   *answer = &request->answer;

	if (fault->status >= 0)
		answer->status = (int) fault->status;
	if (!replaces(fault))
		return;
	if (fault->status < 0)
		answer->status = sb_operation_status(request->operation);
	sb_text_free(&answer->body);
	answer->sized = true;
	if (fault->body.data != NULL)
		sb_text_put(&answer->body, sb_text_slice(&fault->body));
	else if (fault->oversize >= 0)
		prepare_oversize(answer, (uint64_t) fault->oversize);
	else if (fault->message.data != NULL || fault->status >= 300)
		sb_envelope_error(answer->status >= 300 ? answer->status : 400,
						  (SbSlice) {fault->message.data, fault->message.length},
						  (SbSlice) {fault->data.data, fault->data.length}, &answer->body);
	else
	{
		answer->sized = false;
		sb_text_free(&answer->data);
		sb_text_put(&answer->data, sb_text_slice(&fault->data));
	}
}

/* Write the body of the answer, with its envelope, signature and faults */
void
sb_answer_complete(SbRequest *request)
{
	SbAnswer   *answer = &request->answer;
	SbText		packed = {0};

	if (answer->content_type == NULL)
		answer->content_type = JSON_TYPE;
	if (request->fault != NULL)
		apply_fault(request);
	if (!answer->sized &&
		!sb_envelope_success(request->config, sb_text_slice(&answer->data), &answer->body,
							 answer->signature))
	{
		answer->status = 500;
		sb_text_free(&answer->body);
		sb_envelope_error(500, sb_slice("\"the answer could not be sealed\""), (SbSlice) {0},
						  &answer->body);
	}
	answer->sized = true;
	if (request->fault != NULL && request->fault->gzip && answer->tail.data == NULL &&
		sb_stream_gzip(sb_text_slice(&answer->body), &packed))
	{
		sb_text_free(&answer->body);
		answer->body = packed;
	}
}

/* Add one header unless the fault sets it itself */
static void
add_header(struct MHD_Response *response, const SbFault *fault, const char *name,
		   const char *value)
{
	if (value != NULL && *value != '\0' && !sb_fault_has_header(fault, name))
		MHD_add_response_header(response, name, value);
}

/* Add all headers */
static void
add_headers(const SbRequest *request, struct MHD_Response *response)
{
	const SbAnswer *answer = &request->answer;
	const SbFault *fault = request->fault;

	add_header(response, fault, "Content-Type",
			   fault && fault->content_type.data ? fault->content_type.data : answer->content_type);
	add_header(response, fault, "x-allpass-signature",
			   fault && fault->signature.data ? fault->signature.data : answer->signature);
	add_header(response, fault, "Allow", answer->allow);
	if (fault == NULL)
		return;
	add_header(response, fault, "Retry-After", fault->retry_after.data);
	add_header(response, fault, "Content-Encoding", fault->gzip ? "gzip" : NULL);
	for (size_t i = 0; i < fault->header_count; i++)
		MHD_add_response_header(response, fault->headers[i].name, fault->headers[i].value);
}

/* Hand the answer to libmicrohttpd */
enum MHD_Result
sb_answer_queue(SbRequest *request, struct MHD_Connection *connection)
{
	SbAnswer   *answer = &request->answer;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (request->fault != NULL && sb_stream_needed(request))
		response = sb_stream_response(request, connection);
	else
	{
		/* libmicrohttpd takes no NULL, and frees what it takes */
		sb_text_reserve(&answer->body, 0);
		response = MHD_create_response_from_buffer(answer->body.length, answer->body.data,
												   MHD_RESPMEM_MUST_FREE);
		if (response != NULL)
			answer->body = (SbText) {0};
	}
	if (response == NULL)
		return MHD_NO;
	add_headers(request, response);
	result = MHD_queue_response(connection, (unsigned int) answer->status, response);
	MHD_destroy_response(response);
	return result;
}
