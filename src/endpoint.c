/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *		The operations of the API, as one table, and one builder for all.
 *
 * What the API's page says of an operation is said here and nowhere else.
 * Chains, statuses and document types stay open text: the API decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "document.h"
#include "endpoint.h"
#include "json.h"
#include "url.h"

/* The bound of the API's page: 100 years of 365 days, in seconds. */
#define AP_MAX_TTL INT64CONST(3153600000)

#define AP_TX_HASH_DIGITS 64

/* The longest URL and request body that are built. */
#define AP_MAX_URL (1024 * 1024)
#define AP_MAX_BODY (256 * 1024 * 1024)

/*-------------------------------------------------------------------------
 * Checks of single arguments
 *-------------------------------------------------------------------------
 */

/*
 * Refuse the ids that a server could fold away as path segments.
 */
static bool
check_id(const char *name, const char *value, ApStatus *status)
{
	if (strcmp(value, ".") != 0 && strcmp(value, "..") != 0)
		return true;
	return ap_status_set(status, AP_BAD_ARGUMENT,
						 "argument \"%s\" must not be \".\" or \"..\"", name);
}

/*
 * Check a time to live in seconds.
 */
static bool
check_ttl(const char *name, const char *value, ApStatus *status)
{
	char	   *end;
	int64		ttl = strtoll(value, &end, 10);

	/* strtoll() saturates, so a number that is too long is out of range */
	if (*end == '\0' && ttl >= 1 && ttl <= AP_MAX_TTL)
		return true;
	ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" is out of range: %s", name, value);
	ap_status_detail(status, "It must be from 1 to " INT64_FORMAT " seconds.", AP_MAX_TTL);
	return false;
}

/*
 * Check that a text has the form of a locale: a language of 2 to 8 letters,
 * then subtags of 1 to 8 letters and digits.
 */
static bool
check_locale(const char *name, const char *value, ApStatus *status)
{
	const char *c = value;
	int			len = 0;
	bool		good;

	for (; isascii((unsigned char) *c) && isalpha((unsigned char) *c); c++)
		len++;
	good = len >= 2 && len <= 8;
	while (good && (*c == '-' || *c == '_'))
	{
		len = 0;
		for (c++; isascii((unsigned char) *c) && isalnum((unsigned char) *c); c++)
			len++;
		good = len >= 1 && len <= 8;
	}
	if (good && *c == '\0')
		return true;
	ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" is not a locale", name);
	ap_status_detail(status, "It must have a form such as \"en\" or \"en-US\".");
	return false;
}

/*
 * Check that a JSON text is an object.
 */
static bool
check_object(const char *name, const char *value, ApStatus *status)
{
	if (value[strspn(value, " \t\r\n")] == '{')
		return true;
	return ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" must be a JSON object", name);
}

/*
 * Check a transaction hash by the pattern of the API's page.
 */
static bool
check_tx_hash(const char *name, const char *value, ApStatus *status)
{
	const char *digits = strncmp(value, "0x", 2) == 0 ? value + 2 : value;

	if (strlen(digits) == AP_TX_HASH_DIGITS &&
		strspn(digits, "0123456789abcdefABCDEF") == AP_TX_HASH_DIGITS)
		return true;
	ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" is not a transaction hash", name);
	ap_status_detail(status, "It must be %d hexadecimal digits, optionally after \"0x\".",
					 AP_TX_HASH_DIGITS);
	return false;
}

/*
 * Check that a wallet or a transaction is named, and not both.
 */
static bool
check_aml_search(const char *const *values, ApStatus *status)
{
	if ((values[1] == NULL) != (values[2] == NULL))
		return true;
	return ap_status_set(status, AP_BAD_ARGUMENT,
						 "exactly one of the arguments \"address\" and \"tx_hash\" must be given");
}

/*
 * Refuse an empty text of an argument that may be left out.
 */
static bool
check_not_empty(const char *name, const char *value, ApStatus *status)
{
	if (value[0] != '\0')
		return true;
	return ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" must not be empty", name);
}

/*-------------------------------------------------------------------------
 * The table
 *-------------------------------------------------------------------------
 */
#define AP_APPLICANT_ID {"applicant_id", NULL, AP_IN_PATH, true, false, check_id}

