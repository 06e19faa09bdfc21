/*-------------------------------------------------------------------------
 *
 * api.h
 *		The way of an API request: route, check, meet a fault, act, answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_API_H
#define SB_API_H

#include "request.h"

extern void sb_api_decide(SbRequest *request, struct MHD_Connection *connection,
						  const char *method);

#endif							/* SB_API_H */
