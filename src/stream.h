/*-------------------------------------------------------------------------
 *
 * stream.h
 *		Functions over sets in FROM, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_STREAM_H
#define AP_STREAM_H

#include "nodes/plannodes.h"

extern void ap_stream_register(void);
extern bool ap_stream_fits(const FunctionScan *scan, const PlannedStmt *stmt);
extern Plan *ap_stream_replace(FunctionScan *scan, PlannedStmt *stmt);

#endif							/* AP_STREAM_H */
