/*-------------------------------------------------------------------------
 *
 * request.c
 *		One request from its first line to the end of its answer.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "request.h"

#define MAX_API_BODY (16 << 20)
#define MAX_CONTROL_BODY (512 << 20)

/* Begin a request whose first line has come */
SbRequest *
sb_request_begin(const char *target, SbConnection *connection)
{
	SbRequest  *request = sb_alloc(sizeof(SbRequest));

	request->connection = connection;
	request->target = sb_copy(target, strlen(target));
	request->control = strncmp(target, "/_sandbox/", 10) == 0;
	request->operation = SB_NO_OPERATION;
	request->generation = sb_timer_generation();
	request->arrived_us = sb_clock_wall_us();
	request->config = sb_config_get();
	sb_stats_use(connection, request->control);
	return request;
}

/* Note that the headers of a request have come, and how long its body is to be */
void
sb_request_arrive(SbRequest *request, const char *content_length)
{
	request->started = true;
	if (content_length != NULL)
		request->expected = strtoull(content_length, NULL, 10);
	if (!request->control)
		sb_stats_arrive();
}

/* Take in a piece of the body */
void
sb_request_body(SbRequest *request, const char *data, size_t length)
{
	size_t		limit = request->control ? MAX_CONTROL_BODY : MAX_API_BODY;

	request->received += length;
	if (request->too_large || length > limit - request->body.length)
		request->too_large = true;
	else
		sb_text_add(&request->body, data, length);
}

/* End a request */
void
sb_request_end(SbRequest *request)
{
	if (request->started && !request->control)
		sb_stats_leave();
	sb_config_release(request->config);
	sb_fault_release(request->fault);
	json_object_put(request->members);
	sb_text_free(&request->subject);
	sb_text_free(&request->body);
	sb_text_free(&request->answer.data);
	sb_text_free(&request->answer.body);
	sb_text_free(&request->answer.tail);
	free(request->target);
	free(request);
}
