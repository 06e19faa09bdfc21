/*-------------------------------------------------------------------------
 *
 * load.c
 *		Load generator: one request at a time on each of many connections.
 *
 * Usage: load PORT CONNECTIONS SECONDS PATH [API-KEY]
 * Prints requests per second and the number of answers that were not 200.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536
#define BATCH 256

typedef struct Client
{
	int			fd;
	size_t		have;
	char		buffer[ROOM];
} Client;

static char request[4096];
static size_t request_length;
static unsigned long answers;
static unsigned long failures;

/* Say what went wrong and end */
static void __attribute__((noreturn))
fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Give the time in seconds */
static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* Send the request */
static void
ask(const Client *client)
{
	if (send(client->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t) request_length)
		fail("send");
}

/* Give the length of the answer in the buffer if it is whole, else 0 */
static size_t
whole_answer(const Client *client)
{
	const char *end = memmem(client->buffer, client->have, "\r\n\r\n", 4);
	const char *header;
	size_t		length;

	if (end == NULL)
		return 0;
	header = memmem(client->buffer, (size_t) (end - client->buffer), "Content-Length: ", 16);
	if (header == NULL)
	{
		fputs("an answer has no Content-Length\n", stderr);
		exit(1);
	}
	length = (size_t) (end + 4 - client->buffer) + strtoul(header + 16, NULL, 10);
	return length <= client->have ? length : 0;
}

/* Read what has come, and ask again when an answer is whole */
static void
serve(Client *client)
{
	ssize_t		got = recv(client->fd, client->buffer + client->have, ROOM - client->have, 0);
	size_t		length;

	if (got <= 0)
		fail("recv");
	client->have += (size_t) got;
	length = whole_answer(client);
	if (length == 0)
		return;
	answers++;
	failures += strncmp(client->buffer, "HTTP/1.1 200", 12) != 0;
	client->have = 0;
	ask(client);
}

/* Open a connection and send the first request */
static void
open_client(Client *client, const struct sockaddr_in *address, int poll_fd)
{
	struct epoll_event event = {.events = EPOLLIN,.data.ptr = client};
	int			on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (client->fd < 0 ||
		connect(client->fd, (const struct sockaddr *) address, sizeof(*address)) != 0)
		fail("connect");
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, client->fd, &event);
	ask(client);
}

/* Run the load and print what was reached */
int
main(int count, char **arguments)
{
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int			poll_fd = epoll_create1(0);
	int			connections;
	double		seconds;
	double		begin;
	Client	   *clients;

	if (count < 5)
	{
		fputs("usage: load PORT CONNECTIONS SECONDS PATH [API-KEY]\n", stderr);
		return 2;
	}
	address.sin_port = htons((uint16_t) atoi(arguments[1]));
	connections = atoi(arguments[2]);
	seconds = atof(arguments[3]);
	request_length = (size_t) snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n"
									   "Host: localhost\r\nx-private-app-key: %s\r\n"
									   "x-request-id: load\r\nAccept: */*\r\n\r\n", arguments[4],
									   count > 5 ? arguments[5] : "sandbox-key");
	clients = calloc((size_t) connections, sizeof(Client));
	if (clients == NULL || request_length >= sizeof(request))
		fail("load");
	begin = now();
	for (int i = 0; i < connections; i++)
		open_client(&clients[i], &address, poll_fd);
	while (now() - begin < seconds)
	{
		struct epoll_event events[BATCH];
		int			ready = epoll_wait(poll_fd, events, BATCH, 100);

		for (int i = 0; i < ready; i++)
			serve(events[i].data.ptr);
	}
	printf("%.0f requests/s, %lu answers, %lu not 200\n", (double) answers / (now() - begin),
		   answers, failures);
	free(clients);
	return failures > 0;
}
