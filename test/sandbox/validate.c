/*-------------------------------------------------------------------------
 *
 * validate.c
 *		What the API's page says a request must look like.
 *
 * Complaints are gathered, not thrown: the answer lists all of them, as Nest
 * does. They are the inside of a JSON array.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "validate.h"

#define MAX_TTL 3153600000.0

typedef enum MemberKind
{
	MEMBER_STRING,				/* any string */
	MEMBER_NAME,				/* a string that is not empty */
	MEMBER_OBJECT,
	MEMBER_TTL,
	MEMBER_LOCALE,
	MEMBER_BLOCKCHAIN,
	MEMBER_TX_HASH
} MemberKind;

typedef struct Member
{
	SbOperation operation;
	const char *name;
	bool		required;
	MemberKind	kind;
} Member;

static const Member members[] = {
	{SB_CREATE_APPLICANT, "externalUserId", true, MEMBER_NAME},
	{SB_CREATE_APPLICANT, "flowName", true, MEMBER_NAME},
	{SB_CREATE_APPLICANT, "phone", false, MEMBER_STRING},
	{SB_CREATE_APPLICANT, "email", false, MEMBER_STRING},
	{SB_CREATE_APPLICANT, "lang", false, MEMBER_STRING},
	{SB_CREATE_APPLICANT, "suppliedInfo", false, MEMBER_OBJECT},
	{SB_MOVE_TO_FLOW, "flowId", true, MEMBER_NAME},
	{SB_TOKEN, "locale", false, MEMBER_LOCALE},
	{SB_TOKEN, "ttl", false, MEMBER_TTL},
	{SB_TOKEN, "flowName", false, MEMBER_NAME},
	{SB_AML_SEARCH, "blockchain", true, MEMBER_BLOCKCHAIN},
	{SB_AML_SEARCH, "txHash", false, MEMBER_TX_HASH},
	{SB_AML_SEARCH, "address", false, MEMBER_NAME},
};

#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

/* Add a complaint to the list */
void
sb_complain(SbText *complaints, const char *format, ...)
{
	char		buffer[512];
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t) length >= sizeof(buffer))
		length = (int) sizeof(buffer) - 1;
	if (complaints->length > 0)
		sb_text_puts(complaints, ",");
	sb_text_quote(complaints, (SbSlice) {buffer, (size_t) length});
}

/* Tell whether a POST may carry a body with members */
bool
sb_takes_body(SbOperation operation)
{
	return !sb_operation_is_get(operation);
}

/* Tell whether a POST must carry a body: whether one of its members is required */
bool
sb_needs_body(SbOperation operation)
{
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (members[i].operation == operation && members[i].required)
			return true;
	return false;
}

/* Take letters or digits of a subtag, and tell how many */
static size_t
subtag(const char **at, const char *end, bool digits)
{
	const char *first = *at;

	while (*at < end && (isalpha((unsigned char) **at) ||
						 (digits && isdigit((unsigned char) **at))))
		(*at)++;
	return (size_t) (*at - first);
}

/* Tell whether text is a locale: language, script, region and variants */
static bool
is_locale(SbSlice text)
{
	const char *at = text.data;
	const char *end = at + text.length;
	size_t		length = subtag(&at, end, false);

	if (length < 2 || length > 3)
		return false;
	while (at < end)
	{
		const char *first;

		if (*at != '-' && *at != '_')
			return false;
		first = ++at;
		length = subtag(&at, end, true);
		if (length < 2 || length > 8)
			return false;
		if (length == 2 && !(isalpha((unsigned char) first[0]) && isalpha((unsigned char) first[1])))
			return false;
	}
	return true;
}

/* Tell whether text matches ^(0x)?[a-fA-F0-9]{64}$ */
static bool
is_tx_hash(SbSlice text)
{
	if (text.length == 66 && memcmp(text.data, "0x", 2) == 0)
	{
		text.data += 2;
		text.length -= 2;
	}
	if (text.length != 64)
		return false;
	for (size_t i = 0; i < 64; i++)
		if (sb_hex_digit(text.data[i]) < 0)
			return false;
	return true;
}

/*
 * Tell whether text may be a member of BlockchainEnum.
 *
 * The page shows BTC and no other member, so the form is all that can be asked.
 */
static bool
is_blockchain(SbSlice text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!isupper((unsigned char) text.data[i]) && !isdigit((unsigned char) text.data[i]) &&
			text.data[i] != '_')
			return false;
	return text.length > 0 && isupper((unsigned char) text.data[0]);
}

