/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *		The operations of the API, as one table: names, paths, arguments.
 *
 * An operation is named as its SQL function without the prefix; its parameters
 * stand in the order of that function's arguments.  An argument is a text in
 * UTF-8 whatever its SQL type, or NULL; numbers and JSON are in their text form.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ENDPOINT_H
#define AP_ENDPOINT_H

#include "nodes/pg_list.h"

#include "buffer.h"
#include "status.h"

#define AP_MAX_PARAMS 6

typedef enum ApOperation
{
	AP_CREATE_APPLICANT,
	AP_APPLICANT,
	AP_APPLICANT_STATUS,
	AP_MOVE_TO_FLOW,
	AP_SCHEDULE_DELETION,
	AP_RESTORE,
	AP_TOKEN,
	AP_QUESTIONNAIRE,
	AP_AML_SEARCH,
	AP_AML_DETAILS
} ApOperation;

/* Where a parameter goes in the request. */
typedef enum ApPlace
{
	AP_IN_PATH,
	AP_IN_QUERY,
	AP_IN_BODY,					/* as a JSON text */
	AP_IN_BODY_NUMBER,			/* an SQL bigint */
	AP_IN_BODY_OBJECT			/* an SQL jsonb */
} ApPlace;

typedef struct ApParam
{
	const char *name;			/* of the SQL argument */
	const char *key;			/* on the wire */
	ApPlace		place;
	bool		required;		/* neither NULL nor empty */
	bool		personal;		/* keep it out of messages */
	bool		(*check) (const char *name, const char *value, ApStatus *status);
} ApParam;

typedef struct ApEndpoint
{
	const char *name;
	bool		is_post;
	const char *path;			/* after /api/public/, up to the id if there is one */
	const char *path_end;		/* after the id, or NULL */
	bool		(*check) (const char *const *values, ApStatus *status);
	ApParam		params[AP_MAX_PARAMS + 1];	/* ended by a NULL name */
} ApEndpoint;

extern const ApEndpoint *ap_endpoint_get(ApOperation operation);
extern int	ap_endpoint_params(const ApEndpoint *endpoint);
extern const char *ap_endpoint_utf8(const char *text);
extern bool ap_endpoint_check(const ApEndpoint *endpoint, const char *const *values,
							  ApStatus *status);
extern bool ap_endpoint_build(const ApEndpoint *endpoint, const char *base_url,
							  const char *const *values, ApBuffer *url,
							  ApBuffer *body, ApStatus *status);
extern List *ap_endpoint_secrets(const ApEndpoint *endpoint, const char *const *values);

#endif							/* AP_ENDPOINT_H */
