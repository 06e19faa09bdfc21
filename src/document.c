/*-------------------------------------------------------------------------
 *
 * document.c
 *		Reading JSON documents, as the server's own jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "buffer.h"
#include "document.h"

/* The longest text that is tried as a time or as a number. */
#define AP_SCALAR_SIZE 256

/* Numbers beyond this have no text here, and are no integers. */
#define AP_SHORT_NUMBER "1e255"

/* What is kept for parsing: enough for a text of some 10 kB. */
#define AP_PARSER_BLOCK (256 * 1024)

/*-------------------------------------------------------------------------
 * Parsing
 *-------------------------------------------------------------------------
 */

/*
 * Say what the server's JSON parser had against a text, or return NULL if its
 * error is none of the text's fault and must go on.  The parser's own words
 * quote the text, so they are not used.
 */
static const char *
parse_complaint(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
			return "It is not valid JSON.";
		case ERRCODE_UNTRANSLATABLE_CHARACTER:
		case ERRCODE_FEATURE_NOT_SUPPORTED: /* an escape, in a SQL_ASCII database */
		case ERRCODE_SYNTAX_ERROR:	/* an escape that is no character */
			return "It has a character that the database cannot hold.";
		case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
			return "It is not valid UTF-8.";
		case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
			return "It has a number beyond the range of numeric.";
		case ERRCODE_STATEMENT_TOO_COMPLEX:
			return "It is nested too deeply.";
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_INTERNAL_ERROR:	/* an array too large to allocate */
			return "It exceeds a limit of jsonb.";
		default:
			return NULL;
	}
}

/*
 * Give the context in which texts are parsed.  The parser takes some twenty
 * times the size of a text, so the context keeps a block that serves for common
 * documents: taken from the system anew each time, it would cost more than the
 * rest of a call.
 */
static MemoryContext
parse_context(void)
{
	static MemoryContext context = NULL;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "allpass parser",
										AP_PARSER_BLOCK, AP_PARSER_BLOCK,
										ALLOCSET_DEFAULT_MAXSIZE);
	return context;
}

/*
 * Convert a text of UTF-8 to jsonb in a context, throwing as the server does.
 */
static Jsonb *
convert(const char *text, size_t len, MemoryContext context)
{
	char	   *converted = pg_any_to_server(unconstify(char *, text), (int) len, PG_UTF8);
	Jsonb	   *parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(converted)));
	Jsonb	   *document = MemoryContextAlloc(context, VARSIZE(parsed));

	memcpy(document, parsed, VARSIZE(parsed));
	return document;
}

/*
 * Parse a text of UTF-8 that is followed by a NUL.  On failure returns NULL
 * with *reason, a sentence that quotes nothing of the text.  Only what is not
 * the text's fault throws: an interrupt, or a lack of memory.  The server's
 * parser looks for interrupts only from version 16 on, if at all, so this does
 * it afterwards.
 *
 * Catching without a subtransaction is safe here: the parser is pure code.
 */
