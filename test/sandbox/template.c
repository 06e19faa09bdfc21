/*-------------------------------------------------------------------------
 *
 * template.c
 *		JSON text with named gaps, taken apart once and filled by copying.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template.h"

/* Find a gap's number; a name that is not listed is a mistake in this program */
static int
gap_number(SbSlice name, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
		if (sb_slice_is(name, names[i]))
			return i;
	fprintf(stderr, "sandbox: no value for @%.*s@\n", (int) name.length, name.data);
	abort();
}

/* Take a template apart; names ends with NULL and numbers the gaps */
void
sb_template_compile(SbTemplate *template, const char *source, const char *const *names)
{
	SbSlice		rest;
	SbSlice		part;
	size_t		signs = 0;

	*template = (SbTemplate) {0};
	sb_text_puts(&template->source, source);
	for (char *c = template->source.data; *c; c++)
	{
		if (*c == '\'')
			*c = '"';
		signs += *c == '@';
	}
	template->parts = sb_alloc((signs / 2 + 1) * sizeof(template->parts[0]));
	rest = sb_text_slice(&template->source);
	while (sb_split(&rest, '@', &part))
	{
		template->parts[template->count].literal = part;
		template->parts[template->count].gap =
			sb_split(&rest, '@', &part) ? gap_number(part, names) : -1;
		template->count++;
	}
}

/* Append the text with its gaps filled */
void
sb_template_fill(const SbTemplate *template, const SbSlice *values, SbText *out)
{
	sb_text_reserve(out, template->source.length + 1024);
	for (size_t i = 0; i < template->count; i++)
	{
		sb_text_put(out, template->parts[i].literal);
		if (template->parts[i].gap >= 0)
			sb_text_put(out, values[template->parts[i].gap]);
	}
}

/* Free a template */
void
sb_template_free(SbTemplate *template)
{
	sb_text_free(&template->source);
	free(template->parts);
	*template = (SbTemplate) {0};
}
