/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The process that starts a worker for each database that needs one.
 *
 * Only a process inside a database can tell whether the extension is there.  So
 * a first worker is started everywhere, once, and ends at once where there is
 * none; such a database is left alone until somebody in it calls: on CREATE
 * EXTENSION, or when jobs are inserted and there is nobody to tell.  Where there
 * is one, the other workers of the database follow.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "launcher.h"
#include "settings.h"
#include "shared.h"

/* Between looks for new databases; those that call are heard at once. */
#define AP_SCAN_MS (60 * 1000)

/* Of waits before a worker that has failed is started again, doubled each time. */
#define AP_FIRST_WAIT_MS 1000
#define AP_ABSENT_MS 500
#define AP_LONGEST_WAIT_MS (5 * 60 * 1000)

/* A worker that has run so long has not failed at its start. */
#define AP_SOUND_MS (60 * 1000)

/* Workers on their way into databases at the same time. */
#define AP_MAX_PROBES 2

#define AP_MAX_CALLS 32

/* A worker that runs, or is to run. */
typedef struct Worker
{
	int			index;
	int			slot;			/* -1 while it does not run */
	BackgroundWorkerHandle *handle;
	TimestampTz started_at;
	TimestampTz not_before;
	int			failures;
}			Worker;

typedef struct Database
{
	Oid			oid;
	bool		present;		/* in the latest scan */
	bool		absent;			/* it has no extension */
	List	   *workers;		/* of Worker, by index */
}			Database;

typedef struct Launcher
{
	MemoryContext context;
	List	   *databases;
	TimestampTz scan_at;
	TimestampTz full_until;		/* no worker could be registered */
	int			full_count;
}			Launcher;

/*
 * Find a database that is known, or NULL.
 */
static Database *
find_database(const Launcher *launcher, Oid oid)
{
	ListCell   *cell;

	foreach(cell, launcher->databases)
	{
		Database   *database = lfirst(cell);

		if (database->oid == oid)
			return database;
	}
	return NULL;
}

/*
 * Take a database into the list.
 */
static void
note_database(Launcher *launcher, Oid oid)
{
	Database   *database = find_database(launcher, oid);

	if (database == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(launcher->context);

		database = palloc0(sizeof(*database));
		database->oid = oid;
		launcher->databases = lappend(launcher->databases, database);
		MemoryContextSwitchTo(old);
	}
	database->present = true;
}

/*
 * Look which databases there are, other than templates.
 */
static void
scan_databases(Launcher *launcher)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *cell;

	foreach(cell, launcher->databases)
	{
		((Database *) lfirst(cell))->present = false;
	}

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate)
			note_database(launcher, form->oid);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(launcher->context);
	launcher->scan_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AP_SCAN_MS);
}

/*
 * Hear who has called: those databases are to be looked into again.
 */
static void
hear_calls(Launcher *launcher)
{
	Oid			callers[AP_MAX_CALLS];
	int			count;
	ListCell   *cell;

	if (!ap_shared_take_call(callers, &count, AP_MAX_CALLS))
		return;
	launcher->scan_at = 0;
	foreach(cell, launcher->databases)
	{
		Database   *database = lfirst(cell);

		for (int i = 0; i < count; i++)
		{
			if (callers[i] == database->oid)
				database->absent = false;
		}
		if (count < 0)
			database->absent = false;
	}
}

/*
 * Note the end of a worker, and when it may be started again.
 */