Jsonb *
ap_document_parse(const char *text, size_t len, const char **reason)
{
	MemoryContext old = CurrentMemoryContext;
	Jsonb	   *volatile document = NULL;

	if (len > MaxAllocSize - 1)
		*reason = "It exceeds a limit of jsonb.";
	else if (memchr(text, '\0', len) != NULL)
		*reason = "It is not valid JSON.";
	else if (!pg_verify_mbstr(PG_UTF8, text, (int) len, true))
		*reason = "It is not valid UTF-8.";
	else
	{
		MemoryContext parser = parse_context();

		MemoryContextSwitchTo(parser);
		PG_TRY();
		{
			document = convert(text, len, old);
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(old);
			MemoryContextReset(parser);
			*reason = parse_complaint(geterrcode());
			if (*reason == NULL)
				PG_RE_THROW();
			FlushErrorState();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(old);
		MemoryContextReset(parser);
		CHECK_FOR_INTERRUPTS();
	}
	return document;
}

/*-------------------------------------------------------------------------
 * Looking into documents
 *-------------------------------------------------------------------------
 */

/*
 * Give a document's outermost value.
 */
bool
ap_document_value(Jsonb *document, JsonbValue *value)
{
	if (JB_ROOT_IS_SCALAR(document))
		return JsonbExtractScalar(&document->root, value);
	value->type = jbvBinary;
	value->val.binary.data = &document->root;
	value->val.binary.len = VARSIZE(document) - VARHDRSZ;
	return true;
}

/*
 * Tell whether a value is an object.
 */
static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/*
 * Tell whether a value is an array.
 */
static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/*
 * Find a member of an object.
 */
bool
ap_document_member(const JsonbValue *value, const char *name, JsonbValue *member)
{
	return is_object(value) &&
		getKeyJsonValueFromContainer(value->val.binary.data, name,
									 (int) strlen(name), member) != NULL;
}

/*
 * Count a value as a list: an array has its elements, an object where an array
 * was documented is one element, and anything else is none.
 */
int
ap_document_length(const JsonbValue *value)
{
	if (is_array(value))
		return (int) JsonContainerSize(value->val.binary.data);
	return is_object(value) ? 1 : 0;
}

/*
 * Give an element of a value taken as a list.
 */
bool
ap_document_element(const JsonbValue *value, int index, JsonbValue *element)
{
	JsonbValue *found;

	if (is_object(value) && index == 0)
	{
		*element = *value;
		return true;
	}
	if (!is_array(value))
		return false;
	found = getIthJsonbValueFromContainer(value->val.binary.data, index);
	if (found == NULL)
		return false;
	*element = *found;
	pfree(found);
	return true;
}

/*
 * Take a value as an object: itself, or the first object of an array where an
 * object was documented.
 */
bool
ap_document_as_object(const JsonbValue *value, JsonbValue *object)
{
	int			length = ap_document_length(value);

	for (int i = 0; i < length; i++)
	{
		if (ap_document_element(value, i, object) && is_object(object))
			return true;
	}
	return false;
}

/*
 * Find a member of a document that is an object, or as good as one.
 */
bool
ap_document_find(Jsonb *document, const char *name, JsonbValue *member)
{
	JsonbValue	root;
	JsonbValue	object;

	return ap_document_value(document, &root) && ap_document_as_object(&root, &object) &&
		ap_document_member(&object, name, member);
}

/*-------------------------------------------------------------------------
 * Scalars
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether a number is from -limit to limit.
 */
static bool
is_within(Datum number, Datum limit)
{
	Datum		magnitude = DirectFunctionCall1(numeric_abs, number);

	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, magnitude, limit)) <= 0;
}

/*
 * Tell whether a number has a text of moderate length.  In a document 1e131071
 * takes few bytes, and a hostile one could have it in every place.
 */
