/*-------------------------------------------------------------------------
 *
 * client.c
 *		The one door to the network: calls of API operations.
 *
 *		arguments -> endpoint -> seal -> http -> open -> jsonb
 *
 * A call owns a memory context with everything it needs, so ending it, well or
 * not, is deleting that context.  Callers have checked the arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/ilist.h"
#include "miscadmin.h"

#include "client.h"
#include "envelope.h"

#define AP_UUID_LENGTH 36
#define AP_MAX_HEADERS 8

/*
 * A request that starts late, since waits are reckoned in milliseconds, does
 * not make those after it late, unless it is later than this.
 */
#define AP_CATCH_UP_US 5000

/* Until a call under way ends, whenever that is. */
#define AP_NO_PLACE PG_INT64_MAX

struct ApCall
{
	MemoryContext context;
	ApProfile  *profile;
	const ApEndpoint *endpoint;
	ApHttpRequest request;
	const char *headers[AP_MAX_HEADERS + 1];
	ApBuffer	url;
	ApBuffer	body;			/* as documented */
	ApBuffer	sealed;			/* as sent, if requests are encrypted */
	ApBuffer	signature;
	char		request_id[AP_UUID_LENGTH + 1];
	const char *idempotency_key;	/* or NULL */
	List	   *secrets;
	dlist_node	node;			/* in waiting_calls */
	bool		waiting;		/* for a place or its turn */
	ApHttpTransfer *transfer;	/* NULL until it has started */
	ApStatus	status;
	MemoryContextCallback cleanup;
};

/* The calls that wait for a place or a turn, in the order in which they were sent. */
static dlist_head waiting_calls = DLIST_STATIC_INIT(waiting_calls);

/*
 * Write a UUID, of version 4, that no other call has.  Random bits are drawn
 * once in a backend, since each draw costs a system call or two; then a number
 * is added to them for every call.
 */
static bool
make_uuid(char *text)
{
	static unsigned char bytes[16];
	static bool drawn = false;

	if (!drawn && !ap_crypto_random(bytes, sizeof(bytes)))
		return false;
	drawn = true;
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (int i = 15; i > 8 && ++bytes[i] == 0; i--)
		;
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = "0123456789abcdef"[bytes[i] >> 4];
		*text++ = "0123456789abcdef"[bytes[i] & 15];
	}
	*text = '\0';
	return true;
}

/*
 * Seal the body if the server's options say so.
 */
static bool
seal_body(ApCall *call)
{
	ApBytes		plain = {(const unsigned char *) ap_buffer_text(&call->body), call->body.len};

	ap_buffer_init(&call->sealed, plain.len * 2 + 256);
	ap_buffer_init(&call->signature, AP_HMAC_MAX * 2);
	if (plain.len == 0 || !call->profile->options.encrypt_requests)
		return true;
	return ap_seal_close(&call->profile->options.seal, plain, &call->sealed,
						 &call->signature, &call->status);
}

/*
 * Collect the headers of the request.
 */
static void
make_headers(ApCall *call)
{
	int			count = 0;

	call->headers[count++] = psprintf("x-private-app-key: %s", call->profile->options.api_key);
	call->headers[count++] = psprintf("x-request-id: %s", call->request_id);
	call->headers[count++] = "accept: application/json";
	if (call->request.is_post)
	{
		call->headers[count++] = "expect:";
		call->headers[count++] = call->request.body_len > 0 ?
			"content-type: application/json" : "content-type:";
	}
	if (call->idempotency_key != NULL)
		call->headers[count++] = psprintf("idempotency-key: %s", call->idempotency_key);
	if (call->signature.len > 0)
		call->headers[count++] = psprintf("x-allpass-signature: %s", call->signature.data);
	Assert(count <= AP_MAX_HEADERS);
	call->headers[count] = NULL;
}

/*
 * Build everything that is sent.
 */
static bool
prepare(ApCall *call, const char *const *values, size_t max_answer_size)
{
	const ApOptions *options = &call->profile->options;
	ApHttpRequest *request = &call->request;
	const ApBuffer *sent;

	if (!ap_endpoint_build(call->endpoint, options->base_url, values,
						   &call->url, &call->body, &call->status))
		return false;
	if (!seal_body(call))
		return false;
	if (!make_uuid(call->request_id))
		return ap_status_set(&call->status, AP_NO_MEMORY, "could not make a random request id");
	sent = call->sealed.len > 0 ? &call->sealed : &call->body;

	request->url = call->url.data;
	request->headers = call->headers;
	request->is_post = call->endpoint->is_post;
	request->body = sent->data;
	request->body_len = sent->len;
	request->ca_file = options->ca_file;
	request->timeout_ms = options->timeout_ms;
	request->connect_timeout_ms = options->connect_timeout_ms;
	request->max_answer_size = max_answer_size;
	make_headers(call);
	return true;
}

/*
 * Give the profile its connections, if it has none yet.
 */
static bool
open_pool(ApCall *call)
{
	ApProfile  *profile = call->profile;

	if (profile->pool != NULL)
		return true;
	profile->pool = ap_http_pool_create(profile->options.max_concurrency);
	if (profile->pool == NULL)
		return ap_status_set(&call->status, AP_NO_MEMORY, "could not initialize libcurl");
	return true;
}

/*
 * Take a turn under a rate limit.  Returns the microseconds until there is one,
 * 0 if it was taken.  Other processes may go by the same clock.
 */
