/*-------------------------------------------------------------------------
 *
 * control.h
 *		The control path /_sandbox/: reset, seed, stats, log, config, faults.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_CONTROL_H
#define SB_CONTROL_H

#include "request.h"

extern void sb_control_start(const SbConfig *command_line);
extern void sb_control_decide(SbRequest *request, const char *method);

#endif							/* SB_CONTROL_H */
