/*-------------------------------------------------------------------------
 *
 * shared.h
 *		What backends and workers tell each other through shared memory.
 *
 * There is shared memory only if the module is preloaded.  Without it every
 * function here does nothing, or says that there is nobody.
 *
 * Backends tell of jobs while their transaction runs, and the workers of the
 * database hear of them when it has committed.  A worker hears the least that
 * it needs: in which lane (a server and a priority) there is something new, and
 * from which time on it has to look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SHARED_H
#define AP_SHARED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

/* set while a process changes jobs in the course of working them off */
extern bool ap_queue_is_mine;

/* told by backends */
extern void ap_shared_note_job(const char *server, int priority, TimestampTz due);
extern void ap_shared_note_all(void);

/* a backend that waits for a job to be settled; its latch is set when it is */
extern bool ap_shared_watch(int64 job);
extern void ap_shared_unwatch(void);
extern void ap_shared_tell_watchers(const int64 *jobs, int count);

#endif							/* AP_SHARED_H */
