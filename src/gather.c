/*-------------------------------------------------------------------------
 *
 * gather.c
 *		Many calls at once: a window of them over a set of any size.
 *
 * An errand waits, until it is due; calls; and is done, until it is taken.
 *
 *		next -> (check, count) -> call -> wait -> call -> ... -> done -> taken
 *
 * A call that failed is repeated a few times where that can do no harm: a read
 * after any passing fault, a write only if it was certainly not carried out.
 * An answer that asks to be left alone for a while stops all of the set's calls
 * for that long, and makes the window smaller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/pg_prng.h"

#include "fetch.h"
#include "gather.h"
#include "settings.h"

/* Calls for one thing, and the first pause between them; each next is longer. */
#define AP_MAX_TRIES 4
#define AP_FIRST_PAUSE_MS 100
#define AP_PAUSE_GROWTH 4

/* How long a set waits in all for one element because the API asks for it. */
#define AP_PATIENCE_US (INT64CONST(300) * 1000000)

/* The share of max_concurrency that is used before it is known to be wanted. */
#define AP_FIRST_SHARE 4

/* Errands that only wait, for each call that may be under way. */
#define AP_WAITING_PER_CALL 8

/* Calls that are started before the network is looked after. */
#define AP_STARTS_PER_LOOK 8

struct ApGather
{
	MemoryContext context;
	ApProfile  *profile;
	const ApErrands *errands;
	void	   *set;
	bool		exhausted;		/* there is no next errand */
	int			to_ask;			/* elements that are wanted for now */
	int			window;
	int			held;			/* errands that call or are done */
	int			waiting_count;
	int			starts;			/* since the network was looked after */
	int64		paused_until_us;
	dlist_head	waiting;
	dlist_head	calling;
	dlist_head	done;
	ApErrand   *taken;			/* the last one given out */
	ApProgress	progress;
	MemoryContextCallback cleanup;
};

/*
 * End the report when the gather goes.
 */
static void
end_progress(void *arg)
{
	ap_progress_end(&((ApGather *) arg)->progress);
}

/*
 * Begin to gather what the errands of a set bring, for a reader of a kind.
 */
ApGather *
ap_gather_begin(ApProfile *profile, const ApErrands *errands, void *set, int reading)
{
	ApGather   *gather = palloc0(sizeof(*gather));
	int			most = profile->options.max_concurrency;

	gather->context = CurrentMemoryContext;
	gather->profile = profile;
	gather->errands = errands;
	gather->set = set;
	gather->window = most;
	if (reading == AP_READ_SOME)
		gather->window = errands->paid ? 1 : Max(1, most / AP_FIRST_SHARE);
	gather->to_ask = reading > 0 ? reading : PG_INT32_MAX;
	dlist_init(&gather->waiting);
	dlist_init(&gather->calling);
	dlist_init(&gather->done);
	ap_profile_hold(profile);
	ap_progress_begin(&gather->progress, errands->kind);
	gather->cleanup.func = end_progress;
	gather->cleanup.arg = gather;
	MemoryContextRegisterResetCallback(gather->context, &gather->cleanup);
	return gather;
}

/*
 * Let an errand be done.
 */
static void
finish(ApGather *gather, ApErrand *errand)
{
	dlist_push_tail(&gather->done, &errand->node);
}

/*
 * Let an errand wait.
 */
static void
put_off(ApGather *gather, ApErrand *errand, int64 pause_us)
{
	errand->due_us = ap_http_clock_us() + pause_us;
	gather->held--;
	gather->waiting_count++;
	dlist_push_tail(&gather->waiting, &errand->node);
}

/*
 * Make the call of an errand.
 */
