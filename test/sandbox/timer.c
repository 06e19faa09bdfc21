/*-------------------------------------------------------------------------
 *
 * timer.c
 *		Delays that hold a suspended connection and no thread.
 *
 * One thread keeps a heap of suspended connections by due time and resumes
 * them. It also watches their sockets, since libmicrohttpd does not look at a
 * suspended connection: a client that goes away is noticed at once.
 *
 * Only this thread resumes. A connection is taken out of the epoll set before
 * it is resumed, so an event never names a wait that is over.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"
#include "timer.h"

#define BATCH 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static SbWait **heap;
static size_t count;
static size_t room;
static int	poll_fd = -1;
static int	wake_fd = -1;
static bool closing;
static atomic_uint generation;

/* Put a wait into a place of the heap */
static void
put(size_t place, SbWait *wait)
{
	heap[place] = wait;
	wait->place = place;
}

/* Move a wait towards the top until its parent is due earlier */
static void
sift_up(SbWait *wait)
{
	size_t		place = wait->place;

	while (place > 0 && heap[(place - 1) / 2]->due > wait->due)
	{
		put(place, heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(place, wait);
}

/* Move a wait away from the top until its children are due later */
static void
sift_down(SbWait *wait)
{
	size_t		place = wait->place;

	for (;;)
	{
		size_t		child = place * 2 + 1;

		if (child + 1 < count && heap[child + 1]->due < heap[child]->due)
			child++;
		if (child >= count || heap[child]->due >= wait->due)
			break;
		put(place, heap[child]);
		place = child;
	}
	put(place, wait);
}

/* End a wait; the caller holds the lock */
static void
resume(SbWait *wait)
{
	SbWait	   *last = heap[--count];

	if (last != wait)
	{
		put(wait->place, last);
		sift_up(last);
		sift_down(last);
	}
	epoll_ctl(poll_fd, EPOLL_CTL_DEL, wait->fd, NULL);
	MHD_resume_connection(wait->connection);
}

/* Wake the thread */
static void
wake(void)
{
	uint64_t	one = 1;

	while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Take in what epoll reports: a wake-up call, or clients that went away */
static void
take_events(const struct epoll_event *events, int ready)
{
	for (int i = 0; i < ready; i++)
	{
		SbWait	   *wait = events[i].data.ptr;
		uint64_t	wakes;

		if (wait != NULL)
		{
			wait->gone = true;
			resume(wait);
		}
		else if (read(wake_fd, &wakes, sizeof(wakes)) < 0)
			continue;
	}
}

/* Wait for due times, clients that go away, and calls to wake up */
static void *
run(void *argument)
{
	int			ready;
	struct epoll_event events[BATCH];

	(void) argument;
	pthread_mutex_lock(&lock);
	while (!closing || count > 0)
	{
		int64_t		now = sb_clock_monotonic();
		int64_t		left = -1;

		while (count > 0 && (heap[0]->due <= now || closing))
			resume(heap[0]);
		if (closing)
			break;
		if (count > 0)
			left = heap[0]->due - now;
		pthread_mutex_unlock(&lock);
		ready = epoll_wait(poll_fd, events, BATCH, (int) left);
		pthread_mutex_lock(&lock);
		take_events(events, ready);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Start the thread */
void
sb_timer_start(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (poll_fd < 0 || wake_fd < 0 ||
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0 ||
		pthread_create(&thread, NULL, run, NULL) != 0)
	{
		perror("sandbox: could not start the timer");
		exit(1);
	}
}

/* Resume all, let nobody suspend any more, and end the thread */
void
sb_timer_stop(void)
{
	pthread_mutex_lock(&lock);
	closing = true;
	pthread_mutex_unlock(&lock);
	wake();
	pthread_join(thread, NULL);
	close(poll_fd);
	close(wake_fd);
	free(heap);
}

/*
 * Suspend a connection for some time; false if all delays were ended since the
 * generation given, or the server ends.
 *
 * The connection is suspended under the lock, so that the thread cannot
 * resume it before it is.
 */
bool
sb_timer_suspend(SbWait *wait, struct MHD_Connection *connection, int delay_ms, unsigned since)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct epoll_event event = {.events = EPOLLRDHUP,.data.ptr = wait};
	bool		first;

	*wait = (SbWait) {.connection = connection,.due = sb_clock_monotonic() + delay_ms};
	wait->fd = info ? (int) info->connect_fd : -1;
	pthread_mutex_lock(&lock);
	if (closing || since != atomic_load(&generation))
	{
		pthread_mutex_unlock(&lock);
		return false;
	}
	if (count == room)
	{
		SbWait	  **larger = realloc(heap, (room * 2 + 64) * sizeof(SbWait *));

		if (larger == NULL)
			abort();
		heap = larger;
		room = room * 2 + 64;
	}
	MHD_suspend_connection(connection);
	put(count++, wait);
	sift_up(wait);
	first = wait->place == 0;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, wait->fd, &event);
	pthread_mutex_unlock(&lock);
	if (first)
		wake();
	return true;
}

/*
 * End all delays of the requests that are there: those that run, and those to
 * come.  One that begins after this is none of them, however late the thread
 * wakes up.
 */
void
sb_timer_release_all(void)
{
	pthread_mutex_lock(&lock);
	atomic_fetch_add(&generation, 1);
	for (size_t i = 0; i < count; i++)
		heap[i]->due = 0;
	pthread_mutex_unlock(&lock);
	wake();
}

/* Tell how often all delays were ended */
unsigned
sb_timer_generation(void)
{
	return atomic_load(&generation);
}
