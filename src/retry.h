/*-------------------------------------------------------------------------
 *
 * retry.h
 *		What becomes of a job after an attempt: the policy of the queue.
 *
 * Pure: it looks at the outcome of a call and says what to do.  Times are in
 * milliseconds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_RETRY_H
#define AP_RETRY_H

#include "status.h"

/* Who has to wait after a failure. */
typedef enum ApScope
{
	AP_SCOPE_JOB,				/* this job */
	AP_SCOPE_ROLE,				/* all jobs of this server and role: a fault of its keys */
	AP_SCOPE_SERVER				/* all jobs of this server */
} ApScope;

typedef enum ApVerdict
{
	AP_VERDICT_AGAIN,
	AP_VERDICT_DONE,
	AP_VERDICT_FAILED
} ApVerdict;

typedef struct ApRetry
{
	ApVerdict	verdict;
	ApScope		scope;			/* of AP_VERDICT_AGAIN */
	bool		charged;		/* the attempt counts */
	bool		in_doubt;		/* the API may have acted */
	int64		least_ms;		/* what the API asked for, 0 for nothing */
} ApRetry;

extern ApRetry ap_retry_judge(const ApStatus *status);
extern int64 ap_retry_delay(int failures, int64 least_ms, double chance);
extern int64 ap_retry_pause(ApScope scope, const ApStatus *status, int failures);

#endif							/* AP_RETRY_H */
