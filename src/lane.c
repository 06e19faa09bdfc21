/*-------------------------------------------------------------------------
 *
 * lane.c
 *		Where the worker stands in the queue: servers, their lanes, what holds
 *		them up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/timestamp.h"

#include "lane.h"

/* Of waits before locked jobs are looked at again, doubled each time. */
#define AP_FIRST_RETURN_MS 50
#define AP_LAST_RETURN_MS 3000

/*
 * Give the line of a server, which is made where there is none.
 */
ApServerLine *
ap_lanes_line(ApLanes *lanes, const char *server)
{
	MemoryContext old;
	ApServerLine *line;
	ListCell   *cell;

	foreach(cell, lanes->lines)
	{
		line = lfirst(cell);
		if (strcmp(line->name, server) == 0)
			return line;
	}
	old = MemoryContextSwitchTo(lanes->context);
	line = palloc0(sizeof(*line));
	strlcpy(line->name, server, sizeof(line->name));
	line->max_concurrency = 1;	/* until its options are read */
	lanes->lines = lappend(lanes->lines, line);
	MemoryContextSwitchTo(old);
	return line;
}

/*
 * Give the lane of a server and a priority, which is made where there is none.
 */
ApLane *
ap_lanes_get(ApLanes *lanes, const char *server, int priority)
{
	ApServerLine *line = ap_lanes_line(lanes, server);
	MemoryContext old;
	ApLane	   *lane;
	int			place = 0;

	for (; place < list_length(line->lanes); place++)
	{
		lane = list_nth(line->lanes, place);
		if (lane->priority == priority)
			return lane;
		if (lane->priority < priority)
			break;
	}
	old = MemoryContextSwitchTo(lanes->context);
	lane = palloc0(sizeof(*lane));
	lane->line = line;
	lane->priority = priority;
	lane->place.due = DT_NOBEGIN;
	line->lanes = list_insert_nth(line->lanes, place, lane);
	MemoryContextSwitchTo(old);
	return lane;
}

/*
 * Forget the lanes of servers that have nothing in flight; those that there are
 * come back.
 */
void
ap_lanes_forget_idle(ApLanes *lanes)
{
	ListCell   *cell;

	foreach(cell, lanes->lines)
	{
		ApServerLine *line = lfirst(cell);

		if (line->in_flight > 0)
			continue;
		list_free_deep(line->lanes);
		line->lanes = NIL;
		line->nfollowers = 0;
	}
}

/*
 * Have the lanes of a server swept from their beginnings.
 */
void
ap_lanes_rewind_line(ApServerLine *line)
{
	ListCell   *cell;

	foreach(cell, line->lanes)
	{
		ApLane	   *lane = lfirst(cell);

		lane->place.due = DT_NOBEGIN;
		lane->place.id = 0;
		lane->is_dry = false;
		lane->next_due = 0;
		lane->return_at = 0;
	}
}

/*
 * Have all lanes swept from their beginnings.
 */
void
ap_lanes_rewind(ApLanes *lanes)
{
	ListCell   *cell;

	foreach(cell, lanes->lines)
	{
		ap_lanes_rewind_line(lfirst(cell));
	}
}

/*
 * Tell whether a place comes before another.
 */
static bool
comes_before(const ApQueuePlace *a, const ApQueuePlace *b)
{
	return a->due < b->due || (a->due == b->due && a->id < b->id);
}

/*
 * Take notice of a job in a lane that is due at a time.
 */
void
ap_lane_news(ApLane *lane, TimestampTz due, TimestampTz now)
{
	if (due > now)
	{
		/* a time that is not known will be asked for anyway */
		if (lane->next_due > due)
			lane->next_due = due;
		return;
	}
	lane->is_dry = false;
	if (lane->place.due >= due)
	{
		lane->place.due = due - 1;
		lane->place.id = PG_INT64_MAX;
	}
}

/*
 * Tell whether a sweep of a lane may find something.
 */
bool
ap_lane_has_work(const ApLane *lane, TimestampTz now)
{
	return !lane->is_dry || lane->next_due <= now ||
		(lane->return_at != 0 && lane->return_at <= now);
}

/*
 * Note how far a sweep at a time has come: to a place, or to the end.
 */
void
ap_lane_advance(ApLane *lane, const ApQueuePlace *last, TimestampTz now)
{
	lane->is_dry = last == NULL;
	if (last != NULL)
		lane->place = *last;
	else
	{
		lane->place.due = now;
		lane->place.id = PG_INT64_MAX;
	}
	if (lane->next_due <= now)
		lane->next_due = 0;
}

/*
 * Have a lane swept again from a place after a while, since somebody has locked
 * a job there: soon at first.
 */
void
ap_lane_return(ApLane *lane, const ApQueuePlace *place, TimestampTz now)
{
	int64		wait_ms = AP_FIRST_RETURN_MS;

	if (lane->return_at == 0 || comes_before(place, &lane->return_to))
		lane->return_to = *place;
	if (lane->return_at != 0)
		return;
	for (int i = 0; i < lane->returns && wait_ms < AP_LAST_RETURN_MS; i++)
		wait_ms *= 2;
	lane->returns++;
	lane->return_at = TimestampTzPlusMilliseconds(now, wait_ms);
}

