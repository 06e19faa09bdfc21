/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		A job that has been claimed, until it is settled.
 *
 * A job runs with the mapping and the rights of the role that asked, as they
 * are now: the role must be there, and may call the operation's function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "attempt.h"

/*
 * Check that the role that asked is still there, and may do what it asked for.
 */
static bool
check_role(ApAttempt *attempt, ApQueue *queue, const char *operation)
{
	Oid			function;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(attempt->role)))
		return ap_status_set(&attempt->status, AP_DENIED,
							 "role with OID %u, which asked for the job, does not exist any more",
							 attempt->role);
	function = ap_queue_function(queue, operation);
	if (OidIsValid(function) && ap_compat_may_execute(function, attempt->role))
		return true;
	return ap_status_set(&attempt->status, AP_DENIED,
						 "permission denied for function allpass_%s", operation);
}

/*
 * Make the key by which the API can tell that it has seen this request before:
 * the same for all attempts of a job, but another one when somebody has it tried
 * again after it has failed.
 */
static void
make_idempotency_key(ApAttempt *attempt, const ApClaimed *claimed)
{
	char	   *text = psprintf("%s %s " INT64_FORMAT " " INT64_FORMAT, claimed->operation,
								claimed->applicant_id != NULL ? claimed->applicant_id : "",
								claimed->place.id, claimed->run_at);
	uint64		high = DatumGetUInt64(hash_any_extended((unsigned char *) text, (int) strlen(text), 1));
	uint64		low = DatumGetUInt64(hash_any_extended((unsigned char *) text, (int) strlen(text), 2));

	snprintf(attempt->idempotency_key, sizeof(attempt->idempotency_key),
			 "%08x-%04x-8%03x-%04x-%04x%08x",
			 (uint32) (high >> 32), (uint32) (high >> 16) & 0xffff, (uint32) high & 0xfff,
			 ((uint32) (low >> 48) & 0x3fff) | 0x8000, (uint32) (low >> 32) & 0xffff, (uint32) low);
	pfree(text);
}

/*
 * Prepare the call that comes next: to look the applicant up, or what the job
 * asks for.
 */
static bool
prepare_call(ApAttempt *attempt)
{
	ApProfile  *profile = ap_profile_get(attempt->server, attempt->role, &attempt->status);

	if (profile == NULL)
		return false;
	if (attempt->is_lookup)
		attempt->call = ap_client_prepare(profile, ap_endpoint_get(AP_APPLICANT),
										  attempt->job.values, attempt->max_answer_size, NULL);
	else
		attempt->call = ap_client_prepare(profile, attempt->job.endpoint, attempt->job.values,
										  attempt->max_answer_size, attempt->idempotency_key);
	return true;
}

/*
 * Make an attempt of a claimed job, with its call prepared.  What cannot be
 * called has ended already.
 */
ApAttempt *
ap_attempt_create(ApQueue *queue, const char *server, const ApClaimed *claimed,
				  size_t max_answer_size)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "allpass attempt",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ApAttempt  *attempt = palloc0(sizeof(*attempt));
	char	   *applicant_id = NULL;
	Jsonb	   *arguments = NULL;

	attempt->context = context;
	attempt->server = pstrdup(server);
	attempt->id = claimed->place.id;
	attempt->role = claimed->role;
	attempt->attempts = claimed->attempts;
	attempt->run_at = claimed->run_at;
	attempt->started_at = ap_queue_now(queue);
	attempt->in_doubt = claimed->in_doubt;
	attempt->fresh = true;
	make_idempotency_key(attempt, claimed);
	attempt->max_answer_size = max_answer_size;
	ap_status_clear(&attempt->status);
	/* a second call needs the values when what was claimed is gone */
	if (claimed->applicant_id != NULL)
		applicant_id = pstrdup(claimed->applicant_id);
	if (claimed->arguments != NULL)
		arguments = DatumGetJsonbPCopy(JsonbPGetDatum(claimed->arguments));
	if (check_role(attempt, queue, claimed->operation) &&
		ap_job_read(claimed->operation, applicant_id, arguments, &attempt->job, &attempt->status))
	{
		attempt->is_lookup = claimed->in_doubt && attempt->job.operation == AP_CREATE_APPLICANT;
		(void) prepare_call(attempt);
	}
	MemoryContextSwitchTo(old);
	return attempt;
}

/*
 * Tell whether there is an outcome to judge.
 */
bool
ap_attempt_has_ended(const ApAttempt *attempt)
{
	return attempt->call == NULL || ap_client_is_done(attempt->call);
}

/*
 * End the call that has been judged, and prepare another one.  Returns whether
 * there is one to send.
 */
static bool
go_on(ApAttempt *attempt, bool is_lookup)
{
	ap_client_end(attempt->call);
	attempt->call = NULL;
	attempt->is_lookup = is_lookup;
	ap_status_clear(&attempt->status);
	return prepare_call(attempt);
}

