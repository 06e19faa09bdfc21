/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		Carrying out the jobs of a queue: claim, send, settle, again and again.
 *
 * What a transaction changes in memory holds only if it commits, or is put right
 * when it does not: attempts it claimed are dropped, those it was to settle stay
 * in their list, and lanes are swept anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "claim.h"
#include "dispatch.h"

/* The rare look at everything, in case that news got lost. */
#define AP_LOOK_MS (60 * 1000)

/* Between renewals of leases; well below a lease. */
#define AP_RENEW_MS (20 * 1000)

/* Of waits after a transaction that failed, doubled each time. */
#define AP_FIRST_WAIT_MS 100
#define AP_LONGEST_WAIT_MS (30 * 1000)

/* While the table is locked by somebody. */
#define AP_BUSY_WAIT_MS 50

/* While another worker is about to begin a pause. */
#define AP_PAUSING_WAIT_MS 2

/* Before a settlement that met a lock is tried again. */
#define AP_LOCKED_WAIT_MS 250

/* How many claims are made one by one to find the job that cannot be claimed. */
#define AP_CAREFUL_CLAIMS 64

/* Between reports of transactions that failed. */
#define AP_REPORT_MS (5 * 1000)

/* How often a job is settled in vain before it is done without its result. */
#define AP_SETTLE_TRIES 5

/* What a transaction is about, so that one thing that fails stops no other. */
typedef enum Chore
{
	JOBS,						/* settle and claim */
	RENEW,						/* the leases of what is in flight */
	RELEASE,					/* jobs whose owner is gone */
	LOOK,						/* at everything */
	PURGE						/* jobs settled long ago */
} Chore;

struct ApDispatch
{
	ApQueue    *queue;
	ApDispatchConfig config;
	MemoryContext context;
	MemoryContext cycle;		/* reset for each transaction */
	ApLanes		lanes;
	ApFlights	flights;
	ApClaims	claims;
	bool		purging;		/* there may be more to purge */
	Chore		chore;			/* of the latest transaction */
	ApPauses	pauses_before;	/* that one */
	bool		has_run;		/* the latest step was a transaction */
	bool		is_released;	/* orphans have been, in this look */
	ApPauses	pauses;
	int			careful;		/* steps in which to settle or claim one job only */
	int			settling;		/* jobs that this transaction settles */
	ApAttempt  *settled_alone;	/* the one, if it is one */
	int			failures;		/* of transactions, one after the other */
	TimestampTz reported_at;	/* the latest of them in the log */
	TimestampTz passed_at;		/* the latest job passed over in the log */
	TimestampTz not_before;		/* of the next transaction */
	TimestampTz look_at;		/* the next look at everything */
	TimestampTz renew_at;
};

/*
 * Make a dispatcher of a queue.
 */
ApDispatch *
ap_dispatch_create(ApQueue *queue)
{
	ApDispatch *dispatch = palloc0(sizeof(*dispatch));

	dispatch->queue = queue;
	dispatch->context = CurrentMemoryContext;
	dispatch->cycle = AllocSetContextCreate(CurrentMemoryContext, "allpass cycle",
											ALLOCSET_DEFAULT_SIZES);
	dispatch->lanes.context = CurrentMemoryContext;
	dispatch->pauses.queue = queue;
	dispatch->pauses.lanes = &dispatch->lanes;
	dispatch->config.claim.count = 1;
	dispatch->config.claim.max_jobs = -1;
	ap_flights_init(&dispatch->flights, &dispatch->lanes);
	dispatch->claims = (ApClaims)
	{
		.queue = queue,
		.context = CurrentMemoryContext,
		.lanes = &dispatch->lanes,
		.pauses = &dispatch->pauses,
		.flights = &dispatch->flights,
		.limits = &dispatch->config.claim
	};
	return dispatch;
}

/*
 * Give what the surface decides, to be changed.
 */
ApDispatchConfig *
ap_dispatch_config(ApDispatch *dispatch)
{
	return &dispatch->config;
}

/*
 * Tell how many jobs are claimed and not settled.
 */
int
ap_dispatch_in_flight(const ApDispatch *dispatch)
{
	return dispatch->flights.count;
}

/*
 * Take notice of what backends have told.
 */
