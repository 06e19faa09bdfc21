/*-------------------------------------------------------------------------
 *
 * plan.h
 *		Finished plans, and where they get nodes that make calls ahead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PLAN_H
#define AP_PLAN_H

#include "nodes/plannodes.h"

extern bool ap_plan_is_plain(PlannedStmt *stmt);
extern bool ap_plan_rewrite(PlannedStmt *stmt, bool may_stop);

#endif							/* AP_PLAN_H */
