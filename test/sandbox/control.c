/*-------------------------------------------------------------------------
 *
 * control.c
 *		The control path /_sandbox/: reset, seed, stats, log, config, faults.
 *
 * A command either succeeds as a whole or changes nothing and answers 400
 * with the reason in "error".
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "store.h"

#define MAX_SEED 10000000
#define MAX_PREFIX 1000

/* Answers with 200 and what it wrote to *out, or false with the reason there */
typedef bool (*Command) (SbRequest *request, SbText *out);

static SbConfig initial;

/* Remember the configuration that a reset restores */
void
sb_control_start(const SbConfig *command_line)
{
	sb_config_copy(&initial, command_line);
	sb_config_install(command_line);
}

/* Parse the body of a command as an object; an empty body is an empty object */
static struct json_object *
parse_object(const SbRequest *request, SbText *out)
{
	struct json_object *object;

	if (request->body.length == 0)
		return json_object_new_object();
	object = sb_json_parse(sb_text_slice(&request->body));
	if (json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	sb_text_puts(out, "the body must be a JSON object");
	return NULL;
}

/* POST reset */
static bool
reset(SbRequest *request, SbText *out)
{
	(void) request;
	sb_faults_clear();
	sb_timer_release_all();
	sb_store_reset();
	sb_stats_reset();
	sb_log_reset();
	sb_config_install(&initial);
	sb_text_puts(out, "{}");
	return true;
}

/* Read the members of a seed command; false with the reason in *out */
static bool
read_seed(struct json_object *object, int64_t *count, SbSlice *prefix, SbSlice *status,
		  SbText *out)
{
	json_object_object_foreach(object, name, value)
	{
		SbSlice		text = sb_json_string(value);

		if (strcmp(name, "count") == 0 && json_object_is_type(value, json_type_int))
			*count = json_object_get_int64(value);
		else if (strcmp(name, "prefix") == 0 && text.data != NULL && text.length <= MAX_PREFIX)
			*prefix = text;
		else if (strcmp(name, "status") == 0 && text.length > 0)
			*status = text;
		else
		{
			sb_text_printf(out, "cannot read %.100s; a seed is {\"count\": a number, "
						   "\"prefix\": text, \"status\": text}", name);
			return false;
		}
	}
	if (*count >= 0 && *count <= MAX_SEED)
		return true;
	sb_text_printf(out, "count must be a number from 0 to %d", MAX_SEED);
	return false;
}

/* POST seed */
static bool
seed(SbRequest *request, SbText *out)
{
	struct json_object *object = parse_object(request, out);
	int64_t		count = -1;
	SbSlice		prefix = SB_LITERAL("c-");
	SbSlice		status = SB_LITERAL("APPROVED");
	bool		good = object != NULL && read_seed(object, &count, &prefix, &status, out);

	if (good)
	{
		sb_store_seed(prefix, count, status);
		sb_text_printf(out, "{\"count\":%lld}", (long long) count);
	}
	json_object_put(object);
	return good;
}

/* GET stats */
static bool
stats(SbRequest *request, SbText *out)
{
	(void) request;
	sb_stats_render(out);
	return true;
}

/* GET log */
static bool
show_log(SbRequest *request, SbText *out)
{
	(void) request;
	sb_log_render(out);
	return true;
}

/* GET config */
static bool
show_config(SbRequest *request, SbText *out)
{
	sb_config_render(request->config, out);
	return true;
}

/* POST config */
static bool
set_config(SbRequest *request, SbText *out)
{
	struct json_object *object = parse_object(request, out);
	SbConfig	changed;
	bool		good = object != NULL;

	if (!good)
		return false;
	sb_config_copy(&changed, request->config);
	json_object_object_foreach(object, name, value)
	{
		const char *text = json_object_get_string(value);

		good = sb_config_set(&changed, sb_slice(name), text ? text : "", out);
		if (!good)
			break;
	}
	good = good && sb_config_check(&changed, out);
	if (good)
	{
		sb_config_install(&changed);
		sb_config_render(&changed, out);
	}
	json_object_put(object);
	return good;
}

/* POST faults: one rule or an array */
static bool
add_faults(SbRequest *request, SbText *out)
{
	struct json_object *rules = sb_json_parse(sb_text_slice(&request->body));
	bool		many = json_object_is_type(rules, json_type_array);
	size_t		count = many ? json_object_array_length(rules) : 1;
	SbFault   **faults = sb_alloc(count * sizeof(SbFault *));
	size_t		parsed = 0;

	while (parsed < count &&
		   (faults[parsed] = sb_fault_parse(many ? json_object_array_get_idx(rules, parsed) : rules,
											out)) != NULL)
		parsed++;
	for (size_t i = 0; i < parsed; i++)
		if (parsed == count)
			sb_faults_add(faults[i]);
		else
			sb_fault_release(faults[i]);
	if (parsed == count)
		sb_text_printf(out, "{\"rules\":%zu}", count);
	free(faults);
	json_object_put(rules);
	return parsed == count;
}

/* GET faults */
static bool
show_faults(SbRequest *request, SbText *out)
{
	(void) request;
	sb_faults_render(out);
	return true;
}

/* DELETE faults */
static bool
clear_faults(SbRequest *request, SbText *out)
{
	(void) request;
	sb_faults_clear();
	sb_timer_release_all();
	sb_text_puts(out, "{}");
	return true;
}

/*
 * Write what the status call answers for an overridden document.
 *
 * The members are taken from the text; a text that is no JSON object is its
 * own answer, so that the status call meets the same odd shape.
 */
static void
derive_status(SbOverride *override)
{
	static const char *const names[] = {"id", "status"};
	struct json_object *document = sb_json_parse(sb_text_slice(&override->data));

	if (json_object_is_type(document, json_type_object))
	{
		sb_text_puts(&override->status, "{");
		for (int i = 0; i < 2; i++)
		{
			struct json_object *value;

			if (!json_object_object_get_ex(document, names[i], &value))
				continue;
			sb_text_printf(&override->status, "%s\"%s\":%s",
						   override->status.length > 1 ? "," : "", names[i],
						   sb_json_text(value));
		}
		sb_text_puts(&override->status, "}");
	}
	else
		sb_text_put(&override->status, sb_text_slice(&override->data));
	json_object_put(document);
}

/* Read kind and id of an override's path; false with the reason in *out */
static bool
read_override(const SbRequest *request, SbDocumentKind *kind, SbText *id, SbText *out)
{
	SbSlice		rest = sb_slice(request->target + strlen("/_sandbox/document/"));
	SbSlice		part = {0};

	sb_split(&rest, '/', &part);
	*kind = sb_document_kind(part);
	if (*kind == SB_DOCUMENT_KINDS)
		sb_text_puts(out, "the kind must be one of: applicant, aml, questionnaire");
	else if (rest.length == 0 || memchr(rest.data, '/', rest.length) != NULL ||
			 !sb_percent_decode(rest, false, id))
		sb_text_puts(out, "the id must be one percent-encoded path segment");
	else
		return true;
	return false;
}

/* PUT document/{kind}/{id} and DELETE document/{kind}/{id} */
static bool
change_override(SbRequest *request, SbText *out, bool put)
{
	SbText		id = {0};
	SbDocumentKind kind;
	bool		good = read_override(request, &kind, &id, out);

	if (good)
	{
		SbOverride *override = put ? sb_alloc(sizeof(SbOverride)) : NULL;

		if (put)
		{
			atomic_init(&override->refs, 1);
			override->data = request->body;
			request->body = (SbText) {0};
			derive_status(override);
		}
		sb_store_put_override(kind, sb_text_slice(&id), override);
		sb_text_puts(out, "{}");
	}
	sb_text_free(&id);
	return good;
}

/* PUT document/{kind}/{id} */
static bool
put_document(SbRequest *request, SbText *out)
{
	return change_override(request, out, true);
}

/* DELETE document/{kind}/{id} */
static bool
delete_document(SbRequest *request, SbText *out)
{
	return change_override(request, out, false);
}

static const struct
{
	const char *method;
	const char *path;			/* one that ends with a slash is a beginning */
	Command		command;
}			commands[] = {
	{"POST", "reset", reset},
	{"POST", "seed", seed},
	{"GET", "stats", stats},
	{"GET", "log", show_log},
	{"GET", "config", show_config},
	{"POST", "config", set_config},
	{"POST", "faults", add_faults},
	{"GET", "faults", show_faults},
	{"DELETE", "faults", clear_faults},
	{"PUT", "document/", put_document},
	{"DELETE", "document/", delete_document},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Tell whether a path is a command's */
static bool
matches(const char *path, const char *pattern)
{
	size_t		length = strlen(pattern);

	return strncmp(path, pattern, length) == 0 &&
		(path[length] == '\0' || pattern[length - 1] == '/');
}

/* Answer with an error */
static void
fail(SbAnswer *answer, int status, SbSlice reason)
{
	answer->status = status;
	sb_text_puts(&answer->body, "{\"error\":");
	sb_text_quote(&answer->body, reason);
	sb_text_puts(&answer->body, "}");
}

/* Carry out a command and decide its answer */
void
sb_control_decide(SbRequest *request, const char *method)
{
	const char *path = request->target + strlen("/_sandbox/");
	SbAnswer   *answer = &request->answer;
	SbText		out = {0};
	int			status = 404;

	request->decided = true;
	answer->sized = true;
	answer->content_type = "application/json; charset=utf-8";
	for (size_t i = 0; i < COMMAND_COUNT && status != 200; i++)
	{
		if (!matches(path, commands[i].path))
			continue;
		status = 405;
		if (strcmp(method, commands[i].method) == 0)
			status = request->too_large ? 413 : commands[i].command(request, &out) ? 200 : 400;
		if (status != 405)
			break;
	}
	if (status == 200)
	{
		answer->status = status;
		answer->body = out;
		return;
	}
	fail(answer, status, status == 400 ? sb_text_slice(&out)
		 : sb_slice(status == 404 ? "no such command" : status == 405 ? "no such method"
					: "the body is too large"));
	sb_text_free(&out);
}
