/*-------------------------------------------------------------------------
 *
 * flights.c
 *		The attempts of jobs that are claimed and not settled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/timestamp.h"

#include "flights.h"

/* The part of the time of a transaction that is waited to make it a larger one. */
#define AP_GATHERING_SHARE 2

/* And the longest. */
#define AP_LONGEST_GATHERING_US 2000

/*
 * Begin with no attempts.
 */
void
ap_flights_init(ApFlights *flights, ApLanes *lanes)
{
	flights->lanes = lanes;
	dlist_init(&flights->ready);
	dlist_init(&flights->flying);
	dlist_init(&flights->ended);
}

/*
 * Take a new attempt, which is ready, and a place at its server for it.
 */
void
ap_flights_take(ApFlights *flights, ApServerLine *line, ApAttempt *attempt)
{
	ApPause    *pause = ap_line_pause(line, attempt->role);

	dlist_push_tail(&flights->ready, &attempt->node);
	flights->count++;
	line->in_flight++;
	if (pause != NULL)
		pause->in_flight++;
}

/*
 * Have an attempt that has ended go on with another call.
 */
void
ap_flights_go_on(ApFlights *flights, ApAttempt *attempt)
{
	dlist_delete(&attempt->node);
	dlist_push_tail(&flights->ready, &attempt->node);
}

/*
 * Forget an attempt, and free its place.
 */
void
ap_flights_drop(ApFlights *flights, ApAttempt *attempt)
{
	ApServerLine *line = ap_lanes_line(flights->lanes, attempt->server);
	ApPause    *pause = ap_line_pause(line, attempt->role);

	dlist_delete(&attempt->node);
	flights->count--;
	line->in_flight--;
	if (pause != NULL && pause->in_flight > 0)
		pause->in_flight--;
	ap_attempt_free(attempt);
}

/*
 * Give the time until which an attempt that has ended, as the first, waits for
 * others, to be settled together: not if answers take longer than a transaction,
 * since more jobs come of it then when the next call is sent soon.
 */
static TimestampTz
gathering_end(ApFlights *flights, const ApAttempt *attempt)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz recent = now - flights->transaction_us;

	if (dlist_is_empty(&flights->flying) || attempt->sent_at < recent ||
		dlist_tail_element(ApAttempt, node, &flights->flying)->sent_at < recent)
		return now;
	return now + Min(flights->transaction_us / AP_GATHERING_SHARE, AP_LONGEST_GATHERING_US);
}

/*
 * Move attempts whose calls have ended to those that are to be settled.
 */
void
ap_flights_gather(ApFlights *flights)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &flights->flying)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (!ap_attempt_has_ended(attempt))
			continue;
		dlist_delete(&attempt->node);
		if (dlist_is_empty(&flights->ended))
			flights->settle_from = gathering_end(flights, attempt);
		dlist_push_tail(&flights->ended, &attempt->node);
	}
}

/*
 * Give the time at which something that has ended can be settled, or infinity.
 */
TimestampTz
ap_flights_settle_time(ApFlights *flights)
{
	TimestampTz at = DT_NOEND;
	dlist_iter	iter;

	dlist_foreach(iter, &flights->ended)
	{
		at = Min(at, dlist_container(ApAttempt, node, iter.cur)->settle_at);
	}
	return dlist_is_empty(&flights->flying) ? at : Max(at, flights->settle_from);
}

/*
 * Send the calls of the jobs that are claimed for good.
 */
void
ap_flights_send(ApFlights *flights)
{
	TimestampTz now = GetCurrentTimestamp();

	while (!dlist_is_empty(&flights->ready))
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, dlist_pop_head_node(&flights->ready));

		attempt->fresh = false;
		attempt->sent_at = now;
		if (attempt->call != NULL)
			ap_client_send(attempt->call);
		dlist_push_tail(&flights->flying, &attempt->node);
	}
}

/*
 * Tell whether what is claimed must not be lost in a crash: an attempt to
 * create, or to search, which costs, has to be known of before it is made.
 */
bool
ap_flights_must_be_durable(ApFlights *flights)
{
	dlist_iter	iter;

	dlist_foreach(iter, &flights->ready)
	{
		const ApAttempt *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (attempt->job.endpoint != NULL && attempt->job.operation != AP_SCHEDULE_DELETION &&
			attempt->job.operation != AP_RESTORE)
			return true;
	}
	return false;
}
