/*-------------------------------------------------------------------------
 *
 * fetch.c
 *		One call on behalf of an SQL function: from arguments to jsonb or error.
 *
 * Here statuses become errors.  Arguments are checked first, then the guard
 * of the statement, then the configuration; only then is there a network.
 *
 * Where answers are asked for ahead, a reading function uses and shares those
 * of its execution.  It counts against the guard at its row's turn all the same,
 * whether the answer is there or not, so that it fails at the same row as ever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/portal.h"

#include "client.h"
#include "fetch.h"
#include "settings.h"

/* How many calls a portal has made; lives in the portal's memory context. */
typedef struct PortalCalls
{
	dlist_node	node;			/* in portals */
	Portal		portal;
	int64		calls;
	MemoryContextCallback cleanup;
}			PortalCalls;

static dlist_head portals = DLIST_STATIC_INIT(portals);

/* Where calls are counted while rows are looked at ahead, or NULL. */
static int64 *calls_ahead = NULL;

/*
 * Give an SQL argument as a text in UTF-8.
 */
static const char *
argument_text(Datum value, ApPlace place)
{
	switch (place)
	{
		case AP_IN_BODY_OBJECT:
			return ap_endpoint_utf8(JsonbToCString(NULL, &DatumGetJsonbP(value)->root, 0));
		case AP_IN_BODY_NUMBER:
			return psprintf(INT64_FORMAT, DatumGetInt64(value));
		default:
			return ap_endpoint_utf8(TextDatumGetCString(value));
	}
}

/*
 * Take the arguments of an operation from those of its SQL function, which
 * has them first and in the same order.
 */
void
ap_fetch_arguments(FunctionCallInfo fcinfo, const ApEndpoint *endpoint, const char **values)
{
	int			count = ap_endpoint_params(endpoint);

	for (int i = 0; i < count; i++)
		values[i] = PG_ARGISNULL(i) ? NULL :
			argument_text(PG_GETARG_DATUM(i), endpoint->params[i].place);
}

/*
 * Forget a portal that is going.
 */
static void
forget_portal(void *arg)
{
	dlist_delete(&((PortalCalls *) arg)->node);
}

/*
 * Give the count of calls in the portal that runs now.
 */
static int64 *
portal_calls(void)
{
	dlist_iter	iter;
	PortalCalls *entry;

	dlist_foreach(iter, &portals)
	{
		entry = dlist_container(PortalCalls, node, iter.cur);
		if (entry->portal == ActivePortal)
			return &entry->calls;
	}
	entry = MemoryContextAllocZero(ActivePortal->portalContext, sizeof(*entry));
	entry->portal = ActivePortal;
	entry->cleanup.func = forget_portal;
	entry->cleanup.arg = entry;
	dlist_push_head(&portals, &entry->node);
	MemoryContextRegisterResetCallback(ActivePortal->portalContext, &entry->cleanup);
	return &entry->calls;
}

/*
 * Give the counts of calls of the statement and the query that run now.  A
 * statement is what a client sends: all that a function or a DO block does is
 * one.  A client that fetches a result in pieces sends a statement for each
 * piece; then the query behind them counts as one, too.
 */
static void
find_counts(int64 **of_statement, int64 **of_query)
{
	static TimestampTz statement = 0;
	static int64 statement_calls = 0;

	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		statement_calls = 0;
	}
	*of_statement = &statement_calls;
	*of_query = ActivePortal != NULL ? portal_calls() : &statement_calls;
}

/*
 * Tell how many calls the limit of the statement leaves.
 */
static int64
calls_left(void)
{
	int64	   *of_statement;
	int64	   *of_query;

	if (ap_max_calls_per_statement == 0)
		return PG_INT64_MAX;
	find_counts(&of_statement, &of_query);
	return ap_max_calls_per_statement - Max(*of_statement, *of_query);
}

/*
 * Count calls against the limit of the statement.  Returns false with the status
 * set if they are too many.
 */
bool
ap_fetch_count_calls(int64 calls, ApStatus *status)
{
	int64	   *of_statement;
	int64	   *of_query;

	find_counts(&of_statement, &of_query);
	if (calls <= calls_left())
	{
		*of_statement += calls;
		if (of_query != of_statement)
			*of_query += calls;
		return true;
	}
	ap_status_set(status, AP_LIMIT, "statement exceeds the limit of %d Allpass API calls",
				  ap_max_calls_per_statement);
	ap_status_detail(status, "Every call may cost money, so a statement that makes this many may be a mistake.");
	ap_status_hint(status, "If it is not, raise the setting \"allpass.max_calls_per_statement\", "
				   "or set it to 0 for no limit.");
	return false;
}

/*
 * From now on, count calls in *calls, and not against the limit: the rows they
 * belong to have not had their turn.  NULL ends that.  Gives what held before.
 */
int64 *
ap_fetch_count_ahead(int64 *calls)
{
	int64	   *before = calls_ahead;

	calls_ahead = calls;
	return before;
}

