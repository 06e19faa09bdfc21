/*-------------------------------------------------------------------------
 *
 * gather.h
 *		Many calls at once: a window of them over a set of any size.
 *
 * What has to be done for one element of a set is an errand: a call, or some
 * calls one after another, with their repetitions.  Errands come back as they
 * end, and a failure is an answer like any other.  What is under way, and what
 * has come and was not taken yet, is together at most the window: the server's
 * max_concurrency.  For a reader that may stop early it is small at first and
 * grows as answers are taken, so that it has caused few calls more; and memory
 * does not grow with the set.
 *
 * A gather belongs to the memory context current at ap_gather_begin(), and
 * everything under way is given up when that context goes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_GATHER_H
#define AP_GATHER_H

#include "lib/ilist.h"
#include "utils/jsonb.h"

#include "client.h"
#include "progress.h"

typedef struct ApGather ApGather;

typedef struct ApErrand
{
	/* set by those who know what is to be done */
	const ApEndpoint *endpoint; /* of the call; NULL to make none */
	const char *values[AP_MAX_PARAMS];
	int			element;		/* its place in the set */
	void	   *notes;
	/* set by the gather */
	Jsonb	   *data;			/* of the last call, NULL if it failed */
	ApStatus	status;			/* of the last call */
	int64		began_us;		/* when the first call of this endpoint was due */
	int			rounds;			/* how often "follow" has asked for one more */
	/* private to gather.c */
	dlist_node	node;
	MemoryContext context;
	ApCall	   *call;
	int			tries;
	int64		due_us;
} ApErrand;

/*
 * What a set is made of.  Both are called with the errand's own memory context
 * as the current one.
 */
typedef struct ApErrands
{
	ApProgressKind kind;
	bool		paid;			/* start with one where not all may be read */
	/* fill in the next errand; false if there is none */
	bool		(*next) (void *set, ApErrand *errand);
	/* say whether a call more has to follow, and after how many ms; or NULL */
	bool		(*follow) (void *set, ApErrand *errand, int *pause_ms);
} ApErrands;

/* How many of the answers will be taken: all, some, or at most a number. */
#define AP_READ_ALL 0
#define AP_READ_SOME (-1)

extern ApGather *ap_gather_begin(ApProfile *profile, const ApErrands *errands, void *set,
								 int reading);
extern ApErrand *ap_gather_next(ApGather *gather);

#endif							/* AP_GATHER_H */
