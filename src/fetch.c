/*-------------------------------------------------------------------------
 *
 * fetch.c
 *		One call on behalf of an SQL function: from arguments to jsonb or error.
 *
 * Here statuses become errors.  Arguments are checked first, then the guard
 * of the statement, then the configuration; only then is there a network.
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
 * Count a call against the limit of the statement.  Returns false with the
 * status set if it is one too many.  A statement is what a client sends: all
 * that a function or a DO block does is one.  A client that fetches a result in
 * pieces sends a statement for each piece; then the query behind them counts as
 * one, too.
 */
bool
ap_fetch_count(ApStatus *status)
{
	static TimestampTz statement = 0;
	static int64 statement_calls = 0;
	int64	   *query_calls = ActivePortal != NULL ? portal_calls() : &statement_calls;

	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		statement_calls = 0;
	}
	if (ap_max_calls_per_statement == 0 ||
		Max(statement_calls, *query_calls) < ap_max_calls_per_statement)
	{
		statement_calls++;
		if (query_calls != &statement_calls)
			(*query_calls)++;
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
 * Throw a status unless it is a success.
 */
static void
check(const ApStatus *status)
{
	if (status->code != AP_OK)
		ap_status_throw(status);
}

/*
 * Call an operation and wait for its answer.  Returns its data in the current
 * memory context, or NULL if the API does not know the thing and that is all
 * right; every other failure is an error.
 */
Jsonb *
ap_fetch(const ApEndpoint *endpoint, const char *const *values, bool missing_ok)
{
	ApStatus	status;
	ApProfile  *profile;
	ApCall	   *call;
	Jsonb	   *data;

	ap_status_clear(&status);
	ap_endpoint_check(endpoint, values, &status);
	check(&status);
	ap_fetch_count(&status);
	check(&status);
	profile = ap_profile_get(ap_server, GetUserId(), &status);
	check(&status);

	call = ap_client_prepare(profile, endpoint, values, (size_t) ap_max_response_size * 1024, NULL);
	ap_client_send(call);
	ap_client_wait(call);
	data = ap_client_answer(call, &status);
	if (data != NULL)
	{
		Jsonb	   *copy = palloc(VARSIZE(data));

		memcpy(copy, data, VARSIZE(data));
		data = copy;
	}
	ap_client_end(call);
	if (data == NULL && !(missing_ok && ap_status_is_missing(&status)))
		check(&status);
	return data;
}
