/*-------------------------------------------------------------------------
 *
 * shared.c
 *		What backends, workers and the launcher tell each other through shared
 *		memory.
 *
 * One lock guards all of it, and is held for a few instructions at a time.
 * Nothing in it outlives the process that it speaks of: slots are freed by an
 * exit callback, or by the launcher where a process never came to be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "shared.h"

#define AP_MAX_WATCHERS 128
#define AP_MAX_CLOCKS 256
#define AP_MAX_EVICTIONS 32
#define AP_MAX_CALLERS 32

/* A worker, or the place for one. */
typedef struct Slot
{
	ApSlotState state;
	Oid			database;
	int			index;			/* among the workers of the database */
	PGPROC	   *process;		/* NULL until it runs */
	bool		stop;			/* it is to end */
	bool		absent;			/* it ended since there is no extension */
	bool		pausing;		/* a pause begins or ends with its transaction */
	bool		held;			/* the launcher has yet to hear of its end */
	ApNews		news;
}			Slot;

/* A backend that waits for a job. */
typedef struct Watcher
{
	PGPROC	   *process;		/* NULL if the place is free */
	Oid			database;
	int64		job;
}			Watcher;

/* When the latest request to a server started, in all workers. */
typedef struct Clock
{
	Oid			database;		/* InvalidOid if the place is free */
	Oid			server;
	pg_atomic_uint64 last_start;
}			Clock;

/* A database that is to have no workers for a while. */
typedef struct Eviction
{
	Oid			database;
	int			pid;			/* of who needs it so; 0 if the place is free */
}			Eviction;

typedef struct Shared
{
	LWLock	   *lock;
	ConditionVariable slot_freed;
	PGPROC	   *launcher;
	bool		called;			/* the launcher has to look for databases */
	int			ncallers;		/* those that called; more than fit mean all */
	Oid			callers[AP_MAX_CALLERS];
	pg_atomic_uint32 nwatchers;
	Watcher		watchers[AP_MAX_WATCHERS];
	Clock		clocks[AP_MAX_CLOCKS];
	Eviction	evictions[AP_MAX_EVICTIONS];
	int			nslots;
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
}			Shared;

bool		ap_queue_is_mine = false;

static Shared *shared = NULL;
static Slot *my_slot = NULL;
static Watcher *my_watch = NULL;
static Oid	my_eviction = InvalidOid;

/* What this transaction has changed. */
static ApNews noted;
static bool has_noted = false;

static shmem_request_hook_type next_request = NULL;
static shmem_startup_hook_type next_startup = NULL;

/*-------------------------------------------------------------------------
 * Making it
 *-------------------------------------------------------------------------
 */

/*
 * Give the size of the shared memory.
 */
static Size
size_of_shared(void)
{
	return add_size(offsetof(Shared, slots), mul_size(max_worker_processes, sizeof(Slot)));
}

/*
 * Ask the server for the shared memory.
 */
static void
on_request(void)
{
	if (next_request != NULL)
		next_request();
	RequestAddinShmemSpace(size_of_shared());
	RequestNamedLWLockTranche("allpass", 1);
}

/*
 * Find the shared memory, or make it.
 */
