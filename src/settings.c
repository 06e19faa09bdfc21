/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The settings ("GUCs") of the module, in the order of their names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <limits.h>

#include "utils/guc.h"

#include "settings.h"

#define AP_DEFAULT_CALLS 10000
#define AP_DEFAULT_MAX_AGE (7 * 24 * 60 * 60)
#define AP_DEFAULT_RETENTION (30 * 24 * 60 * 60)
#define AP_MAX_WORKERS 64
#define AP_DEFAULT_RESPONSE_KB (64 * 1024)
#define AP_MIN_RESPONSE_KB 1
/* a text of the server, and so a jsonb's source, ends at 1 GB */
#define AP_MAX_RESPONSE_KB (1024 * 1024 - 1)

/*
 * How long a queued job is tried again after failures that may pass.  Then it
 * fails, and waits for somebody to look at it.
 */
int			ap_job_max_age = AP_DEFAULT_MAX_AGE;

/*
 * How long jobs that are done or cancelled are kept in the queue's table.  Failed
 * ones stay until they are tried again or deleted.
 */
int			ap_job_retention = AP_DEFAULT_RETENTION;

/*
 * How many calls of the API one statement may make.  It guards against a join
 * that buys a million paid checks by mistake, not against malice: anybody may
 * raise it, knowingly.
 */
int			ap_max_calls_per_statement = AP_DEFAULT_CALLS;

/*
 * The largest answer taken from the network, after decompression.  It limits
 * the memory that a hostile server can make a backend use, though not to this
 * size: as jsonb in the making, an answer takes up to some fifty times as much.
 */
int			ap_max_response_size = AP_DEFAULT_RESPONSE_KB;

/*
 * Whether the calls that a query will make are made ahead, many at a time.
 */
bool		ap_prefetch = true;

/*
 * The foreign server that functions use.
 */
char	   *ap_server = NULL;

/*
 * How many workers drain the queue of a database.  One is enough unless a
 * processor is what limits it.
 */
int			ap_workers = 1;

/*
 * Define the settings.
 */
void
ap_settings_define(void)
{
	DefineCustomIntVariable("allpass.job_max_age",
							"Sets how long a queued job is tried again before it fails.",
							"It counts from the time at which the job was to run.",
							&ap_job_max_age,
							AP_DEFAULT_MAX_AGE, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("allpass.job_retention",
							"Sets how long queued jobs are kept after they are done or cancelled.",
							"-1 keeps them for ever.",
							&ap_job_retention,
							AP_DEFAULT_RETENTION, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("allpass.max_calls_per_statement",
							"Sets the maximum number of Allpass API calls that one statement may make.",
							"Zero removes the limit.",
							&ap_max_calls_per_statement,
							AP_DEFAULT_CALLS, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("allpass.max_response_size",
							"Sets the maximum size of an answer of the Allpass API, after decompression.",
							NULL,
							&ap_max_response_size,
							AP_DEFAULT_RESPONSE_KB, AP_MIN_RESPONSE_KB, AP_MAX_RESPONSE_KB,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("allpass.prefetch",
							 "Makes the Allpass API calls of a query ahead of its rows, many at a time.",
							 NULL,
							 &ap_prefetch,
							 true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("allpass.server",
							   "Sets the foreign server that the functions of allpass use.",
							   NULL,
							   &ap_server,
							   "allpass",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("allpass.workers",
							"Sets the number of workers that drain the queue of a database.",
							"Zero starts none.",
							&ap_workers,
							1, 0, AP_MAX_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("allpass");
}
