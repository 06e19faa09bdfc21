/*-------------------------------------------------------------------------
 *
 * client.h
 *		The one door to the network: calls of API operations.
 *
 * A call is an operation with its arguments, under way or answered.  Any
 * number may be under way at once; all make progress whenever one is waited
 * for.  A call belongs to the memory context current at ap_client_start() and
 * is abandoned when that context goes, or at ap_client_end().
 *
 * Every failure of a call is in its status.  What throws is an interrupt, in
 * ap_client_wait() and while an answer is read, or a lack of memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_CLIENT_H
#define AP_CLIENT_H

#include "utils/jsonb.h"

#include "endpoint.h"
#include "profile.h"

typedef struct ApCall ApCall;

extern ApCall *ap_client_start(ApProfile *profile, const ApEndpoint *endpoint,
							   const char *const *values, size_t max_answer_size);
extern void ap_client_wait(ApCall *call);
extern Jsonb *ap_client_answer(ApCall *call, ApStatus *status);
extern void ap_client_end(ApCall *call);

#endif							/* AP_CLIENT_H */