static void
note_end(Database *database, Worker *worker, TimestampTz now)
{
	int64		wait_ms = AP_FIRST_WAIT_MS;

	if (ap_shared_free_slot(worker->slot))
		database->absent = true;
	pfree(worker->handle);
	worker->handle = NULL;
	worker->slot = -1;
	if (TimestampDifferenceExceeds(worker->started_at, now, AP_SOUND_MS))
		worker->failures = 0;
	worker->failures++;
	for (int i = 1; i < worker->failures && wait_ms < AP_LONGEST_WAIT_MS; i++)
		wait_ms *= 2;
	worker->not_before = TimestampTzPlusMilliseconds(now, Min(wait_ms, AP_LONGEST_WAIT_MS));
	if (database->absent || ap_shared_is_evicted(database->oid))
	{
		worker->failures = 0;
		/* every COMMIT PREPARED asks for another look at an empty database */
		worker->not_before = database->absent ?
			TimestampTzPlusMilliseconds(now, AP_ABSENT_MS) : now;
	}
}

/*
 * Note which workers have ended.
 */
static void
reap(Launcher *launcher)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *database;
	ListCell   *cell;

	foreach(database, launcher->databases)
	{
		foreach(cell, ((Database *) lfirst(database))->workers)
		{
			Worker	   *worker = lfirst(cell);
			pid_t		pid;

			if (worker->handle != NULL &&
				GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
				note_end(lfirst(database), worker, now);
		}
	}
}

/*
 * Forget databases that are gone, with their workers.
 */
static void
forget_databases(Launcher *launcher)
{
	ListCell   *cell;

	foreach(cell, launcher->databases)
	{
		Database   *database = lfirst(cell);
		bool		runs = false;
		ListCell   *worker;

		foreach(worker, database->workers)
		{
			runs |= ((Worker *) lfirst(worker))->handle != NULL;
		}
		if (database->present || runs)
			continue;
		list_free_deep(database->workers);
		launcher->databases = foreach_delete_current(launcher->databases, cell);
		pfree(database);
	}
}

/*
 * Give a worker of a database by its number.
 */
static Worker *
get_worker(Launcher *launcher, Database *database, int index)
{
	MemoryContext old = MemoryContextSwitchTo(launcher->context);

	while (list_length(database->workers) <= index)
	{
		Worker	   *worker = palloc0(sizeof(*worker));

		worker->index = list_length(database->workers);
		worker->slot = -1;
		database->workers = lappend(database->workers, worker);
	}
	MemoryContextSwitchTo(old);
	return list_nth(database->workers, index);
}

/*
 * Complain, now and then, that the server has no room for a worker.
 */
static void
note_full(Launcher *launcher, TimestampTz now)
{
	int64		wait_ms = AP_FIRST_WAIT_MS;

	launcher->full_count++;
	for (int i = 1; i < launcher->full_count && wait_ms < AP_LONGEST_WAIT_MS; i++)
		wait_ms *= 2;
	launcher->full_until = TimestampTzPlusMilliseconds(now, Min(wait_ms, AP_LONGEST_WAIT_MS));
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not start a worker of allpass: too many background workers"),
			 errdetail("Queued jobs of a database wait until there is room."),
			 errhint("Raise \"max_worker_processes\".")));
}

/*
 * Start a worker.  Returns false if the server has no room.
 */
static bool
start(Launcher *launcher, Database *database, Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	BackgroundWorker entry = {
		.bgw_name = "allpass worker",
		.bgw_type = "allpass worker",
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_library_name = "allpass",
		.bgw_function_name = "allpass_worker_main",
		.bgw_notify_pid = MyProcPid,
	};
	MemoryContext old;
	bool		started;
	int			slot = ap_shared_reserve(database->oid, worker->index);

	if (slot < 0)
	{
		/* its database is to have none, or a former one is about to end */
		worker->not_before = TimestampTzPlusMilliseconds(now, AP_FIRST_WAIT_MS);
		return true;
	}
	entry.bgw_main_arg = Int32GetDatum(slot);
	old = MemoryContextSwitchTo(launcher->context);
	started = RegisterDynamicBackgroundWorker(&entry, &worker->handle);
	MemoryContextSwitchTo(old);
	if (!started)
	{
		(void) ap_shared_free_slot(slot);
		worker->handle = NULL;
		note_full(launcher, now);
		return false;
	}
	launcher->full_count = 0;
	worker->slot = slot;
	worker->started_at = now;
	return true;
}