static void
start(ApGather *gather, ApErrand *errand)
{
	MemoryContext old = MemoryContextSwitchTo(errand->context);

	if (errand->call != NULL)
		ap_client_end(errand->call);
	errand->call = NULL;
	errand->data = NULL;
	ap_status_clear(&errand->status);
	gather->held++;
	if (errand->endpoint == NULL ||
		!ap_endpoint_check(errand->endpoint, errand->values, &errand->status) ||
		!ap_fetch_count_calls(1, &errand->status))
		finish(gather, errand);
	else
	{
		errand->tries++;
		errand->call = ap_client_prepare(gather->profile, errand->endpoint, errand->values,
										 (size_t) ap_max_response_size * 1024, NULL);
		ap_client_send(errand->call);
		dlist_push_tail(&gather->calling, &errand->node);
		ap_progress_start_call(&gather->progress);
		gather->starts++;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Start an errand for the next element.  Returns false if there is none.
 */
static bool
start_next(ApGather *gather)
{
	MemoryContext context = AllocSetContextCreate(gather->context, "allpass errand",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ApErrand   *errand = palloc0(sizeof(*errand));

	errand->context = context;
	errand->began_us = ap_http_clock_us();
	gather->exhausted = !gather->errands->next(gather->set, errand);
	MemoryContextSwitchTo(old);
	if (gather->exhausted)
		MemoryContextDelete(context);
	else
	{
		gather->to_ask--;
		start(gather, errand);
	}
	return !gather->exhausted;
}

/*
 * Tell whether there may be more elements that are wanted.
 */
static bool
has_more(const ApGather *gather)
{
	return !gather->exhausted && gather->to_ask > 0;
}

/*
 * Start what is due, as far as the window goes, those that have waited first.
 */
static void
fill(ApGather *gather)
{
	int			most_waiting = gather->profile->options.max_concurrency * AP_WAITING_PER_CALL;
	int64		now = 0;
	dlist_mutable_iter iter;

	if (gather->paused_until_us > 0 || gather->waiting_count > 0)
		now = ap_http_clock_us();
	if (now < gather->paused_until_us)
		return;
	gather->paused_until_us = 0;
	dlist_foreach_modify(iter, &gather->waiting)
	{
		ApErrand   *errand = dlist_container(ApErrand, node, iter.cur);

		if (gather->held >= gather->window)
			return;
		if (errand->due_us > now)
			continue;
		dlist_delete(&errand->node);
		gather->waiting_count--;
		start(gather, errand);
	}
	while (has_more(gather) && gather->held < gather->window &&
		   gather->waiting_count < most_waiting && start_next(gather))
		;
}

/*
 * Tell whether a failure is one that passes, and the call may be repeated: it
 * reads, or was certainly not carried out.
 */
static bool
may_repeat(const ApErrand *errand)
{
	const ApStatus *status = &errand->status;

	if (status->code == AP_UNREACHABLE)
		return !errand->endpoint->is_post || !status->sent;
	if (status->code != AP_REFUSED)
		return false;
	if (status->http_status == 408 || status->http_status == 425 || status->http_status == 429)
		return true;
	return status->http_status >= 500 && !errand->endpoint->is_post;
}

/*
 * Leave the API alone for as long as an answer asks for.  Returns false if that
 * is longer than an errand waits.
 */
static bool
obey(ApGather *gather, ApErrand *errand)
{
	int64		now = ap_http_clock_us();
	int64		until;

	if (errand->status.retry_after_s > AP_PATIENCE_US / 1000000)
		return false;
	until = now + errand->status.retry_after_s * 1000000;
	if (until - errand->began_us > AP_PATIENCE_US)
		return false;
	/* the answers of calls that were under way together say it but once */
	if (gather->paused_until_us <= now)
		gather->window = Max(1, gather->window / 2);
	gather->paused_until_us = Max(gather->paused_until_us, until);
	return true;
}

/*
 * Give the pause before the next try, by a quarter shorter or longer by chance.
 */
static int64
next_pause(const ApErrand *errand)
{
	double		pause_us = AP_FIRST_PAUSE_MS * 1000;

	for (int i = 1; i < errand->tries; i++)
		pause_us *= AP_PAUSE_GROWTH;
	return (int64) (pause_us * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state)));
}

/*
 * Tell whether an errand whose call has ended goes on, after which pause.
 */
static bool
goes_on(ApGather *gather, ApErrand *errand, int64 *pause_us)
{
	MemoryContext old;
	int			pause_ms = 0;
	bool		follows;

	*pause_us = 0;
	if (errand->status.code != AP_OK && may_repeat(errand))
	{
		bool		asked = errand->status.retry_after_s > 0;

		/* being told when to come back is no failed try */
		if (asked && errand->status.http_status == 429)
			errand->tries--;
		if (errand->tries < AP_MAX_TRIES && (!asked || obey(gather, errand)))
		{
			*pause_us = asked ? 0 : next_pause(errand);
			return true;
		}
	}
	if (gather->errands->follow == NULL)
		return false;
	old = MemoryContextSwitchTo(errand->context);
	follows = gather->errands->follow(gather->set, errand, &pause_ms);
	MemoryContextSwitchTo(old);
	errand->tries = 0;
	errand->rounds++;
	*pause_us = (int64) pause_ms * 1000;
	return follows;
}

/*
 * Take in the answers of the calls that have ended.
 */
static void
collect(ApGather *gather)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &gather->calling)
	{
		ApErrand   *errand = dlist_container(ApErrand, node, iter.cur);
		int64		pause_us;

		if (!ap_client_is_done(errand->call))
			continue;
		dlist_delete(&errand->node);
		errand->data = ap_client_answer(errand->call, &errand->status);
		ap_progress_end_call(&gather->progress, errand->status.code != AP_OK);
		if (errand->status.code == AP_NO_MEMORY)
			ap_status_throw(&errand->status);
		if (goes_on(gather, errand, &pause_us))
			put_off(gather, errand, pause_us);
		else
			finish(gather, errand);
	}
}

