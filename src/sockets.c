/*-------------------------------------------------------------------------
 *
 * sockets.c
 *		Waiting for any number of sockets together with the backend's latch.
 *
 * One wait event set serves the whole backend.  What would spoil it is a
 * descriptor that is closed and whose number is given out again, unnoticed: the
 * kernel forgets the old one by itself.  So a descriptor that a library made
 * by itself leaves the table as soon as it is unwatched; and one of
 * ap_sockets_open(), which may stay parked, is known by its inode, since
 * libcurl does not return all of them through ap_sockets_close() (7.88 closes a
 * socket that never got connected by itself).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "sockets.h"

/* Events handled per wake-up; more wait for the next one. */
#define AP_EVENTS_PER_WAIT 64

/* Reads of what arrives out of turn, before the connection is given up anyway. */
#define AP_SWALLOW_READS 64

typedef struct Socket
{
	int			fd;
	int			events;			/* wanted now; 0 while parked */
	int			registered;		/* what the set waits for */
	int			pos;			/* in the set, -1 if not there */
	bool		ours;			/* made by ap_sockets_open() */
	ino_t		inode;			/* of ours: tells it from its successors */
	void	   *owner;
}			Socket;

static Socket *sockets = NULL;
static int	nsockets = 0;
static int	sockets_size = 0;

static WaitEventSet *waits = NULL;
static bool stale = true;		/* the set must be built anew */

/*
 * Find a socket in the table, or NULL.
 */
static Socket *
find(int fd)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd == fd)
			return &sockets[i];
	}
	return NULL;
}

/*
 * Add a socket to the table; NULL when out of memory.  Does not throw: it is
 * called from a library's callbacks.
 */
static Socket *
add(int fd)
{
	Socket	   *socket;

	if (nsockets == sockets_size)
	{
		int			size = Max(16, sockets_size * 2);
		Socket	   *larger = realloc(sockets, size * sizeof(Socket));

		if (larger == NULL)
			return NULL;
		sockets = larger;
		sockets_size = size;
	}
	socket = &sockets[nsockets++];
	memset(socket, 0, sizeof(*socket));
	socket->fd = fd;
	socket->pos = -1;
	return socket;
}

/*
 * Take a socket out of the table.
 */
static void
drop(Socket *socket)
{
	if (socket->pos >= 0)
		stale = true;
	*socket = sockets[--nsockets];
}

/*
 * Give the inode of a descriptor, 0 if it is not open.
 */
