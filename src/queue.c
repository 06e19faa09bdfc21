/*-------------------------------------------------------------------------
 *
 * queue.c
 *		The table of the queue, as whoever carries its jobs out sees it.
 *
 * All statements are prepared once, and planned for indexes whatever the
 * statistics say, since the queue is small when a worker starts and may be huge
 * a minute later.  They name the extension's schema, and are prepared anew when
 * the extension moves.
 *
 * The order of an applicant's jobs is that of (run_at, id).  A job is taken
 * only while no earlier one of its applicant waits and none is in flight.  That
 * holds with any number of workers: whether a job may be taken depends on an
 * earlier one being settled, which no snapshot shows too soon.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <unistd.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "queue.h"
#include "shared.h"

/* How long a job is its owner's without being renewed. */
#define AP_LEASE_MS (60 * 1000)

/* Jobs removed in one transaction. */
#define AP_PURGE_BATCH 1000

#define AP_MAX_QUERY_ARGS 14

typedef enum Statement
{
	FIND_SCHEMA,
	LIST_LANES,
	CLAIM_LANE,
	CLAIM_IDS,
	SETTLE_DONE,
	SETTLE,
	LOCKED_IN_LANE,
	LOCKED_IDS,
	PEEK,
	NEXT_DUE,
	RENEW,
	RELEASE,
	PURGE,
	LIST_PAUSES,
	PUT_PAUSE,
	DROP_PAUSE,
	NSTATEMENTS
} Statement;

struct ApQueue
{
	bool		in_procedure;	/* SPI is connected all the time */
	char		owner[64];
	char		node[24];		/* the part of owner that is this cluster's */
	TimestampTz now;			/* of the transaction */
	Oid			relation;		/* the table, InvalidOid before it is found */
	Oid			schema;
	char		schema_name[NAMEDATALEN];
	SPIPlanPtr	plans[NSTATEMENTS];
	Oid			caller;			/* who this process acts for outside of transactions */
	int			caller_context;
	ResourceOwner resources;	/* in a procedure: of the caller's transaction */
};

/* A statement and the types of its arguments.  %1$s is the schema, with its dot. */
typedef struct Text
{
	const char *text;
	int			nargs;
	Oid			types[AP_MAX_QUERY_ARGS];
}			Text;

/*
 * The first waiting job of an applicant.  This form leaves the planner no choice
 * but the index of that order, once through; a join would leave it one.
 */
#define NEXT_OF_APPLICANT \
	"(SELECT n.id FROM %1$sallpass_queue n WHERE n.state = 'waiting'" \
	" AND n.server = q.server AND n.applicant_id = q.applicant_id" \
	" ORDER BY n.run_at, n.id LIMIT 1)"

/* An applicant's jobs in order, one at a time. */
#define IS_NEXT_OF_APPLICANT \
	" (q.applicant_id IS NULL OR " NEXT_OF_APPLICANT " = q.id" \
	"  AND (SELECT f.id FROM %1$sallpass_queue f WHERE f.state = 'in_flight'" \
	"   AND f.server = q.server AND f.applicant_id = q.applicant_id LIMIT 1) IS NULL) "

/* $1 server, $2 now, $3 limit, $4 excluded roles, $5 owner, $6 lease */
#define IS_CLAIMABLE \
	"q.server = $1 AND coalesce(q.retry_at, q.run_at) <= $2" \
	" AND q.requested_by::oid <> ALL ($4) AND" IS_NEXT_OF_APPLICANT

/*
 * Rows that somebody has changed since the statement began are not found by
 * their place, so they are left, as if they were locked.
 */
#define CLAIM(which) \
	"UPDATE %1$sallpass_queue SET state = 'in_flight', attempts = attempts + 1," \
	" owner = $5, lease_until = $6" \
	" WHERE ctid = ANY (ARRAY(SELECT q.ctid FROM %1$sallpass_queue q" \
	" WHERE " IS_CLAIMABLE which \
	" LIMIT $3 FOR NO KEY UPDATE OF q SKIP LOCKED))" \
	" RETURNING id, coalesce(retry_at, run_at), operation, applicant_id, arguments," \
	" requested_by::oid, attempts, in_doubt, run_at, priority"

/* $7 priority, $8 and $9 the place, $10 the only role */
#define IS_IN_LANE \
	"AND q.state = 'waiting' AND q.priority = $7 AND (coalesce(q.retry_at, q.run_at), q.id) > ($8, $9)" \
	" AND ($10 = 0 OR q.requested_by::oid = $10)"