/*
 * Tell whether a worker should be started now.
 */
static bool
is_wanted(const Database *database, const Worker *worker, TimestampTz now)
{
	return worker->handle == NULL && worker->not_before <= now && database->present &&
		!database->absent && !ap_shared_is_evicted(database->oid);
}

/*
 * Start the workers of a database that do not run: the first, and the others
 * once the first has found the extension.  Returns false if there is no room.
 */
static bool
start_in_database(Launcher *launcher, Database *database, int *probes, TimestampTz now)
{
	for (int i = 0; i < ap_workers; i++)
	{
		Worker	   *first = get_worker(launcher, database, 0);
		Worker	   *worker = get_worker(launcher, database, i);

		if (i > 0 && (first->slot < 0 || ap_shared_slot_state(first->slot) != AP_SLOT_WORKING))
			return true;
		if (!is_wanted(database, worker, now))
			continue;
		if (i == 0 && (*probes)++ >= AP_MAX_PROBES)
			return true;
		if (!start(launcher, database, worker))
			return false;
	}
	return true;
}

/*
 * Count the workers that are on their way into a database.
 */
static int
count_probes(const Launcher *launcher)
{
	ListCell   *database;
	ListCell   *cell;
	int			count = 0;

	foreach(database, launcher->databases)
	{
		foreach(cell, ((Database *) lfirst(database))->workers)
		{
			const Worker *worker = lfirst(cell);

			if (worker->handle != NULL && ap_shared_slot_state(worker->slot) < AP_SLOT_WORKING)
				count++;
		}
	}
	return count;
}

/*
 * Start what should run and does not.
 */
static void
start_workers(Launcher *launcher)
{
	TimestampTz now = GetCurrentTimestamp();
	int			probes = count_probes(launcher);
	ListCell   *cell;

	if (launcher->full_until > now)
		return;
	foreach(cell, launcher->databases)
	{
		if (!start_in_database(launcher, lfirst(cell), &probes, now))
			return;
	}
}

/*
 * Give the milliseconds until there is something to do by the clock alone.
 */
static long
time_left(Launcher *launcher)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = launcher->scan_at;
	ListCell   *database;
	ListCell   *cell;

	foreach(database, launcher->databases)
	{
		foreach(cell, ((Database *) lfirst(database))->workers)
		{
			const Worker *worker = lfirst(cell);

			if (worker->not_before > now && worker->index < ap_workers)
				next = Min(next, worker->not_before);
		}
	}
	if (launcher->full_until > now)
		next = Min(next, launcher->full_until);
	return TimestampDifferenceMilliseconds(now, next);
}

/*
 * The launcher's main function.
 */
void
allpass_launcher_main(Datum unused)
{
	Launcher	launcher = {0};

	(void) unused;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	ap_shared_attach_launcher();
	launcher.context = AllocSetContextCreate(TopMemoryContext, "allpass launcher",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(launcher.context);

	while (!ShutdownRequestPending)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		hear_calls(&launcher);
		if (launcher.scan_at <= GetCurrentTimestamp())
			scan_databases(&launcher);
		reap(&launcher);
		forget_databases(&launcher);
		start_workers(&launcher);
		pgstat_report_activity(STATE_IDLE, "waiting for databases with a queue");
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 time_left(&launcher), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* with 0 it would not be started again, should somebody have terminated it */
	proc_exit(1);
}

/*
 * Have the launcher started with the server, and again if it fails.
 */
void
ap_launcher_register(void)
{
	BackgroundWorker entry = {
		.bgw_name = "allpass launcher",
		.bgw_type = "allpass launcher",
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 5,
		.bgw_library_name = "allpass",
		.bgw_function_name = "allpass_launcher_main",
	};

	RegisterBackgroundWorker(&entry);
}