void
ap_dispatch_news(ApDispatch *dispatch, const ApNews *news)
{
	TimestampTz now = GetCurrentTimestamp();

	if (news->all || news->config)
		dispatch->look_at = now;
	dispatch->pauses.may_be_mended |= news->config;
	dispatch->pauses.changed_elsewhere |= news->pauses;
	for (int i = 0; i < news->count; i++)
	{
		const ApLaneNews *told = &news->lanes[i];
		ApLane	   *lane = ap_lanes_get(&dispatch->lanes, told->server, told->priority);

		if (told->due != DT_NOEND)
			ap_lane_news(lane, told->due, now);
		if (told->later != DT_NOEND)
			ap_lane_news(lane, told->later, now);
	}
}

/*
 * Tell whether a transaction has anything to do.
 */
static bool
has_work(ApDispatch *dispatch, TimestampTz now)
{
	ListCell   *cell;

	if (dispatch->not_before > now)
		return false;
	if (ap_flights_settle_time(&dispatch->flights) <= now || dispatch->look_at <= now || dispatch->purging ||
		dispatch->pauses.changed_elsewhere ||
		(dispatch->flights.count > 0 && dispatch->renew_at <= now))
		return true;
	foreach(cell, dispatch->lanes.lines)
	{
		if (ap_claims_may(&dispatch->claims, lfirst(cell), now))
			return true;
	}
	return false;
}

/*
 * Give the milliseconds until a transaction will have something to do by the
 * clock alone, at most so many.
 */
static long
time_left(ApDispatch *dispatch, TimestampTz now, long timeout_ms)
{
	TimestampTz next = Min(dispatch->look_at, ap_flights_settle_time(&dispatch->flights));
	ListCell   *cell;
	long		left;

	if (dispatch->flights.count > 0)
		next = Min(next, dispatch->renew_at);
	foreach(cell, dispatch->lanes.lines)
	{
		const ApServerLine *line = lfirst(cell);
		TimestampTz at = ap_line_next(line, now);

		/* without room the next step is an answer */
		if (at > now || ap_claims_room(&dispatch->claims, line, now) > 0)
			next = Min(next, at);
	}
	next = Max(next, dispatch->not_before);
	left = TimestampDifferenceMilliseconds(now, next);
	return timeout_ms < 0 ? left : Min(left, timeout_ms);
}

/*-------------------------------------------------------------------------
 * Settling
 *-------------------------------------------------------------------------
 */

/*
 * Judge the attempts that have ended, and collect those to settle.  Some go on
 * with another call.
 */
static List *
judge_ended(ApDispatch *dispatch)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	List	   *judged = NIL;
	int			ndone = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatch->flights.ended)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (attempt->settle_at > now || (dispatch->careful > 0 && judged != NIL))
			continue;
		dispatch->settled_alone = attempt;
		dispatch->settling++;
		if (attempt->judged || ap_attempt_judge(attempt))
		{
			/* those that are done come first */
			if (attempt->retry.verdict == AP_VERDICT_DONE)
				judged = list_insert_nth(judged, ndone++, attempt);
			else
				judged = lappend(judged, attempt);
			continue;
		}
		dispatch->settling--;
		ap_flights_go_on(&dispatch->flights, attempt);
	}
	return judged;
}

/*
 * Settle the attempts that have ended.  Returns those that were settled, with
 * the next jobs of their applicants in *next.
 */
static List *
settle(ApDispatch *dispatch, int64 **next)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	List	   *judged = judge_ended(dispatch);
	int			count = list_length(judged);
	ApSettlement *settlements;
	ListCell   *cell;

	if (count == 0)
		return NIL;
	settlements = palloc(count * sizeof(*settlements));
	*next = palloc(count * sizeof(int64));
	foreach(cell, judged)
	{
		ApAttempt  *attempt = lfirst(cell);

		ap_pauses_learn(&dispatch->pauses, attempt);
		ap_attempt_settlement(attempt, now, dispatch->config.max_age_s,
							  &settlements[foreach_current_index(cell)]);
	}
	(void) ap_queue_settle(dispatch->queue, settlements, count, *next);
	/* their places are free for what this transaction claims */
	foreach(cell, judged)
	{
		ap_lanes_line(&dispatch->lanes, ((ApAttempt *) lfirst(cell))->server)->settling++;
	}
	/* a job that waits again becomes due in its lane */
	foreach(cell, judged)
	{
		ApAttempt  *attempt = lfirst(cell);
		const ApSettlement *settlement = &settlements[foreach_current_index(cell)];
		TimestampTz due = Max(settlement->retry_at, attempt->run_at);

		if (strcmp(settlement->state, "waiting") != 0)
			continue;
		ap_lane_news(attempt->lane, due, now);
		if (dispatch->config.claim.count > 1)
			ap_shared_note_job(attempt->server, ((ApLane *) attempt->lane)->priority, due);
	}
	return judged;
}

