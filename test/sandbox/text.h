/*-------------------------------------------------------------------------
 *
 * text.h
 *		Growing byte strings, slices of bytes, and JSON text output.
 *
 * Lengths are always carried, since an id or a body may hold any byte. An
 * SbText keeps a zero byte behind its data, so that it also reads as a C
 * string. Memory that runs out ends the process: this is a test server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_TEXT_H
#define SB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SbSlice
{
	const char *data;
	size_t		length;
} SbSlice;

typedef struct SbText
{
	char	   *data;
	size_t		length;
	size_t		capacity;
} SbText;

/* Make a slice of a string literal */
#define SB_LITERAL(literal) ((SbSlice) {(literal), sizeof(literal) - 1})

extern void *sb_alloc(size_t size);
extern char *sb_copy(const char *data, size_t length);
extern SbSlice sb_slice(const char *string);
extern bool sb_slice_equal(SbSlice a, SbSlice b);
extern bool sb_slice_is(SbSlice slice, const char *string);
extern bool sb_split(SbSlice *rest, char separator, SbSlice *part);

extern void sb_text_reserve(SbText *text, size_t more);
extern void sb_text_add(SbText *text, const char *data, size_t length);
extern void sb_text_puts(SbText *text, const char *string);
extern void sb_text_put(SbText *text, SbSlice slice);
extern void sb_text_printf(SbText *text, const char *format, ...)
			__attribute__((format(printf, 2, 3)));
extern void sb_text_quote(SbText *text, SbSlice slice);
extern void sb_text_hex(SbText *text, const unsigned char *bytes, size_t length);
extern SbSlice sb_text_slice(const SbText *text);
extern void sb_text_free(SbText *text);

extern size_t sb_utf8_length(const unsigned char *bytes, size_t left);
extern int	sb_hex_digit(char c);
extern bool sb_hex_decode(SbSlice hex, unsigned char *bytes);
extern bool sb_base64_decode(SbSlice input, SbText *output);

#endif							/* SB_TEXT_H */
