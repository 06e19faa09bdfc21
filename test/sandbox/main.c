/*-------------------------------------------------------------------------
 *
 * main.c
 *		A local Allpass for tests: start, wait for a signal, stop.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cipher.h"
#include "control.h"
#include "documents.h"
#include "log.h"
#include "server.h"
#include "store.h"

/* Block the signals that end the process, so that no thread meets them */
static void
block_signals(sigset_t *ending)
{
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(ending);
	sigaddset(ending, SIGTERM);
	sigaddset(ending, SIGINT);
	pthread_sigmask(SIG_BLOCK, ending, NULL);
}

/* Start all parts, from the bottom up */
static void
start(const SbOptions *options)
{
	sb_cipher_start();
	sb_documents_start();
	sb_store_start();
	sb_stats_start();
	sb_log_start(options->log_size);
	sb_control_start(&options->config);
	sb_timer_start();
}

/* Stop all parts, so that a leak checker sees what was forgotten */
static void
stop(void)
{
	sb_faults_clear();
	sb_log_stop();
	sb_config_install(NULL);
	sb_stats_stop();
	sb_store_stop();
	sb_documents_stop();
	sb_cipher_stop();
}

/* Serve until a signal asks to end */
int
main(int count, char **arguments)
{
	SbOptions	options;
	sigset_t	ending;
	int			received;
	int			port;
	int			result = 0;

	sb_options_read(&options, count, arguments);
	block_signals(&ending);
	start(&options);
	port = sb_server_start(&options);
	if (port == 0)
	{
		fprintf(stderr, "sandbox: could not listen: %s\n", strerror(errno));
		sb_timer_stop();
		result = 1;
	}
	else
	{
		if (sb_options_write_port(&options, port))
			sigwait(&ending, &received);
		else
			result = 1;
		sb_timer_stop();
		sb_server_stop();
	}
	stop();
	sb_options_free(&options);
	return result;
}