static void
on_startup(void)
{
	bool		found;

	if (next_startup != NULL)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("allpass", size_of_shared(), &found);
	if (!found)
	{
		memset(shared, 0, size_of_shared());
		shared->lock = &GetNamedLWLockTranche("allpass")->lock;
		shared->nslots = max_worker_processes;
		ConditionVariableInit(&shared->slot_freed);
		pg_atomic_init_u32(&shared->nwatchers, 0);
		for (int i = 0; i < AP_MAX_CLOCKS; i++)
			pg_atomic_init_u64(&shared->clocks[i].last_start, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Have the shared memory made when the server starts.
 */
void
ap_shared_request(void)
{
	next_request = shmem_request_hook;
	shmem_request_hook = on_request;
	next_startup = shmem_startup_hook;
	shmem_startup_hook = on_startup;
}

/*-------------------------------------------------------------------------
 * From backends to workers
 *-------------------------------------------------------------------------
 */

/*
 * Add the news of a lane to other news.
 */
static void
add_lane(ApNews *news, const char *server, int priority, TimestampTz due, TimestampTz later)
{
	ApLaneNews *lane;

	if (news->all)
		return;
	for (int i = 0; i < news->count; i++)
	{
		lane = &news->lanes[i];
		if (lane->priority == priority && strcmp(lane->server, server) == 0)
		{
			lane->due = Min(lane->due, due);
			lane->later = Min(lane->later, later);
			return;
		}
	}
	if (news->count == AP_MAX_NEWS)
	{
		news->all = true;
		return;
	}
	lane = &news->lanes[news->count++];
	strlcpy(lane->server, server, sizeof(lane->server));
	lane->priority = priority;
	lane->due = due;
	lane->later = later;
}

/*
 * Add news to other news.
 */
static void
add_news(ApNews *news, const ApNews *more)
{
	news->all |= more->all;
	news->config |= more->config;
	news->pauses |= more->pauses;
	for (int i = 0; i < more->count; i++)
		add_lane(news, more->lanes[i].server, more->lanes[i].priority, more->lanes[i].due,
				 more->lanes[i].later);
}

/*
 * Have the launcher look for a database.  The lock is held.
 */
static void
call_launcher(Oid database)
{
	shared->called = true;
	if (shared->ncallers < AP_MAX_CALLERS)
		shared->callers[shared->ncallers] = database;
	shared->ncallers++;
	if (shared->launcher != NULL)
		SetLatch(&shared->launcher->procLatch);
}

/*
 * Tell the workers of this database, or the launcher if there are none.
 */
static void
tell(const ApNews *news)
{
	bool		anybody = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		if (slot->state == AP_SLOT_FREE || slot->database != MyDatabaseId)
			continue;
		/* of what it does itself a worker needs to hear of new jobs only */
		if (slot == my_slot && news->count == 0)
			continue;
		anybody = true;
		add_news(&slot->news, news);
		if (slot->process != NULL)
			SetLatch(&slot->process->procLatch);
	}
	/* a job that somebody waits for may have been cancelled */
	for (int i = 0; news->all && i < AP_MAX_WATCHERS; i++)
	{
		const Watcher *watcher = &shared->watchers[i];

		if (watcher->process != NULL && watcher->database == MyDatabaseId)
			SetLatch(&watcher->process->procLatch);
	}
	if (news->databases)
		call_launcher(InvalidOid);
	if (!anybody && (news->all || news->count > 0))
		call_launcher(MyDatabaseId);
	LWLockRelease(shared->lock);
}

/*
 * Let workers come back to the database that this transaction had without.
 */
static void
readmit(void)
{
	if (!OidIsValid(my_eviction))
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < AP_MAX_EVICTIONS; i++)
	{
		Eviction   *eviction = &shared->evictions[i];

		if (eviction->pid == MyProcPid)
			eviction->pid = 0;
	}
	call_launcher(my_eviction);
	LWLockRelease(shared->lock);
	my_eviction = InvalidOid;
}

/*
 * Forget what was noted when the transaction does not commit.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		readmit();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		has_noted = false;
}

/*
 * Tell what was noted when the transaction has committed.  Not before others
 * are told what to read anew in the catalogs: who hears of a new key must not
 * find the old one.
 */
static void
after_commit(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	(void) arg;
	if (!has_noted || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_commit || !is_top_level)
		return;
	has_noted = false;
	tell(&noted);
}

/*
 * Have the ends of transactions told of.
 */
static void
watch_transactions(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterResourceReleaseCallback(after_commit, NULL);
	registered = true;
}

/*
 * Make news empty.
 */
static void
clear_news(ApNews *news)
{
	news->all = false;
	news->config = false;
	news->pauses = false;
	news->databases = false;
	news->count = 0;
}

/*
 * Give the notes of this transaction, or NULL if nobody wants to hear of them.
 */
static ApNews *
notes(void)
{
	if (shared == NULL)
		return NULL;
	watch_transactions();
	if (!has_noted)
		clear_news(&noted);
	has_noted = true;
	return &noted;
}

/*
 * Note a new job that is waiting.
 */
void
ap_shared_note_job(const char *server, int priority, TimestampTz due)
{
	ApNews	   *news = notes();

	if (news == NULL)
		return;
	if (due > GetCurrentTimestamp())
		add_lane(news, server, priority, DT_NOEND, due);
	else
		add_lane(news, server, priority, due, DT_NOEND);
}

/*
 * Note that jobs have changed in some other way.
 */
void
ap_shared_note_all(void)
{
	ApNews	   *news = notes();

	if (news != NULL)
		news->all = true;
}

/*
 * Note that there are other databases.
 */
void
ap_shared_note_databases(void)
{
	ApNews	   *news = notes();

	if (news != NULL)
		news->databases = true;
}

/*
 * Note that servers or mappings have changed.
 */
void
ap_shared_note_config(void)
{
	ApNews	   *news = notes();

	if (news != NULL)
		news->config = true;
}

/*
 * Tell at once that jobs may have changed: a prepared transaction has
 * committed, and what it had changed was noted in another session.
 */
void
ap_shared_tell_all(void)
{
	const ApNews news = {.all = true};

	if (shared != NULL)
		tell(&news);
}

/*-------------------------------------------------------------------------
 * From workers to waiting backends
 *-------------------------------------------------------------------------
 */

/*
 * Stop waiting when the process ends.
 */
static void
unwatch_at_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	ap_shared_unwatch();
}