/*
 * Give the milliseconds until something is due other than by an answer, -1 for
 * never.
 */
static long
time_left(ApGather *gather)
{
	int64		due_us = PG_INT64_MAX;
	dlist_iter	iter;

	if (gather->held >= gather->window)
		return -1;
	dlist_foreach(iter, &gather->waiting)
		due_us = Min(due_us, dlist_container(ApErrand, node, iter.cur)->due_us);
	if (gather->paused_until_us > 0 && has_more(gather))
		due_us = 0;
	if (due_us == PG_INT64_MAX)
		return -1;
	due_us = Max(due_us, gather->paused_until_us);
	return (long) Max((due_us - ap_http_clock_us()) / 1000 + 1, 0);
}

/*
 * Give up the errand that was taken, and let the window grow.
 */
static void
let_go(ApGather *gather)
{
	if (gather->taken == NULL)
		return;
	MemoryContextDelete(gather->taken->context);
	gather->taken = NULL;
	gather->held--;
	if (gather->window < gather->profile->options.max_concurrency)
		gather->window++;
}

/*
 * Wait for the next errand to be done, and give it; NULL if all were given.  It
 * is there until the next call.  Throws on interrupts and out of memory.
 */
ApErrand *
ap_gather_next(ApGather *gather)
{
	let_go(gather);
	for (;;)
	{
		collect(gather);
		fill(gather);
		if (!dlist_is_empty(&gather->done))
			break;
		if (!dlist_is_empty(&gather->calling) || !dlist_is_empty(&gather->waiting) ||
			has_more(gather))
		{
			gather->starts = 0;
			ap_client_progress(time_left(gather));
		}
		else if (gather->exhausted)
			return NULL;
		else
			gather->to_ask = PG_INT32_MAX;	/* the reader goes on, after all */
	}
	if (gather->starts >= AP_STARTS_PER_LOOK)
	{
		gather->starts = 0;
		ap_client_progress(0);
	}
	gather->taken = dlist_container(ApErrand, node, dlist_pop_head_node(&gather->done));
	return gather->taken;
}
