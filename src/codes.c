/*-------------------------------------------------------------------------
 *
 * codes.c
 *		Names of the numeric codes in documents.
 *
 * The tables are data: src/codes holds them as text, and codes_data.h is made
 * from that by "make codes".  Each table is in the order of its codes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "codes.h"

struct Code
{
	int			code;
	const char *name;
};

struct ApCodeTable
{
	const char *kind;
	const struct Code *codes;
	int			count;
};

#include "codes_data.h"

/*
 * Tell whether two names are the same but for case, "_" and "-", so that a kind
 * is found as FieldType and as field_type.
 */
static bool
is_same_name(const char *a, const char *b)
{
	for (;;)
	{
		a += strspn(a, "_-");
		b += strspn(b, "_-");
		if (pg_ascii_tolower((unsigned char) *a) != pg_ascii_tolower((unsigned char) *b))
			return false;
		if (*a == '\0')
			return true;
		a++, b++;
	}
}

/*
 * Find the table of a kind, or NULL.
 */
const ApCodeTable *
ap_codes_find(const char *kind)
{
	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		if (is_same_name(tables[i].kind, kind))
			return &tables[i];
	}
	return NULL;
}

/*
 * Give the name of a code, or NULL.
 */
const char *
ap_codes_name(const ApCodeTable *table, int code)
{
	int			low = 0;
	int			high = table->count - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (table->codes[middle].code == code)
			return table->codes[middle].name;
		if (table->codes[middle].code < code)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/*
 * Give the name of a kind by its index, or NULL after the last.
 */
const char *
ap_codes_kind(int index)
{
	return index < (int) lengthof(tables) ? tables[index].kind : NULL;
}