/*
 * Have the latch set when a job is settled.  Returns false if nobody would do
 * so.
 */
bool
ap_shared_watch(int64 job)
{
	static bool registered = false;

	if (shared == NULL || my_watch != NULL)
		return false;
	if (!registered)
		before_shmem_exit(unwatch_at_exit, 0);
	registered = true;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < AP_MAX_WATCHERS && my_watch == NULL; i++)
	{
		if (shared->watchers[i].process == NULL)
			my_watch = &shared->watchers[i];
	}
	if (my_watch != NULL)
	{
		my_watch->process = MyProc;
		my_watch->database = MyDatabaseId;
		my_watch->job = job;
		pg_atomic_fetch_add_u32(&shared->nwatchers, 1);
	}
	LWLockRelease(shared->lock);
	return my_watch != NULL;
}

/*
 * Undo ap_shared_watch().
 */
void
ap_shared_unwatch(void)
{
	if (my_watch == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_watch->process = NULL;
	pg_atomic_fetch_sub_u32(&shared->nwatchers, 1);
	LWLockRelease(shared->lock);
	my_watch = NULL;
}

/*
 * Set the latches of those who wait for any of these jobs.
 */
void
ap_shared_tell_watchers(const int64 *jobs, int count)
{
	if (shared == NULL || pg_atomic_read_u32(&shared->nwatchers) == 0)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < AP_MAX_WATCHERS; i++)
	{
		Watcher    *watcher = &shared->watchers[i];

		if (watcher->process == NULL || watcher->database != MyDatabaseId)
			continue;
		for (int j = 0; j < count; j++)
		{
			if (watcher->job == jobs[j])
				SetLatch(&watcher->process->procLatch);
		}
	}
	LWLockRelease(shared->lock);
}

/*-------------------------------------------------------------------------
 * Databases without workers
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether a database is to have no workers.  The lock is held.
 */
static bool
is_evicted(Oid database)
{
	for (int i = 0; i < AP_MAX_EVICTIONS; i++)
	{
		if (shared->evictions[i].pid != 0 && shared->evictions[i].database == database)
			return true;
	}
	return false;
}

/*
 * Tell the workers of a database to end.  Returns how many there are.
 */
static int
stop_workers(Oid database)
{
	int			count = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		if (slot->state == AP_SLOT_FREE || slot->database != database)
			continue;
		count++;
		slot->stop = true;
		if (slot->process != NULL)
			SetLatch(&slot->process->procLatch);
	}
	LWLockRelease(shared->lock);
	return count;
}

/*
 * Have a database without workers until the transaction ends.  Returns false if
 * some are still there after the time given.  Throws on interrupts.
 */