static bool
is_short(Datum number)
{
	static Datum limit = 0;

	if (limit == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		limit = DirectFunctionCall3(numeric_in, CStringGetDatum(AP_SHORT_NUMBER),
									ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		MemoryContextSwitchTo(old);
	}
	return is_within(number, limit) &&
		DatumGetInt32(DirectFunctionCall1(numeric_scale, number)) < AP_SCALAR_SIZE;
}

/*
 * Give a scalar as text; NULL for null, arrays, objects and numbers of many
 * hundred digits.
 */
char *
ap_document_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			if (!is_short(NumericGetDatum(value->val.numeric)))
				return NULL;
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * Copy a short text value, trimmed, into a buffer of AP_SCALAR_SIZE.
 */
static bool
short_text(const JsonbValue *value, char *text)
{
	const char *start = value->val.string.val;
	int			len = value->val.string.len;

	while (len > 0 && strchr(AP_BLANKS, start[0]) != NULL)
		start++, len--;
	while (len > 0 && strchr(AP_BLANKS, start[len - 1]) != NULL)
		len--;
	if (len <= 0 || len >= AP_SCALAR_SIZE)
		return false;
	memcpy(text, start, len);
	text[len] = '\0';
	return true;
}

/*
 * Tell whether a text is a plain decimal number, so that numeric_in() takes it
 * without complaint: digits, at most one point, an exponent of up to 3 digits.
 */
static bool
is_decimal(const char *text)
{
	size_t		whole;
	size_t		fraction = 0;

	text += strspn(text, "+-") > 0 ? 1 : 0;
	whole = strspn(text, "0123456789");
	text += whole;
	if (*text == '.')
	{
		fraction = strspn(text + 1, "0123456789");
		text += 1 + fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*text == 'e' || *text == 'E')
	{
		size_t		exponent;

		text += 1;
		text += strspn(text, "+-") > 0 ? 1 : 0;
		exponent = strspn(text, "0123456789");
		if (exponent == 0 || exponent > 3)
			return false;
		text += exponent;
	}
	return *text == '\0';
}

/*
 * Give a number, exactly; also one that is written as text.
 */
bool
ap_document_numeric(const JsonbValue *value, Datum *number)
{
	char		text[AP_SCALAR_SIZE];

	if (value->type == jbvNumeric)
	{
		*number = NumericGetDatum(value->val.numeric);
		return true;
	}
	if (value->type != jbvString || !short_text(value, text) || !is_decimal(text))
		return false;
	*number = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
								  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return true;
}

/*
 * Give a number that is an integer of 64 bits; a fraction is none.
 */
bool
ap_document_int64(const JsonbValue *value, int64 *number)
{
	Datum		numeric;
	char	   *text;
	char	   *end;

	if (!ap_document_numeric(value, &numeric) || !is_short(numeric))
		return false;
	text = numeric_normalize(DatumGetNumeric(numeric));
	errno = 0;
	*number = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return false;
	pfree(text);
	return true;
}

/*
 * Give a truth value.
 */
bool
ap_document_bool(const JsonbValue *value, bool *truth)
{
	if (value->type != jbvBool)
		return false;
	*truth = value->val.boolean;
	return true;
}

/*
 * Skip two digits or, if any number of them will do, at least one.
 */
static bool
skip_digits(const char **text, bool any_number)
{
	int			len = (int) strspn(*text, "0123456789");

	*text += len;
	return any_number ? len > 0 : len == 2;
}

/*
 * Skip a character, if it is one of those.
 */
static bool
skip_one(const char **text, const char *those)
{
	if (**text == '\0' || strchr(those, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

/*
 * Skip a zone: "Z", or hours and perhaps minutes from UTC.
 */
static bool
skip_zone(const char **text)
{
	int			len;

	if (skip_one(text, "Zz"))
		return true;
	if (!skip_one(text, "+-"))
		return false;
	len = (int) strspn(*text, "0123456789");
	*text += len;
	if (len == 2 && skip_one(text, ":"))
		return skip_digits(text, false);
	return len == 2 || len == 4;
}

/*
 * Tell whether a text has the form of an ISO 8601 date, perhaps with a time,
 * and then perhaps with a zone.  The server's parser takes much more, some of
 * which depends on the session, such as "today", or throws, such as what could
 * be the name of a zone.
 */
static bool
is_iso_time(const char *text, bool *has_time, bool *has_zone)
{
	*has_time = *has_zone = false;
	if (strspn(text, "0123456789") < 4 || !skip_digits(&text, true) ||
		!skip_one(&text, "-") || !skip_digits(&text, false) ||
		!skip_one(&text, "-") || !skip_digits(&text, false))
		return false;
	*has_time = skip_one(&text, "Tt ");
	if (!*has_time)
		return *text == '\0';
	if (!skip_digits(&text, false) || !skip_one(&text, ":") || !skip_digits(&text, false))
		return false;
	if (skip_one(&text, ":"))
	{
		if (!skip_digits(&text, false) || (skip_one(&text, ".") && !skip_digits(&text, true)))
			return false;
	}
	*has_zone = *text != '\0';
	return !*has_zone || (skip_zone(&text) && *text == '\0');
}

/*
 * Give a time, in ISO 8601; one without a zone is UTC.
 */
bool
ap_document_time(const JsonbValue *value, TimestampTz *time)
{
	char		text[AP_SCALAR_SIZE];
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			nfields;
	int			kind;
	int			zone = 0;
	const char *utc = "+00";
	bool		has_time;
	bool		has_zone;
	struct pg_tm tm;
	fsec_t		fraction;

	if (value->type != jbvString || !short_text(value, text) ||
		!is_iso_time(text, &has_time, &has_zone))
		return false;
	/* what "Z" means is a setting, so it is put as a number */
	if (has_zone && strpbrk(text, "Zz") != NULL)
		text[strlen(text) - 1] = '\0';
	else if (has_zone)
		utc = "";
	else if (!has_time)
		utc = "T00:00:00+00";
	if (strlen(text) + strlen(utc) >= sizeof(text))
		return false;
	strcat(text, utc);
	return ParseDateTime(text, work, sizeof(work), fields, types,
						 MAXDATEFIELDS, &nfields) == 0 &&
		ap_compat_decode_date_time(fields, types, nfields, &kind,
								   &tm, &fraction, &zone) == 0 &&
		kind == DTK_DATE &&
		tm2timestamp(&tm, fraction, &zone, time) == 0;
}

/*
 * List the texts and numbers anywhere in a document, as texts, but for numbers
 * that have none.
 */
List *
ap_document_leaves(Jsonb *document)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *leaves = NIL;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		char	   *text;

		CHECK_FOR_INTERRUPTS();
		if ((token != WJB_VALUE && token != WJB_ELEM) ||
			(value.type != jbvString && value.type != jbvNumeric))
			continue;
		text = ap_document_text(&value);
		if (text != NULL)
			leaves = lappend(leaves, text);
	}
	return leaves;
}
