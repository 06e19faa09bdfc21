/*-------------------------------------------------------------------------
 *
 * queue.h
 *		The table of the queue, as whoever carries its jobs out sees it.
 *
 * Everything happens in short transactions between ap_queue_begin() and
 * ap_queue_commit().  What is read lives in the memory context current at the
 * call.  An SQL error is thrown; the caller rolls back.
 *
 * Claimed jobs are in flight, with an owner and a lease.  Whoever settles them
 * must still be the owner: a job that was taken away is left alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_QUEUE_H
#define AP_QUEUE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct ApQueue ApQueue;

/* What ap_queue_begin() finds.  Without AP_QUEUE_OPEN there is no transaction. */
typedef enum ApQueueState
{
	AP_QUEUE_OPEN,
	AP_QUEUE_BUSY,				/* somebody has locked the table */
	AP_QUEUE_ABSENT				/* there is no extension, or an older one */
} ApQueueState;

/* What a commit is to survive. */
typedef enum ApDurability
{
	AP_LAZY,					/* no crash of the server */
	AP_LOCAL,					/* a crash of the server, but not its loss */
	AP_DURABLE					/* what the server is set to, a crash at least */
} ApDurability;

/* A place in the order in which waiting jobs are taken. */
typedef struct ApQueuePlace
{
	TimestampTz due;
	int64		id;
} ApQueuePlace;

/* Which jobs to claim: of a lane after a place, or of a server by their ids. */
typedef struct ApClaim
{
	const char *server;
	int			priority;
	ApQueuePlace after;
	const int64 *ids;			/* NULL for those of the lane */
	int			nids;
	int			limit;
	Oid			only_role;		/* InvalidOid for all */
	const Oid  *excluded_roles;
	int			nexcluded;
} ApClaim;

typedef struct ApClaimed
{
	ApQueuePlace place;
	char	   *operation;
	char	   *applicant_id;	/* or NULL */
	Jsonb	   *arguments;		/* or NULL */
	Oid			role;
	int			attempts;		/* with this one */
	bool		in_doubt;		/* an earlier attempt may have succeeded */
	TimestampTz run_at;
	int			priority;
} ApClaimed;

typedef struct ApSettlement
{
	int64		id;
	const char *state;
	bool		charged;		/* else the attempt does not count */
	bool		in_doubt;
	const char *sqlstate;		/* or NULL */
	int			http_status;	/* 0 for none */
	const char *error;			/* or NULL */
	Jsonb	   *result;			/* or NULL */
	TimestampTz retry_at;		/* 0 for at once */
} ApSettlement;

typedef struct ApLaneKey
{
	char		server[NAMEDATALEN];
	int			priority;
} ApLaneKey;

typedef struct ApQueuePause
{
	char		server[NAMEDATALEN];
	Oid			role;			/* InvalidOid for all */
	TimestampTz until;
	int			failures;
	const char *sqlstate;
	const char *reason;
} ApQueuePause;

extern ApQueue *ap_queue_create(bool in_procedure);
extern void ap_queue_destroy(ApQueue *queue);
extern ApQueueState ap_queue_begin(ApQueue *queue);
extern void ap_queue_commit(ApQueue *queue, ApDurability durability);
extern void ap_queue_rollback(ApQueue *queue);
extern TimestampTz ap_queue_now(const ApQueue *queue);
extern Oid	ap_queue_function(const ApQueue *queue, const char *operation);

extern List *ap_queue_lanes(ApQueue *queue);
extern List *ap_queue_claim(ApQueue *queue, const ApClaim *claim);
extern List *ap_queue_locked(ApQueue *queue, const ApClaim *claim);
extern bool ap_queue_peek(ApQueue *queue, const ApClaim *claim, ApQueuePlace *place);
extern int	ap_queue_settle(ApQueue *queue, const ApSettlement *jobs, int count, int64 *next);
extern TimestampTz ap_queue_next_due(ApQueue *queue, const char *server, int priority);
extern void ap_queue_renew(ApQueue *queue, const int64 *ids, int count);
extern bool ap_queue_release(ApQueue *queue);
extern int	ap_queue_purge(ApQueue *queue, int64 retention_s);

extern List *ap_queue_pauses(ApQueue *queue);
extern void ap_queue_pause(ApQueue *queue, const ApQueuePause *pause);
extern void ap_queue_resume(ApQueue *queue, const char *server, Oid role);

#endif							/* AP_QUEUE_H */
