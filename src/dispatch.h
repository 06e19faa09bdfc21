/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *		Carrying out the jobs of a queue: claim, send, settle, again and again.
 *
 * Used by the worker and by allpass_drain().  Each step either runs one short
 * transaction, in which it settles what has ended and claims what is due, or
 * waits, with no transaction, for answers, for the latch or for time.
 *
 * A place among a server's concurrent calls is taken from the claim until the
 * settlement has committed.  So no more jobs than that are ever between being
 * sent and being settled, and that many at most are sent again after a crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_DISPATCH_H
#define AP_DISPATCH_H

#include "claim.h"
#include "shared.h"

typedef struct ApDispatch ApDispatch;

/* What the surface decides; may be changed between steps. */
typedef struct ApDispatchConfig
{
	ApClaimLimits claim;
	int64		max_age_s;		/* of a job that is tried again */
	int64		retention_s;	/* of settled jobs, -1 for ever */
	bool		can_be_cancelled;	/* a cancel ends it, not just a transaction */
} ApDispatchConfig;

extern ApDispatch *ap_dispatch_create(ApQueue *queue);
extern ApDispatchConfig *ap_dispatch_config(ApDispatch *dispatch);
extern void ap_dispatch_news(ApDispatch *dispatch, const ApNews *news);
extern bool ap_dispatch_step(ApDispatch *dispatch, long timeout_ms);
extern bool ap_dispatch_is_idle(ApDispatch *dispatch);
extern int	ap_dispatch_in_flight(const ApDispatch *dispatch);
extern void ap_dispatch_give_up(ApDispatch *dispatch, long grace_ms);

#endif							/* AP_DISPATCH_H */
