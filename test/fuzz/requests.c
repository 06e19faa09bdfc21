/*-------------------------------------------------------------------------
 *
 * requests.c
 *		Fuzz targets: options as they are set, and arguments of calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../../src/compat.h"

#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_user_mapping.h"
#include "nodes/makefuncs.h"

#include "../../src/document.h"
#include "../../src/endpoint.h"
#include "../../src/options.h"

#include "fuzz.h"

#define BASE_URL "https://api.example.com/v1"

/* No input is as long as this, escaped. */
#define MAX_SECRET (1024 * 1024)

/*
 * Take the lines that are left as a list of options, "name=value" each.  Tells
 * whether one of them names a file with a key.
 */
static List *
take_options(FuzzInput *input, bool *names_file)
{
	List	   *list = NIL;

	while (input->len > 0)
	{
		char	   *line = fuzz_line(input);
		char	   *value = line != NULL ? strchr(line, '=') : NULL;

		if (value == NULL || !fuzz_is_text(line))
			continue;
		*value++ = '\0';
		if (strstr(line, "_key_file") != NULL)
			*names_file = true;
		list = lappend(list, makeDefElem(line, (Node *) makeString(value), -1));
	}
	return list;
}

/*
 * Options of a catalog: the catalog, then a line for each.
 */
void
fuzz_options(FuzzInput *input)
{
	static const Oid catalogs[] = {
		ForeignServerRelationId, UserMappingRelationId, ForeignDataWrapperRelationId
	};
	Oid			catalog = catalogs[fuzz_flag(input, 3)];
	bool		names_file = false;
	List	   *list = take_options(input, &names_file);
	ApOptions	options;
	ApStatus	status;
	bool		ok;

	ap_status_clear(&status);
	ok = ap_options_check(list, catalog, &status);
	fuzz_check_status(&status, ok);
	pfree(ap_options_file_stamps(list));
	if (!ok || names_file)
		return;
	ap_options_default(&options);
	ok = ap_options_apply(list, &options, &status);
	fuzz_check_status(&status, ok);
	if (!ok)
		fuzz_fail("options that pass the check do not take effect: %s", status.message);
}

/*
 * Take the arguments of an operation, a line for each.
 */
static void
take_arguments(FuzzInput *input, const ApEndpoint *endpoint, const char **values)
{
	int			count = ap_endpoint_params(endpoint);

	for (int i = 0; i < count; i++)
	{
		char	   *line = fuzz_line(input);
		const char *reason;
		Jsonb	   *document;

		values[i] = line;
		if (line == NULL)
			continue;
		if (endpoint->params[i].place == AP_IN_BODY_NUMBER)
			values[i] = psprintf(INT64_FORMAT, (int64) strtoll(line, NULL, 10));
		else if (endpoint->params[i].place == AP_IN_BODY_OBJECT)
		{
			document = ap_document_parse(line, strlen(line), &reason);
			values[i] = document != NULL ? JsonbToCString(NULL, &document->root, 0) : NULL;
		}
		else if (!fuzz_is_text(line))
			values[i] = NULL;
	}
}

/*
 * Check that no argument has bent the URL: all of it is harmless characters,
 * and it has as many path segments as the operation's path.
 */
static void
check_url(const ApEndpoint *endpoint, const char *url)
{
	const char *path = url + strlen(BASE_URL "/api/public/");
	int			slashes = 0;

	if (strncmp(url, BASE_URL "/api/public/", strlen(BASE_URL "/api/public/")) != 0 ||
		path[strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789-._~%/?=")] != '\0')
		fuzz_fail("the URL \"%s\"", url);
	for (const char *c = endpoint->path; *c != '\0'; c++)
		slashes += *c == '/';
	for (const char *c = endpoint->path_end ? endpoint->path_end : ""; *c != '\0'; c++)
		slashes += *c == '/';
	for (const char *c = path; *c != '\0'; c++)
		slashes -= *c == '/';
	if (slashes != 0)
		fuzz_fail("the URL \"%s\" has another path than that of %s", url, endpoint->name);
}

/*
 * A request: the operation, then a line for each argument.
 */
void
fuzz_request(FuzzInput *input)
{
	const ApEndpoint *endpoint = ap_endpoint_get(fuzz_flag(input, AP_AML_DETAILS + 1));
	const char *values[AP_MAX_PARAMS] = {NULL};
	ApBuffer   *url = palloc0(sizeof(ApBuffer));
	ApBuffer   *body = palloc0(sizeof(ApBuffer));
	const char *reason;
	ListCell   *cell;
	ApStatus	status;
	bool		ok;

	take_arguments(input, endpoint, values);
	ap_status_clear(&status);
	ok = ap_endpoint_check(endpoint, values, &status);
	fuzz_check_status(&status, ok);
	if (!ok)
		return;
	ap_buffer_own(url, CurrentMemoryContext);
	ap_buffer_own(body, CurrentMemoryContext);
	ok = ap_endpoint_build(endpoint, BASE_URL, values, url, body, &status);
	fuzz_check_status(&status, ok);
	if (!ok)
		fuzz_fail("arguments that pass the check make no request: %s", status.message);
	check_url(endpoint, url->data);
	if (body->len > 0 && ap_document_parse(body->data, body->len, &reason) == NULL)
		fuzz_fail("the body is no document: %s: %s", reason, body->data);
	foreach(cell, ap_endpoint_secrets(endpoint, values))
	{
		if (lfirst(cell) == NULL || strlen(lfirst(cell)) > MAX_SECRET)
			fuzz_fail("a secret that is none");
	}
}