/*
 * Begin a sweep: go back, if it is time to.
 */
void
ap_lane_begin(ApLane *lane, TimestampTz now)
{
	if (lane->return_at == 0 || lane->return_at > now)
		return;
	lane->return_at = 0;
	if (comes_before(&lane->return_to, &lane->place))
		lane->place = lane->return_to;
	lane->is_dry = false;
}

/*
 * Note a job that may have become the next of its applicant.
 */
void
ap_line_follow(ApServerLine *line, int64 job)
{
	if (line->nfollowers == line->followers_size)
	{
		line->followers_size = Max(64, line->followers_size * 2);
		line->followers = line->followers == NULL ?
			MemoryContextAlloc(GetMemoryChunkContext(line), line->followers_size * sizeof(int64)) :
			repalloc(line->followers, line->followers_size * sizeof(int64));
	}
	line->followers[line->nfollowers++] = job;
}

/*
 * Find the pause of a role, or of all for InvalidOid.
 */
ApPause *
ap_line_pause(ApServerLine *line, Oid role)
{
	ListCell   *cell;

	foreach(cell, line->pauses)
	{
		if (((ApPause *) lfirst(cell))->role == role)
			return lfirst(cell);
	}
	return NULL;
}

/*
 * Find the pause of a role, or make one.
 */
ApPause *
ap_line_put_pause(ApServerLine *line, Oid role)
{
	ApPause    *pause = ap_line_pause(line, role);
	MemoryContext old;

	if (pause != NULL)
		return pause;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(line));
	pause = palloc0(sizeof(*pause));
	pause->role = role;
	line->pauses = lappend(line->pauses, pause);
	MemoryContextSwitchTo(old);
	return pause;
}

/*
 * Forget a pause, and look at what it has held up.
 */
void
ap_line_drop_pause(ApServerLine *line, ApPause *pause)
{
	line->pauses = list_delete_ptr(line->pauses, pause);
	pfree(pause);
	ap_lanes_rewind_line(line);
}

/*
 * Forget the pauses that were not found in the table.
 */
void
ap_line_keep_stored(ApServerLine *line)
{
	ListCell   *cell;

	foreach(cell, line->pauses)
	{
		ApPause    *pause = lfirst(cell);

		if (!pause->stored)
		{
			line->pauses = foreach_delete_current(line->pauses, cell);
			pfree(pause);
			ap_lanes_rewind_line(line);
			line->logged_at = 0;
		}
		else
			pause->stored = false;
	}
}

/*
 * Tell how many jobs of a server may be claimed now.  After a pause of all, one
 * has to come through before the others are let go.
 */
int
ap_line_room(const ApServerLine *line, TimestampTz now, int index, int count)
{
	const ApPause *pause = ap_line_pause(unconstify(ApServerLine *, line), InvalidOid);
	int			limit = line->max_concurrency / count + (index < line->max_concurrency % count);

	/* one that is not known yet has room, so that it gets known */
	if (!line->is_known)
		limit = 1;
	if (pause != NULL && pause->until > now)
		return 0;
	if (pause != NULL)
		limit = Min(limit, 1);
	return Max(limit - line->in_flight + line->settling, 0);
}

/*
 * List the roles whose jobs a sweep leaves out: those that are paused, or are to
 * come through with one job first.  Returns how many there are.
 */
int
ap_line_excluded(const ApServerLine *line, Oid *roles)
{
	ListCell   *cell;
	int			count = 0;

	foreach(cell, line->pauses)
	{
		const ApPause *pause = lfirst(cell);

		if (OidIsValid(pause->role))
			roles[count++] = pause->role;
	}
	return count;
}

/*
 * Find a role whose pause is over, and of which a job may try whether the fault
 * is, too.
 */
ApPause *
ap_line_probation(const ApServerLine *line, TimestampTz now)
{
	ListCell   *cell;

	foreach(cell, line->pauses)
	{
		ApPause    *pause = lfirst(cell);

		if (OidIsValid(pause->role) && pause->until <= now && pause->in_flight == 0)
			return pause;
	}
	return NULL;
}

/*
 * Give the time at which a server has something to do next, if nothing happens
 * before: infinity for never.
 */
TimestampTz
ap_line_next(const ApServerLine *line, TimestampTz now)
{
	const ApPause *all = ap_line_pause(unconstify(ApServerLine *, line), InvalidOid);
	TimestampTz next = DT_NOEND;
	ListCell   *cell;

	foreach(cell, line->lanes)
	{
		const ApLane *lane = lfirst(cell);

		next = Min(next, lane->is_dry ? lane->next_due : now);
		if (lane->return_at != 0)
			next = Min(next, lane->return_at);
	}
	foreach(cell, line->pauses)
	{
		const ApPause *pause = lfirst(cell);

		if (OidIsValid(pause->role) && pause->in_flight == 0)
			next = Min(next, pause->until);
	}
	return all != NULL ? Max(next, all->until) : next;
}
