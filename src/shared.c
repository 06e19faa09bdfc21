/*-------------------------------------------------------------------------
 *
 * shared.c
 *		What backends and workers tell each other through shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "shared.h"

bool		ap_queue_is_mine = false;

/*
 * Tell of a job.
 */
void
ap_shared_note_job(const char *server, int priority, TimestampTz due)
{
	(void) server;
	(void) priority;
	(void) due;
}

/*
 * Tell of a change anywhere.
 */
void
ap_shared_note_all(void)
{
}

/*
 * Ask to be told when a job is settled.
 */
bool
ap_shared_watch(int64 job)
{
	(void) job;
	return false;
}

/*
 * Ask no longer.
 */
void
ap_shared_unwatch(void)
{
}

/*
 * Tell those who wait for jobs.
 */
void
ap_shared_tell_watchers(const int64 *jobs, int count)
{
	(void) jobs;
	(void) count;
}
