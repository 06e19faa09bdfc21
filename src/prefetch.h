/*-------------------------------------------------------------------------
 *
 * prefetch.h
 *		The plan node that makes the calls of the rows to come.
 *
 * It stands above its child (lefttree) and reads ahead in it: for each row it
 * asks for the answers that the row's call sites will need.  A row passes its
 * filter and is projected at its turn, where the functions find the answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PREFETCH_H
#define AP_PREFETCH_H

#include "nodes/plannodes.h"

extern void ap_prefetch_register(void);
extern void ap_prefetch_put_above(Plan *plan, Plan *child, int plan_node_id);
extern CustomScan *ap_prefetch_make(Plan *child, int plan_node_id, List *sites);
extern bool ap_prefetch_is_node(const Plan *plan);
extern List *ap_prefetch_sites(const CustomScan *node);
extern void ap_prefetch_set_reach(CustomScan *node, bool ahead, bool lean, int growth);
extern void ap_prefetch_set_limit(CustomScan *node, Node *count, Node *offset);
extern void ap_prefetch_set_serial(CustomScan *node, int sites);

#endif							/* AP_PREFETCH_H */
