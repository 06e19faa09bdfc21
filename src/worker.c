/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The process that carries out the queue of a database.
 *
 * It waits for its latch and for the network at the same time, with no
 * transaction and no snapshot, and ends when it is told to, when the database
 * has no extension any more, or when there are to be fewer workers.  What is
 * in flight then is given back to the queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "dispatch.h"
#include "profile.h"
#include "settings.h"
#include "shared.h"
#include "worker.h"

/* How long calls under way may still end by themselves when the worker ends. */
#define AP_GRACE_MS 300

/*
 * Take the settings over.
 */
static void
configure(ApDispatch *dispatch, int index)
{
	ApDispatchConfig *config = ap_dispatch_config(dispatch);

	config->claim.index = index;
	config->claim.count = Max(ap_workers, 1);
	config->max_age_s = ap_job_max_age;
	config->retention_s = ap_job_retention;
	config->claim.max_answer_size = (size_t) ap_max_response_size * 1024;
}

/*
 * Read the configuration anew, and try again what was put off.
 */
static void
reload(ApDispatch *dispatch, int index)
{
	const ApNews news = {.all = true, .config = true};

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	configure(dispatch, index);
	ap_dispatch_news(dispatch, &news);
}

/*
 * Show in pg_stat_activity what the worker is about.
 */
static void
report(int in_flight)
{
	static int	reported = -1;
	char		text[64];

	if (in_flight == reported)
		return;
	reported = in_flight;
	if (in_flight == 0)
	{
		pgstat_report_activity(STATE_IDLE, "waiting for jobs");
		return;
	}
	snprintf(text, sizeof(text), "carrying out %d %s", in_flight, in_flight == 1 ? "job" : "jobs");
	pgstat_report_activity(STATE_RUNNING, text);
}

/*
 * Take a step.  A cancel, which nobody has a reason to send, ends a wait and no
 * more.  Returns false if there is no queue.
 */
static bool
step(ApDispatch *dispatch)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool found = true;

	PG_TRY();
	{
		found = ap_dispatch_step(dispatch, -1);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_QUERY_CANCELED || IsTransactionState())
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return found;
}

/*
 * Note that the worker is to end.  A transaction that waits, such as for a
 * standby, does not go on waiting.
 */
static void
on_terminate(AP_COMPAT_SIGNAL_PARAMS)
{
	int			saved = errno;

	ShutdownRequestPending = true;
	if (ap_queue_is_mine)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = saved;
}

/*
 * Carry out jobs until there is a reason to end.
 */
static void
work(ApDispatch *dispatch, int index)
{
	bool		is_known = false;

	while (!ShutdownRequestPending && !ap_shared_must_stop() && index < ap_workers)
	{
		ApNews		news;

		if (ConfigReloadPending)
			reload(dispatch, index);
		if (ap_shared_take_news(&news))
			ap_dispatch_news(dispatch, &news);
		if (!step(dispatch))
		{
			ap_shared_set_absent();
			return;
		}
		if (!is_known)
			ap_shared_set_state(AP_SLOT_WORKING);
		is_known = true;
		report(ap_dispatch_in_flight(dispatch));
	}
	QueryCancelPending = false;
	ap_dispatch_give_up(dispatch, AP_GRACE_MS);
}

/*
 * The worker's main function; its argument is its slot in shared memory.
 */
void
allpass_worker_main(Datum slot)
{
	MemoryContext context;
	ApDispatch *dispatch;
	Oid			database;
	int			index = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_terminate);
	/* lock_timeout, too, comes this way */
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();

	database = ap_shared_attach(DatumGetInt32(slot), &index);
	if (!OidIsValid(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	context = AllocSetContextCreate(TopMemoryContext, "allpass worker", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	ap_profile_shared_clock = ap_shared_rate_clock;
	dispatch = ap_dispatch_create(ap_queue_create(false));
	configure(dispatch, index);
	work(dispatch, index);
	proc_exit(0);
}
