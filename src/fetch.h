/*-------------------------------------------------------------------------
 *
 * fetch.h
 *		One call on behalf of an SQL function: from arguments to jsonb or error.
 *
 * ap_fetch_count_calls() is for those who make calls by themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_FETCH_H
#define AP_FETCH_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "answers.h"
#include "endpoint.h"

extern bool ap_fetch_count_calls(int64 calls, ApStatus *status);
extern void ap_fetch_arguments(FunctionCallInfo fcinfo, const ApEndpoint *endpoint,
							   const char **values);
extern Jsonb *ap_fetch(FunctionCallInfo fcinfo, const ApEndpoint *endpoint,
					   const char *const *values, bool missing_ok);
extern int64 *ap_fetch_count_ahead(int64 *calls);
extern void ap_fetch_count(ApAnswers *answers, int64 calls);
extern ApAnswer *ap_fetch_ahead(ApAnswers *answers, const ApEndpoint *endpoint,
								const char *const *values, int64 *unused, bool *asked);

#endif							/* AP_FETCH_H */