/*
 * After the commit: let go of what was settled, and tell who waits for it.
 */
static void
finish_settled(ApDispatch *dispatch, List *settled, const int64 *next)
{
	int			count = list_length(settled);
	int64	   *ids = palloc(Max(count, 1) * sizeof(int64));
	ListCell   *cell;

	foreach(cell, settled)
	{
		ApAttempt  *attempt = lfirst(cell);
		int			i = foreach_current_index(cell);

		ids[i] = attempt->id;
		if (next[i] != 0)
			ap_line_follow(ap_lanes_line(&dispatch->lanes, attempt->server), next[i]);
		ap_lanes_line(&dispatch->lanes, attempt->server)->settling--;
		ap_flights_drop(&dispatch->flights, attempt);
	}
	ap_shared_tell_watchers(ids, count);
}

/*-------------------------------------------------------------------------
 * Transactions
 *-------------------------------------------------------------------------
 */

/*
 * Renew the leases of all that is in flight.
 */
static void
renew(ApDispatch *dispatch)
{
	int64	   *ids = palloc(Max(dispatch->flights.count, 1) * sizeof(int64));
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &dispatch->flights.flying)
	{
		ids[count++] = dlist_container(ApAttempt, node, iter.cur)->id;
	}
	dlist_foreach(iter, &dispatch->flights.ended)
	{
		ids[count++] = dlist_container(ApAttempt, node, iter.cur)->id;
	}
	ap_queue_renew(dispatch->queue, ids, count);
	dispatch->renew_at = TimestampTzPlusMilliseconds(ap_queue_now(dispatch->queue), AP_RENEW_MS);
}

/*
 * Choose what the next transaction is about.
 */
static Chore
next_chore(const ApDispatch *dispatch, TimestampTz now)
{
	if (dispatch->flights.count > 0 && dispatch->renew_at <= now)
		return RENEW;
	if (dispatch->look_at <= now)
		return dispatch->is_released ? LOOK : RELEASE;
	return dispatch->purging && dispatch->chore != PURGE ? PURGE : JOBS;
}

/*
 * Look at everything: lanes, pauses, what there is to purge.
 */
static void
look(ApDispatch *dispatch)
{
	TimestampTz now = ap_queue_now(dispatch->queue);
	ListCell   *cell;

	ap_pauses_load(&dispatch->pauses);
	ap_lanes_forget_idle(&dispatch->lanes);
	foreach(cell, ap_queue_lanes(dispatch->queue))
	{
		const ApLaneKey *key = lfirst(cell);

		(void) ap_lanes_get(&dispatch->lanes, key->server, key->priority);
	}
	ap_lanes_rewind(&dispatch->lanes);
	dispatch->look_at = TimestampTzPlusMilliseconds(now, AP_LOOK_MS);
	dispatch->is_released = false;
	dispatch->purging = dispatch->config.retention_s >= 0;
}

/*
 * Settle and claim.  Returns what was settled, with the next jobs of the same
 * applicants in *next.
 */
static List *
do_jobs(ApDispatch *dispatch, int64 **next)
{
	List	   *settled = settle(dispatch, next);

	/* one thing at a time, where it has to be found out what fails */
	if (dispatch->careful > 0 && settled != NIL)
		return settled;
	if (dispatch->pauses.changed_elsewhere)
		ap_pauses_load(&dispatch->pauses);
	dispatch->claims.careful = dispatch->careful > 0;
	/* what another worker has just learned may hold them up; it will tell */
	if (ap_shared_is_pausing())
		dispatch->not_before = TimestampTzPlusMilliseconds(ap_queue_now(dispatch->queue), AP_PAUSING_WAIT_MS);
	else
		ap_claims_make(&dispatch->claims);
	return settled;
}

