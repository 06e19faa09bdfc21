/*-------------------------------------------------------------------------
 *
 * pauses.h
 *		What holds up the jobs of a server, or those of a role for it: learned
 *		from attempts, and remembered in the table.
 *
 * In the table, so that it outlives a restart, that other workers know of it,
 * and that people can see it.  All functions need a transaction of the queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PAUSES_H
#define AP_PAUSES_H

#include "attempt.h"
#include "lane.h"

typedef struct ApPauses
{
	ApQueue    *queue;
	ApLanes    *lanes;
	bool		may_be_mended;	/* servers or mappings have changed */
	bool		changed_elsewhere;	/* by another worker, in the table */
	bool		changed_here;	/* which others have yet to be told */
} ApPauses;

extern void ap_pauses_learn(ApPauses *pauses, const ApAttempt *attempt);
extern void ap_pauses_end(ApPauses *pauses, ApServerLine *line, ApPause *pause);
extern void ap_pauses_load(ApPauses *pauses);

#endif							/* AP_PAUSES_H */