/* $7 ids; waiting, said so that only the primary key fits */
#define HAS_ID \
	"AND q.owner IS NULL AND q.finished_at IS NULL AND q.id = ANY ($7)"

/* What could have been claimed, and was not. */
#define LOCKED(which) \
	"SELECT coalesce(q.retry_at, q.run_at), q.id, q.priority FROM %1$sallpass_queue q" \
	" WHERE " IS_CLAIMABLE which " AND $3 > 0 AND $5 <> '' AND $6 IS NOT NULL"

#define CLAIM_TYPES TEXTOID, TIMESTAMPTZOID, INT4OID, OIDARRAYOID, TEXTOID, TIMESTAMPTZOID

static const Text texts[NSTATEMENTS] = {
	[FIND_SCHEMA] = {
		"SELECT extnamespace FROM pg_catalog.pg_extension WHERE extname = 'allpass'", 0, {0}
	},
	[LIST_LANES] = {
		"WITH RECURSIVE lanes AS ("
		" (SELECT server, priority FROM %1$sallpass_queue WHERE state = 'waiting'"
		"  ORDER BY server, priority LIMIT 1)"
		" UNION ALL SELECT n.server, n.priority FROM lanes l CROSS JOIN LATERAL ("
		"  SELECT q.server, q.priority FROM %1$sallpass_queue q WHERE q.state = 'waiting'"
		"  AND (q.server, q.priority) > (l.server, l.priority)"
		"  ORDER BY q.server, q.priority LIMIT 1) n) "
		"SELECT server, priority FROM lanes", 0, {0}
	},
	[CLAIM_LANE] = {
		CLAIM(IS_IN_LANE " ORDER BY coalesce(q.retry_at, q.run_at), q.id"),
		10, {CLAIM_TYPES, INT4OID, TIMESTAMPTZOID, INT8OID, OIDOID}
	},
	[CLAIM_IDS] = {
		CLAIM(HAS_ID), 7, {CLAIM_TYPES, INT8ARRAYOID}
	},
	/* most jobs end so, and need less to be said of them */
	[SETTLE_DONE] = {
		"UPDATE %1$sallpass_queue q SET state = 'done', in_doubt = false, sqlstate = NULL,"
		" http_status = u.http_status, error = NULL, result = u.result, retry_at = NULL,"
		" accepted_at = $4, finished_at = $4, owner = NULL, lease_until = NULL"
		" FROM unnest($1, $2, $3) WITH ORDINALITY AS u (id, http_status, result, n)"
		" WHERE q.id = u.id AND q.owner = $5"
		" RETURNING u.n, " NEXT_OF_APPLICANT,
		5, {INT8ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, TIMESTAMPTZOID, TEXTOID}
	},
	[SETTLE] = {
		"UPDATE %1$sallpass_queue q SET state = u.state, attempts = q.attempts - u.uncharged,"
		" in_doubt = u.in_doubt, result = u.result, retry_at = u.retry_at,"
		/* an attempt that was given up says nothing new */
		" sqlstate = CASE WHEN u.state = 'waiting' THEN coalesce(u.sqlstate, q.sqlstate) ELSE u.sqlstate END,"
		" http_status = CASE WHEN u.sqlstate IS NULL THEN q.http_status ELSE u.http_status END,"
		" error = CASE WHEN u.state = 'waiting' THEN coalesce(u.error, q.error) ELSE u.error END,"
		" finished_at = CASE WHEN u.state <> 'waiting' THEN $10 END,"
		" owner = NULL, lease_until = NULL"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY"
		" AS u (id, state, uncharged, in_doubt, sqlstate, http_status, error, result, retry_at, n)"
		" WHERE q.id = u.id AND q.owner = $11"
		" RETURNING u.n, CASE WHEN u.state <> 'waiting' THEN " NEXT_OF_APPLICANT " END",
		11, {INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
		TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, TEXTOID}
	},
	/* these take the arguments of the claims; some are of no matter */
	[LOCKED_IN_LANE] = {
		LOCKED(IS_IN_LANE) " LIMIT 1", 10, {CLAIM_TYPES, INT4OID, TIMESTAMPTZOID, INT8OID, OIDOID}
	},
	[LOCKED_IDS] = {
		LOCKED(HAS_ID), 7, {CLAIM_TYPES, INT8ARRAYOID}
	},
	[PEEK] = {
		"SELECT coalesce(retry_at, run_at), id FROM %1$sallpass_queue WHERE state = 'waiting'"
		" AND server = $1 AND priority = $2 AND coalesce(retry_at, run_at) <= $3"
		" AND (coalesce(retry_at, run_at), id) > ($4, $5)"
		" ORDER BY coalesce(retry_at, run_at), id LIMIT 1",
		5, {TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[NEXT_DUE] = {
		"SELECT coalesce(retry_at, run_at) FROM %1$sallpass_queue WHERE state = 'waiting'"
		" AND server = $1 AND priority = $2 AND coalesce(retry_at, run_at) > $3"
		" ORDER BY coalesce(retry_at, run_at) LIMIT 1",
		3, {TEXTOID, INT4OID, TIMESTAMPTZOID}
	},
	[RENEW] = {
		"UPDATE %1$sallpass_queue SET lease_until = $2 WHERE id = ANY (ARRAY("
		" SELECT id FROM %1$sallpass_queue WHERE id = ANY ($1) AND owner = $3"
		" FOR NO KEY UPDATE SKIP LOCKED))",
		3, {INT8ARRAYOID, TIMESTAMPTZOID, TEXTOID}
	},
	/* a job whose owner died once and again may be what kills it */
	[RELEASE] = {
		"UPDATE %1$sallpass_queue q SET state = 'waiting', owner = NULL, lease_until = NULL,"
		" in_doubt = q.in_doubt OR q.operation = 'create_applicant',"
		" retry_at = CASE WHEN q.attempts > 2 THEN"
		"  $1 + least(pg_catalog.power(2, q.attempts - 1), 300) * interval '1 s' END"
		" WHERE q.id = ANY (ARRAY(SELECT f.id FROM %1$sallpass_queue f"
		/* an owner on this node that lives may just have been kept from the table */
		" WHERE f.state = 'in_flight' AND (f.lease_until < $1 - CASE"
		" WHEN pg_catalog.starts_with(f.owner, $2) THEN interval '10 min' ELSE interval '0' END"
		" OR f.owner <> $3 AND pg_catalog.starts_with(f.owner, $2) AND NOT EXISTS ("
		/* who may not see when a process started takes it for the one */
		"  SELECT FROM pg_catalog.pg_stat_activity a WHERE f.owner = $2 || a.pid || '/' ||"
		"  (extract(epoch FROM a.backend_start) * 1000000)::bigint OR a.backend_start IS NULL"
		"  AND pg_catalog.starts_with(f.owner, $2 || a.pid || '/'))) FOR NO KEY UPDATE SKIP LOCKED))",
		3, {TIMESTAMPTZOID, TEXTOID, TEXTOID}
	},
	[PURGE] = {
		"DELETE FROM %1$sallpass_queue WHERE id = ANY (ARRAY(SELECT id FROM %1$sallpass_queue"
		" WHERE state IN ('done', 'cancelled') AND finished_at < $1"
		" ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
		2, {TIMESTAMPTZOID, INT4OID}
	},
	[LIST_PAUSES] = {
		"SELECT server, requested_by::oid, paused_until, failures, sqlstate, reason"
		" FROM %1$sallpass_queue_pauses", 0, {0}
	},
	[PUT_PAUSE] = {
		"INSERT INTO %1$sallpass_queue_pauses VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (server, requested_by) DO UPDATE SET paused_until = excluded.paused_until,"
		" failures = excluded.failures, sqlstate = excluded.sqlstate, reason = excluded.reason",
		6, {TEXTOID, OIDOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID}
	},
	[DROP_PAUSE] = {
		"DELETE FROM %1$sallpass_queue_pauses WHERE server = $1 AND requested_by = $2",
		2, {TEXTOID, OIDOID}
	},
};

/* How plans are made and statements run, whatever the session's settings. */
static const char *const plan_settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"enable_sort", "off"},
	{"enable_memoize", "off"},
	{"jit", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"row_security", "on"},
	{"session_replication_role", "origin"},
	{"lock_timeout", "20ms"},
};

