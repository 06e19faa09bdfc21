/*-------------------------------------------------------------------------
 *
 * fetch.h
 *		One call on behalf of an SQL function: from arguments to jsonb or error.
 *
 * ap_fetch_count() is for those who make many calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_FETCH_H
#define AP_FETCH_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "endpoint.h"

extern bool ap_fetch_count(ApStatus *status);
extern void ap_fetch_arguments(FunctionCallInfo fcinfo, const ApEndpoint *endpoint,
							   const char **values);
extern Jsonb *ap_fetch(const ApEndpoint *endpoint, const char *const *values,
					   bool missing_ok);

#endif							/* AP_FETCH_H */
