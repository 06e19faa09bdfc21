/*-------------------------------------------------------------------------
 *
 * claim.h
 *		Claiming the jobs that are due: of each server as many as there is room
 *		for, first those known to be next, then lane by lane.
 *
 * What is claimed becomes attempts that are ready.  ap_claims_make()
 * needs a transaction of the queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_CLAIM_H
#define AP_CLAIM_H

#include "flights.h"
#include "pauses.h"

/* Limits that the surface sets. */
typedef struct ApClaimLimits
{
	int			index;			/* among those that share the queue */
	int			count;			/* of them */
	int64		max_jobs;		/* to claim, -1 for no limit */
	size_t		max_answer_size;
} ApClaimLimits;

typedef struct ApClaims
{
	ApQueue    *queue;
	MemoryContext context;		/* of attempts */
	ApLanes    *lanes;
	ApPauses   *pauses;
	ApFlights  *flights;
	ApClaimLimits *limits;
	bool		careful;		/* claim one job only, to find the one that cannot be */
	ApLane	   *claiming;		/* then: its lane, and which it is */
	ApQueuePlace claiming_place;
	ApPause    *trying;			/* the pause whose end a job claimed is to try */
} ApClaims;

extern int	ap_claims_room(const ApClaims *claims, const ApServerLine *line, TimestampTz now);
extern bool ap_claims_may(const ApClaims *claims, const ApServerLine *line, TimestampTz now);
extern void ap_claims_make(ApClaims *claims);

#endif							/* AP_CLAIM_H */
