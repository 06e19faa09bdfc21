/*-------------------------------------------------------------------------
 *
 * server.h
 *		The HTTP daemon: libmicrohttpd's callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_SERVER_H
#define SB_SERVER_H

#include "options.h"

extern int	sb_server_start(const SbOptions *options);
extern void sb_server_stop(void);

#endif							/* SB_SERVER_H */
