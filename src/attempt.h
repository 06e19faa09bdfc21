/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		A job that has been claimed, until it is settled.
 *
 * An attempt is one call, or two or three: an applicant that may have been
 * created by an earlier attempt is looked up first, and after a conflict.  It
 * owns a memory context with all that belongs to it.
 *
 * Creating and judging an attempt need a transaction of the queue.  Between
 * them, the call goes its way with none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ATTEMPT_H
#define AP_ATTEMPT_H

#include "lib/ilist.h"

#include "client.h"
#include "job.h"
#include "queue.h"
#include "retry.h"

typedef struct ApAttempt
{
	dlist_node	node;			/* the caller's */
	void	   *lane;			/* the caller's */
	MemoryContext context;
	const char *server;
	int64		id;
	Oid			role;
	int			attempts;
	TimestampTz run_at;
	bool		in_doubt;		/* an earlier attempt may have succeeded */
	bool		fresh;			/* claimed by a transaction that has not committed */
	bool		judged;
	int			unsettled;		/* times it could not be settled, by itself */
	TimestampTz settle_at;		/* not before, after that */
	TimestampTz started_at;		/* when it was claimed */
	TimestampTz sent_at;		/* when its call, or the latest of them, was */
	ApJobCall	job;
	char		idempotency_key[40];
	size_t		max_answer_size;
	bool		is_lookup;		/* the call looks up what may have been created */
	bool		was_looked_up;
	ApCall	   *call;			/* NULL if there is none */
	ApStatus	status;
	Jsonb	   *result;
	ApRetry		retry;
} ApAttempt;

extern ApAttempt *ap_attempt_create(ApQueue *queue, const char *server,
									const ApClaimed *claimed, size_t max_answer_size);
extern bool ap_attempt_has_ended(const ApAttempt *attempt);
extern bool ap_attempt_judge(ApAttempt *attempt);
extern void ap_attempt_settlement(const ApAttempt *attempt, TimestampTz now, int64 max_age_s,
								  ApSettlement *settlement);
extern void ap_attempt_give_up_result(ApAttempt *attempt);
extern void ap_attempt_abandon(const ApAttempt *attempt, ApSettlement *settlement);
extern void ap_attempt_free(ApAttempt *attempt);

#endif							/* AP_ATTEMPT_H */