/*-------------------------------------------------------------------------
 * Transactions
 *-------------------------------------------------------------------------
 */

/*
 * Name the owner of claimed jobs: this cluster, by what makes it this one and no
 * copy of it, and this process, so that it can be told whether it still runs.
 */
static void
make_owner(ApQueue *queue)
{
	char		host[256] = "";
	char	   *identity;
	int64		start = MyStartTimestamp +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	(void) gethostname(host, sizeof(host) - 1);
	identity = psprintf(UINT64_FORMAT " %s %s", GetSystemIdentifier(), DataDir, host);
	snprintf(queue->node, sizeof(queue->node), "%016llx/",
			 (unsigned long long) DatumGetUInt64(hash_any_extended((unsigned char *) identity,
																  (int) strlen(identity), 0)));
	snprintf(queue->owner, sizeof(queue->owner), "%s%d/" INT64_FORMAT, queue->node, MyProcPid, start);
	pfree(identity);
}

/*
 * Set how statements are planned, for the session or the transaction.
 */
static void
set_plan_settings(GucAction action)
{
	for (int i = 0; i < (int) lengthof(plan_settings); i++)
		(void) set_config_option(plan_settings[i][0], plan_settings[i][1], PGC_SUSET,
								 PGC_S_SESSION, action, true, 0, false);
}

