/*-------------------------------------------------------------------------
 *
 * envelope.c
 *		What an answer of the API says: its data, or why there is none.
 *
 * A failure never quotes the body.  Of a refusal, only the API's own message
 * is passed on: bounded, on one line, and without the caller's secrets, which
 * a server might echo.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "document.h"
#include "envelope.h"

/* Secrets shorter than this are not looked for: they would hit by chance. */
#define AP_SECRET_MIN 4

/* How far into a message that is no plain text one looks for texts. */
#define AP_MESSAGE_DEPTH 3

/*-------------------------------------------------------------------------
 * The API's own message
 *-------------------------------------------------------------------------
 */

/*
 * Collect the texts of a message: a text, an array of them, or an object that
 * has a member "message" or "error".
 */
static void
collect_message(const JsonbValue *value, int depth, StringInfo text)
{
	static const char *const names[] = {"message", "error"};
	JsonbValue	inner;

	if (depth == 0)
		return;
	if (value->type == jbvString && value->val.string.len > 0)
	{
		if (text->len > 0)
			appendStringInfoString(text, "; ");
		appendBinaryStringInfo(text, value->val.string.val, value->val.string.len);
		return;
	}
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (ap_document_member(value, names[i], &inner))
			collect_message(&inner, depth - 1, text);
	}
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return;
	for (int i = 0; i < ap_document_length(value) && text->len < AP_DETAIL_SIZE; i++)
	{
		if (ap_document_element(value, i, &inner))
			collect_message(&inner, depth - 1, text);
	}
}

/*
 * Collect what an answer says of itself, from the members that may hold it.
 */
static char *
find_message(const JsonbValue *root)
{
	static const char *const names[] = {"message", "error", "errors", "data"};
	StringInfoData text;
	JsonbValue	member;

	initStringInfo(&text);
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (!ap_document_member(root, names[i], &member))
			continue;
		if (strcmp(names[i], "data") == 0 &&
			(text.len > 0 || member.type != jbvBinary))
			continue;
		collect_message(&member, AP_MESSAGE_DEPTH, &text);
	}
	return text.data;
}

/*
 * Copy a text with each of the secrets replaced.
 */
static char *
hide_secrets(char *text, const List *secrets)
{
	ListCell   *cell;

	foreach(cell, secrets)
	{
		const char *secret = lfirst(cell);
		StringInfoData hidden;
		char	   *found;

		if (strlen(secret) < AP_SECRET_MIN || strstr(text, secret) == NULL)
			continue;
		initStringInfo(&hidden);
		while ((found = strstr(text, secret)) != NULL)
		{
			appendBinaryStringInfo(&hidden, text, found - text);
			appendStringInfoString(&hidden, "[hidden]");
			text = found + strlen(secret);
		}
		appendStringInfoString(&hidden, text);
		text = hidden.data;
	}
	return text;
}

/*
 * Put the API's own message into the detail of a status.
 */
