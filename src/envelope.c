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

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "document.h"
#include "envelope.h"

/*
 * Secrets shorter than the first are not looked for, and those shorter than the
 * second are as whole words only: they would hit by chance.
 */
#define AP_SECRET_MIN 3
#define AP_SECRET_ANYWHERE 6

/* How much of a message is looked at, and how far into one that is no text. */
#define AP_MESSAGE_SCAN (16 * 1024)
#define AP_MESSAGE_DEPTH 3

/*-------------------------------------------------------------------------
 * The API's own message
 *-------------------------------------------------------------------------
 */

/*
 * Append a text to a message, as far as there is room, unless it only says the
 * same again.
 */
static void
append_message(const JsonbValue *value, StringInfo message)
{
	int			room = AP_MESSAGE_SCAN - message->len;

	if (value->val.string.len == 0 || room <= 0 ||
		(value->val.string.len == message->len &&
		 memcmp(value->val.string.val, message->data, message->len) == 0))
		return;
	if (message->len > 0)
		appendStringInfoString(message, "; ");
	appendBinaryStringInfo(message, value->val.string.val, Min(room, value->val.string.len));
}

/*
 * Collect the texts of a message: a text, an array of them, or an object that
 * has a member "message" or "error".
 */
static void
collect_message(const JsonbValue *value, int depth, StringInfo message)
{
	static const char *const names[] = {"message", "error"};
	JsonbValue	inner;

	if (value->type == jbvString)
		append_message(value, message);
	if (value->type != jbvBinary || depth == 0)
		return;
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (ap_document_member(value, names[i], &inner))
			collect_message(&inner, depth - 1, message);
	}
	if (!JsonContainerIsArray(value->val.binary.data))
		return;
	for (int i = 0; i < ap_document_length(value) && message->len < AP_MESSAGE_SCAN; i++)
	{
		if (ap_document_element(value, i, &inner))
			collect_message(&inner, depth - 1, message);
	}
}

/*
 * Collect what an answer says of itself, from the members that may hold it.
 * From "data", which may hold anything, only what is called a message counts.
 */
static void
find_message(const JsonbValue *root, StringInfo message)
{
	static const char *const names[] = {"message", "error", "errors"};
	JsonbValue	member;
	JsonbValue	inner;

	initStringInfo(message);
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (ap_document_member(root, names[i], &member))
			collect_message(&member, AP_MESSAGE_DEPTH, message);
	}
	if (message->len == 0 && ap_document_member(root, "data", &member) &&
		ap_document_member(&member, "message", &inner))
		collect_message(&inner, AP_MESSAGE_DEPTH, message);
}

/*
 * Tell whether a byte belongs to a word.
 */
static bool
is_word(char c)
{
	return IS_HIGHBIT_SET(c) || isalnum((unsigned char) c);
}

/*
 * Give the length of the longest secret that a message has at a place, 0 for
 * none.
 */
static size_t
match_secret(const char *message, size_t place, size_t len, const List *secrets)
{
	ListCell   *cell;
	size_t		longest = 0;

	/* the caller may have sent many, and be tired of waiting */
	CHECK_FOR_INTERRUPTS();
	foreach(cell, secrets)
	{
		const char *secret = lfirst(cell);
		size_t		size = strlen(secret);
		size_t		end = place + size;

		if (size < AP_SECRET_MIN || size <= longest || end > len ||
			pg_strncasecmp(message + place, secret, size) != 0)
			continue;
		if (size < AP_SECRET_ANYWHERE &&
			((place > 0 && is_word(message[place - 1])) || (end < len && is_word(message[end]))))
			continue;
		longest = size;
	}
	return longest;
}

/*
 * Give the length of what is to be hidden at a place: a secret, and others that
 * begin before it ends.
 */
static size_t
hidden_length(const char *message, size_t place, size_t len, const List *secrets)
{
	size_t		hidden = match_secret(message, place, len, secrets);

	for (size_t i = 1; i < hidden; i++)
		hidden = Max(hidden, i + match_secret(message, place + i, len, secrets));
	return hidden;
}

/*
 * Give the length of the longest of the secrets.
 */
static size_t
longest_secret(const List *secrets)
{
	ListCell   *cell;
	size_t		longest = 0;

	foreach(cell, secrets)
		longest = Max(longest, strlen(lfirst(cell)));
	return longest;
}

/*
 * Put the API's own message into the detail of a status: on one line, with the
 * secrets replaced.  A message that was clipped may end in a part of a secret,
 * so as much of it is left out.
 */
static void
quote_message(const StringInfoData *message, const List *secrets, ApStatus *status)
{
	StringInfoData quoted;
	size_t		len = message->len;
	size_t		end = len;

	if (len >= AP_MESSAGE_SCAN)
		end = len - Min(len, longest_secret(secrets));
	initStringInfo(&quoted);
	for (size_t place = 0; place < end && quoted.len < AP_DETAIL_SIZE;)
	{
		size_t		hidden = hidden_length(message->data, place, len, secrets);
		char		c = message->data[place];

		if (hidden > 0)
			appendStringInfoString(&quoted, "[hidden]");
		else
			appendStringInfoChar(&quoted, (unsigned char) c < ' ' || c == 0x7f ? ' ' : c);
		place += Max(hidden, 1);
	}
	quoted.data[pg_mbcliplen(quoted.data, quoted.len, quoted.len)] = '\0';
	if (quoted.data[0] != '\0')
		ap_status_detail(status, "%s", quoted.data);
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
	ap_status_not_understood(status, reason);
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

	while (start < text.len && strchr(AP_BLANKS, text.data[start]) != NULL)
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
		ap_seal_refuse(status);
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
	ap_seal_refuse(status);
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
		ap_seal_refuse(status);
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
 * Quote the API's own message, which may be sealed, from a refusal.
 */
static void
quote_refusal(const ApSeal *seal, const JsonbValue *root, const ApHttpAnswer *answer,
			  const List *secrets, ApStatus *status)
{
	StringInfoData message;
	JsonbValue	value;
	Jsonb	   *data;
	ApStatus	ignored;
	bool		sealed;

	find_message(root, &message);
	if (message.len == 0 && ap_document_member(root, "data", &value) && value.type == jbvString)
	{
		ap_status_clear(&ignored);
		data = read_text(seal, &value, answer, &sealed, &ignored);
		if (data != NULL && ap_document_value(data, &value))
			find_message(&value, &message);
	}
	quote_message(&message, secrets, status);
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
	quote_refusal(seal, root, answer, secrets, status);
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
		quote_refusal(seal, &root, answer, secrets, status);
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