bool
ap_shared_evict(Oid database, long timeout_ms)
{
	TimestampTz start = GetCurrentTimestamp();
	bool		placed = false;

	if (shared == NULL)
		return true;
	watch_transactions();
	my_eviction = database;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < AP_MAX_EVICTIONS && !placed; i++)
	{
		Eviction   *eviction = &shared->evictions[i];

		if (eviction->pid != 0)
			continue;
		eviction->pid = MyProcPid;
		eviction->database = database;
		placed = true;
	}
	LWLockRelease(shared->lock);

	ConditionVariablePrepareToSleep(&shared->slot_freed);
	while (stop_workers(database) > 0)
	{
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), (int) timeout_ms))
		{
			ConditionVariableCancelSleep();
			return false;
		}
		ConditionVariableTimedSleep(&shared->slot_freed, timeout_ms, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return true;
}

/*-------------------------------------------------------------------------
 * Workers
 *-------------------------------------------------------------------------
 */

/*
 * Free the slot of this worker.
 */
static void
free_my_slot(int code, Datum arg)
{
	(void) code;
	(void) arg;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->state = AP_SLOT_FREE;
	my_slot->process = NULL;
	if (shared->launcher != NULL)
		SetLatch(&shared->launcher->procLatch);
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->slot_freed);
}

/*
 * Take the slot that the launcher has reserved for this worker: its database
 * and its number there.  Returns InvalidOid if it is not to start any more.
 * Called before the worker connects, so that the slot is freed after it has
 * left the database.
 */
Oid
ap_shared_attach(int slot, int *index)
{
	Oid			database = InvalidOid;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot >= 0 && slot < shared->nslots && shared->slots[slot].state == AP_SLOT_STARTING)
	{
		my_slot = &shared->slots[slot];
		my_slot->process = MyProc;
		my_slot->state = AP_SLOT_PROBING;
		*index = my_slot->index;
		database = my_slot->stop ? InvalidOid : my_slot->database;
	}
	LWLockRelease(shared->lock);
	if (my_slot != NULL)
		on_shmem_exit(free_my_slot, 0);
	return database;
}

/*
 * Set the state of this worker.
 */
void
ap_shared_set_state(ApSlotState state)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->state = state;
	if (shared->launcher != NULL)
		SetLatch(&shared->launcher->procLatch);
	LWLockRelease(shared->lock);
}

/*
 * Say that this worker ends because the database has no extension.
 */
void
ap_shared_set_absent(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	/* unless it has come meanwhile */
	my_slot->absent = !my_slot->news.all && my_slot->news.count == 0;
	LWLockRelease(shared->lock);
}

/*
 * Tell whether this worker is to end.
 */
bool
ap_shared_must_stop(void)
{
	return my_slot != NULL && my_slot->stop;
}

/*
 * Take the news for this worker.  Returns false if there are none.
 */
bool
ap_shared_take_news(ApNews *news)
{
	if (my_slot == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	*news = my_slot->news;
	clear_news(&my_slot->news);
	LWLockRelease(shared->lock);
	return news->all || news->config || news->pauses || news->count > 0;
}

/*
 * Note whether this worker is about to begin or end a pause.
 */
static void
set_pausing(bool pausing)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->pausing = pausing;
	LWLockRelease(shared->lock);
}

/*
 * Say that a pause is about to begin or to end with this transaction: who sees
 * it in the table must not be ahead of the other workers.
 */
void
ap_shared_begin_pausing(void)
{
	set_pausing(true);
}

/*
 * Tell the other workers of the database that it has.
 */
void
ap_shared_end_pausing(void)
{
	const ApNews news = {.pauses = true};

	if (shared != NULL)
		tell(&news);
	set_pausing(false);
}

/*
 * Tell whether another worker of the database is about to begin or end a pause,
 * or has told of one that this worker has not heard of yet.
 */