/*
 * Do a chore in one transaction.
 */
static ApQueueState
transact(ApDispatch *dispatch)
{
	ApQueueState state = ap_queue_begin(dispatch->queue);
	TimestampTz now;
	List	   *settled = NIL;
	int64	   *next = NULL;

	dispatch->settling = 0;
	dispatch->claims.claiming = NULL;
	dispatch->claims.trying = NULL;
	dispatch->chore = JOBS;
	if (state != AP_QUEUE_OPEN)
		return state;
	now = ap_queue_now(dispatch->queue);
	dispatch->chore = next_chore(dispatch, now);
	dispatch->pauses_before = dispatch->pauses;
	if (dispatch->flights.count == 0)
		dispatch->renew_at = TimestampTzPlusMilliseconds(now, AP_RENEW_MS);
	switch (dispatch->chore)
	{
		case JOBS:
			settled = do_jobs(dispatch, &next);
			break;
		case RENEW:
			renew(dispatch);
			break;
		case RELEASE:
			/* a lease of its own may have run out */
			renew(dispatch);
			(void) ap_queue_release(dispatch->queue);
			break;
		case LOOK:
			look(dispatch);
			break;
		case PURGE:
			dispatch->purging = ap_queue_purge(dispatch->queue, dispatch->config.retention_s);
			break;
	}
	if (dispatch->pauses.changed_here)
		ap_shared_begin_pausing();
	ap_queue_commit(dispatch->queue, settled != NIL || dispatch->chore != JOBS ||
					ap_flights_must_be_durable(&dispatch->flights) ? AP_DURABLE : AP_LAZY);
	finish_settled(dispatch, settled, next);
	dispatch->is_released |= dispatch->chore == RELEASE;
	if (dispatch->chore == JOBS)
		dispatch->flights.transaction_us = GetCurrentTimestamp() - now;
	ap_flights_send(&dispatch->flights);
	if (dispatch->pauses.changed_here)
		ap_shared_end_pausing();
	dispatch->pauses.changed_here = false;
	dispatch->failures = 0;
	if (dispatch->careful > 0 && dispatch->chore == JOBS)
		dispatch->careful--;
	return state;
}

/*
 * Put off the settlement of a job that cannot be settled: since somebody has it
 * locked, or for another reason.  In the end do without its result.
 */
static void
put_off(ApAttempt *attempt, int sqlstate, TimestampTz now)
{
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		attempt->settle_at = TimestampTzPlusMilliseconds(now, AP_LOCKED_WAIT_MS);
		return;
	}
	attempt->settle_at = TimestampTzPlusMilliseconds(now, ap_retry_delay(++attempt->unsettled, 0, 0));
	if (attempt->unsettled == AP_SETTLE_TRIES)
		ap_attempt_give_up_result(attempt);
}

/*
 * Say which job cannot be claimed, unless that was just said of another.
 */
static void
pass_over(ApDispatch *dispatch, TimestampTz now)
{
	dispatch->claims.claiming->place = dispatch->claims.claiming_place;
	if (!TimestampDifferenceExceeds(dispatch->passed_at, now, AP_REPORT_MS))
		return;
	dispatch->passed_at = now;
	ereport(LOG,
			(errmsg("job " INT64_FORMAT " cannot be claimed, and is passed over for now",
					dispatch->claims.claiming_place.id),
			 errdetail("There may be others.")));
}

/*
 * Find out which job a transaction failed for, and go on without it for a while:
 * it is looked at again with everything else.  Returns false if it was none.
 */
static bool
exclude(ApDispatch *dispatch, int sqlstate, TimestampTz now)
{
	if (dispatch->careful == 0)
		return false;
	if (dispatch->settling == 1)
		put_off(dispatch->settled_alone, sqlstate, now);
	else if (dispatch->claims.trying != NULL)
		dispatch->claims.trying->until = dispatch->look_at;
	else if (dispatch->claims.claiming != NULL)
		pass_over(dispatch, now);
	else
		return false;
	return true;
}

/*
 * Forget what a transaction that failed has changed in memory.
 */
