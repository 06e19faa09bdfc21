/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP transfers that never block an interrupt.
 *
 * A pool holds the kept-alive connections of one profile; a transfer is one
 * request and its answer.  Any number of transfers, in any number of pools,
 * make progress together inside ap_http_wait(), which is the only place that
 * waits, and the one where interrupts throw.  Besides, only a lack of memory or
 * of descriptors throws.
 *
 * A transfer belongs to the memory context current at ap_http_start(), and is
 * abandoned when that context goes.  It must go before its pool is closed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_HTTP_H
#define AP_HTTP_H

#include "buffer.h"
#include "status.h"

typedef struct ApHttpPool ApHttpPool;
typedef struct ApHttpTransfer ApHttpTransfer;

/* What to send.  All texts must live as long as the transfer. */
typedef struct ApHttpRequest
{
	const char *url;
	const char *const *headers; /* "name: value" lines, ended by NULL */
	bool		is_post;
	const char *body;			/* of a POST; NULL for none */
	size_t		body_len;
	const char *ca_file;		/* NULL for the system's certificates */
	int			timeout_ms;
	int			connect_timeout_ms;
	size_t		max_answer_size;
} ApHttpRequest;

/* What came back.  The texts live as long as the transfer. */
typedef struct ApHttpAnswer
{
	int			http_status;
	const ApBuffer *body;
	const char *signature;		/* the header x-allpass-signature, or NULL */
	int64		retry_after_s;	/* of the header Retry-After, 0 if there was none */
} ApHttpAnswer;

extern int64 ap_http_clock_us(void);

extern ApHttpPool *ap_http_pool_create(int max_connections);
extern void ap_http_pool_close(ApHttpPool *pool);
extern bool ap_http_pool_is_full(const ApHttpPool *pool);

extern ApHttpTransfer *ap_http_start(ApHttpPool *pool, const ApHttpRequest *request,
									 ApStatus *status);
extern bool ap_http_is_done(const ApHttpTransfer *transfer);
extern void ap_http_wait(long timeout_ms);
extern bool ap_http_was_sent(const ApHttpTransfer *transfer);
extern bool ap_http_finish(ApHttpTransfer *transfer, ApHttpAnswer *answer,
						   ApStatus *status);

#endif							/* AP_HTTP_H */