/*
 * Make a view of the queue for this process: in a procedure, which has
 * connected to SPI and may commit, or in a worker.
 */
ApQueue *
ap_queue_create(bool in_procedure)
{
	ApQueue    *queue = palloc0(sizeof(*queue));

	queue->in_procedure = in_procedure;
	make_owner(queue);
	if (!in_procedure)
		set_plan_settings(GUC_ACTION_SET);
	return queue;
}

/*
 * Give the saved plan of a statement.
 */
static SPIPlanPtr
get_plan(ApQueue *queue, Statement statement)
{
	const Text *query = &texts[statement];

	if (queue->plans[statement] == NULL)
	{
		char	   *schema = psprintf("%s.", quote_identifier(queue->schema_name));
		SPIPlanPtr	plan = SPI_prepare(psprintf(query->text, schema), query->nargs,
									   (Oid *) query->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement of the queue: %s",
				 SPI_result_code_string(SPI_result));
		queue->plans[statement] = plan;
	}
	return queue->plans[statement];
}

/*
 * Run a statement.  Its rows, if it gives any, are in SPI_tuptable.  SPI leaves
 * its own memory context as the current one, which goes with the transaction.
 */
static uint64
run(ApQueue *queue, Statement statement, Datum *values, const char *nulls)
{
	MemoryContext old = CurrentMemoryContext;
	int			code = SPI_execute_plan(get_plan(queue, statement), values, nulls, false, 0);

	MemoryContextSwitchTo(old);
	if (code < 0)
		elog(ERROR, "could not run a statement of the queue: %s", SPI_result_code_string(code));
	return SPI_processed;
}

/*
 * Drop the plans, since the schema is another one.
 */
static void
drop_plans(ApQueue *queue)
{
	for (int i = 0; i < NSTATEMENTS; i++)
	{
		if (queue->plans[i] != NULL)
			SPI_freeplan(queue->plans[i]);
		queue->plans[i] = NULL;
	}
}

/*
 * Free what outlives the memory of a queue.
 */
void
ap_queue_destroy(ApQueue *queue)
{
	drop_plans(queue);
}

/*
 * Find the table in the extension's schema.
 */
static bool
find_table(ApQueue *queue)
{
	bool		isnull;
	char	   *name;

	if (run(queue, FIND_SCHEMA, NULL, NULL) == 0)
		return false;
	queue->schema = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
												   1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	name = get_namespace_name(queue->schema);
	queue->relation = get_relname_relid("allpass_queue", queue->schema);
	if (name == NULL || !OidIsValid(queue->relation) ||
		!OidIsValid(get_relname_relid("allpass_queue_pauses", queue->schema)))
		return false;
	if (strcmp(name, queue->schema_name) != 0)
		drop_plans(queue);
	strlcpy(queue->schema_name, name, sizeof(queue->schema_name));
	return true;
}

/*
 * Tell whether the table that was found before is still in its place.
 */
static bool
is_in_place(const ApQueue *queue)
{
	char	   *name;

	if (!OidIsValid(queue->relation) || get_rel_namespace(queue->relation) != queue->schema)
		return false;
	name = get_namespace_name(queue->schema);
	return name != NULL && strcmp(name, queue->schema_name) == 0;
}

/*
 * Find the table, and lock it without waiting for anybody who drops, alters or
 * truncates it.
 */
