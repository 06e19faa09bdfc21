/*-------------------------------------------------------------------------
 *
 * request.h
 *		One request from its first line to the end of its answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_REQUEST_H
#define SB_REQUEST_H

#include "config.h"
#include "envelope.h"
#include "faults.h"
#include "json.h"
#include "stats.h"
#include "timer.h"

typedef struct SbAnswer
{
	int			status;
	SbText		data;			/* goes into the envelope of a success */
	SbText		body;			/* the whole HTTP body */
	SbText		tail;			/* of a body that is filled up in between */
	uint64_t	fill;			/* how many bytes between body and tail */
	bool		sized;			/* the body is complete and final */
	const char *content_type;
	const char *allow;			/* header Allow, or NULL */
	char		signature[SB_SIGNATURE_MAX];
} SbAnswer;

typedef struct SbRequest
{
	SbConnection *connection;
	char	   *target;			/* as it came */
	bool		control;
	bool		started;
	bool		too_large;
	bool		decided;		/* the answer stands, it may still be delayed */
	bool		rejected;		/* by validation */
	bool		acted;			/* carried out, whatever the answer says */
	bool		transaction;	/* query type=TRANSACTION */
	unsigned	generation;		/* of the timer, when the request came */
	int64_t		arrived_us;
	uint64_t	expected;		/* bytes of the body, 0 where that is not told */
	uint64_t	received;
	SbOperation operation;
	SbText		subject;
	SbText		body;
	struct json_object *members;	/* the body as an object, opened if sealed */
	SbConfig   *config;
	SbFault    *fault;
	SbAnswer	answer;
	SbWait		wait;
} SbRequest;

extern SbRequest *sb_request_begin(const char *target, SbConnection *connection);
extern void sb_request_arrive(SbRequest *request, const char *content_length);
extern void sb_request_body(SbRequest *request, const char *data, size_t length);
extern void sb_request_end(SbRequest *request);

#endif							/* SB_REQUEST_H */
