/*-------------------------------------------------------------------------
 *
 * client.h
 *		The one door to the network: calls of API operations.
 *
 * A call is an operation with its arguments: prepared, then sent, under way,
 * and done.  Any number may be under way at once, and all make progress in
 * ap_client_progress(), which waits; at most the server's max_concurrency are
 * on the network, and the time limits of those that wait for that do not run.
 * A call belongs to the memory context current when it is prepared, and is
 * abandoned when that context goes, or at ap_client_end().
 *
 * Nothing goes to the network before the first ap_client_progress() after
 * ap_client_send().  Only preparing a call and reading its answer need a
 * transaction, for conversions of encodings; waiting does not.
 *
 * Every failure of a call is in its status.  What throws is an interrupt, in
 * ap_client_progress() and while an answer is read, or a lack of memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_CLIENT_H
#define AP_CLIENT_H

#include "utils/jsonb.h"

#include "endpoint.h"
#include "profile.h"

typedef struct ApCall ApCall;

extern ApCall *ap_client_prepare(ApProfile *profile, const ApEndpoint *endpoint,
								 const char *const *values, size_t max_answer_size,
								 const char *idempotency_key);
extern void ap_client_send(ApCall *call);
extern void ap_client_progress(long timeout_ms);
extern bool ap_client_is_done(const ApCall *call);
extern void ap_client_wait(ApCall *call);
extern Jsonb *ap_client_answer(ApCall *call, ApStatus *status);
extern void ap_client_end(ApCall *call);

#endif							/* AP_CLIENT_H */