static int64
take_turn(pg_atomic_uint64 *clock, double rate_limit)
{
	int64		now = ap_http_clock_us();
	uint64		last = pg_atomic_read_u64(clock);
	int64		turn;

	do
	{
		turn = (int64) last;
		if (rate_limit > 0 && last > 0)
			turn += (int64) (1000000 / rate_limit);
		if (now < turn)
			return turn - now;
		if (rate_limit == 0 || now - turn > AP_CATCH_UP_US)
			turn = now;
	} while (!pg_atomic_compare_exchange_u64(clock, &last, (uint64) turn));
	return 0;
}

/*
 * Send the request, if there is a connection for it and the server's rate limit
 * lets it start now.  Returns the microseconds until it may, 0 if it was sent,
 * or AP_NO_PLACE.  A turn is taken only by a request that is sent, so a call that
 * is abandoned before costs none; and no time limit runs while a call waits.
 */
static int64
try_send(ApCall *call)
{
	ApProfile  *profile = call->profile;
	MemoryContext old;
	int64		left_us;

	if (ap_http_pool_is_full(profile->pool))
		return AP_NO_PLACE;
	left_us = take_turn(profile->rate_clock, profile->options.rate_limit);
	if (left_us > 0)
		return left_us;
	old = MemoryContextSwitchTo(call->context);
	call->transfer = ap_http_start(profile->pool, &call->request, &call->status);
	MemoryContextSwitchTo(old);
	return 0;
}

/*
 * Take a call that goes out of the line of those that wait for their turn.
 */
static void
leave_line(void *arg)
{
	ApCall	   *call = arg;

	if (call->waiting)
		dlist_delete(&call->node);
	call->waiting = false;
}

/*
 * Prepare a call of an operation with checked arguments; the idempotency key
 * may be NULL.  If that fails, the call is done.
 */
ApCall *
ap_client_prepare(ApProfile *profile, const ApEndpoint *endpoint,
				  const char *const *values, size_t max_answer_size,
				  const char *idempotency_key)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "allpass call",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ApCall	   *call = palloc0(sizeof(*call));

	call->context = context;
	call->profile = profile;
	call->endpoint = endpoint;
	call->idempotency_key = idempotency_key != NULL ? pstrdup(idempotency_key) : NULL;
	call->cleanup.func = leave_line;
	call->cleanup.arg = call;
	ap_profile_hold(profile);
	MemoryContextRegisterResetCallback(context, &call->cleanup);
	ap_buffer_own(&call->url, context);
	ap_buffer_own(&call->body, context);
	ap_buffer_own(&call->sealed, context);
	ap_buffer_own(&call->signature, context);
	call->secrets = list_concat(ap_endpoint_secrets(endpoint, values), profile->secrets);
	if (open_pool(call))
		(void) prepare(call, values, max_answer_size);
	MemoryContextSwitchTo(old);
	return call;
}

/*
 * Send a prepared call, or let it wait for a connection, or for its turn under
 * the server's rate limit.
 */
void
ap_client_send(ApCall *call)
{
	if (call->status.code != AP_OK || try_send(call) == 0)
		return;
	dlist_push_tail(&waiting_calls, &call->node);
	call->waiting = true;
}

/*
 * Let all calls make progress: act on what is due now or, if nothing is, wait
 * for it for at most timeout_ms (-1 for no limit).  Returns early when the
 * latch is set.  Throws on interrupts.
 */
void
ap_client_progress(long timeout_ms)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiting_calls)
	{
		ApCall	   *call = dlist_container(ApCall, node, iter.cur);
		int64		left_us = try_send(call);
		long		left_ms = (long) (left_us / 1000 + 1);

		if (left_us == AP_NO_PLACE)
			continue;
		if (left_us == 0)
		{
			leave_line(call);
			timeout_ms = 0;		/* it may have failed, and be done */
		}
		else if (timeout_ms < 0 || left_ms < timeout_ms)
			timeout_ms = left_ms;
	}
	ap_http_wait(timeout_ms);
}

/*
 * Tell whether a call has ended, well or not.
 */
bool
ap_client_is_done(const ApCall *call)
{
	if (call->status.code != AP_OK)
		return true;
	return call->transfer != NULL && ap_http_is_done(call->transfer);
}

/*
 * Wait until a call has ended.  Throws on interrupts.
 */
void
ap_client_wait(ApCall *call)
{
	while (!ap_client_is_done(call))
		ap_client_progress(-1);
}

/*
 * Log an ended call, without anything that could be secret or personal.
 */
static void
log_call(const ApCall *call, size_t size)
{
	ereport(DEBUG1,
			(errhidestmt(true),
			 errhidecontext(true),
			 errmsg_internal("Allpass API operation %s ended with status %d and %zu bytes, request id %s",
							 call->endpoint->name, call->status.http_status, size,
							 call->request_id)));
}

/*
 * Give the answer of a call that has ended: its data, which live as long as
 * the call, or NULL with the status set.
 */
Jsonb *
ap_client_answer(ApCall *call, ApStatus *status)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	ApHttpAnswer answer = {0};
	Jsonb	   *data = NULL;

	if (call->status.code == AP_OK)
	{
		call->status.sent = ap_http_was_sent(call->transfer);
		if (ap_http_finish(call->transfer, &answer, &call->status))
			data = ap_envelope_read(&call->profile->options.seal, &answer,
									call->secrets, &call->status);
		call->status.retry_after_s = answer.retry_after_s;
		log_call(call, answer.body != NULL ? answer.body->len : 0);
	}
	MemoryContextSwitchTo(old);
	*status = call->status;
	return data;
}

/*
 * End a call, in any state, and free what it holds.
 */
void
ap_client_end(ApCall *call)
{
	MemoryContextDelete(call->context);
}
