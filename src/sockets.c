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
 * A new socket is added to the set as it is; one that leaves it makes the set
 * be built anew, as the server's sets cannot give up a single event.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "sockets.h"

/* Events handled per wake-up; more wait for the next one. */
#define AP_EVENTS_PER_WAIT 64

/* Parked sockets looked at by one system call. */
#define AP_LOOKS_PER_CALL 64

/* Reads of what arrives out of turn, before the connection is given up anyway. */
#define AP_SWALLOW_READS 64

typedef struct Socket
{
	int			fd;
	int			events;			/* wanted now; 0 while parked */
	int			registered;		/* what the set waits for */
	int			pos;			/* in the set, -1 if not there */
	bool		ours;			/* made by ap_sockets_open() */
	bool		unchecked;		/* parked, and not looked at since */
	ino_t		inode;			/* of ours: tells it from its successors */
	void	   *owner;
}			Socket;

static Socket *sockets = NULL;
static int	nsockets = 0;
static int	nunchecked = 0;
static int	sockets_size = 0;

/* The places in the table by descriptor, plus one; 0 for none. */
static int *places = NULL;
static int	places_size = 0;

static WaitEventSet *waits = NULL;
static int	waits_size = 0;
static int	nwaits = 0;			/* events in the set */
static bool stale = true;		/* the set must be built anew */
static bool changed = false;	/* some socket wants what the set does not say */

/* What the last wait brought. */
static WaitEvent ready_events[AP_EVENTS_PER_WAIT];
static int	nready = 0;

/*
 * Find a socket in the table, or NULL.
 */
static Socket *
find(int fd)
{
	if (fd < 0 || fd >= places_size || places[fd] == 0)
		return NULL;
	return &sockets[places[fd] - 1];
}

/*
 * Make room in an array for one more entry; false when out of memory.
 */
static bool
make_room(void **array, int *size, int needed, size_t entry_size)
{
	int			larger = Max(64, *size);
	void	   *moved;

	if (needed < *size)
		return true;
	while (larger <= needed)
		larger *= 2;
	moved = realloc(*array, larger * entry_size);
	if (moved == NULL)
		return false;
	memset((char *) moved + *size * entry_size, 0, (larger - *size) * entry_size);
	*array = moved;
	*size = larger;
	return true;
}

/*
 * Add a socket to the table; NULL when out of memory.  Does not throw: it is
 * called from a library's callbacks.
 */
static Socket *
add(int fd)
{
	Socket	   *socket;

	if (!make_room((void **) &sockets, &sockets_size, nsockets, sizeof(Socket)) ||
		!make_room((void **) &places, &places_size, fd, sizeof(int)))
		return NULL;
	socket = &sockets[nsockets++];
	memset(socket, 0, sizeof(*socket));
	socket->fd = fd;
	socket->pos = -1;
	places[fd] = nsockets;
	return socket;
}

/*
 * Note whether a socket is parked and was not looked at since.
 */
static void
set_unchecked(Socket *socket, bool unchecked)
{
	nunchecked += (int) unchecked - (int) socket->unchecked;
	socket->unchecked = unchecked;
}

/*
 * Take a socket out of the table.
 */
