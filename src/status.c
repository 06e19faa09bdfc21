/*-------------------------------------------------------------------------
 *
 * status.c
 *		Codes, their SQLSTATEs and texts, and the one function that throws.
 *
 * The texts are bounded: what a hostile server sends cannot grow a message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "mb/pg_wchar.h"

#include "status.h"

/* The SQLSTATE of each code; AP_REFUSED carries the HTTP status instead. */
static const int sqlstates[] = {
	[AP_OK] = MAKE_SQLSTATE('0', '0', '0', '0', '0'),
	[AP_BAD_ARGUMENT] = ERRCODE_INVALID_PARAMETER_VALUE,
	[AP_BAD_OPTION_NAME] = ERRCODE_FDW_INVALID_OPTION_NAME,
	[AP_DENIED] = ERRCODE_INSUFFICIENT_PRIVILEGE,
	[AP_LIMIT] = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
	[AP_NO_MEMORY] = ERRCODE_OUT_OF_MEMORY,
	[AP_UNREACHABLE] = MAKE_SQLSTATE('K', 'Y', '0', '0', '1'),
	[AP_NOT_UNDERSTOOD] = MAKE_SQLSTATE('K', 'Y', '0', '0', '2'),
	[AP_NOT_OPENED] = MAKE_SQLSTATE('K', 'Y', '0', '0', '3'),
	[AP_NOT_CONFIGURED] = MAKE_SQLSTATE('K', 'Y', '0', '0', '4'),
};

/* What an HTTP status means to the caller, and what to do about it. */
static const struct
{
	int			http_status;
	const char *meaning;
	const char *hint;
}			refusals[] = {
	{400, "bad request", NULL},
	{401, "key not accepted", "Check the api_key of the user mapping."},
	{403, "not allowed", "Check what the application of this api_key may do."},
	{404, "not found", NULL},
	{409, "conflict", NULL},
	{413, "request too large", NULL},
	{422, "not processable", NULL},
	{429, "too many requests", "Try again later, or lower the rate_limit of the server."},
	{500, "internal error of the server", NULL},
	{502, "bad gateway", NULL},
	{503, "service unavailable", "Try again later."},
	{504, "gateway timeout", "Try again later."},
};

/*
 * Format into a bounded field, clipped at a character of the server encoding.
 */
static void pg_attribute_printf(3, 0)
format(char *field, size_t size, const char *fmt, va_list args)
{
	int			len = vsnprintf(field, size, fmt, args);

	if (len < 0)
		field[0] = '\0';
	else if ((size_t) len >= size)
		field[pg_mbcliplen(field, size - 1, size - 1)] = '\0';
}

/*
 * Set a status to success.
 */
void
ap_status_clear(ApStatus *status)
{
	status->code = AP_OK;
	status->http_status = 0;
	status->sent = false;
	status->retry_after_s = 0;
	status->message[0] = '\0';
	status->detail[0] = '\0';
	status->hint[0] = '\0';
}

/*
 * Set code and message, and drop any older detail and hint.  Always returns
 * false, so that a caller can write "return ap_status_set(...)".
 */
bool
ap_status_set(ApStatus *status, ApCode code, const char *fmt,...)
{
	va_list		args;

	status->code = code;
	status->detail[0] = '\0';
	status->hint[0] = '\0';
	va_start(args, fmt);
	format(status->message, sizeof(status->message), fmt, args);
	va_end(args);
	return false;
}

/*
 * Set the detail of a status.
 */
void
ap_status_detail(ApStatus *status, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format(status->detail, sizeof(status->detail), fmt, args);
	va_end(args);
}

/*
 * Set the hint of a status.
 */
void
ap_status_hint(ApStatus *status, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format(status->hint, sizeof(status->hint), fmt, args);
	va_end(args);
}

/*
 * Set a status to: the answer makes no sense, for a reason in a sentence.
 */
void
ap_status_not_understood(ApStatus *status, const char *reason)
{
	ap_status_set(status, AP_NOT_UNDERSTOOD, "could not understand the answer of the Allpass API");
	ap_status_detail(status, "%s", reason);
}

/*
 * Set a status to what the API said by an HTTP status.
 */
void
ap_status_refused(ApStatus *status, int http_status)
{
	const char *meaning = NULL;
	const char *hint = NULL;

	for (int i = 0; i < (int) lengthof(refusals); i++)
	{
		if (refusals[i].http_status == http_status)
		{
			meaning = refusals[i].meaning;
			hint = refusals[i].hint;
		}
	}
	if (meaning == NULL && http_status >= 300 && http_status < 400)
		meaning = "redirect, not followed";

	if (meaning != NULL)
		ap_status_set(status, AP_REFUSED,
					  "Allpass API answered with status %d (%s)", http_status, meaning);
	else
		ap_status_set(status, AP_REFUSED,
					  "Allpass API answered with status %d", http_status);
	if (hint != NULL)
		ap_status_hint(status, "%s", hint);
	status->http_status = http_status;
}

/*
 * Tell whether the API said that the thing asked for does not exist.
 */
bool
ap_status_is_missing(const ApStatus *status)
{
	return status->code == AP_REFUSED && status->http_status == 404;
}

/*
 * Give the SQLSTATE of a status, in the server's packed form.
 */
int
ap_status_sqlstate(const ApStatus *status)
{
	if (status->code == AP_REFUSED)
		return MAKE_SQLSTATE('K', 'Y',
							 '0' + status->http_status / 100 % 10,
							 '0' + status->http_status / 10 % 10,
							 '0' + status->http_status % 10);
	return sqlstates[status->code];
}

/*
 * Raise a status as an error.  The log gets it without the statement and the
 * PL context that it happened in: they hold the caller's arguments, such as a
 * key that is being set or the data of a person.
 */
void
ap_status_throw(const ApStatus *status)
{
	Assert(status->code != AP_OK);
	ereport(ERROR,
			(errcode(ap_status_sqlstate(status)),
			 errhidestmt(true),
			 errhidecontext(true),
			 errmsg_internal("%s", status->message),
			 status->detail[0] ? errdetail_internal("%s", status->detail) : 0,
			 status->hint[0] ? errhint("%s", status->hint) : 0));
}
