/*-------------------------------------------------------------------------
 *
 * template.h
 *		JSON text with named gaps, taken apart once and filled by copying.
 *
 * In the source a gap is @name@ and an apostrophe stands for a double quote.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_TEMPLATE_H
#define SB_TEMPLATE_H

#include "text.h"

typedef struct SbTemplate
{
	SbText		source;			/* with the quotes put right */
	struct
	{
		SbSlice		literal;
		int			gap;		/* what follows the literal, or -1 */
	}		   *parts;
	size_t		count;
} SbTemplate;

extern void sb_template_compile(SbTemplate *template, const char *source,
								const char *const *names);
extern void sb_template_fill(const SbTemplate *template, const SbSlice *values, SbText *out);
extern void sb_template_free(SbTemplate *template);

#endif							/* SB_TEMPLATE_H */