static void
drop(Socket *socket)
{
	if (socket->pos >= 0)
		stale = true;
	set_unchecked(socket, false);
	places[socket->fd] = 0;
	nsockets--;
	if (socket != &sockets[nsockets])
	{
		*socket = sockets[nsockets];
		places[socket->fd] = socket - sockets + 1;
	}
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
 * Count one more descriptor among those that the server hands out; false if
 * there are too many, even without sockets of ours that were closed unnoticed.
 */
static bool
count_descriptor(void)
{
	if (AcquireExternalFD())
		return true;
	for (int i = nsockets - 1; i >= 0; i--)
	{
		if (sockets[i].ours && get_inode(sockets[i].fd) != sockets[i].inode)
			drop_closed(&sockets[i]);
	}
	return AcquireExternalFD();
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

	if (!count_descriptor())
		return -1;
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	/* whatever had this number before is closed */
	entry = find(fd);
	if (entry != NULL && entry->ours)
		drop_closed(entry);
	else if (entry != NULL)
		drop(entry);
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
	set_unchecked(socket, false);
	socket->events = events;
	socket->owner = owner;
	if (socket->pos < 0 || socket->registered != events)
		changed = true;
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
	if (!socket->ours)
	{
		drop(socket);
		return;
	}
	socket->events = 0;
	set_unchecked(socket, true);
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
 * none: on a kept-alive connection it would be taken for the next one.  One
 * look of the kernel tells which sockets have anything to say at all.  The look
 * may be at those alone that were parked since the last one.
 */
bool
ap_sockets_spoil(const void *owner, bool may_talk, bool only_new)
{
	struct pollfd looks[AP_LOOKS_PER_CALL];
	bool		spoiled = false;

	for (int i = 0; i < nsockets && (!only_new || nunchecked > 0);)
	{
		int			count = 0;
		bool		failed;

		for (; i < nsockets && count < AP_LOOKS_PER_CALL; i++)
		{
			Socket	   *socket = &sockets[i];

			if (!socket->ours || socket->events != 0 || socket->owner != owner ||
				(only_new && !socket->unchecked))
				continue;
			looks[count++] = (struct pollfd) {.fd = socket->fd,.events = POLLIN};
			set_unchecked(socket, false);
		}
		if (count == 0)
			break;
		failed = poll(looks, count, 0) < 0;
		for (int j = 0; j < count; j++)
		{
			if ((failed || looks[j].revents != 0) &&
				get_inode(looks[j].fd) == find(looks[j].fd)->inode)
				spoiled |= spoil(looks[j].fd, may_talk);
		}
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
 * Make the set anew, with room for more than the sockets there are.
 */
static void
rebuild(void)
{
	if (waits != NULL)
		FreeWaitEventSet(waits);
	waits = NULL;
	for (int i = 0; i < nsockets; i++)
		sockets[i].pos = -1;

	waits_size = nsockets * 2 + 16;
	stale = true;
	waits = ap_compat_create_wait_event_set(waits_size);
	nwaits = 1;
	AddWaitEventToSet(waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
	{
		AddWaitEventToSet(waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		nwaits++;
	}
}

/*
 * Bring the set up to date with a watched socket.
 */
static void
update(Socket *socket)
{
	if (socket->pos < 0)
	{
		socket->pos = AddWaitEventToSet(waits, wait_mask(socket->events),
										socket->fd, NULL, NULL);
		nwaits++;
	}
	else if (socket->events != socket->registered)
		ModifyWaitEvent(waits, socket->pos, wait_mask(socket->events), NULL);
	socket->registered = socket->events;
}

/*
 * Bring the set up to date with the table.
 */
static void
refresh(void)
{
	if (!stale && !changed)
		return;
	if (stale || nwaits + nsockets > waits_size)
		rebuild();
	/* an error leaves a set that nobody can tell the state of */
	stale = true;
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].events != 0)
			update(&sockets[i]);
	}
	stale = false;
	changed = false;
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
 * (-1 for no limit).  Acts on interrupts, so it may throw.  Returns whether
 * anything is ready: then ap_sockets_report() says what.
 */
bool
ap_sockets_wait(long timeout_ms)
{
	nready = 0;
	CHECK_FOR_INTERRUPTS();
	refresh();
	nready = WaitEventSetWait(waits, timeout_ms, ready_events, lengthof(ready_events),
							  ap_compat_wait_event());
	for (int i = 0; i < nready; i++)
	{
		if (ready_events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	return nready > 0;
}

/*
 * Tell the owners what the last wait has brought.  Does not throw.
 */
void
ap_sockets_report(ApSocketReady ready)
{
	for (int i = 0; i < nready; i++)
	{
		if (ready_events[i].events & WL_SOCKET_MASK)
			report(&ready_events[i], ready);
	}
	nready = 0;
}
