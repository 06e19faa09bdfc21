/*-------------------------------------------------------------------------
 *
 * job.h
 *		A job of the queue as the call that it is: operation and arguments.
 *
 * Whoever puts a job into the queue has it checked here, in the words of the
 * function of that operation; the worker reads it here, and checks it again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_JOB_H
#define AP_JOB_H

#include "utils/jsonb.h"

#include "endpoint.h"

/*
 * The most bytes of arguments.  A worker has those of all jobs in flight in
 * memory, several times over.
 */
#define AP_JOB_MAX_ARGUMENTS (1024 * 1024)

typedef struct ApJobCall
{
	ApOperation operation;
	const ApEndpoint *endpoint;
	const char *values[AP_MAX_PARAMS];	/* in UTF-8, or NULL */
} ApJobCall;

extern bool ap_job_operation(const char *name, ApOperation *operation, ApStatus *status);
extern bool ap_job_read(const char *operation, const char *applicant_id, Jsonb *arguments,
						ApJobCall *call, ApStatus *status);

#endif							/* AP_JOB_H */