static ino_t
get_inode(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/*
 * Take a socket of ours that is closed out of the table and out of the count.
 */
static void
drop_closed(Socket *socket)
{
	drop(socket);
	ReleaseExternalFD();
}

/*
 * Open a socket, counted among the descriptors that the server hands out.
 * Returns -1 on failure.
 */
int
ap_sockets_open(int family, int type, int protocol)
{
	Socket	   *entry;
	int			fd;

	for (int i = nsockets - 1; i >= 0; i--)
	{
		if (sockets[i].ours && get_inode(sockets[i].fd) != sockets[i].inode)
			drop_closed(&sockets[i]);
	}
	if (!AcquireExternalFD())
		return -1;
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	entry = fd >= 0 ? add(fd) : NULL;
	if (entry == NULL)
	{
		if (fd >= 0)
			close(fd);
		ReleaseExternalFD();
		return -1;
	}
	entry->ours = true;
	entry->inode = get_inode(fd);
	return fd;
}

/*
 * Close a socket of ap_sockets_open().
 */
void
ap_sockets_close(int fd)
{
	Socket	   *socket = find(fd);

	close(fd);
	if (socket != NULL && socket->ours)
		drop_closed(socket);
}

/*
 * Watch a descriptor for events.  Returns false when out of memory.
 */
bool
ap_sockets_watch(int fd, int events, void *owner)
{
	Socket	   *socket = find(fd);

	if (socket != NULL && socket->ours && socket->events == 0 &&
		get_inode(fd) != socket->inode)
	{
		drop_closed(socket);
		socket = NULL;
	}
	if (socket == NULL && (socket = add(fd)) == NULL)
		return false;
	socket->events = events;
	socket->owner = owner;
	if (socket->pos < 0)
		stale = true;
	return true;
}

/*
 * Stop watching a descriptor: park it if it is ours, else forget it.
 */
void
ap_sockets_unwatch(int fd)
{
	Socket	   *socket = find(fd);

	if (socket == NULL)
		return;
	if (socket->ours)
		socket->events = 0;
	else
		drop(socket);
}

/*
 * Tell whether a parked socket is of no more use: closed by its peer or, unless
 * the peer may talk out of turn, not silent.  Then what has arrived is
 * swallowed, up to a bound, and the socket is shut down.
 */
static bool
spoil(int fd, bool may_talk)
{
	char		bytes[1024];
	ssize_t		len = recv(fd, bytes, 1, MSG_PEEK | MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return false;
	if (len > 0 && may_talk)
		return false;
	for (int reads = 0; len > 0 && reads < AP_SWALLOW_READS; reads++)
		len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	shutdown(fd, SHUT_RDWR);
	return true;
}

/*
 * Look at the parked sockets of an owner before one is used again, and tell
 * whether any of them must not be.  An answer that came before its request is
 * none: on a kept-alive connection it would be taken for the next one.
 */
bool
ap_sockets_spoil(const void *owner, bool may_talk)
{
	bool		spoiled = false;

	for (int i = 0; i < nsockets; i++)
	{
		Socket	   *socket = &sockets[i];

		if (socket->ours && socket->events == 0 && socket->owner == owner &&
			get_inode(socket->fd) == socket->inode)
			spoiled |= spoil(socket->fd, may_talk);
	}
	return spoiled;
}

/*
 * Give the server's event mask for ours.
 */
static uint32
wait_mask(int events)
{
	return ((events & AP_SOCKET_IN) ? WL_SOCKET_READABLE : 0) |
		((events & AP_SOCKET_OUT) ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Build the set from the sockets that are watched now.
 */
static void
rebuild(void)
{
	if (waits != NULL)
		FreeWaitEventSet(waits);
	waits = NULL;
	for (int i = 0; i < nsockets; i++)
		sockets[i].pos = -1;

	waits = ap_compat_create_wait_event_set(nsockets + 2);
	AddWaitEventToSet(waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < nsockets; i++)
	{
		Socket	   *socket = &sockets[i];

		if (socket->events == 0)
			continue;
		socket->pos = AddWaitEventToSet(waits, wait_mask(socket->events),
										socket->fd, NULL, NULL);
		socket->registered = socket->events;
	}
	stale = false;
}

/*
 * Bring the set up to date with the table.
 */
static void
refresh(void)
{
	if (stale)
		rebuild();
	for (int i = 0; i < nsockets; i++)
	{
		Socket	   *socket = &sockets[i];

		if (socket->pos < 0 || socket->events == 0 ||
			socket->events == socket->registered)
			continue;
		ModifyWaitEvent(waits, socket->pos, wait_mask(socket->events), NULL);
		socket->registered = socket->events;
	}
}

/*
 * Tell the owner of a socket about its events, unless it is parked: then its
 * peer has hung up or talks out of turn, and the set must not see it again.
 */
static void
report(const WaitEvent *event, ApSocketReady ready)
{
	Socket	   *socket = find(event->fd);
	int			events = 0;

	if (socket == NULL)
		return;
	if (socket->events == 0)
	{
		stale = true;
		return;
	}
	if (event->events & WL_SOCKET_READABLE)
		events |= AP_SOCKET_IN;
	if (event->events & WL_SOCKET_WRITEABLE)
		events |= AP_SOCKET_OUT;
	ready(socket->owner, socket->fd, events);
}

/*
 * Wait until a watched socket is ready, the latch is set or the time is up
 * (-1 for no limit), and report what is ready.  Acts on interrupts, so it may
 * throw, though never while an owner is being told.
 */
void
ap_sockets_wait(long timeout_ms, ApSocketReady ready)
{
	WaitEvent	events[AP_EVENTS_PER_WAIT];
	int			count;

	CHECK_FOR_INTERRUPTS();
	refresh();
	count = WaitEventSetWait(waits, timeout_ms, events, lengthof(events),
							 ap_compat_wait_event());
	for (int i = 0; i < count; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	for (int i = 0; i < count; i++)
	{
		if (events[i].events & WL_SOCKET_MASK)
			report(&events[i], ready);
	}
}
