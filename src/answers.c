/*-------------------------------------------------------------------------
 *
 * answers.c
 *		The answers that one execution of a statement has asked for.
 *
 * All memory is below that of the execution, so whatever way it ends, its
 * calls end with it.  Whoever waits for one answer takes in all that have
 * arrived, those of other executions too, so that none keeps its place among
 * the calls under way for longer than it needs it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/hsearch.h"

#include "answers.h"
#include "client.h"
#include "progress.h"

/*
 * A call that nobody has attended to for so long may have run into its time
 * limit with the answer at hand, so that its failure says nothing.
 */
#define AP_NEGLECT_US 500000

typedef struct Question
{
	uint32		hash;
	uint32		length;
	const char *text;
}			Question;

typedef enum AnswerState
{
	NOT_ASKED = 0,
	UNDER_WAY,
	KNOWN
}			AnswerState;

struct ApAnswer
{
	Question	question;
	ApAnswers  *answers;
	AnswerState state;
	int			holders;
	int64	   *unused;			/* where it counts until its row's turn, if asked ahead */
	bool		neglected;
	dlist_node	node;			/* in calls_under_way, or in kept */
	ApCall	   *call;			/* while it is under way */
	Jsonb	   *data;			/* NULL if it failed */
	ApStatus   *status;			/* NULL if it did not */
	size_t		size;
};

/* What the table has of an answer, which is not in the table's own memory. */
typedef struct Entry
{
	Question	question;		/* the key */
	ApAnswer   *answer;
}			Entry;

struct ApAnswers
{
	dlist_node	node;			/* in executions */
	MemoryContext execution;
	MemoryContext context;
	HTAB	   *table;
	StringInfoData question;	/* the latest */
	List	   *profiles;		/* that are held */
	int			window;			/* calls at once, by the latest of them */
	dlist_head	kept;			/* known and not held, the latest first */
	size_t		size;			/* of all that is known */
	int64		ahead;			/* how many are */
	bool		reports;		/* of its progress, since it has made a call */
	ApProgress	progress;
	MemoryContextCallback cleanup;
};

static dlist_head executions = DLIST_STATIC_INIT(executions);

/* The answers under way, of all executions. */
static dlist_head calls_under_way = DLIST_STATIC_INIT(calls_under_way);
static int	under_way = 0;
static int64 attended_us = 0;

/*
 * Take the execution, which is going, out of the lists.
 */
static void
forget_execution(void *arg)
{
	ApAnswers  *answers = arg;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &calls_under_way)
	{
		ApAnswer   *answer = dlist_container(ApAnswer, node, iter.cur);

		if (answer->answers != answers)
			continue;
		dlist_delete(&answer->node);
		under_way--;
	}
	dlist_delete(&answers->node);
	if (answers->reports)
		ap_progress_end(&answers->progress);
}

/*
 * Give a question's hash.
 */
static uint32
hash_question(const void *key, Size size)
{
	(void) size;
	return ((const Question *) key)->hash;
}

/*
 * Compare two questions; 0 if they are the same.
 */
static int
match_questions(const void *left, const void *right, Size size)
{
	const Question *a = left;
	const Question *b = right;

	(void) size;
	return a->length != b->length || memcmp(a->text, b->text, a->length) != 0;
}

/*
 * Find the answers of an execution, or NULL.
 */
ApAnswers *
ap_answers_find(MemoryContext execution)
{
	dlist_iter	iter;

	dlist_foreach(iter, &executions)
	{
		ApAnswers  *answers = dlist_container(ApAnswers, node, iter.cur);

		if (answers->execution == execution)
			return answers;
	}
	return NULL;
}

/*
 * Give the answers of an execution, none at first.
 */
