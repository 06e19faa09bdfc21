/*-------------------------------------------------------------------------
 *
 * access.h
 *		The queue as a role reaches it: where it is, what the role may do, and
 *		statements that are run on its behalf.
 *
 * Nobody needs a privilege on the table to use the functions of the queue:
 * they check what the caller may do, and then run their statements as the
 * owner of the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ACCESS_H
#define AP_ACCESS_H

#include "access/attnum.h"
#include "executor/spi.h"

#include "endpoint.h"

/* Columns of the queue, as the script of the extension makes them. */
typedef enum ApColumnNumber
{
	AP_JOB_ID = 1,
	AP_JOB_OPERATION,
	AP_JOB_APPLICANT_ID,
	AP_JOB_ARGUMENTS,
	AP_JOB_SERVER,
	AP_JOB_RUN_AT,
	AP_JOB_PRIORITY,
	AP_JOB_REQUEST_KEY,
	AP_JOB_REQUESTED_BY,
	AP_JOB_STATE,
	AP_JOB_ATTEMPTS,
	AP_JOB_SQLSTATE,
	AP_JOB_HTTP_STATUS,
	AP_JOB_ERROR,
	AP_JOB_RESULT,
	AP_JOB_CREATED_AT,
	AP_JOB_ACCEPTED_AT,
	AP_JOB_FINISHED_AT,
	AP_JOB_RETRY_AT,
	AP_JOB_OWNER,
	AP_JOB_LEASE_UNTIL,
	AP_JOB_IN_DOUBT
} ApColumnNumber;

/* The queue of the extension that a function belongs to, and the role that uses it. */
typedef struct ApAccess
{
	Oid			schema;
	Oid			table;
	Oid			owner;
	Oid			role;
	bool		manages;		/* the role has the rights of the owner */
} ApAccess;

#define AP_MAX_STATEMENT_ARGS 6

/* A statement; "%1$s" in its text stands for the table. */
typedef struct ApStatement
{
	const char *text;
	bool		reads;			/* with a fresh snapshot, whatever the isolation level */
	int			nargs;
	Oid			types[AP_MAX_STATEMENT_ARGS];
	/* kept by ap_access_run() */
	char	   *table;
	SPIPlanPtr	plan;
} ApStatement;

extern void ap_access_open(ApAccess *access, Oid function);
extern void ap_access_require(const ApAccess *access, const ApEndpoint *endpoint);
extern void ap_access_check_server(const char *server);
extern void ap_access_refuse_job(int64 id) AP_COMPAT_NORETURN;
extern bool ap_access_sees(const ApAccess *access, Oid requested_by);
extern uint64 ap_access_run(const ApAccess *access, ApStatement *statement,
							Datum *values, const char *nulls);
extern Datum ap_access_value(int column, bool *isnull);

#endif							/* AP_ACCESS_H */