static ApQueueState
open_table(ApQueue *queue)
{
	Oid			locked = InvalidOid;

	for (;;)
	{
		if (!is_in_place(queue) && !find_table(queue))
			return AP_QUEUE_ABSENT;
		if (queue->relation == locked)
			return AP_QUEUE_OPEN;
		if (!ConditionalLockRelationOid(queue->relation, RowExclusiveLock))
			return AP_QUEUE_BUSY;
		/* the lock may have let us see that it is not there any more */
		locked = queue->relation;
	}
}

/*
 * Act as the owner of the table: a worker, so that nobody's triggers on it run
 * with more rights than that, and a procedure, whoever called it.
 */
static void
become_owner(ApQueue *queue)
{
	HeapTuple	tuple;

	GetUserIdAndSecContext(&queue->caller, &queue->caller_context);
	if (!is_in_place(queue) && !find_table(queue))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(queue->relation));
	if (!HeapTupleIsValid(tuple))
		return;
	SetUserIdAndSecContext(((Form_pg_class) GETSTRUCT(tuple))->relowner,
						   queue->caller_context | SECURITY_LOCAL_USERID_CHANGE);
	ReleaseSysCache(tuple);
}

/*
 * Fire the triggers that are deferred to the commit, which comes when a procedure
 * is not the owner any more, and cannot go on after an error.
 */
static void
fire_deferred_triggers(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(all);
}

/*
 * End the transaction, well or not.
 */
static void
end(ApQueue *queue, bool well)
{
	MemoryContext old = CurrentMemoryContext;

	if (well)
		PopActiveSnapshot();
	if (queue->in_procedure)
	{
		if (well)
		{
			SetUserIdAndSecContext(queue->caller, queue->caller_context);
			ReleaseCurrentSubTransaction();
		}
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = queue->resources;
		if (well)
			SPI_commit();
		else
			SPI_rollback();
	}
	else
	{
		if (well)
		{
			SPI_finish();
			CommitTransactionCommand();
			/* not sooner: triggers may have been deferred until now */
			SetUserIdAndSecContext(queue->caller, queue->caller_context);
		}
		else
			AbortOutOfAnyTransaction();
		pgstat_report_stat(false);
	}
	ap_queue_is_mine = false;
	MemoryContextSwitchTo(old);
}

/*
 * Begin a transaction, unless there is nothing to do it on.
 */
ApQueueState
ap_queue_begin(ApQueue *queue)
{
	MemoryContext old = CurrentMemoryContext;
	ApQueueState state;

	if (!queue->in_procedure)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		SPI_connect();
		MemoryContextSwitchTo(old);
	}
	else
	{
		XactIsoLevel = XACT_READ_COMMITTED;
		XactReadOnly = false;
		/* what a statement that fails leaves behind goes with this */
		queue->resources = CurrentResourceOwner;
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(old);
	}
	/* what a statement returns may have to be fetched from elsewhere later */
	PushActiveSnapshot(GetTransactionSnapshot());
	if (queue->in_procedure)
		set_plan_settings(GUC_ACTION_LOCAL);
	become_owner(queue);
	ap_queue_is_mine = true;
	queue->now = GetCurrentTimestamp();
	state = open_table(queue);
	if (state != AP_QUEUE_OPEN)
		end(queue, true);
	return state;
}

/*
 * Commit.  What is not durable may be lost in a crash of the server, as a whole,
 * and never before what follows it.
 */
void
ap_queue_commit(ApQueue *queue, ApDurability durability)
{
	const char *setting = NULL;

	if (durability == AP_LAZY)
		setting = "off";
	else if (durability == AP_LOCAL || synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		setting = "local";
	if (setting != NULL)
		(void) set_config_option("synchronous_commit", setting, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	if (queue->in_procedure)
		fire_deferred_triggers();
	end(queue, true);
}

/*
 * Roll back, after an error.
 */
void
ap_queue_rollback(ApQueue *queue)
{
	end(queue, false);
}

/*
 * Give the time of the transaction.
 */
TimestampTz
ap_queue_now(const ApQueue *queue)
{
	return queue->now;
}

/*
 * Give the function of an operation, whose privileges a job needs: ours, not one
 * of the same name that somebody has added.
 */
Oid
ap_queue_function(const ApQueue *queue, const char *operation)
{
	char	   *name = psprintf("allpass_%s", operation);
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			function = InvalidOid;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

		if (proc->pronamespace == queue->schema && proc->prolang == ClanguageId)
			function = proc->oid;
	}
	ReleaseSysCacheList(list);
	return function;
}

/*-------------------------------------------------------------------------
 * Reading rows
 *-------------------------------------------------------------------------
 */

/*
 * Give a column of a row of the latest statement, or 0 where it is null.
 */
static Datum
column(uint64 row, int number, bool *isnull)
{
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);

	return *isnull ? (Datum) 0 : value;
}

