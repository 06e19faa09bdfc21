/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between the PostgreSQL versions, in one place.
 *
 * No other file tests PG_VERSION_NUM.  Include it after postgres.h and before
 * any other header of the server: on PostgreSQL 15 it makes PGDLLEXPORT export
 * symbols, since the module is built with hidden visibility on all versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_COMPAT_H
#define AP_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "allpass needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#include "fmgr.h"
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, name)(void); \
	const Pg_finfo_record * \
	CppConcat(pg_finfo_, name)(void) \
	{ \
		static const Pg_finfo_record info = {1}; \
		return &info; \
	} \
	extern int	no_such_variable
#endif

#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "nodes/execnodes.h"
#include "nodes/plannodes.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/selfuncs.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* A function that does not return; its spelling changed in 18. */
#define AP_COMPAT_NORETURN __attribute__((noreturn))

/* Declare the module, with its name and version where they are recorded. */
#if PG_VERSION_NUM >= 180000
#define AP_COMPAT_MODULE_MAGIC(module, number) PG_MODULE_MAGIC_EXT(.name = module, .version = number)
#else
#define AP_COMPAT_MODULE_MAGIC(module, number) PG_MODULE_MAGIC
#endif

/*
 * Make a wait event set that lives until it is freed.
 */
static inline WaitEventSet *
ap_compat_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/*
 * Name the wait for an answer, where the version can show a name.
 */
static inline uint32
ap_compat_wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("AllpassRequest");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * Name the wait for a job, where the version can show a name.
 */
static inline uint32
ap_compat_job_wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("AllpassJob");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * Decode the fields of a date and time; 0 for success.
 */
static inline int
ap_compat_decode_date_time(char **fields, int *types, int nfields, int *kind,
						   struct pg_tm *tm, fsec_t *fraction, int *zone)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(fields, types, nfields, kind, tm, fraction, zone, &extra);
#else
	return DecodeDateTime(fields, types, nfields, kind, tm, fraction, zone);
#endif
}

/*
 * Tell whether a role has USAGE on a foreign server.
 */
static inline bool
ap_compat_may_use_server(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/*
 * Tell whether a role may execute a function.
 */
static inline bool
ap_compat_may_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

/*
 * Tell whether a role owns a database, or may act as its owner.
 */
static inline bool
ap_compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/*
 * Give what a backend says of itself, by its number from 1 on.
 */
static inline const PgBackendStatus *
ap_compat_backend_status(int number)
{
#if PG_VERSION_NUM >= 160000
	return &pgstat_get_local_beentry_by_index(number)->backendStatus;
#else
	return &pgstat_fetch_stat_local_beentry(number)->backendStatus;
#endif
}

/*
 * Estimate the number of elements of an array.
 */
static inline double
ap_compat_array_length(PlannerInfo *root, Node *array)
{
#if PG_VERSION_NUM >= 170000
	return estimate_array_length(root, array);
#else
	(void) root;
	return estimate_array_length(array);
#endif
}

/*
 * The number of tables of a plan that is explained; those of groups, since
 * PostgreSQL 18, are not counted.
 */
#if PG_VERSION_NUM >= 180000
#define AP_COMPAT_RTABLE_SIZE(explain) ((explain)->rtable_size)
#else
#define AP_COMPAT_RTABLE_SIZE(explain) list_length((explain)->rtable)
#endif

/* The parameters and the arguments of a planner. */
#if PG_VERSION_NUM >= 190000
#define AP_COMPAT_PLANNER_PARAMS \
	Query *query, const char *text, int options, ParamListInfo params, ExplainState *explain
#define AP_COMPAT_PLANNER_ARGS query, text, options, params, explain
#else
#define AP_COMPAT_PLANNER_PARAMS \
	Query *query, const char *text, int options, ParamListInfo params
#define AP_COMPAT_PLANNER_ARGS query, text, options, params
#endif

/* The parameters of a signal handler that looks at none of them. */
#if PG_VERSION_NUM >= 190000
#define AP_COMPAT_SIGNAL_PARAMS \
	int number pg_attribute_unused(), const pg_signal_info *info pg_attribute_unused()
#else
#define AP_COMPAT_SIGNAL_PARAMS \
	int number pg_attribute_unused()
#endif

/*
 * Let a plan node seem to cost what its child costs.
 */
static inline void
ap_compat_copy_cost(Plan *plan, const Plan *child)
{
	plan->startup_cost = child->startup_cost;
	plan->total_cost = child->total_cost;
	plan->plan_rows = child->plan_rows;
	plan->plan_width = child->plan_width;
#if PG_VERSION_NUM >= 180000
	plan->disabled_nodes = child->disabled_nodes;
#endif
}

/*
 * Stop the clock of a plan node, if it runs.  From 19 on, where that is not for
 * others to do, the node is measured no longer.
 */
static inline void
ap_compat_stop_clock(PlanState *state)
{
	if (state->instrument == NULL)
		return;
#if PG_VERSION_NUM >= 190000
	state->instrument = NULL;
	ExecSetExecProcNode(state, state->ExecProcNodeReal);
#else
	if (!INSTR_TIME_IS_ZERO(state->instrument->starttime))
		InstrStopNode(state->instrument, 0);
#endif
}

#endif							/* AP_COMPAT_H */
