/*-------------------------------------------------------------------------
 *
 * text.c
 *		Growing byte strings, slices of bytes, and JSON text output.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Allocate zeroed memory, or end the process */
void *
sb_alloc(size_t size)
{
	void	   *memory = calloc(1, size ? size : 1);

	if (memory == NULL)
	{
		fputs("sandbox: out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* Copy bytes and put a zero byte behind them */
char *
sb_copy(const char *data, size_t length)
{
	char	   *copy = sb_alloc(length + 1);

	if (length > 0)
		memcpy(copy, data, length);
	return copy;
}

/* Make a slice of a C string; NULL gives the absent slice */
SbSlice
sb_slice(const char *string)
{
	return (SbSlice) {string, string ? strlen(string) : 0};
}

/* Compare two slices byte by byte */
bool
sb_slice_equal(SbSlice a, SbSlice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Compare a slice with a C string */
bool
sb_slice_is(SbSlice slice, const char *string)
{
	return sb_slice_equal(slice, sb_slice(string));
}

/* Cut the next part off; false when nothing is left */
bool
sb_split(SbSlice *rest, char separator, SbSlice *part)
{
	const char *found;

	if (rest->data == NULL)
		return false;
	found = rest->length ? memchr(rest->data, separator, rest->length) : NULL;
	*part = *rest;
	if (found == NULL)
		*rest = (SbSlice) {0};
	else
	{
		part->length = (size_t) (found - rest->data);
		rest->data = found + 1;
		rest->length -= part->length + 1;
	}
	return true;
}

/* Make room for some more bytes and the zero byte behind them */
void
sb_text_reserve(SbText *text, size_t more)
{
	size_t		need = text->length + more + 1;
	size_t		capacity = text->capacity ? text->capacity : 128;

	if (need <= text->capacity)
		return;
	while (capacity < need)
		capacity *= 2;
	text->data = realloc(text->data, capacity);
	if (text->data == NULL)
	{
		fputs("sandbox: out of memory\n", stderr);
		abort();
	}
	text->capacity = capacity;
}

/* Append bytes */
void
sb_text_add(SbText *text, const char *data, size_t length)
{
	sb_text_reserve(text, length);
	if (length > 0)
		memcpy(text->data + text->length, data, length);
	text->length += length;
	text->data[text->length] = '\0';
}

/* Append a C string */
void
sb_text_puts(SbText *text, const char *string)
{
	sb_text_add(text, string, strlen(string));
}

/* Append a slice */
void
sb_text_put(SbText *text, SbSlice slice)
{
	sb_text_add(text, slice.data, slice.length);
}

/* Append formatted text */
void
sb_text_printf(SbText *text, const char *format, ...)
{
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	sb_text_reserve(text, (size_t) length);
	va_start(arguments, format);
	vsnprintf(text->data + text->length, (size_t) length + 1, format, arguments);
	va_end(arguments);
	text->length += (size_t) length;
}

/* Append one character of a JSON string that cannot stand as itself */
static void
quote_special(SbText *text, unsigned char c)
{
	static const char *const hex = "0123456789abcdef";
	char		escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	switch (c)
	{
		case '"':
			sb_text_add(text, "\\\"", 2);
			break;
		case '\\':
			sb_text_add(text, "\\\\", 2);
			break;
		case '\n':
			sb_text_add(text, "\\n", 2);
			break;
		default:
			sb_text_add(text, escape, sizeof(escape));
	}
}

/*
 * Append a quoted JSON string; the absent slice gives null.
 *
 * A byte that is no UTF-8 becomes U+FFFD: the answer must stay JSON even where
 * a request held garbage.
 */
void
sb_text_quote(SbText *text, SbSlice slice)
{
	const unsigned char *bytes = (const unsigned char *) slice.data;
	size_t		done = 0;
	size_t		at = 0;

	if (slice.data == NULL)
	{
		sb_text_add(text, "null", 4);
		return;
	}
	sb_text_reserve(text, slice.length + 2);
	sb_text_add(text, "\"", 1);
	while (at < slice.length)
	{
		size_t		length = sb_utf8_length(bytes + at, slice.length - at);

		if (length > 0 && bytes[at] >= 0x20 && bytes[at] != '"' && bytes[at] != '\\')
		{
			at += length;
			continue;
		}
		sb_text_add(text, slice.data + done, at - done);
		if (length == 0)
			sb_text_add(text, "\xEF\xBF\xBD", 3);
		else
			quote_special(text, bytes[at]);
		done = ++at;
	}
	sb_text_add(text, slice.data + done, at - done);
	sb_text_add(text, "\"", 1);
}

/* Append bytes as lower-case hexadecimal digits */
void
sb_text_hex(SbText *text, const unsigned char *bytes, size_t length)
{
	static const char *const digits = "0123456789abcdef";
	char	   *out;

	sb_text_reserve(text, length * 2);
	out = text->data + text->length;
	for (size_t i = 0; i < length; i++)
	{
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
	text->length += length * 2;
}

/* Give the text as a slice that lives as long as the text is not changed */
SbSlice
sb_text_slice(const SbText *text)
{
	return (SbSlice) {text->data ? text->data : "", text->length};
}

/* Free the text and make it empty */
void
sb_text_free(SbText *text)
{
	free(text->data);
	*text = (SbText) {0};
}

/* Give the length of the valid UTF-8 character that begins here, or 0 */
size_t
sb_utf8_length(const unsigned char *bytes, size_t left)
{
	unsigned char first = bytes[0];
	size_t		length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2
		: first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;

	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((bytes[i] & 0xC0) != 0x80)
			return 0;
	/* overlong forms, surrogates, and what lies above U+10FFFF */
	if ((first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] > 0x9F) ||
		(first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] > 0x8F))
		return 0;
	return length;
}

/* Give the value of a hexadecimal digit, or -1 */
int
sb_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode hexadecimal digits into half as many bytes; false if they are not */
bool
sb_hex_decode(SbSlice hex, unsigned char *bytes)
{
	if (hex.length % 2 != 0)
		return false;
	for (size_t i = 0; i < hex.length; i += 2)
	{
		int			high = sb_hex_digit(hex.data[i]);
		int			low = sb_hex_digit(hex.data[i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i / 2] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/* Give the value of a base64 digit, or -1 */
static int
base64_digit(char c)
{
	static const char *const digits =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int) (found - digits) : -1;
}

/* Append what padded base64 stands for; false if it is not base64 */
bool
sb_base64_decode(SbSlice input, SbText *output)
{
	size_t		padding = 0;

	if (input.length % 4 != 0)
		return false;
	while (padding < 2 && padding < input.length && input.data[input.length - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < input.length; i += 4)
	{
		uint32_t	bits = 0;
		bool		last = i + 4 == input.length;
		char		bytes[3];

		for (size_t j = 0; j < 4; j++)
		{
			bool		pad = last && j >= 4 - padding;
			int			digit = pad ? 0 : base64_digit(input.data[i + j]);

			if (digit < 0)
				return false;
			bits = bits << 6 | (uint32_t) digit;
		}
		bytes[0] = (char) (bits >> 16);
		bytes[1] = (char) (bits >> 8);
		bytes[2] = (char) bits;
		sb_text_add(output, bytes, last ? 3 - padding : 3);
	}
	return true;
}
