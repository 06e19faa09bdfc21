/*-------------------------------------------------------------------------
 *
 * tree.h
 *		The nodes of finished plans: their children, their expressions, and what
 *		reading ahead in them would do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_TREE_H
#define AP_TREE_H

#include "nodes/plannodes.h"

/* What is evaluated when a row of a plan is read. */
typedef struct ApReading
{
	bool		is_impure;		/* it must not be done ahead of the row's turn */
	int			calls;			/* sites that nothing makes calls for ahead */
} ApReading;

extern List *ap_tree_children(Plan *plan);
extern List *ap_tree_expressions(Plan *plan);
extern List *ap_tree_lateral_sites(NestLoop *join);
extern ApReading ap_tree_reading(PlannedStmt *stmt, Plan *plan);

#endif							/* AP_TREE_H */