bool
ap_shared_is_pausing(void)
{
	bool		found;

	if (my_slot == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	found = my_slot->news.pauses;
	for (int i = 0; i < shared->nslots && !found; i++)
	{
		const Slot *slot = &shared->slots[i];

		found = slot != my_slot && slot->state != AP_SLOT_FREE &&
			slot->database == MyDatabaseId && slot->pausing;
	}
	LWLockRelease(shared->lock);
	return found;
}

/*
 * Give the clock by which all workers keep the rate limit of a server, or NULL
 * if there is none.  When all are taken, it is the one not used for longest.
 */
pg_atomic_uint64 *
ap_shared_rate_clock(Oid server)
{
	Clock	   *clock;

	if (shared == NULL)
		return NULL;
	clock = &shared->clocks[0];
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < AP_MAX_CLOCKS; i++)
	{
		Clock	   *entry = &shared->clocks[i];

		if (entry->database == MyDatabaseId && entry->server == server)
		{
			clock = entry;
			break;
		}
		/* one that is not taken has a time of 0 */
		if (pg_atomic_read_u64(&entry->last_start) < pg_atomic_read_u64(&clock->last_start))
			clock = entry;
	}
	if (clock->database != MyDatabaseId || clock->server != server)
	{
		clock->database = MyDatabaseId;
		clock->server = server;
		pg_atomic_write_u64(&clock->last_start, 1);
	}
	LWLockRelease(shared->lock);
	return &clock->last_start;
}

/*-------------------------------------------------------------------------
 * The launcher
 *-------------------------------------------------------------------------
 */

/*
 * Forget the launcher when it ends.
 */
static void
detach_launcher(int code, Datum arg)
{
	(void) code;
	(void) arg;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

/*
 * Make this process the launcher.  Workers of a former one are to end, since
 * their ends would not be reported to this one.
 */
void
ap_shared_attach_launcher(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = MyProc;
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		slot->held = false;
		slot->stop = true;
		if (slot->state == AP_SLOT_STARTING)
			slot->state = AP_SLOT_FREE;
		if (slot->state != AP_SLOT_FREE && slot->process != NULL)
			SetLatch(&slot->process->procLatch);
	}
	LWLockRelease(shared->lock);
	before_shmem_exit(detach_launcher, 0);
}

/*
 * Take the calls for the launcher: the databases that called, *count being -1
 * for all.  Returns false if there was no call.
 */
bool
ap_shared_take_call(Oid *databases, int *count, int max)
{
	bool		called;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	called = shared->called;
	*count = shared->ncallers > Min(max, AP_MAX_CALLERS) ? -1 : shared->ncallers;
	for (int i = 0; i < *count; i++)
		databases[i] = shared->callers[i];
	shared->called = false;
	shared->ncallers = 0;
	LWLockRelease(shared->lock);
	return called;
}

/*
 * Reserve a slot for a worker of a database.  Returns -1 if there is none, or
 * the database is to have no workers.
 */
int
ap_shared_reserve(Oid database, int index)
{
	int			number = -1;
	bool		taken;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	taken = is_evicted(database);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		if (slot->state != AP_SLOT_FREE && slot->database == database && slot->index == index)
			taken = true;
		if (slot->state == AP_SLOT_FREE && !slot->held)
			number = i;
	}
	if (taken)
		number = -1;
	if (number >= 0)
	{
		Slot	   *slot = &shared->slots[number];

		memset(slot, 0, sizeof(*slot));
		slot->state = AP_SLOT_STARTING;
		slot->held = true;
		slot->database = database;
		slot->index = index;
	}
	LWLockRelease(shared->lock);
	return number;
}

/*
 * Give the state of a slot.
 */
ApSlotState
ap_shared_slot_state(int slot)
{
	ApSlotState state;

	LWLockAcquire(shared->lock, LW_SHARED);
	state = shared->slots[slot].state;
	LWLockRelease(shared->lock);
	return state;
}

/*
 * Free the slot of a worker that has ended, or has never come to be.  Returns
 * whether it ended since the database has no extension.
 */
bool
ap_shared_free_slot(int slot)
{
	bool		absent;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	absent = shared->slots[slot].absent;
	shared->slots[slot].state = AP_SLOT_FREE;
	shared->slots[slot].process = NULL;
	shared->slots[slot].held = false;
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->slot_freed);
	return absent;
}

/*
 * Tell whether a database is to have no workers.
 */
bool
ap_shared_is_evicted(Oid database)
{
	bool		evicted;

	LWLockAcquire(shared->lock, LW_SHARED);
	evicted = is_evicted(database);
	LWLockRelease(shared->lock);
	return evicted;
}
