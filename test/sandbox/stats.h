/*-------------------------------------------------------------------------
 *
 * stats.h
 *		Counters: requests, connections, concurrency, calls per applicant.
 *
 * Calls to the control path are never counted, and neither is a connection
 * whose first request is one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_STATS_H
#define SB_STATS_H

#include "routes.h"

typedef struct SbConnection
{
	uint64_t	number;
	unsigned	generation;		/* how often counters were reset before */
	bool		used;			/* a request has come */
	bool		control;		/* and it was for the control path */
} SbConnection;

extern void sb_stats_start(void);
extern void sb_stats_stop(void);
extern void sb_stats_reset(void);

extern SbConnection *sb_stats_open(void);
extern void sb_stats_close(SbConnection *connection);
extern void sb_stats_use(SbConnection *connection, bool control);
extern void sb_stats_arrive(void);
extern void sb_stats_leave(void);
extern void sb_stats_call(SbOperation operation, SbSlice subject, bool rejected);
extern void sb_stats_render(SbText *out);

#endif							/* SB_STATS_H */