static void
undo(ApDispatch *dispatch)
{
	dlist_mutable_iter iter;
	ListCell   *cell;

	dlist_foreach_modify(iter, &dispatch->flights.ready)
	{
		ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

		if (!attempt->fresh)
			continue;
		ap_flights_drop(&dispatch->flights, attempt);
		if (dispatch->config.claim.max_jobs >= 0)
			dispatch->config.claim.max_jobs++;
	}
	foreach(cell, dispatch->lanes.lines)
	{
		((ApServerLine *) lfirst(cell))->settling = 0;
	}
	dispatch->pauses.may_be_mended |= dispatch->pauses_before.may_be_mended;
	dispatch->pauses.changed_elsewhere |= dispatch->pauses_before.changed_elsewhere;
}

/*
 * Have all that waits looked at anew, one by one as long as anything fails.
 */
static void
start_over(ApDispatch *dispatch)
{
	ListCell   *cell;

	/* one of these may be what failed; a sweep finds them, too */
	foreach(cell, dispatch->lanes.lines)
	{
		((ApServerLine *) lfirst(cell))->nfollowers = 0;
	}
	ap_lanes_rewind(&dispatch->lanes);
	dispatch->pauses.changed_elsewhere = true;
}

/*
 * Put right what a transaction that failed has left in memory, find out which
 * job it was, and wait a little where it was none.
 */
static void
recover(ApDispatch *dispatch, int sqlstate)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		wait_ms = AP_FIRST_WAIT_MS;

	undo(dispatch);
	ap_flights_send(&dispatch->flights);
	if (dispatch->pauses.changed_here)
		ap_shared_end_pausing();
	dispatch->pauses.changed_here = false;
	/* what is tried again later need not hold up the jobs */
	switch (dispatch->chore)
	{
		case RENEW:
			dispatch->renew_at = TimestampTzPlusMilliseconds(now, AP_RENEW_MS);
			return;
		case RELEASE:
			dispatch->is_released = true;
			return;
		case PURGE:
			dispatch->purging = false;
			return;
		default:
			break;
	}
	dispatch->failures++;
	if (exclude(dispatch, sqlstate, now))
		dispatch->failures = 0;
	else
	{
		for (int i = 1; i < dispatch->failures && wait_ms < AP_LONGEST_WAIT_MS; i++)
			wait_ms *= 2;
		if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			dispatch->not_before = TimestampTzPlusMilliseconds(now, Min(wait_ms, AP_LONGEST_WAIT_MS));
		start_over(dispatch);
	}
	dispatch->careful = dispatch->flights.count + AP_CAREFUL_CLAIMS;
}

/*
 * Report the error of a transaction, unless one was just reported: without its
 * detail and context, which may show what is in a row.  A lock or a cancel, by
 * which a worker is also told to end, is no fault.  Returns its SQLSTATE.
 */
static int
report_error(ApDispatch *dispatch)
{
	TimestampTz now = GetCurrentTimestamp();
	ErrorData  *error = CopyErrorData();
	int			sqlstate = error->sqlerrcode;

	FlushErrorState();
	if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE && sqlstate != ERRCODE_QUERY_CANCELED &&
		TimestampDifferenceExceeds(dispatch->reported_at, now, AP_REPORT_MS))
	{
		dispatch->reported_at = now;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errhidestmt(true),
				 errhidecontext(true),
				 errmsg("a step of the queue failed, and is tried again: %s", error->message)));
	}
	FreeErrorData(error);
	return sqlstate;
}

/*
 * Run a transaction, and go on after an error in it, but for an interrupt.
 */
static bool
run(ApDispatch *dispatch)
{
	MemoryContext old = MemoryContextSwitchTo(dispatch->cycle);
	volatile ApQueueState state = AP_QUEUE_OPEN;

	PG_TRY();
	{
		state = transact(dispatch);
	}
	PG_CATCH();
	{
		int			sqlstate;

		MemoryContextSwitchTo(dispatch->context);
		if (geterrcode() == ERRCODE_QUERY_CANCELED && dispatch->config.can_be_cancelled)
		{
			ErrorData  *error = CopyErrorData();

			FlushErrorState();
			ap_queue_rollback(dispatch->queue);
			ReThrowError(error);
		}
		sqlstate = report_error(dispatch);
		ap_queue_rollback(dispatch->queue);
		recover(dispatch, sqlstate);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(dispatch->cycle);
	if (state == AP_QUEUE_BUSY)
		dispatch->not_before = Max(dispatch->not_before,
								   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AP_BUSY_WAIT_MS));
	return state != AP_QUEUE_ABSENT;
}