static void
quote_message(char *message, const List *secrets, ApStatus *status)
{
	message = hide_secrets(message, secrets);
	for (char *c = message; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	if (message[0] != '\0')
		ap_status_detail(status, "%s", message);
}

/*-------------------------------------------------------------------------
 * Data
 *-------------------------------------------------------------------------
 */

/*
 * Report an answer that makes no sense, and why, in a sentence.
 */
static Jsonb *
not_understood(ApStatus *status, const char *reason)
{
	ap_status_set(status, AP_NOT_UNDERSTOOD, "could not understand the answer of the Allpass API");
	ap_status_detail(status, "%s", reason);
	return NULL;
}

/*
 * Give the bytes of the server encoding as those of a text value in UTF-8.
 */
static ApBytes
utf8_bytes(const JsonbValue *text)
{
	char	   *converted = pg_server_to_any(text->val.string.val, text->val.string.len, PG_UTF8);

	if (converted == text->val.string.val)
		return (ApBytes) {(unsigned char *) converted, text->val.string.len};
	return (ApBytes) {(unsigned char *) converted, strlen(converted)};
}

/*
 * Parse a text that may be a JSON array or object, else return NULL.
 */
static Jsonb *
parse_container(ApBytes text)
{
	const char *reason;
	size_t		start = 0;

	while (start < text.len && strchr(" \t\r\n", text.data[start]) != NULL)
		start++;
	if (start == text.len || (text.data[start] != '{' && text.data[start] != '['))
		return NULL;
	return ap_document_parse(pnstrdup((const char *) text.data, text.len), text.len, &reason);
}

/*
 * Open the sealed text of an answer.
 */
static Jsonb *
open_text(const ApSeal *seal, ApBytes wire, const ApHttpAnswer *answer, ApStatus *status)
{
	ApBuffer   *plain = palloc(sizeof(ApBuffer));
	ApBytes		body = {(const unsigned char *) ap_buffer_text(answer->body), answer->body->len};
	const char *reason;
	Jsonb	   *data;

	ap_buffer_init(plain, wire.len);
	ap_buffer_own(plain, CurrentMemoryContext);
	if (!ap_seal_open(seal, wire, answer->signature, body, plain, status))
		return NULL;
	data = ap_document_parse(ap_buffer_text(plain), plain->len, &reason);
	if (data == NULL)
		ap_status_set(status, AP_NOT_OPENED,
					  "could not decrypt or authenticate the answer of the Allpass API");
	return data;
}

/*
 * Read the member "data" where it is a text: JSON in a text, or sealed.
 * *sealed tells which.
 */
static Jsonb *
read_text(const ApSeal *seal, const JsonbValue *value, const ApHttpAnswer *answer,
		  bool *sealed, ApStatus *status)
{
	ApBytes		text = utf8_bytes(value);
	Jsonb	   *data = parse_container(text);

	*sealed = data == NULL;
	if (data != NULL)
		return data;
	if (seal->method != AP_METHOD_NONE)
		return open_text(seal, text, answer, status);
	if (!ap_seal_is_sealed((const char *) text.data, text.len))
		return not_understood(status, "Its member \"data\" is a text that holds no JSON.");
	ap_status_set(status, AP_NOT_OPENED,
				  "could not decrypt or authenticate the answer of the Allpass API");
	ap_status_detail(status, "It is encrypted, and the server has no encryption method.");
	ap_status_hint(status, "Set the server option \"encryption\".");
	return NULL;
}

/*
 * Read the data of an answer that tells of success.
 */
static Jsonb *
read_data(const ApSeal *seal, const JsonbValue *root, const ApHttpAnswer *answer,
		  ApStatus *status)
{
	JsonbValue	value;
	Jsonb	   *data;
	bool		sealed = false;

	if (!ap_document_member(root, "data", &value))
		return not_understood(status, "It has no member \"data\".");
	if (value.type == jbvString)
		data = read_text(seal, &value, answer, &sealed, status);
	else
		data = JsonbValueToJsonb(&value);
	if (data != NULL && !sealed && seal->require_signature)
	{
		ap_status_set(status, AP_NOT_OPENED,
					  "could not decrypt or authenticate the answer of the Allpass API");
		ap_status_detail(status, "It is not encrypted, and the server option "
						 "\"require_signature\" is on.");
		return NULL;
	}
	return data;
}

/*-------------------------------------------------------------------------
 * Refusals
 *-------------------------------------------------------------------------
 */

/*
 * Find the API's own message, which may be sealed, in a refusal.
 */
static char *
find_any_message(const ApSeal *seal, const JsonbValue *root, const ApHttpAnswer *answer)
{
	char	   *message = find_message(root);
	JsonbValue	value;
	Jsonb	   *data;
	ApStatus	ignored;
	bool		sealed;

	if (message[0] != '\0' || !ap_document_member(root, "data", &value) || value.type != jbvString)
		return message;
	ap_status_clear(&ignored);
	data = read_text(seal, &value, answer, &sealed, &ignored);
	if (data != NULL && ap_document_value(data, &value))
		message = find_message(&value);
	return message;
}

/*
 * Read an answer with "status": false, whatever its HTTP status.
 */
static void
read_failure(const ApSeal *seal, const JsonbValue *root, const ApHttpAnswer *answer,
			 const List *secrets, ApStatus *status)
{
	JsonbValue	value;
	int64		code = 0;

	if (ap_document_member(root, "statusCode", &value) &&
		ap_document_int64(&value, &code) && code >= 400 && code <= 599)
		ap_status_refused(status, (int) code);
	else
		ap_status_set(status, AP_NOT_UNDERSTOOD, "Allpass API reported a failure without a status code");
	quote_message(find_any_message(seal, root, answer), secrets, status);
}

/*
 * Read an answer whose HTTP status tells of failure.  Its body may be anything.
 */
static void
read_refusal(const ApSeal *seal, const ApHttpAnswer *answer, const List *secrets,
			 ApStatus *status)
{
	const char *reason;
	Jsonb	   *document = NULL;
	JsonbValue	root;

	ap_status_refused(status, answer->http_status);
	if (answer->body->len > 0)
		document = ap_document_parse(answer->body->data, answer->body->len, &reason);
	if (document != NULL && ap_document_value(document, &root))
		quote_message(find_any_message(seal, &root, answer), secrets, status);
}

/*
 * Read an answer: return its data, or NULL with the status set.  The secrets,
 * texts of the server encoding, are kept out of the status.  Working memory is
 * taken from the current context, and so is the result.
 */
Jsonb *
ap_envelope_read(const ApSeal *seal, const ApHttpAnswer *answer,
				 const List *secrets, ApStatus *status)
{
	const char *reason = NULL;
	Jsonb	   *document;
	JsonbValue	root;
	JsonbValue	value;

	status->http_status = answer->http_status;
	if (answer->http_status < 100 || answer->http_status > 999)
		return not_understood(status, "It has no valid HTTP status.");
	if (answer->http_status < 200 || answer->http_status > 299)
	{
		read_refusal(seal, answer, secrets, status);
		return NULL;
	}
	if (answer->body->len == 0)
		return not_understood(status, "It is empty.");
	document = ap_document_parse(answer->body->data, answer->body->len, &reason);
	if (document == NULL)
		return not_understood(status, reason);
	if (!JB_ROOT_IS_OBJECT(document) || !ap_document_value(document, &root))
		return not_understood(status, "It is not a JSON object.");

	if (ap_document_member(&root, "status", &value) && value.type != jbvNull)
	{
		if (value.type != jbvBool)
			return not_understood(status, "Its member \"status\" is not a truth value.");
		if (!value.val.boolean)
		{
			read_failure(seal, &root, answer, secrets, status);
			return NULL;
		}
	}
	return read_data(seal, &root, answer, status);
}
