/*-------------------------------------------------------------------------
 *
 * options.h
 *		The command line.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_OPTIONS_H
#define SB_OPTIONS_H

#include <sys/socket.h>

#include "config.h"

typedef struct SbOptions
{
	struct sockaddr_storage address;
	const char *port_file;		/* NULL: none */
	char	   *certificate;	/* PEM text; NULL: no TLS */
	char	   *private_key;
	int			threads;
	int			log_size;
	SbConfig	config;
} SbOptions;

extern void sb_options_read(SbOptions *options, int count, char **arguments);
extern void sb_options_free(SbOptions *options);
extern bool sb_options_write_port(const SbOptions *options, int port);

#endif							/* SB_OPTIONS_H */