/*
 * Tell whether nothing is in flight, and nothing can be claimed now.
 */
bool
ap_dispatch_is_idle(ApDispatch *dispatch)
{
	TimestampTz now = GetCurrentTimestamp();

	return dispatch->flights.count == 0 && dispatch->not_before <= now && !has_work(dispatch, now);
}

/*
 * Take a step: run a transaction if there is anything to do in one, else wait
 * for at most timeout_ms (-1 for no limit).  Returns false if there is no queue.
 * Throws on interrupts.
 */
bool
ap_dispatch_step(ApDispatch *dispatch, long timeout_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	ap_flights_gather(&dispatch->flights);
	if (has_work(dispatch, now))
	{
		/* however much there is to do, calls under way have their turn */
		if (dispatch->has_run)
		{
			ap_client_progress(0);
			ap_flights_gather(&dispatch->flights);
		}
		dispatch->has_run = true;
		return run(dispatch);
	}
	dispatch->has_run = false;
	ap_client_progress(time_left(dispatch, now, timeout_ms));
	ap_flights_gather(&dispatch->flights);
	return true;
}

/*
 * Settle what has ended, and let the rest wait for whoever comes next: of all
 * attempts, or of the one given.
 */
static void
give_back(ApDispatch *dispatch, const ApAttempt *only)
{
	dlist_head *lists[] = {&dispatch->flights.ended, &dispatch->flights.flying, &dispatch->flights.ready};
	ApSettlement *settlements = palloc((dispatch->flights.count + 1) * sizeof(*settlements));
	int64	   *next = palloc((dispatch->flights.count + 1) * sizeof(*next));
	int			count = 0;

	if (ap_queue_begin(dispatch->queue) != AP_QUEUE_OPEN)
		return;
	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		dlist_iter	iter;

		dlist_foreach(iter, lists[i])
		{
			ApAttempt  *attempt = dlist_container(ApAttempt, node, iter.cur);

			if (only != NULL && attempt != only)
				continue;
			if (i == 0 && (attempt->judged || ap_attempt_judge(attempt)))
				ap_attempt_settlement(attempt, ap_queue_now(dispatch->queue),
									  dispatch->config.max_age_s, &settlements[count++]);
			else
				ap_attempt_abandon(attempt, &settlements[count++]);
		}
	}
	for (int i = 0; i < count; i++)
		(void) ap_queue_settle(dispatch->queue, &settlements[i], 1, &next[i]);
	/* a standby that is not there must not hold up a shutdown */
	ap_queue_commit(dispatch->queue, AP_LOCAL);
}

/*
 * Do the same, and survive an error in it.  Returns whether it went well.
 */
static bool
try_to_give_back(ApDispatch *dispatch, const ApAttempt *only)
{
	MemoryContext old = MemoryContextSwitchTo(dispatch->cycle);
	volatile bool well = true;

	PG_TRY();
	{
		give_back(dispatch, only);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(dispatch->context);
		(void) report_error(dispatch);
		ap_queue_rollback(dispatch->queue);
		well = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(dispatch->cycle);
	return well;
}

/*
 * Give everything in flight up, after waiting a little for what ends by itself.
 * What cannot be given back, such as a job that somebody has locked, is taken
 * back by others when this process has ended, or its lease.
 */
void
ap_dispatch_give_up(ApDispatch *dispatch, long grace_ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), grace_ms);
	TimestampTz now;
	dlist_head *lists[] = {&dispatch->flights.ended, &dispatch->flights.flying, &dispatch->flights.ready};

	while ((now = GetCurrentTimestamp()) < end && !dlist_is_empty(&dispatch->flights.flying))
	{
		ap_client_progress(TimestampDifferenceMilliseconds(now, end));
		ap_flights_gather(&dispatch->flights);
	}
	if (dispatch->flights.count > 0 && !try_to_give_back(dispatch, NULL))
	{
		for (int i = 0; i < (int) lengthof(lists); i++)
		{
			dlist_iter	iter;

			dlist_foreach(iter, lists[i])
			{
				(void) try_to_give_back(dispatch, dlist_container(ApAttempt, node, iter.cur));
			}
		}
	}
	/* others may have passed over what comes next */
	ap_shared_tell_all();
}