/*
 * Tell whether the outcome asks for another call, and prepare that.
 */
static bool
needs_another_call(ApAttempt *attempt)
{
	const ApStatus *status = &attempt->status;

	if (attempt->job.endpoint == NULL || attempt->job.operation != AP_CREATE_APPLICANT)
		return false;
	if (attempt->is_lookup && ap_status_is_missing(status))
	{
		attempt->was_looked_up = true;
		return go_on(attempt, false);
	}
	/* it exists, perhaps because of an earlier attempt */
	if (!attempt->is_lookup && attempt->in_doubt && !attempt->was_looked_up &&
		status->code == AP_REFUSED && status->http_status == 409)
		return go_on(attempt, true);
	return false;
}

/*
 * Judge an attempt that has ended.  Returns false if it goes on with another
 * call, which is to be sent.
 */
bool
ap_attempt_judge(ApAttempt *attempt)
{
	MemoryContext old = MemoryContextSwitchTo(attempt->context);
	bool		was_lookup = attempt->is_lookup;
	bool		goes_on;

	/* an error on the way to another call has left none */
	if (attempt->call == NULL && attempt->status.code == AP_OK)
		ap_status_set(&attempt->status, AP_NO_MEMORY, "attempt was interrupted");
	if (attempt->call != NULL)
		attempt->result = ap_client_answer(attempt->call, &attempt->status);
	goes_on = attempt->call != NULL && needs_another_call(attempt);
	attempt->retry = ap_retry_judge(&attempt->status);
	/* what failed after all was not about the creation, so that is still open */
	attempt->retry.in_doubt |= was_lookup && attempt->retry.verdict != AP_VERDICT_DONE;
	/* only now: an error above must not pass for an outcome */
	attempt->judged = !goes_on;
	MemoryContextSwitchTo(old);
	return attempt->judged;
}

/*
 * Put the words of a failure together.
 */
static const char *
describe(const ApStatus *status)
{
	if (status->detail[0] == '\0')
		return status->message;
	return psprintf("%s: %s", status->message, status->detail);
}

/*
 * Say how a judged attempt is settled.
 */
void
ap_attempt_settlement(const ApAttempt *attempt, TimestampTz now, int64 max_age_s,
					  ApSettlement *settlement)
{
	const ApStatus *status = &attempt->status;
	const ApRetry *retry = &attempt->retry;

	memset(settlement, 0, sizeof(*settlement));
	settlement->id = attempt->id;
	settlement->charged = retry->charged;
	settlement->http_status = status->http_status;
	if (retry->verdict == AP_VERDICT_DONE)
	{
		settlement->state = "done";
		settlement->result = attempt->result;
		return;
	}
	settlement->sqlstate = pstrdup(unpack_sql_state(ap_status_sqlstate(status)));
	settlement->error = describe(status);
	settlement->in_doubt = attempt->job.endpoint != NULL &&
		attempt->job.operation == AP_CREATE_APPLICANT &&
		(retry->in_doubt || (attempt->in_doubt && retry->verdict == AP_VERDICT_AGAIN));
	if (retry->verdict == AP_VERDICT_FAILED)
		settlement->state = "failed";
	else if (retry->charged && now - attempt->run_at > max_age_s * USECS_PER_SEC)
	{
		settlement->state = "failed";
		settlement->error = psprintf("gave up after %d attempts: %s", attempt->attempts,
									 settlement->error);
	}
	else
	{
		settlement->state = "waiting";
		if (retry->scope == AP_SCOPE_JOB)
			settlement->retry_at = TimestampTzPlusMilliseconds(now,
															   ap_retry_delay(attempt->attempts, retry->least_ms,
																			  pg_prng_double(&pg_global_prng_state)));
	}
}

/*
 * Do without a result that cannot be stored, or an answer that cannot be read.
 */
void
ap_attempt_give_up_result(ApAttempt *attempt)
{
	attempt->result = NULL;
	if (attempt->judged)
		return;
	ap_status_set(&attempt->status, AP_NOT_UNDERSTOOD, "could not read the answer of the Allpass API");
	attempt->retry = ap_retry_judge(&attempt->status);
	attempt->judged = true;
}

/*
 * Say how an attempt is settled that is given up under way: as if it had not
 * been made, but for what it may have created.
 */
void
ap_attempt_abandon(const ApAttempt *attempt, ApSettlement *settlement)
{
	memset(settlement, 0, sizeof(*settlement));
	settlement->id = attempt->id;
	settlement->state = "waiting";
	settlement->in_doubt = attempt->job.endpoint != NULL &&
		attempt->job.operation == AP_CREATE_APPLICANT;
}

/*
 * Free an attempt, and abandon its call if that is under way.
 */
void
ap_attempt_free(ApAttempt *attempt)
{
	MemoryContextDelete(attempt->context);
}