static const ApEndpoint endpoints[] = {
	[AP_CREATE_APPLICANT] = {
		"create_applicant", true, "applicant", NULL, NULL,
		{
			{"external_user_id", "externalUserId", AP_IN_BODY, true, false, check_id},
			{"flow_name", "flowName", AP_IN_BODY, true, false, NULL},
			{"phone", "phone", AP_IN_BODY, false, true, NULL},
			{"email", "email", AP_IN_BODY, false, true, NULL},
			{"lang", "lang", AP_IN_BODY, false, false, NULL},
			{"supplied_info", "suppliedInfo", AP_IN_BODY_OBJECT, false, true, check_object},
		}
	},
	[AP_APPLICANT] = {
		"applicant", false, "applicant/", "", NULL, {AP_APPLICANT_ID}
	},
	[AP_APPLICANT_STATUS] = {
		"applicant_status", false, "applicant/", "/status", NULL, {AP_APPLICANT_ID}
	},
	[AP_MOVE_TO_FLOW] = {
		"move_to_flow", true, "applicant/", "/moveToFlow", NULL,
		{
			AP_APPLICANT_ID,
			{"flow_id", "flowId", AP_IN_BODY, true, false, NULL},
		}
	},
	[AP_SCHEDULE_DELETION] = {
		"schedule_deletion", true, "applicant/", "/schedule-deletion", NULL, {AP_APPLICANT_ID}
	},
	[AP_RESTORE] = {
		"restore", true, "applicant/", "/restore", NULL, {AP_APPLICANT_ID}
	},
	[AP_TOKEN] = {
		"token", true, "applicant/", "/token", NULL,
		{
			AP_APPLICANT_ID,
			{"locale", "locale", AP_IN_BODY, false, false, check_locale},
			{"ttl", "ttl", AP_IN_BODY_NUMBER, false, false, check_ttl},
			{"flow_name", "flowName", AP_IN_BODY, false, false, check_not_empty},
		}
	},
	[AP_QUESTIONNAIRE] = {
		"questionnaire", false, "questionnaire/", "", NULL,
		{
			{"id", NULL, AP_IN_PATH, true, false, check_id},
		}
	},
	[AP_AML_SEARCH] = {
		"aml_search", true, "crypto-aml/search", NULL, check_aml_search,
		{
			{"blockchain", "blockchain", AP_IN_BODY, true, false, NULL},
			{"address", "address", AP_IN_BODY, false, false, check_not_empty},
			{"tx_hash", "txHash", AP_IN_BODY, false, false, check_tx_hash},
		}
	},
	[AP_AML_DETAILS] = {
		"aml_details", false, "crypto-aml/", "/details", NULL,
		{
			{"aml_id", NULL, AP_IN_PATH, true, false, check_id},
			{"type", "type", AP_IN_QUERY, true, false, NULL},
		}
	},
};

/*
 * Give an operation's entry in the table.
 */
const ApEndpoint *
ap_endpoint_get(ApOperation operation)
{
	return &endpoints[operation];
}

/*
 * Count the parameters of an operation.
 */
int
ap_endpoint_params(const ApEndpoint *endpoint)
{
	int			count = 0;

	while (count < AP_MAX_PARAMS && endpoint->params[count].name != NULL)
		count++;
	return count;
}

/*
 * Give an argument that is in the encoding of the database in UTF-8.
 */
const char *
ap_endpoint_utf8(const char *text)
{
	/* there, bytes beyond ASCII may be anything; the check of arguments tells */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return text;
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

/*
 * Check one argument.
 */
static bool
check_param(const ApParam *param, const char *value, ApStatus *status)
{
	if (value == NULL && param->required)
		return ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" must not be null", param->name);
	if (value == NULL)
		return true;
	if (param->required && !check_not_empty(param->name, value, status))
		return false;
	if (!pg_verify_mbstr(PG_UTF8, value, (int) strlen(value), true))
		return ap_status_set(status, AP_BAD_ARGUMENT, "argument \"%s\" is not valid UTF-8", param->name);
	return param->check == NULL || param->check(param->name, value, status);
}

/*
 * Check the arguments of an operation; nothing goes to the network before.
 */
bool
ap_endpoint_check(const ApEndpoint *endpoint, const char *const *values, ApStatus *status)
{
	int			count = ap_endpoint_params(endpoint);

	for (int i = 0; i < count; i++)
	{
		if (!check_param(&endpoint->params[i], values[i], status))
			return false;
	}
	return endpoint->check == NULL || endpoint->check(values, status);
}

/*-------------------------------------------------------------------------
 * Requests
 *-------------------------------------------------------------------------
 */

/*
 * Build the URL of a request.
 */
static bool
build_url(const ApEndpoint *endpoint, const char *base_url,
		  const char *const *values, ApBuffer *url)
{
	int			count = ap_endpoint_params(endpoint);
	bool		ok;

	ok = ap_buffer_append_text(url, base_url) &&
		ap_buffer_append_text(url, "/api/public/") &&
		ap_buffer_append_text(url, endpoint->path);
	for (int i = 0; ok && i < count; i++)
	{
		if (endpoint->params[i].place == AP_IN_PATH)
			ok = ap_url_escape(url, values[i]) && ap_buffer_append_text(url, endpoint->path_end);
	}
	for (int i = 0; ok && i < count; i++)
	{
		if (endpoint->params[i].place == AP_IN_QUERY)
			ok = ap_buffer_append_text(url, "?") &&
				ap_buffer_append_text(url, endpoint->params[i].key) &&
				ap_buffer_append_text(url, "=") &&
				ap_url_escape(url, values[i]);
	}
	return ok;
}

