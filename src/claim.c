/*-------------------------------------------------------------------------
 *
 * claim.c
 *		Claiming the jobs that are due: of each server as many as there is room
 *		for, first those known to be next, then lane by lane.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "claim.h"

/*
 * Tell how many jobs of a server may be claimed now.
 */
int
ap_claims_room(const ApClaims *claims, const ApServerLine *line, TimestampTz now)
{
	int			room = ap_line_room(line, now, claims->limits->index, claims->limits->count);

	if (claims->careful && !dlist_is_empty(&claims->flights->ready))
		return 0;
	if (claims->limits->max_jobs >= 0 && claims->limits->max_jobs < room)
		return (int) claims->limits->max_jobs;
	return room;
}

/*
 * Tell whether jobs of a server can be claimed now, if there are any.
 */
bool
ap_claims_may(const ApClaims *claims, const ApServerLine *line, TimestampTz now)
{
	return ap_claims_room(claims, line, now) > 0 &&
		(line->nfollowers > 0 || ap_line_next(line, now) <= now);
}

/*
 * Make attempts of claimed jobs.
 */
static void
take(ApClaims *claims, ApServerLine *line, List *claimed)
{
	ListCell   *cell;

	foreach(cell, claimed)
	{
		const ApClaimed *job = lfirst(cell);
		ApAttempt  *attempt = ap_attempt_create(claims->queue, line->name, job,
												claims->limits->max_answer_size);

		/* until here it goes with the transaction, should it fail */
		MemoryContextSetParent(attempt->context, claims->context);
		attempt->lane = ap_lanes_get(claims->lanes, line->name, job->priority);
		ap_flights_take(claims->flights, line, attempt);
		if (claims->limits->max_jobs > 0)
			claims->limits->max_jobs--;
	}
}

/*
 * Have the jobs that a claim has left since they are locked looked at again.
 * Returns whether there are any.
 */
static bool
return_to_locked(ApClaims *claims, ApServerLine *line, const ApClaim *claim)
{
	List	   *locked = ap_queue_locked(claims->queue, claim);
	ListCell   *cell;

	foreach(cell, locked)
	{
		const ApClaimed *job = lfirst(cell);
		ApQueuePlace place = {job->place.due, job->place.id - 1};

		ap_lane_return(ap_lanes_get(claims->lanes, line->name, job->priority), &place,
					   ap_queue_now(claims->queue));
	}
	return locked != NIL;
}

/*
 * Claim the jobs that may have become the next of their applicants.
 */
static void
claim_followers(ApClaims *claims, ApServerLine *line, ApClaim *claim)
{
	List	   *claimed;

	if (line->nfollowers == 0 || line->lanes == NIL)
		return;
	claim->limit = ap_claims_room(claims, line, ap_queue_now(claims->queue));
	if (claim->limit == 0 || claims->careful)
		return;
	claim->nids = Min(line->nfollowers, claim->limit);
	claim->ids = line->followers + line->nfollowers - claim->nids;
	claimed = ap_queue_claim(claims->queue, claim);
	take(claims, line, claimed);
	if (list_length(claimed) < claim->nids)
		return_to_locked(claims, line, claim);
	line->nfollowers -= claim->nids;
	claim->ids = NULL;
}

/*
 * Claim jobs of a lane, from where the last sweep has ended.
 */
static void
sweep(ApClaims *claims, ApLane *lane, ApClaim *claim)
{
	TimestampTz now = ap_queue_now(claims->queue);
	const ApQueuePlace *last = NULL;
	List	   *claimed;
	ListCell   *cell;

	claim->limit = ap_claims_room(claims, lane->line, now);
	if (claim->limit == 0 || !ap_lane_has_work(lane, now))
		return;
	ap_lane_begin(lane, now);
	claim->priority = lane->priority;
	claim->after = lane->place;
	if (claims->careful)
	{
		/* should it fail, this is where to go on */
		claim->limit = 1;
		if (ap_queue_peek(claims->queue, claim, &claims->claiming_place))
			claims->claiming = lane;
	}
	claimed = ap_queue_claim(claims->queue, claim);
	take(claims, lane->line, claimed);
	if (claimed == NIL)
		claims->claiming = NULL;
	foreach(cell, claimed)
	{
		const ApQueuePlace *place = &((ApClaimed *) lfirst(cell))->place;

		if (last == NULL || place->due > last->due ||
			(place->due == last->due && place->id > last->id))
			last = place;
	}
	if (list_length(claimed) < claim->limit && !return_to_locked(claims, lane->line, claim))
		lane->returns = 0;
	ap_lane_advance(lane, list_length(claimed) == claim->limit ? last : NULL, now);
	if (lane->is_dry && lane->next_due == 0)
		lane->next_due = ap_queue_next_due(claims->queue, lane->line->name, lane->priority);
}

/*
 * Let one job try whether what paused a role's jobs is over.
 */
static void
try_paused(ApClaims *claims, ApServerLine *line, ApPause *pause, ApClaim *claim)
{
	List	   *claimed = NIL;
	ListCell   *cell;

	if (ap_claims_room(claims, line, ap_queue_now(claims->queue)) == 0)
		return;
	claim->limit = 1;
	claim->only_role = pause->role;
	claim->nexcluded = 0;
	claim->after.due = DT_NOBEGIN;
	claim->after.id = 0;
	claims->trying = pause;
	foreach(cell, line->lanes)
	{
		ApLane	   *lane = lfirst(cell);

		if (claimed != NIL)
			break;
		claim->priority = lane->priority;
		claimed = ap_queue_claim(claims->queue, claim);
		take(claims, line, claimed);
	}
	claim->only_role = InvalidOid;
	if (claimed != NIL)
		return;
	claims->trying = NULL;
	ap_pauses_end(claims->pauses, line, pause);
}

/*
 * Claim jobs of a server: those known to be next, one of each role that is on
 * probation, then lane by lane.
 */
static void
claim_of_server(ApClaims *claims, ApServerLine *line)
{
	TimestampTz now = ap_queue_now(claims->queue);
	Oid		   *roles = palloc((list_length(line->pauses) + 1) * sizeof(Oid));
	ApClaim		claim = {.server = line->name, .excluded_roles = roles};
	ApPause    *pause;
	ListCell   *cell;

	claim.nexcluded = ap_line_excluded(line, roles);
	claim_followers(claims, line, &claim);
	while ((pause = ap_line_probation(line, now)) != NULL &&
		   ap_claims_room(claims, line, now) > 0)
		try_paused(claims, line, pause, &claim);
	claim.nexcluded = ap_line_excluded(line, roles);
	foreach(cell, line->lanes)
	{
		sweep(claims, lfirst(cell), &claim);
	}
}

/*
 * Claim what is due and fits.
 */
void
ap_claims_make(ApClaims *claims)
{
	TimestampTz now = ap_queue_now(claims->queue);
	ListCell   *cell;

	foreach(cell, claims->lanes->lines)
	{
		ApServerLine *line = lfirst(cell);

		if (!ap_claims_may(claims, line, now))
			continue;
		/* a server that is not there still has its jobs find that out */
		line->max_concurrency = Max(ap_profile_max_concurrency(line->name), 1);
		line->is_known = true;
		claim_of_server(claims, line);
	}
}
