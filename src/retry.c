/*-------------------------------------------------------------------------
 *
 * retry.c
 *		What becomes of a job after an attempt: the policy of the queue.
 *
 * A fault of the job fails it.  A fault of the way to the API, or of the API
 * itself, is waited out by the job.  A fault that every job would meet, such as
 * a key that is not accepted or a host that is not there, is waited out by all
 * of them, so that each is not tried in turn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "retry.h"

#define AP_FIRST_DELAY_MS 1000
#define AP_LONGEST_DELAY_MS (5 * 60 * 1000)
#define AP_LONGEST_PAUSE_OF_KEY_MS (60 * 1000)

/* A Retry-After beyond this is taken for a mistake. */
#define AP_LONGEST_REQUEST_MS (60 * 60 * 1000)

/*
 * Tell whether an HTTP status is a passing one.  A redirect is: something before
 * the API sends it while that is not there.
 */
static bool
is_passing(int http_status)
{
	return http_status < 400 || http_status == 408 || http_status == 425 || http_status == 429 ||
		(http_status >= 500 && http_status <= 599);
}

/*
 * Judge what the API said by an HTTP status.
 */
static void
judge_refusal(const ApStatus *status, ApRetry *retry)
{
	int			http_status = status->http_status;

	if (http_status == 401 || http_status == 403)
	{
		retry->scope = AP_SCOPE_ROLE;
		retry->charged = false;
	}
	else if (is_passing(http_status))
	{
		retry->scope = http_status == 429 ? AP_SCOPE_SERVER : AP_SCOPE_JOB;
		retry->in_doubt = http_status >= 500 || http_status == 408;
		retry->least_ms = Min(status->retry_after_s, AP_LONGEST_REQUEST_MS / 1000) * 1000;
	}
	else
		retry->verdict = AP_VERDICT_FAILED;
}

/*
 * Judge the outcome of an attempt.
 */
ApRetry
ap_retry_judge(const ApStatus *status)
{
	ApRetry		retry = {.verdict = AP_VERDICT_AGAIN, .scope = AP_SCOPE_JOB, .charged = true};

	switch (status->code)
	{
		case AP_OK:
			retry.verdict = AP_VERDICT_DONE;
			break;
		case AP_REFUSED:
			judge_refusal(status, &retry);
			break;
		case AP_UNREACHABLE:
			retry.in_doubt = status->sent;
			retry.scope = status->sent ? AP_SCOPE_JOB : AP_SCOPE_SERVER;
			break;
		case AP_NOT_UNDERSTOOD:
		case AP_NOT_OPENED:
			retry.in_doubt = true;
			break;
		case AP_NOT_CONFIGURED:
			retry.scope = AP_SCOPE_ROLE;
			retry.charged = false;
			break;
		case AP_NO_MEMORY:
			retry.in_doubt = status->sent;
			break;
		case AP_BAD_ARGUMENT:
		case AP_BAD_OPTION_NAME:
		case AP_DENIED:
		case AP_LIMIT:
			retry.verdict = AP_VERDICT_FAILED;
			break;
	}
	return retry;
}

/*
 * Double a time for each failure after the first, up to a limit.
 */
static int64
back_off(int failures, int64 longest)
{
	int64		delay = AP_FIRST_DELAY_MS;

	for (int i = 1; i < failures && delay < longest; i++)
		delay *= 2;
	return Min(delay, longest);
}

/*
 * Give the delay before a job is tried again after so many failures.  Chance,
 * from 0 to 1, spreads jobs that failed together.
 */
int64
ap_retry_delay(int failures, int64 least_ms, double chance)
{
	int64		delay = back_off(failures, AP_LONGEST_DELAY_MS);
	int64		spread = (int64) (chance * (double) (delay / 2));

	delay = delay < AP_LONGEST_DELAY_MS ? delay + spread : delay - spread;
	return Max(delay, least_ms);
}

/*
 * Give the pause of all jobs that a fault would hit, after so many failures.
 */
int64
ap_retry_pause(ApScope scope, const ApStatus *status, int failures)
{
	bool		is_key = scope == AP_SCOPE_ROLE && status->code == AP_REFUSED;
	int64		pause = back_off(failures, is_key ? AP_LONGEST_PAUSE_OF_KEY_MS : AP_LONGEST_DELAY_MS);

	/* how long is the API's to say, where it says so */
	if (scope == AP_SCOPE_SERVER && status->code == AP_REFUSED && status->retry_after_s > 0)
		pause = Min(status->retry_after_s * 1000, AP_LONGEST_REQUEST_MS);
	return pause;
}
