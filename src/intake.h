/*-------------------------------------------------------------------------
 *
 * intake.h
 *		Many jobs of one operation on their way into the queue.
 *
 * They go in as the role that runs the statement, but directly, so it needs no
 * privilege on the queue; it does need EXECUTE on the function of the operation.
 *
 * An intake may be opened and closed many times; it notices if the queue is
 * altered between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_INTAKE_H
#define AP_INTAKE_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "endpoint.h"

typedef struct ApIntake ApIntake;

extern ApIntake *ap_intake_create(Oid function, ApOperation operation);
extern bool ap_intake_fits(const ApIntake *intake, const char *operation);
extern void ap_intake_open(ApIntake *intake, int64 expected);
extern bool ap_intake_covers(ApIntake *intake, const char *applicant_id);
extern int64 ap_intake_add(ApIntake *intake, const char *applicant_id, Jsonb *arguments,
						   TimestampTz run_at);
extern void ap_intake_close(ApIntake *intake);

#endif							/* AP_INTAKE_H */
