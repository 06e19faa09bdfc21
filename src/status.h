/*-------------------------------------------------------------------------
 *
 * status.h
 *		The outcome of an operation: what failed, as which SQLSTATE, in which
 *		words.
 *
 * http_status, sent and retry_after_s tell of the call, whatever becomes of the
 * rest; ap_status_set() leaves them alone.
 *
 * Everything below the SQL surface reports failure by filling an ApStatus and
 * returning false or NULL; only ap_status_throw() turns one into an error.
 * So the surface can throw it, and a queue can store it, with the same text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_STATUS_H
#define AP_STATUS_H

typedef enum ApCode
{
	AP_OK = 0,
	AP_BAD_ARGUMENT,			/* 22023: refused before any network */
	AP_BAD_OPTION_NAME,			/* HV00D: unknown option of a server or mapping */
	AP_DENIED,					/* 42501: the role lacks a privilege */
	AP_LIMIT,					/* 54000: a guard of ours was hit */
	AP_NO_MEMORY,				/* 53200 */
	AP_UNREACHABLE,				/* KY001: not reachable or timed out */
	AP_NOT_UNDERSTOOD,			/* KY002: answer not understood */
	AP_NOT_OPENED,				/* KY003: answer fails decryption or authentication */
	AP_NOT_CONFIGURED,			/* KY004: server, mapping or key is missing */
	AP_REFUSED					/* KY + HTTP status: what the API says */
} ApCode;

#define AP_MESSAGE_SIZE 256
#define AP_DETAIL_SIZE 1024

typedef struct ApStatus
{
	ApCode		code;
	int			http_status;	/* of the answer, 0 if there was none */
	bool		sent;			/* the request was put on the wire */
	int64		retry_after_s;	/* what the answer asked for, 0 for nothing */
	char		message[AP_MESSAGE_SIZE];
	char		detail[AP_DETAIL_SIZE];
	char		hint[AP_MESSAGE_SIZE];
} ApStatus;

extern void ap_status_clear(ApStatus *status);
extern bool ap_status_set(ApStatus *status, ApCode code,
						  const char *fmt,...) pg_attribute_printf(3, 4);
extern void ap_status_detail(ApStatus *status,
							 const char *fmt,...) pg_attribute_printf(2, 3);
extern void ap_status_hint(ApStatus *status,
						   const char *fmt,...) pg_attribute_printf(2, 3);
extern void ap_status_not_understood(ApStatus *status, const char *reason);
extern void ap_status_refused(ApStatus *status, int http_status);
extern bool ap_status_is_missing(const ApStatus *status);
extern int	ap_status_sqlstate(const ApStatus *status);
extern void ap_status_throw(const ApStatus *status) AP_COMPAT_NORETURN;

#endif							/* AP_STATUS_H */
