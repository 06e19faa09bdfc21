/*-------------------------------------------------------------------------
 *
 * shared.h
 *		What backends, workers and the launcher tell each other through shared
 *		memory.
 *
 * There is shared memory only if the module is preloaded.  Without it every
 * function here does nothing, or says that there is nobody.
 *
 * Backends note what they change while their transaction runs, and the workers
 * of the database hear of it when it has committed: in which lanes (a server
 * and a priority) there is something new, and from which time on to look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SHARED_H
#define AP_SHARED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

/* Lanes told of at once; if there are more, the news is just that there are. */
#define AP_MAX_NEWS 16

typedef struct ApLaneNews
{
	char		server[NAMEDATALEN];
	int			priority;
	TimestampTz due;			/* of the earliest new job; infinity for none */
	TimestampTz later;			/* of the earliest that is not due yet; infinity for none */
} ApLaneNews;

typedef struct ApNews
{
	bool		all;			/* anything may have changed */
	bool		config;			/* servers or mappings have changed */
	bool		pauses;			/* another worker has begun or ended a pause */
	bool		databases;		/* for the launcher: there are others */
	int			count;
	ApLaneNews	lanes[AP_MAX_NEWS];
} ApNews;

/* The life of a worker's slot; each state is followed by the next, or by free. */
typedef enum ApSlotState
{
	AP_SLOT_FREE,
	AP_SLOT_STARTING,			/* its process is on its way */
	AP_SLOT_PROBING,			/* looks whether the database has the extension */
	AP_SLOT_WORKING
} ApSlotState;

/* Set while the process changes the queue on its own behalf. */
extern bool ap_queue_is_mine;

/* of the module, before there is shared memory */
extern void ap_shared_request(void);

/* of backends: noted now, told at commit */
extern void ap_shared_note_job(const char *server, int priority, TimestampTz due);
extern void ap_shared_note_all(void);
extern void ap_shared_note_config(void);
extern void ap_shared_note_databases(void);

/* of backends: told now */
extern void ap_shared_tell_all(void);

/* of a backend that waits for a job to be settled; its latch is set when it is */
extern bool ap_shared_watch(int64 job);
extern void ap_shared_unwatch(void);
extern void ap_shared_tell_watchers(const int64 *jobs, int count);

/* of a backend that needs a database without workers until its transaction ends */
extern bool ap_shared_evict(Oid database, long timeout_ms);

/* of workers */
extern Oid	ap_shared_attach(int slot, int *index);
extern void ap_shared_set_state(ApSlotState state);
extern void ap_shared_set_absent(void);
extern bool ap_shared_must_stop(void);
extern bool ap_shared_take_news(ApNews *news);
extern void ap_shared_begin_pausing(void);
extern void ap_shared_end_pausing(void);
extern bool ap_shared_is_pausing(void);
extern pg_atomic_uint64 *ap_shared_rate_clock(Oid server);

/* of the launcher */
extern void ap_shared_attach_launcher(void);
extern bool ap_shared_take_call(Oid *databases, int *count, int max);
extern int	ap_shared_reserve(Oid database, int index);
extern ApSlotState ap_shared_slot_state(int slot);
extern bool ap_shared_free_slot(int slot);
extern bool ap_shared_is_evicted(Oid database);

#endif							/* AP_SHARED_H */
