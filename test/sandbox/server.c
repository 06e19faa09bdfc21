/*-------------------------------------------------------------------------
 *
 * server.c
 *		The HTTP daemon: libmicrohttpd's callbacks.
 *
 * libmicrohttpd would hand over a path that is decoded already. The request
 * therefore begins in the callback for the raw target, and the decoding of
 * libmicrohttpd is turned off.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "answer.h"
#include "api.h"
#include "control.h"
#include "server.h"

#define BACKLOG 4096
#define MAX_CONNECTIONS 60000

/* Newer versions want the length of the address beside it */
#if MHD_VERSION >= 0x00097706
#define ADDRESS_OPTION(address) MHD_OPTION_SOCK_ADDR_LEN, address_length(address), (address)
#else
#define ADDRESS_OPTION(address) MHD_OPTION_SOCK_ADDR, (address)
#endif

static struct MHD_Daemon *http_daemon;

#if MHD_VERSION >= 0x00097706
/* Give the length of an address */
static socklen_t
address_length(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
		: sizeof(struct sockaddr_in);
}
#endif

/* Leave text as it is, in the place of decoding it */
static size_t
keep_escaped(void *context, struct MHD_Connection *connection, char *text)
{
	(void) context;
	(void) connection;
	return strlen(text);
}

/* Count connections */
static void
notice_connection(void *context, struct MHD_Connection *connection, void **socket_context,
				  enum MHD_ConnectionNotificationCode code)
{
	(void) context;
	(void) connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*socket_context = sb_stats_open();
	else if (*socket_context != NULL)
	{
		sb_stats_close(*socket_context);
		*socket_context = NULL;
	}
}

/* Begin a request; what this returns comes back as the request's context */
static void *
begin_request(void *context, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	(void) context;
	return sb_request_begin(target, info->socket_context);
}

/* End a request */
static void
end_request(void *context, struct MHD_Connection *connection, void **request_context,
			enum MHD_RequestTerminationCode code)
{
	(void) context;
	(void) connection;
	(void) code;
	if (*request_context != NULL)
		sb_request_end(*request_context);
	*request_context = NULL;
}

/* Decide the answer; true if the connection is suspended for a delay first */
static bool
decide(SbRequest *request, struct MHD_Connection *connection, const char *method)
{
	int64_t		delay;

	if (request->control)
	{
		sb_control_decide(request, method);
		return false;
	}
	sb_api_decide(request, connection, method);
	delay = request->config->delay_ms;
	if (request->fault != NULL && request->fault->delay_ms > 0)
		delay += request->fault->delay_ms;
	return delay > 0 &&
		sb_timer_suspend(&request->wait, connection, (int) delay, request->generation);
}

/*
 * Tell whether the client went away in the middle of the body.
 *
 * Where a piece of the body and the end of the stream arrive together,
 * libmicrohttpd reads the piece and never looks for the end.
 */
static bool
is_abandoned(const SbRequest *request, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info;
	struct pollfd socket = {.events = POLLRDHUP};
	int			waiting = 0;

	if (request->received >= request->expected)
		return false;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	socket.fd = info ? (int) info->connect_fd : -1;
	return poll(&socket, 1, 0) > 0 && socket.revents != 0 &&
		ioctl(socket.fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

/* Take a request in, and answer it when it is whole and its delay is over */
static enum MHD_Result
handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *data, size_t *length, void **request_context)
{
	SbRequest  *request = *request_context;

	(void) context;
	(void) url;
	(void) version;
	if (request == NULL)
		return MHD_NO;
	if (!request->started)
	{
		sb_request_arrive(request, MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
															   "Content-Length"));
		return MHD_YES;
	}
	if (*length > 0)
	{
		sb_request_body(request, data, *length);
		*length = 0;
		return is_abandoned(request, connection) ? MHD_NO : MHD_YES;
	}
	if (!request->decided && decide(request, connection, method))
		return MHD_YES;
	/* refusing to answer is how libmicrohttpd is told to close */
	if (request->wait.gone || (request->fault != NULL && request->fault->drop != SB_DROP_NOT))
		return MHD_NO;
	return sb_answer_queue(request, connection);
}

/* Let the process have as many connections as the system allows */
static unsigned
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 900;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > MAX_CONNECTIONS)
		return MAX_CONNECTIONS;
	return limit.rlim_cur > 128 ? (unsigned) limit.rlim_cur - 64 : 64;
}

/* Start the daemon; gives its port, or 0 */
int
sb_server_start(const SbOptions *options)
{
	unsigned	flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
	const union MHD_DaemonInfo *info;
	struct MHD_OptionItem more[4] = {{MHD_OPTION_END, 0, NULL}};
	int			count = 0;

	if (options->address.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	if (options->threads > 1)
		more[count++] = (struct MHD_OptionItem) {MHD_OPTION_THREAD_POOL_SIZE, options->threads, NULL};
	if (options->certificate != NULL)
	{
		flags |= MHD_USE_TLS;
		more[count++] = (struct MHD_OptionItem) {MHD_OPTION_HTTPS_MEM_CERT, 0, options->certificate};
		more[count++] = (struct MHD_OptionItem) {MHD_OPTION_HTTPS_MEM_KEY, 0, options->private_key};
	}
	more[count] = (struct MHD_OptionItem) {MHD_OPTION_END, 0, NULL};
	http_daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, NULL,
								   ADDRESS_OPTION(&options->address),
								   MHD_OPTION_CONNECTION_LIMIT, raise_limit(),
								   MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned) BACKLOG,
								   MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
								   MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL,
								   MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL,
								   MHD_OPTION_NOTIFY_CONNECTION, notice_connection, NULL,
								   MHD_OPTION_ARRAY, more,
								   MHD_OPTION_END);
	if (http_daemon == NULL)
		return 0;
	info = MHD_get_daemon_info(http_daemon, MHD_DAEMON_INFO_BIND_PORT);
	return info ? info->port : 0;
}

/* Stop the daemon; the timer has let go of all connections before */
void
sb_server_stop(void)
{
	MHD_stop_daemon(http_daemon);
}
