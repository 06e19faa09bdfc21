/*-------------------------------------------------------------------------
 *
 * log.h
 *		The last requests, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_LOG_H
#define SB_LOG_H

#include "text.h"

extern void sb_log_start(int size);
extern void sb_log_stop(void);
extern void sb_log_reset(void);
extern void sb_log_add(SbText *members);
extern void sb_log_render(SbText *out);

#endif							/* SB_LOG_H */