/* Check one member that is there */
static void
check_member(const Member *member, struct json_object *value, SbText *complaints)
{
	SbSlice		text = sb_json_string(value);
	const char *name = member->name;

	if (member->kind == MEMBER_OBJECT)
	{
		if (!json_object_is_type(value, json_type_object))
			sb_complain(complaints, "%s must be an object", name);
		return;
	}
	if (member->kind == MEMBER_TTL)
	{
		if (!json_object_is_type(value, json_type_int) &&
			!json_object_is_type(value, json_type_double))
			sb_complain(complaints, "%s must be a number", name);
		else if (!(json_object_get_double(value) >= 1))
			sb_complain(complaints, "%s must not be less than 1", name);
		else if (json_object_get_double(value) > MAX_TTL)
			sb_complain(complaints, "%s must not be greater than 3153600000", name);
		return;
	}
	if (text.data == NULL)
		sb_complain(complaints, "%s must be a string", name);
	else if (member->kind == MEMBER_NAME && text.length == 0)
		sb_complain(complaints, "%s should not be empty", name);
	else if (member->kind == MEMBER_LOCALE && !is_locale(text))
		sb_complain(complaints, "%s must be a valid locale", name);
	else if (member->kind == MEMBER_BLOCKCHAIN && !is_blockchain(text))
		sb_complain(complaints, "%s must be one of the members of BlockchainEnum", name);
	else if (member->kind == MEMBER_TX_HASH && !is_tx_hash(text))
		sb_complain(complaints, "%s must match ^(0x)?[a-fA-F0-9]{64}$", name);
}

/* Find the rule for a member of a request; NULL if it may not be there */
static const Member *
find_member(SbOperation operation, const char *name)
{
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (members[i].operation == operation && strcmp(members[i].name, name) == 0)
			return &members[i];
	return NULL;
}

/* Check the members of a request's JSON object */
void
sb_validate_members(SbOperation operation, struct json_object *body, SbText *complaints)
{
	json_object_object_foreach(body, name, value)
	{
		const Member *member = find_member(operation, name);

		if (member == NULL)
			sb_complain(complaints, "property %.200s should not exist", name);
		else
			check_member(member, value, complaints);
	}
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (members[i].operation == operation && members[i].required &&
			!json_object_object_get_ex(body, members[i].name, NULL))
			sb_complain(complaints, "%s must be a string", members[i].name);
	if (operation == SB_AML_SEARCH)
	{
		bool		address = json_object_object_get_ex(body, "address", NULL);
		bool		hash = json_object_object_get_ex(body, "txHash", NULL);

		if (address && hash)
			sb_complain(complaints, "txHash and address are mutually exclusive");
		else if (!address && !hash)
			sb_complain(complaints, "txHash or address must be given");
	}
}

/* Check the value of the query member "type" */
static void
check_type(SbSlice value, bool *transaction, SbText *complaints)
{
	if (sb_slice_is(value, "TRANSACTION"))
		*transaction = true;
	else if (!sb_slice_is(value, "WALLET"))
		sb_complain(complaints, "type must be one of the following values: WALLET, TRANSACTION");
}

/* Check the query string; only the AML report takes one, and needs it */
void
sb_validate_query(SbOperation operation, SbSlice query, bool *transaction, SbText *complaints)
{
	SbSlice		pair;
	int			types = 0;

	*transaction = false;
	while (sb_split(&query, '&', &pair))
	{
		SbSlice		part = {0};
		SbText		name = {0};
		SbText		value = {0};

		if (pair.length == 0)
			continue;
		sb_split(&pair, '=', &part);
		if (!sb_percent_decode(part, true, &name) ||
			(pair.data != NULL && !sb_percent_decode(pair, true, &value)))
			sb_complain(complaints, "the query string is not percent-encoded");
		else if (operation == SB_AML_DETAILS && sb_slice_is(sb_text_slice(&name), "type"))
		{
			if (types++ > 0)
				sb_complain(complaints, "type must be given once");
			check_type(sb_text_slice(&value), transaction, complaints);
		}
		else
			sb_complain(complaints, "query property %.200s should not exist",
						sb_text_slice(&name).data);
		sb_text_free(&name);
		sb_text_free(&value);
	}
	if (operation == SB_AML_DETAILS && types == 0)
		sb_complain(complaints, "type must be one of the following values: WALLET, TRANSACTION");
}