/*
 * Give a column as a string, or NULL.
 */
static char *
text_column(uint64 row, int number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Give a column of a plain kind, which is not null.
 */
static Datum
plain_column(uint64 row, int number)
{
	bool		isnull;

	return column(row, number, &isnull);
}

/*
 * List the lanes that have waiting jobs.
 */
List *
ap_queue_lanes(ApQueue *queue)
{
	uint64		count = run(queue, LIST_LANES, NULL, NULL);
	List	   *lanes = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		ApLaneKey  *lane = palloc(sizeof(*lane));

		strlcpy(lane->server, text_column(i, 1), sizeof(lane->server));
		lane->priority = DatumGetInt32(plain_column(i, 2));
		lanes = lappend(lanes, lane);
	}
	SPI_freetuptable(SPI_tuptable);
	return lanes;
}

/*
 * Read a claimed job.
 */
static ApClaimed *
read_claimed(uint64 row)
{
	ApClaimed  *job = palloc0(sizeof(*job));
	bool		isnull;
	Datum		arguments = column(row, 5, &isnull);

	job->place.id = DatumGetInt64(plain_column(row, 1));
	job->place.due = DatumGetTimestampTz(plain_column(row, 2));
	job->operation = text_column(row, 3);
	job->applicant_id = text_column(row, 4);
	job->arguments = isnull ? NULL : DatumGetJsonbPCopy(arguments);
	job->role = DatumGetObjectId(plain_column(row, 6));
	job->attempts = DatumGetInt32(plain_column(row, 7));
	job->in_doubt = DatumGetBool(plain_column(row, 8));
	job->run_at = DatumGetTimestampTz(plain_column(row, 9));
	job->priority = DatumGetInt32(plain_column(row, 10));
	return job;
}

/*
 * Make an array of 64-bit numbers.
 */
