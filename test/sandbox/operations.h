/*-------------------------------------------------------------------------
 *
 * operations.h
 *		The ten calls of the API, acting on the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_OPERATIONS_H
#define SB_OPERATIONS_H

#include "request.h"

extern void sb_operation_run(SbRequest *request);
extern int	sb_operation_status(SbOperation operation);

#endif							/* SB_OPERATIONS_H */
