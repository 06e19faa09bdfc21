/*-------------------------------------------------------------------------
 *
 * routes.c
 *		From the raw request target to an operation and the id it is about.
 *
 * The target is cut at its slashes before anything is decoded: an id is one
 * path segment on the wire, so an id with an unescaped slash finds no route.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "routes.h"

typedef struct Route
{
	const char *name;
	const char *method;
	const char *pattern;		/* a star stands for the id */
} Route;

static const Route routes[SB_OPERATION_COUNT] = {
	[SB_CREATE_APPLICANT] = {"create_applicant", "POST", "applicant"},
	[SB_APPLICANT] = {"applicant", "GET", "applicant/*"},
	[SB_APPLICANT_STATUS] = {"applicant_status", "GET", "applicant/*/status"},
	[SB_MOVE_TO_FLOW] = {"move_to_flow", "POST", "applicant/*/moveToFlow"},
	[SB_SCHEDULE_DELETION] = {"schedule_deletion", "POST", "applicant/*/schedule-deletion"},
	[SB_RESTORE] = {"restore", "POST", "applicant/*/restore"},
	[SB_TOKEN] = {"token", "POST", "applicant/*/token"},
	[SB_QUESTIONNAIRE] = {"questionnaire", "GET", "questionnaire/*"},
	[SB_AML_SEARCH] = {"aml_search", "POST", "crypto-aml/search"},
	[SB_AML_DETAILS] = {"aml_details", "GET", "crypto-aml/*/details"},
};

static const SbSlice prefix = {"/api/public/", 12};

/* Give the name by which stats and faults know an operation */
const char *
sb_operation_name(SbOperation operation)
{
	return routes[operation].name;
}

/* Find an operation by its name */
SbOperation
sb_operation_named(SbSlice name)
{
	for (int i = 0; i < SB_OPERATION_COUNT; i++)
		if (sb_slice_is(name, routes[i].name))
			return (SbOperation) i;
	return SB_NO_OPERATION;
}

/* Tell whether an operation reads */
bool
sb_operation_is_get(SbOperation operation)
{
	return routes[operation].method[0] == 'G';
}

/* Undo percent-encoding, and the plus sign of forms; false if it is broken */
bool
sb_percent_decode(SbSlice encoded, bool form, SbText *decoded)
{
	sb_text_reserve(decoded, encoded.length);
	for (size_t i = 0; i < encoded.length; i++)
	{
		char		c = encoded.data[i];

		if (c == '%')
		{
			int			high = encoded.length - i > 2 ? sb_hex_digit(encoded.data[i + 1]) : -1;
			int			low = high >= 0 ? sb_hex_digit(encoded.data[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char) (high << 4 | low);
			i += 2;
		}
		else if (form && c == '+')
			c = ' ';
		sb_text_add(decoded, &c, 1);
	}
	return true;
}

/* Match a path with a pattern; gives the segment under the star */
static bool
match(const char *pattern, SbSlice path, SbSlice *id)
{
	SbSlice		patterns = sb_slice(pattern);
	SbSlice		want;
	SbSlice		have;

	while (sb_split(&patterns, '/', &want))
	{
		if (!sb_split(&path, '/', &have))
			return false;
		if (sb_slice_is(want, "*") && have.length > 0)
			*id = have;
		else if (!sb_slice_equal(want, have))
			return false;
	}
	return path.data == NULL;
}

/* Tell whether a target holds only what RFC 3986 lets stand unescaped */
static bool
is_clean(const char *target)
{
	for (; *target; target++)
		if (*target <= ' ' || *target > '~' || strchr("\"<>\\^`{|}#", *target) != NULL)
			return false;
	return true;
}

/* Find the operation of a method and raw target, and decode its id */
SbRouting
sb_route(const char *method, const char *target,
		 SbOperation *operation, SbText *subject, SbSlice *query)
{
	SbSlice		rest = sb_slice(target);
	SbSlice		path;
	SbRouting	result = SB_NO_PATH;

	*operation = SB_NO_OPERATION;
	sb_split(&rest, '?', &path);
	*query = rest;
	if (path.length < prefix.length || memcmp(path.data, prefix.data, prefix.length) != 0)
		return SB_NO_PATH;
	path.data += prefix.length;
	path.length -= prefix.length;
	for (int i = 0; i < SB_OPERATION_COUNT; i++)
	{
		SbSlice		id = {0};

		if (!match(routes[i].pattern, path, &id))
			continue;
		if (strcmp(method, routes[i].method) != 0)
		{
			result = SB_NO_METHOD;
			continue;
		}
		if (!is_clean(target) || !sb_percent_decode(id, false, subject))
			return SB_BAD_TARGET;
		*operation = (SbOperation) i;
		return SB_ROUTED;
	}
	return result;
}