static Datum
int64_array(const int64 *numbers, int count)
{
	Datum	   *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(numbers[i]);
	return PointerGetDatum(construct_array(values, count, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Make an array of OIDs.
 */
static Datum
oid_array(const Oid *oids, int count)
{
	Datum	   *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = ObjectIdGetDatum(oids[i]);
	return PointerGetDatum(construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/*
 * Set the arguments of a statement that claims.
 */
static void
set_claim(const ApQueue *queue, const ApClaim *claim, Datum *values)
{
	values[0] = CStringGetTextDatum(claim->server);
	values[1] = TimestampTzGetDatum(queue->now);
	values[2] = Int32GetDatum(claim->limit);
	values[3] = oid_array(claim->excluded_roles, claim->nexcluded);
	values[4] = CStringGetTextDatum(queue->owner);
	values[5] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(queue->now, AP_LEASE_MS));
	if (claim->ids != NULL)
	{
		values[6] = int64_array(claim->ids, claim->nids);
		return;
	}
	values[6] = Int32GetDatum(claim->priority);
	values[7] = TimestampTzGetDatum(claim->after.due);
	values[8] = Int64GetDatum(claim->after.id);
	values[9] = ObjectIdGetDatum(claim->only_role);
}

/*
 * Claim jobs that are due, at most one of each applicant.  Those that somebody
 * has locked are left out.
 */
List *
ap_queue_claim(ApQueue *queue, const ApClaim *claim)
{
	Datum		values[AP_MAX_QUERY_ARGS];
	uint64		count;
	List	   *jobs = NIL;

	set_claim(queue, claim, values);
	count = run(queue, claim->ids != NULL ? CLAIM_IDS : CLAIM_LANE, values, NULL);
	for (uint64 i = 0; i < count; i++)
		jobs = lappend(jobs, read_claimed(i));
	SPI_freetuptable(SPI_tuptable);
	return jobs;
}

/*
 * List the jobs, or at least one, that could have been claimed by a claim that
 * was not filled: somebody has them locked.
 */
List *
ap_queue_locked(ApQueue *queue, const ApClaim *claim)
{
	Datum		values[AP_MAX_QUERY_ARGS];
	uint64		count;
	List	   *jobs = NIL;

	set_claim(queue, claim, values);
	count = run(queue, claim->ids != NULL ? LOCKED_IDS : LOCKED_IN_LANE, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		ApClaimed  *job = palloc0(sizeof(*job));

		job->place.due = DatumGetTimestampTz(plain_column(i, 1));
		job->place.id = DatumGetInt64(plain_column(i, 2));
		job->priority = DatumGetInt32(plain_column(i, 3));
		jobs = lappend(jobs, job);
	}
	SPI_freetuptable(SPI_tuptable);
	return jobs;
}

/*
 * Find the job in a lane that is due next after a place.  Returns false if there
 * is none.
 */
bool
ap_queue_peek(ApQueue *queue, const ApClaim *claim, ApQueuePlace *place)
{
	Datum		values[] = {
		CStringGetTextDatum(claim->server), Int32GetDatum(claim->priority),
		TimestampTzGetDatum(queue->now), TimestampTzGetDatum(claim->after.due),
		Int64GetDatum(claim->after.id)
	};
	bool		found = run(queue, PEEK, values, NULL) > 0;

	if (found)
	{
		place->due = DatumGetTimestampTz(plain_column(0, 1));
		place->id = DatumGetInt64(plain_column(0, 2));
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*-------------------------------------------------------------------------
 * Settling
 *-------------------------------------------------------------------------
 */

/* Arrays in the making, one for each column of what is settled. */
#define AP_SETTLE_COLUMNS 9

/*
 * Make an array of a column, in which values may be null.
 */
static Datum
nullable_array(Datum *values, bool *nulls, int count, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, type,
											  length, by_value, align));
}

/*
 * Give a string as a text, and tell whether it is null.
 */
static Datum
text_or_null(const char *string, bool *isnull)
{
	*isnull = string == NULL;
	return *isnull ? (Datum) 0 : CStringGetTextDatum(string);
}

/*
 * Give a column of a settlement, and tell whether it is null.
 */
static Datum
settlement_column(const ApSettlement *job, int column, bool *isnull)
{
	*isnull = false;
	switch (column)
	{
		case 0:
			return Int64GetDatum(job->id);
		case 1:
			return text_or_null(job->state, isnull);
		case 2:
			return Int32GetDatum(job->charged ? 0 : 1);
		case 3:
			return BoolGetDatum(job->in_doubt);
		case 4:
			return text_or_null(job->sqlstate, isnull);
		case 5:
			*isnull = job->http_status == 0;
			return Int32GetDatum(job->http_status);
		case 6:
			return text_or_null(job->error, isnull);
		case 7:
			*isnull = job->result == NULL;
			return JsonbPGetDatum(job->result);
		default:
			*isnull = job->retry_at == 0;
			return TimestampTzGetDatum(job->retry_at);
	}
}

/*
 * Settle jobs by a statement that takes these columns of them, in this order,
 * then the time and the owner.  Returns how many of them were still ours.
 */
static int
settle(ApQueue *queue, Statement statement, const int *columns, int ncolumns,
	   const ApSettlement *jobs, int count, int64 *next)
{
	static const Oid types[AP_SETTLE_COLUMNS] = {
		INT8OID, TEXTOID, INT4OID, BOOLOID, TEXTOID, INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID
	};
	Datum		arguments[AP_MAX_QUERY_ARGS];
	Datum	   *values = palloc(count * sizeof(Datum));
	bool	   *nulls = palloc(count * sizeof(bool));
	uint64		settled;

	for (int i = 0; i < ncolumns; i++)
	{
		for (int j = 0; j < count; j++)
			values[j] = settlement_column(&jobs[j], columns[i], &nulls[j]);
		arguments[i] = nullable_array(values, nulls, count, types[columns[i]]);
	}
	arguments[ncolumns] = TimestampTzGetDatum(queue->now);
	arguments[ncolumns + 1] = CStringGetTextDatum(queue->owner);
	settled = run(queue, statement, arguments, NULL);
	for (uint64 i = 0; i < settled; i++)
		next[DatumGetInt64(plain_column(i, 1)) - 1] = DatumGetInt64(plain_column(i, 2));
	SPI_freetuptable(SPI_tuptable);
	return (int) settled;
}

/*
 * Settle jobs, those that are done first among them.  Sets next to the id of the
 * next job of the same applicant, 0 for none, and returns how many of the jobs
 * were still ours.
 */
int
ap_queue_settle(ApQueue *queue, const ApSettlement *jobs, int count, int64 *next)
{
	static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	static const int of_done[] = {0, 5, 7};
	int			done = 0;
	int			settled = 0;

	memset(next, 0, count * sizeof(*next));
	while (done < count && strcmp(jobs[done].state, "done") == 0)
		done++;
	if (done > 0)
		settled += settle(queue, SETTLE_DONE, of_done, lengthof(of_done), jobs, done, next);
	if (done < count)
		settled += settle(queue, SETTLE, all, lengthof(all), jobs + done, count - done, next + done);
	return settled;
}

/*
 * Give the time at which the next job of a lane will be due, or infinity.
 */
TimestampTz
ap_queue_next_due(ApQueue *queue, const char *server, int priority)
{
	Datum		values[] = {
		CStringGetTextDatum(server), Int32GetDatum(priority), TimestampTzGetDatum(queue->now)
	};
	TimestampTz due = DT_NOEND;

	if (run(queue, NEXT_DUE, values, NULL) > 0)
		due = DatumGetTimestampTz(plain_column(0, 1));
	SPI_freetuptable(SPI_tuptable);
	return due;
}

/*
 * Renew the leases of jobs that are still in flight.
 */
void
ap_queue_renew(ApQueue *queue, const int64 *ids, int count)
{
	Datum		values[] = {
		int64_array(ids, count),
		TimestampTzGetDatum(TimestampTzPlusMilliseconds(queue->now, AP_LEASE_MS)),
		CStringGetTextDatum(queue->owner)
	};

	(void) run(queue, RENEW, values, NULL);
}

/*
 * Take jobs in flight back whose owner does not run any more, or has let its
 * lease run out.  Returns whether there were any.
 */
bool
ap_queue_release(ApQueue *queue)
{
	Datum		values[] = {
		TimestampTzGetDatum(queue->now), CStringGetTextDatum(queue->node),
		CStringGetTextDatum(queue->owner)
	};

	return run(queue, RELEASE, values, NULL) > 0;
}

/*
 * Remove a batch of jobs that were done or cancelled so many seconds ago.
 * Returns whether there may be more.
 */
int
ap_queue_purge(ApQueue *queue, int64 retention_s)
{
	Datum		values[] = {
		TimestampTzGetDatum(queue->now - retention_s * USECS_PER_SEC),
		Int32GetDatum(AP_PURGE_BATCH)
	};

	return run(queue, PURGE, values, NULL) == AP_PURGE_BATCH;
}

/*-------------------------------------------------------------------------
 * Pauses
 *-------------------------------------------------------------------------
 */

/*
 * List the pauses, past ones too: they tell how often something has failed.
 */
List *
ap_queue_pauses(ApQueue *queue)
{
	uint64		count = run(queue, LIST_PAUSES, NULL, NULL);
	List	   *pauses = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		ApQueuePause *pause = palloc(sizeof(*pause));

		strlcpy(pause->server, text_column(i, 1), sizeof(pause->server));
		pause->role = DatumGetObjectId(plain_column(i, 2));
		pause->until = DatumGetTimestampTz(plain_column(i, 3));
		pause->failures = DatumGetInt32(plain_column(i, 4));
		pause->sqlstate = text_column(i, 5);
		pause->reason = text_column(i, 6);
		pauses = lappend(pauses, pause);
	}
	SPI_freetuptable(SPI_tuptable);
	return pauses;
}

/*
 * Remember a pause.
 */
void
ap_queue_pause(ApQueue *queue, const ApQueuePause *pause)
{
	Datum		values[] = {
		CStringGetTextDatum(pause->server), ObjectIdGetDatum(pause->role),
		TimestampTzGetDatum(pause->until), Int32GetDatum(pause->failures),
		CStringGetTextDatum(pause->sqlstate), CStringGetTextDatum(pause->reason)
	};

	(void) run(queue, PUT_PAUSE, values, NULL);
}

/*
 * Forget a pause.
 */
void
ap_queue_resume(ApQueue *queue, const char *server, Oid role)
{
	Datum		values[] = {CStringGetTextDatum(server), ObjectIdGetDatum(role)};

	(void) run(queue, DROP_PAUSE, values, NULL);
}
