/*-------------------------------------------------------------------------
 *
 * access.c
 *		The queue as a role reaches it: where it is, what the role may do, and
 *		statements that are run on its behalf.
 *
 * Statements run as the owner of the table, under the search_path of the
 * caller.  So their texts qualify every name, operators too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "access.h"

#define TABLE_NAME "allpass_queue"
#define FUNCTION_PREFIX "allpass_"

/*
 * Find the queue of the extension that an SQL function belongs to: all that an
 * extension has is in one schema.
 */
void
ap_access_open(ApAccess *access, Oid function)
{
	HeapTuple	tuple;

	access->schema = get_func_namespace(function);
	access->table = get_relname_relid(TABLE_NAME, access->schema);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(access->table));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of the extension does not exist", TABLE_NAME),
				 errhint("Update it with ALTER EXTENSION allpass UPDATE.")));
	access->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	access->role = GetUserId();
	access->manages = has_privs_of_role(access->role, access->owner);
}

/*
 * Give the SQL type of a parameter.
 */
static Oid
param_type(const ApParam *param)
{
	switch (param->place)
	{
		case AP_IN_BODY_OBJECT:
			return JSONBOID;
		case AP_IN_BODY_NUMBER:
			return INT8OID;
		default:
			return TEXTOID;
	}
}

/*
 * Refuse a role that may not execute the function of an operation.
 */
void
ap_access_require(const ApAccess *access, const ApEndpoint *endpoint)
{
	int			count = ap_endpoint_params(endpoint);
	char	   *name = psprintf("%s%s", FUNCTION_PREFIX, endpoint->name);
	Oid			types[AP_MAX_PARAMS];
	Oid			function;

	for (int i = 0; i < count; i++)
		types[i] = param_type(&endpoint->params[i]);
	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
							   PointerGetDatum(buildoidvector(types, count)),
							   ObjectIdGetDatum(access->schema));
	if (!OidIsValid(function) || !ap_compat_may_execute(function, access->role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, name);
}

/*
 * Refuse what cannot be the name of a server.
 */
void
ap_access_check_server(const char *server)
{
	if (server[0] == '\0' || strlen(server) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the server of a job must be a name of 1 to %d bytes", NAMEDATALEN - 1)));
}

/*
 * Complain of a job that there is not, or not for the role.
 */
void
ap_access_refuse_job(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("job " INT64_FORMAT " does not exist", id)));
}

/*
 * Tell whether a role sees the jobs that another one asked for.
 */
bool
ap_access_sees(const ApAccess *access, Oid requested_by)
{
	return access->manages || has_privs_of_role(access->role, requested_by);
}

/*
 * Have the plan of a statement ready.  It is kept for as long as the table has
 * the same name.
 */
static void
prepare(const ApAccess *access, ApStatement *statement)
{
	char	   *table = quote_qualified_identifier(get_namespace_name(access->schema), TABLE_NAME);

	if (statement->plan != NULL && strcmp(statement->table, table) == 0)
		return;
	if (statement->plan != NULL)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
		pfree(statement->table);
	}
	statement->table = MemoryContextStrdup(TopMemoryContext, table);
	statement->plan = SPI_prepare(psprintf(statement->text, table), statement->nargs,
								  statement->types);
	if (statement->plan == NULL || SPI_keepplan(statement->plan) != 0)
		elog(ERROR, "could not prepare a statement on the queue");
}

/*
 * Run a statement as the owner of the queue, between SPI_connect() and
 * SPI_finish() of the caller; give the number of rows.  An error puts back the
 * role by itself, with the rest of the transaction.
 */
uint64
ap_access_run(const ApAccess *access, ApStatement *statement, Datum *values, const char *nulls)
{
	Oid			role;
	int			context;
	int			rc;

	GetUserIdAndSecContext(&role, &context);
	SetUserIdAndSecContext(access->owner, context | SECURITY_LOCAL_USERID_CHANGE);
	if (statement->reads)
		PushActiveSnapshot(GetLatestSnapshot());
	prepare(access, statement);
	rc = SPI_execute_plan(statement->plan, values, nulls, statement->reads, 0);
	if (rc < 0)
		elog(ERROR, "could not run a statement on the queue: %s", SPI_result_code_string(rc));
	if (statement->reads)
		PopActiveSnapshot();
	SetUserIdAndSecContext(role, context);
	return SPI_processed;
}

/*
 * Give a value of the first row that the latest statement gave.
 */
Datum
ap_access_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}