/*
 * Put the arguments that belong into the body into a JSON object.  Returns
 * false out of memory; *documented tells whether the operation has a body.
 */
static bool
put_arguments(const ApEndpoint *endpoint, const char *const *values, ApJson *object,
			  bool *documented)
{
	int			count = ap_endpoint_params(endpoint);
	bool		ok = true;

	for (int i = 0; ok && i < count; i++)
	{
		const ApParam *param = &endpoint->params[i];

		if (param->place == AP_IN_PATH || param->place == AP_IN_QUERY)
			continue;
		*documented = true;
		if (values[i] == NULL)
			continue;
		if (param->place == AP_IN_BODY)
			ok = ap_json_put_text(object, param->key, values[i]);
		else
			ok = ap_json_put_verbatim(object, param->key, values[i]);
	}
	return ok;
}

/*
 * Build the body of a request; it stays empty where the API takes none.
 */
static bool
build_body(const ApEndpoint *endpoint, const char *const *values, ApBuffer *body)
{
	ApJson	   *object = ap_json_create();
	bool		documented = false;
	bool		ok;

	ok = object != NULL && put_arguments(endpoint, values, object, &documented);
	if (ok && documented)
		ok = ap_json_print(object, body);
	ap_json_free(object);
	return ok;
}

/*
 * Build the URL and the body of a request from checked arguments.
 */
bool
ap_endpoint_build(const ApEndpoint *endpoint, const char *base_url,
				  const char *const *values, ApBuffer *url, ApBuffer *body,
				  ApStatus *status)
{
	ap_buffer_init(url, AP_MAX_URL);
	ap_buffer_init(body, AP_MAX_BODY);
	if (build_url(endpoint, base_url, values, url) &&
		(!endpoint->is_post || build_body(endpoint, values, body)))
		return true;
	if (url->overflow || body->overflow)
		return ap_status_set(status, AP_BAD_ARGUMENT, "request to the Allpass API is too large");
	return ap_status_set(status, AP_NO_MEMORY, "could not prepare a request to the Allpass API");
}

/*
 * Add a text in UTF-8 to a list of secrets, in the server encoding: as it is
 * and, where these differ, as it stands in a URL and in JSON, since an API that
 * echoes a request may echo it so.
 */
static List *
add_secret(List *secrets, const char *value)
{
	ApBuffer	escaped;
	StringInfoData quoted;
	char	   *plain = pg_any_to_server(value, (int) strlen(value), PG_UTF8);

	secrets = lappend(secrets, plain);
	ap_buffer_init(&escaped, AP_MAX_URL);
	if (ap_url_escape(&escaped, value) && strcmp(ap_buffer_text(&escaped), value) != 0)
		secrets = lappend(secrets, pstrdup(ap_buffer_text(&escaped)));
	ap_buffer_free(&escaped);

	initStringInfo(&quoted);
	escape_json(&quoted, plain);
	quoted.data[--quoted.len] = '\0';
	if (strcmp(quoted.data + 1, plain) != 0)
		secrets = lappend(secrets, quoted.data + 1);
	return secrets;
}

/*
 * List the personal data among the arguments, as texts of the server encoding,
 * so that an answer that echoes them does not carry them into a message.  An id
 * that looks like an e-mail address is personal, too.
 */
List *
ap_endpoint_secrets(const ApEndpoint *endpoint, const char *const *values)
{
	int			count = ap_endpoint_params(endpoint);
	List	   *secrets = NIL;
	const char *reason;
	ListCell   *cell;

	for (int i = 0; i < count; i++)
	{
		Jsonb	   *document;

		if (values[i] == NULL ||
			!(endpoint->params[i].personal || strchr(values[i], '@') != NULL))
			continue;
		if (endpoint->params[i].place != AP_IN_BODY_OBJECT)
			secrets = add_secret(secrets, values[i]);
		else if ((document = ap_document_parse(values[i], strlen(values[i]), &reason)) != NULL)
		{
			foreach(cell, ap_document_leaves(document))
			{
				char	   *leaf = lfirst(cell);

				secrets = add_secret(secrets, pg_server_to_any(leaf, (int) strlen(leaf), PG_UTF8));
			}
		}
	}
	return secrets;
}
