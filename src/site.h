/*-------------------------------------------------------------------------
 *
 * site.h
 *		Call sites: where the expressions of a plan call the API.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SITE_H
#define AP_SITE_H

#include "nodes/primnodes.h"

#include "endpoint.h"

extern const ApEndpoint *ap_site_endpoint(Oid function);
extern bool ap_site_is_impure(Node *expression, List **subplans);
extern int	ap_site_count(Node *expression, bool *writes);
extern List *ap_site_collect(Node *expression);

#endif							/* AP_SITE_H */
