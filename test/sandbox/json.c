/*-------------------------------------------------------------------------
 *
 * json.c
 *		Reading JSON strictly: RFC 8259 and nothing more, into json-c objects.
 *
 * json-c also takes NaN, Infinity, single quotes, comments and control bytes
 * in strings, depending on its version. A client that sends them must be
 * caught here, so a scanner decides first and json-c only builds the object.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <string.h>

#include "json.h"

#define MAX_DEPTH 512

typedef struct Scanner
{
	const unsigned char *at;
	const unsigned char *end;
	int			depth;
} Scanner;

static bool scan_value(Scanner *scanner);

/* Skip white space */
static void
skip_space(Scanner *scanner)
{
	while (scanner->at < scanner->end &&
		   (*scanner->at == ' ' || *scanner->at == '\t' ||
			*scanner->at == '\n' || *scanner->at == '\r'))
		scanner->at++;
}

/* Take one byte if it is the next one */
static bool
take(Scanner *scanner, char c)
{
	if (scanner->at == scanner->end || *scanner->at != (unsigned char) c)
		return false;
	scanner->at++;
	return true;
}

/* Take a word such as true */
static bool
take_word(Scanner *scanner, const char *word)
{
	size_t		length = strlen(word);

	if ((size_t) (scanner->end - scanner->at) < length ||
		memcmp(scanner->at, word, length) != 0)
		return false;
	scanner->at += length;
	return true;
}

/* Take decimal digits; false if there is none */
static bool
take_digits(Scanner *scanner)
{
	const unsigned char *first = scanner->at;

	while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9')
		scanner->at++;
	return scanner->at > first;
}

/* Take a number */
static bool
scan_number(Scanner *scanner)
{
	take(scanner, '-');
	if (!take(scanner, '0') && !take_digits(scanner))
		return false;
	if (take(scanner, '.') && !take_digits(scanner))
		return false;
	if (take(scanner, 'e') || take(scanner, 'E'))
	{
		if (!take(scanner, '+'))
			take(scanner, '-');
		return take_digits(scanner);
	}
	return true;
}

/* Take what follows a backslash */
static bool
scan_escape(Scanner *scanner)
{
	if (scanner->at == scanner->end)
		return false;
	if (*scanner->at == 'u')
	{
		scanner->at++;
		for (int i = 0; i < 4; i++)
			if (scanner->at == scanner->end || sb_hex_digit((char) *scanner->at++) < 0)
				return false;
		return true;
	}
	return *scanner->at != '\0' && strchr("\"\\/bfnrt", *scanner->at++) != NULL;
}

/* Take a string */
static bool
scan_string(Scanner *scanner)
{
	if (!take(scanner, '"'))
		return false;
	while (scanner->at < scanner->end)
	{
		size_t		length = sb_utf8_length(scanner->at, (size_t) (scanner->end - scanner->at));

		if (length == 0 || *scanner->at < 0x20)
			return false;
		if (take(scanner, '"'))
			return true;
		if (take(scanner, '\\'))
		{
			if (!scan_escape(scanner))
				return false;
		}
		else
			scanner->at += length;
	}
	return false;
}

/* Take the members of an object or the elements of an array, and its end */
static bool
scan_list(Scanner *scanner, bool object)
{
	char		close = object ? '}' : ']';

	if (++scanner->depth > MAX_DEPTH)
		return false;
	skip_space(scanner);
	if (!take(scanner, close))
	{
		do
		{
			skip_space(scanner);
			if (object)
			{
				if (!scan_string(scanner))
					return false;
				skip_space(scanner);
				if (!take(scanner, ':'))
					return false;
			}
			if (!scan_value(scanner))
				return false;
		} while (take(scanner, ','));
		if (!take(scanner, close))
			return false;
	}
	scanner->depth--;
	return true;
}

/* Take a value and the space around it */
static bool
scan_value(Scanner *scanner)
{
	bool		good;

	skip_space(scanner);
	if (scanner->at == scanner->end)
		return false;
	switch (*scanner->at)
	{
		case '{':
		case '[':
			good = scan_list(scanner, *scanner->at++ == '{');
			break;
		case '"':
			good = scan_string(scanner);
			break;
		case 't':
			good = take_word(scanner, "true");
			break;
		case 'f':
			good = take_word(scanner, "false");
			break;
		case 'n':
			good = take_word(scanner, "null");
			break;
		default:
			good = scan_number(scanner);
	}
	skip_space(scanner);
	return good;
}

/* Tell whether the text is one JSON value and nothing else */
bool
sb_json_valid(SbSlice text)
{
	const unsigned char *bytes = (const unsigned char *) text.data;
	Scanner		scanner = {bytes, bytes + text.length, 0};

	return text.length > 0 && scan_value(&scanner) && scanner.at == scanner.end;
}

/* Parse JSON text; NULL if it is not JSON, or is the JSON null */
struct json_object *
sb_json_parse(SbSlice text)
{
	struct json_tokener *tokener;
	struct json_object *value;

	if (text.length >= INT_MAX || !sb_json_valid(text))
		return NULL;
	tokener = json_tokener_new_ex(MAX_DEPTH + 2);
	if (tokener == NULL)
		return NULL;
	/* the end of a bare number is known to json-c only by the zero byte */
	value = json_tokener_parse_ex(tokener, text.data, (int) text.length);
	if (value == NULL && json_tokener_get_error(tokener) == json_tokener_continue)
		value = json_tokener_parse_ex(tokener, "", 1);
	json_tokener_free(tokener);
	return value;
}

/* Give the bytes of a JSON string; the absent slice for any other value */
SbSlice
sb_json_string(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_string))
		return (SbSlice) {0};
	return (SbSlice) {json_object_get_string(value),
	(size_t) json_object_get_string_len(value)};
}

/* Give a value as compact JSON text, which lives as long as the value */
const char *
sb_json_text(struct json_object *value)
{
	const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
													  JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? text : "null";
}
