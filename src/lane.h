/*-------------------------------------------------------------------------
 *
 * lane.h
 *		Where the worker stands in the queue: servers, their lanes, what holds
 *		them up.
 *
 * A lane is the waiting jobs of a server with one priority, in the order in
 * which they are due.  A sweep goes forward through it and remembers its place,
 * so that neither jobs that wait for an earlier one of their applicant nor the
 * remains of settled ones are looked at again and again.  What a sweep leaves
 * behind is found by other means: the next job of an applicant when one is
 * settled, new and changed jobs by the news, and everything by a rare look from
 * the beginning.
 *
 * All of it is the memory of one process; nothing here asks the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_LANE_H
#define AP_LANE_H

#include "queue.h"
#include "retry.h"

/* Why jobs of a server, or those of a role for it, wait. */
typedef struct ApPause
{
	Oid			role;			/* InvalidOid for all */
	TimestampTz since;			/* what was under way before says nothing of it */
	TimestampTz until;
	bool		stored;			/* in the latest look at the table */
	int			failures;
	int			in_flight;		/* jobs that try whether it is over */
} ApPause;

typedef struct ApServerLine
{
	char		name[NAMEDATALEN];
	int			max_concurrency;
	bool		is_known;		/* its options have been read */
	int			in_flight;		/* claimed and not settled */
	int			settling;		/* of these, those that this transaction settles */
	List	   *pauses;			/* of ApPause */
	List	   *lanes;			/* of ApLane, the highest priority first */
	int64	   *followers;		/* jobs that may have become the next of their applicant */
	int			nfollowers;
	int			followers_size;
	TimestampTz logged_at;		/* the latest line about a pause */
	TimestampTz mended_at;		/* when its options or mappings may have been */
} ApServerLine;

typedef struct ApLane
{
	ApServerLine *line;
	int			priority;
	ApQueuePlace place;			/* the sweep has come so far */
	bool		is_dry;			/* nothing is due behind that place */
	TimestampTz next_due;		/* of what is not due yet; 0 if not known */
	ApQueuePlace return_to;		/* where locked jobs were left behind */
	TimestampTz return_at;		/* when to look at them again; 0 for never */
	int			returns;		/* in a row */
} ApLane;

/* All of it. */
typedef struct ApLanes
{
	MemoryContext context;
	List	   *lines;			/* of ApServerLine */
} ApLanes;

extern ApServerLine *ap_lanes_line(ApLanes *lanes, const char *server);
extern ApLane *ap_lanes_get(ApLanes *lanes, const char *server, int priority);
extern void ap_lanes_forget_idle(ApLanes *lanes);
extern void ap_lanes_rewind(ApLanes *lanes);
extern void ap_lanes_rewind_line(ApServerLine *line);
extern void ap_lane_news(ApLane *lane, TimestampTz due, TimestampTz now);
extern bool ap_lane_has_work(const ApLane *lane, TimestampTz now);
extern void ap_lane_return(ApLane *lane, const ApQueuePlace *place, TimestampTz now);
extern void ap_lane_begin(ApLane *lane, TimestampTz now);
extern void ap_lane_advance(ApLane *lane, const ApQueuePlace *last, TimestampTz now);

extern void ap_line_follow(ApServerLine *line, int64 job);
extern int	ap_line_room(const ApServerLine *line, TimestampTz now, int index, int count);
extern ApPause *ap_line_pause(ApServerLine *line, Oid role);
extern ApPause *ap_line_put_pause(ApServerLine *line, Oid role);
extern void ap_line_drop_pause(ApServerLine *line, ApPause *pause);
extern void ap_line_keep_stored(ApServerLine *line);
extern int	ap_line_excluded(const ApServerLine *line, Oid *roles);
extern ApPause *ap_line_probation(const ApServerLine *line, TimestampTz now);
extern TimestampTz ap_line_next(const ApServerLine *line, TimestampTz now);

#endif							/* AP_LANE_H */