/*
 * Throw a status unless it is a success.
 */
static void
check(const ApStatus *status)
{
	if (status->code != AP_OK)
		ap_status_throw(status);
}

/*
 * Count calls that were counted ahead, since the turn of their row has come.
 */
void
ap_fetch_count(ApAnswers *answers, int64 calls)
{
	ApStatus	status;

	if (calls == 0)
		return;
	if (calls_ahead != NULL)
	{
		*calls_ahead += calls;
		return;
	}
	ap_answers_put_ahead(answers, -calls);
	ap_status_clear(&status);
	(void) ap_fetch_count_calls(calls, &status);
	check(&status);
}

/*
 * Give the largest answer that is taken, in bytes.
 */
static size_t
max_answer_size(void)
{
	return (size_t) ap_max_response_size * 1024;
}

/*
 * Make a call that nobody shares.  Gives its data in the current memory
 * context, or NULL with the status set.
 */
static Jsonb *
fetch_alone(const ApEndpoint *endpoint, const char *const *values, ApStatus *status)
{
	ApProfile  *profile = ap_profile_get(ap_server, GetUserId(), status);
	ApCall	   *call;
	Jsonb	   *data;

	if (profile == NULL)
		return NULL;
	call = ap_client_prepare(profile, endpoint, values, max_answer_size(), NULL);
	ap_client_send(call);
	ap_client_wait(call);
	data = ap_client_answer(call, status);
	if (data != NULL)
	{
		Jsonb	   *copy = palloc(VARSIZE(data));

		memcpy(copy, data, VARSIZE(data));
		data = copy;
	}
	ap_client_end(call);
	return data;
}

/*
 * Use the answer that the execution has asked for, or ask for it now.  Gives
 * its data in the current memory context, or NULL with the status set.
 */
static Jsonb *
fetch_shared(ApAnswers *answers, const ApEndpoint *endpoint, const char *const *values,
			 ApStatus *status)
{
	ApAnswer   *answer = ap_answers_hold(answers, ap_server, GetUserId(), endpoint, values);
	ApProfile  *profile;
	Jsonb	   *data = NULL;

	while (!ap_answers_wait(answer, &data, status))
	{
		profile = ap_profile_get(ap_server, GetUserId(), status);
		if (profile == NULL)
			break;
		ap_answers_ask(answer, profile, endpoint, values, max_answer_size(), NULL);
	}
	ap_answers_drop(answer);
	return data;
}

/*
 * Call an operation for a function and wait for its answer.  Returns its data
 * in the current memory context, or NULL if the API does not know the thing
 * and that is all right; every other failure is an error.
 */
Jsonb *
ap_fetch(FunctionCallInfo fcinfo, const ApEndpoint *endpoint, const char *const *values,
		 bool missing_ok)
{
	ApAnswers  *answers = NULL;
	ApStatus	status;
	Jsonb	   *data;

	if (!endpoint->is_post && fcinfo->flinfo != NULL)
		answers = ap_answers_find(fcinfo->flinfo->fn_mcxt);
	ap_status_clear(&status);
	ap_endpoint_check(endpoint, values, &status);
	check(&status);
	if (answers != NULL && calls_ahead != NULL)
	{
		(*calls_ahead)++;
		ap_answers_put_ahead(answers, 1);
	}
	else
		(void) ap_fetch_count_calls(1, &status);
	check(&status);
	if (!ap_prefetch)
		answers = NULL;
	data = answers != NULL ? fetch_shared(answers, endpoint, values, &status) :
		fetch_alone(endpoint, values, &status);
	if (data == NULL && !(missing_ok && ap_status_is_missing(&status)))
		check(&status);
	return data;
}

/*
 * Ask for the answer that a function will use, ahead of its row's turn, unless
 * it has been asked for; give it, held.  Returns NULL if the function will make
 * no call.  What is wrong with the configuration, or with the number of calls,
 * is left for the function to find.  Sets *asked if this call is a new one, which
 * counts in *unused until its answer is used; if too many are under way, it is not
 * made yet.
 */
ApAnswer *
ap_fetch_ahead(ApAnswers *answers, const ApEndpoint *endpoint, const char *const *values,
			   int64 *unused, bool *asked)
{
	ApAnswer   *answer;
	ApProfile  *profile;
	ApStatus	status;

	*asked = false;
	ap_status_clear(&status);
	if (!ap_endpoint_check(endpoint, values, &status))
		return NULL;
	answer = ap_answers_hold(answers, ap_server, GetUserId(), endpoint, values);
	if (ap_answers_is_asked(answer) || calls_left() <= ap_answers_ahead(answers))
		return answer;
	profile = ap_profile_get(ap_server, GetUserId(), &status);
	if (profile == NULL)
		return answer;
	if (ap_answers_under_way() < profile->options.max_concurrency)
	{
		ap_answers_ask(answer, profile, endpoint, values, max_answer_size(), unused);
		*asked = true;
	}
	return answer;
}