ApAnswers *
ap_answers_open(MemoryContext execution)
{
	ApAnswers  *answers = ap_answers_find(execution);
	HASHCTL		control = {.keysize = sizeof(Question), .entrysize = sizeof(Entry)};
	MemoryContext old;

	if (answers != NULL)
		return answers;
	control.hcxt = AllocSetContextCreate(execution, "allpass answers", ALLOCSET_DEFAULT_SIZES);
	control.hash = hash_question;
	control.match = match_questions;
	old = MemoryContextSwitchTo(control.hcxt);
	answers = palloc0(sizeof(*answers));
	answers->execution = execution;
	answers->context = control.hcxt;
	answers->table = hash_create("allpass answers", 256, &control,
								 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	initStringInfo(&answers->question);
	dlist_init(&answers->kept);
	answers->cleanup.func = forget_execution;
	answers->cleanup.arg = answers;
	dlist_push_head(&executions, &answers->node);
	MemoryContextRegisterResetCallback(answers->context, &answers->cleanup);
	MemoryContextSwitchTo(old);
	return answers;
}

/*
 * Count the calls under way, of all executions.
 */
int
ap_answers_under_way(void)
{
	return under_way;
}

/*
 * Tell how many calls may be under way: 1 until the first call.
 */
int
ap_answers_window(const ApAnswers *answers)
{
	return Max(answers->window, 1);
}

/*
 * Count the calls that are ahead of their rows: their answers are still to be
 * used, or were used when the limit of the statement did not count them yet.
 */
int64
ap_answers_ahead(const ApAnswers *answers)
{
	return answers->ahead;
}

/*
 * Add calls whose answers were used ahead; or take back so many, if negative.
 */
void
ap_answers_put_ahead(ApAnswers *answers, int64 calls)
{
	answers->ahead += calls;
}

/*
 * Tell whether the answers take more memory than they should.
 */
bool
ap_answers_is_full(const ApAnswers *answers)
{
	return answers->size > (size_t) work_mem * 1024;
}

/*
 * Forget an answer that nobody holds and that is not under way.
 */
static void
discard(ApAnswer *answer)
{
	ApAnswers  *answers = answer->answers;

	answers->size -= answer->size;
	answers->ahead -= answer->unused != NULL;
	if (answer->data != NULL)
		pfree(answer->data);
	if (answer->status != NULL)
		pfree(answer->status);
	hash_search(answers->table, &answer->question, HASH_REMOVE, NULL);
	pfree((char *) answer->question.text);
	pfree(answer);
}

/*
 * Keep an answer that is known and that nobody holds, at the expense of those
 * that were not used for longest.
 */
static void
keep(ApAnswer *answer)
{
	ApAnswers  *answers = answer->answers;

	dlist_push_head(&answers->kept, &answer->node);
	while (ap_answers_is_full(answers) && !dlist_is_empty(&answers->kept))
	{
		answer = dlist_tail_element(ApAnswer, node, &answers->kept);
		dlist_delete(&answer->node);
		discard(answer);
	}
}

/*
 * Write down a question.
 */
static Question
make_question(ApAnswers *answers, const char *server, Oid role,
			  const ApEndpoint *endpoint, const char *const *values)
{
	StringInfo	text = &answers->question;
	int			count = ap_endpoint_params(endpoint);
	Question	question;

	resetStringInfo(text);
	appendBinaryStringInfo(text, (const char *) &endpoint, sizeof(endpoint));
	appendBinaryStringInfo(text, (const char *) &role, sizeof(role));
	appendBinaryStringInfo(text, server, (int) strlen(server) + 1);
	for (int i = 0; i < count; i++)
	{
		appendStringInfoChar(text, values[i] == NULL ? 'n' : 't');
		if (values[i] != NULL)
			appendBinaryStringInfo(text, values[i], (int) strlen(values[i]) + 1);
	}
	question.text = text->data;
	question.length = (uint32) text->len;
	question.hash = hash_bytes((const unsigned char *) text->data, text->len);
	return question;
}

/*
 * Add an empty answer to a question.
 */
static ApAnswer *
add_answer(ApAnswers *answers, const Question *question)
{
	ApAnswer   *answer = MemoryContextAllocZero(answers->context, sizeof(*answer));
	char	   *text = MemoryContextAlloc(answers->context, question->length);
	Entry	   *entry;

	memcpy(text, question->text, question->length);
	answer->question = *question;
	answer->question.text = text;
	answer->answers = answers;
	entry = hash_search(answers->table, &answer->question, HASH_ENTER, NULL);
	entry->answer = answer;
	return answer;
}

/*
 * Find the answer to a question, or an empty one if it is new, and hold it.
 */
ApAnswer *
ap_answers_hold(ApAnswers *answers, const char *server, Oid role,
				const ApEndpoint *endpoint, const char *const *values)
{
	Question	question = make_question(answers, server, role, endpoint, values);
	Entry	   *entry = hash_search(answers->table, &question, HASH_FIND, NULL);
	ApAnswer   *answer;

	answer = entry != NULL ? entry->answer : add_answer(answers, &question);
	if (answer->holders == 0 && answer->state == KNOWN)
		dlist_delete(&answer->node);
	answer->holders++;
	return answer;
}

/*
 * Hold an answer no longer.
 */
void
ap_answers_drop(ApAnswer *answer)
{
	if (--answer->holders > 0 || answer->state == UNDER_WAY)
		return;
	if (answer->state == KNOWN)
		keep(answer);
	else
		discard(answer);
}

/*
 * Tell whether an answer has been asked for, and perhaps is known.
 */
bool
ap_answers_is_asked(const ApAnswer *answer)
{
	return answer->state != NOT_ASKED;
}

/*
 * Note that the turn of an answer's row has come.
 */
static void
note_use(ApAnswer *answer)
{
	if (answer->unused == NULL)
		return;
	(*answer->unused)--;
	answer->answers->ahead--;
	answer->unused = NULL;
}

/*
 * Take in an answer whose call has ended.  Reading it may throw; it counts as
 * not asked for then.
 */
static void
settle(ApAnswer *answer)
{
	ApAnswers  *answers = answer->answers;
	ApCall	   *call = answer->call;
	ApStatus	status;
	Jsonb	   *data;

	dlist_delete(&answer->node);
	under_way--;
	answer->state = NOT_ASKED;
	answer->call = NULL;
	data = ap_client_answer(call, &status);
	ap_progress_end_call(&answers->progress, data == NULL);
	if (data == NULL && status.code == AP_UNREACHABLE && answer->neglected)
	{
		ap_client_end(call);
		note_use(answer);
		if (answer->holders == 0)
			discard(answer);
		return;
	}
	answer->size = sizeof(*answer) + answer->question.length;
	if (data != NULL)
	{
		answer->data = MemoryContextAlloc(answers->context, VARSIZE(data));
		memcpy(answer->data, data, VARSIZE(data));
		answer->size += VARSIZE(data);
	}
	else
	{
		answer->status = MemoryContextAlloc(answers->context, sizeof(status));
		*answer->status = status;
		answer->size += sizeof(status);
	}
	ap_client_end(call);
	answer->state = KNOWN;
	answers->size += answer->size;
	if (answer->holders == 0)
		keep(answer);
}

/*
 * Take in all answers that have arrived.  Returns false if there are none.
 */
static bool
settle_all(void)
{
	dlist_mutable_iter iter;
	bool		any = false;

	dlist_foreach_modify(iter, &calls_under_way)
	{
		ApAnswer   *answer = dlist_container(ApAnswer, node, iter.cur);

		if (!ap_client_is_done(answer->call))
			continue;
		settle(answer);
		any = true;
	}
	return any;
}

/*
 * Let the calls make progress: for as long as it takes, or not wait at all.
 */
static void
progress(long timeout_ms)
{
	int64		now = ap_http_clock_us();
	dlist_iter	iter;

	/* who waited for a call of its own may have made others end */
	if (settle_all())
		return;
	if (now - attended_us > AP_NEGLECT_US)
	{
		dlist_foreach(iter, &calls_under_way)
			dlist_container(ApAnswer, node, iter.cur)->neglected = true;
	}
	ap_client_progress(timeout_ms);
	attended_us = ap_http_clock_us();
	(void) settle_all();
}

/*
 * Tell whether an answer is known by now.
 */
bool
ap_answers_is_known(ApAnswer *answer)
{
	if (answer->state == UNDER_WAY)
		progress(0);
	return answer->state == KNOWN;
}

/*
 * Keep a profile as long as the answers, so that its connections serve all
 * their calls.
 */
static void
hold_profile(ApAnswers *answers, ApProfile *profile)
{
	if (list_member_ptr(answers->profiles, profile))
		return;
	ap_profile_hold(profile);
	answers->profiles = lappend(answers->profiles, profile);
}

/*
 * Ask for an answer; at its row's turn, or ahead of it if there is a place where
 * it counts until it is used.  Waits while as many calls are under way as the
 * server's options allow.
 */
void
ap_answers_ask(ApAnswer *answer, ApProfile *profile, const ApEndpoint *endpoint,
			   const char *const *values, size_t max_answer_size, int64 *unused)
{
	ApAnswers  *answers = answer->answers;
	MemoryContext old = MemoryContextSwitchTo(answers->context);

	hold_profile(answers, profile);
	answers->window = profile->options.max_concurrency;
	while (under_way >= answers->window)
		progress(-1);
	answer->call = ap_client_prepare(profile, endpoint, values, max_answer_size, NULL);
	ap_client_send(answer->call);
	if (!answers->reports)
		ap_progress_begin(&answers->progress, AP_PROGRESS_PREFETCH);
	answers->reports = true;
	ap_progress_start_call(&answers->progress);
	if (under_way == 0)
		attended_us = ap_http_clock_us();
	dlist_push_tail(&calls_under_way, &answer->node);
	under_way++;
	answer->state = UNDER_WAY;
	answer->neglected = false;
	answer->unused = unused;
	if (unused != NULL)
	{
		answers->ahead++;
		(*unused)++;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Wait for an answer that was asked for, at its row's turn.  Gives its data in
 * the current memory context, or NULL with the status set.  Returns false if
 * it has to be asked for again.
 */
bool
ap_answers_wait(ApAnswer *answer, Jsonb **data, ApStatus *status)
{
	while (answer->state == UNDER_WAY)
		progress(-1);
	if (answer->state == NOT_ASKED)
		return false;
	note_use(answer);
	*data = NULL;
	if (answer->data != NULL)
	{
		*data = palloc(VARSIZE(answer->data));
		memcpy(*data, answer->data, VARSIZE(answer->data));
	}
	else
		*status = *answer->status;
	return true;
}
