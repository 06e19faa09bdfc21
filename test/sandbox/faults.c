/*-------------------------------------------------------------------------
 *
 * faults.c
 *		Rules that make chosen calls go wrong in a chosen way.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "faults.h"

#define MAX_RULES 10000
#define MAX_COUNT INT64_C(1000000000000)
#define MAX_DELAY_MS 3600000

typedef enum FieldKind
{
	FIELD_NUMBER,
	FIELD_SWITCH,
	FIELD_TEXT,
	FIELD_JSON,
	FIELD_OTHER					/* has a function of its own */
} FieldKind;

typedef bool (*FieldReader) (SbFault *fault, struct json_object *value, SbText *error);

typedef struct Field
{
	const char *name;
	FieldKind	kind;
	size_t		offset;
	int64_t		minimum;
	int64_t		maximum;
	FieldReader reader;
} Field;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SbFault **rules;
static size_t rule_count;
static atomic_size_t rule_hint; /* lets a call pass without the lock */

/* Read the operation a rule is for */
static bool
read_operation(SbFault *fault, struct json_object *value, SbText *error)
{
	fault->operation = sb_operation_named(sb_json_string(value));
	if (fault->operation != SB_NO_OPERATION)
		return true;
	sb_text_puts(error, "operation must be one of:");
	for (int i = 0; i < SB_OPERATION_COUNT; i++)
		sb_text_printf(error, "%s %s", i ? "," : "", sb_operation_name((SbOperation) i));
	return false;
}

/* Read when to close the connection */
static bool
read_drop(SbFault *fault, struct json_object *value, SbText *error)
{
	SbSlice		word = sb_json_string(value);

	if (sb_slice_is(word, "before"))
		fault->drop = SB_DROP_BEFORE;
	else if (sb_slice_is(word, "after"))
		fault->drop = SB_DROP_AFTER;
	else
	{
		sb_text_puts(error, "drop must be \"before\" or \"after\"");
		return false;
	}
	return true;
}

/* Read a body that JSON cannot hold as text */
static bool
read_base64(SbFault *fault, struct json_object *value, SbText *error)
{
	SbSlice		text = sb_json_string(value);

	fault->body.length = 0;
	sb_text_reserve(&fault->body, text.length);
	if (text.data != NULL && sb_base64_decode(text, &fault->body))
		return true;
	sb_text_puts(error, "body_base64 must be base64");
	return false;
}

/* Read the pieces of a slow body */
static bool
read_slow(SbFault *fault, struct json_object *value, SbText *error)
{
	struct json_object *bytes = json_object_is_type(value, json_type_object) ?
		json_object_object_get(value, "bytes") : NULL;
	struct json_object *delay = bytes ? json_object_object_get(value, "delay_ms") : NULL;

	if (!json_object_is_type(bytes, json_type_int) || !json_object_is_type(delay, json_type_int) ||
		json_object_object_length(value) != 2 ||
		json_object_get_int64(bytes) < 1 || json_object_get_int64(bytes) > MAX_COUNT ||
		json_object_get_int64(delay) < 0 || json_object_get_int64(delay) > MAX_DELAY_MS)
	{
		sb_text_puts(error, "slow must be {\"bytes\": at least 1, \"delay_ms\": 0 to 3600000}");
		return false;
	}
	fault->slow_bytes = json_object_get_int64(bytes);
	fault->slow_delay_ms = json_object_get_int64(delay);
	return true;
}

/* Tell whether text can be the value of a header */
static bool
is_header_value(SbSlice value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char) value.data[i] < ' ' || value.data[i] == 0x7f)
			return false;
	return value.data != NULL;
}

/*
 * Tell whether a header can be set by a rule.
 *
 * The two that frame the body are the server's: "cut" and "chunked" bend them.
 */
static bool
is_header_name(const char *name)
{
	if (*name == '\0' || strcasecmp(name, "content-length") == 0 ||
		strcasecmp(name, "transfer-encoding") == 0)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || strchr("()<>@,;:\\\"/[]?={}", *name) != NULL)
			return false;
	return true;
}

/* Read additional headers */
static bool
read_headers(SbFault *fault, struct json_object *value, SbText *error)
{
	if (!json_object_is_type(value, json_type_object))
	{
		sb_text_puts(error, "headers must be an object");
		return false;
	}
	fault->headers = sb_alloc((size_t) json_object_object_length(value) * sizeof(SbHeader));
	json_object_object_foreach(value, name, content)
	{
		SbSlice		text = sb_json_string(content);

		if (!is_header_name(name) || !is_header_value(text))
		{
			sb_text_printf(error, "headers cannot hold %.100s", name);
			return false;
		}
		fault->headers[fault->header_count].name = sb_copy(name, strlen(name));
		fault->headers[fault->header_count++].value = sb_copy(text.data, text.length);
	}
	return true;
}

#define NUMBER(name, minimum, maximum) \
	{#name, FIELD_NUMBER, offsetof(SbFault, name), minimum, maximum, NULL}
#define SWITCH(name) {#name, FIELD_SWITCH, offsetof(SbFault, name), 0, 1, NULL}
#define TEXT(name) {#name, FIELD_TEXT, offsetof(SbFault, name), 0, 0, NULL}
#define OTHER(name, reader) {name, FIELD_OTHER, 0, 0, 0, reader}

static const Field fields[] = {
	OTHER("operation", read_operation),
	TEXT(applicant),
	NUMBER(skip, 0, MAX_COUNT),
	NUMBER(times, 0, MAX_COUNT),
	NUMBER(delay_ms, 0, MAX_DELAY_MS),
	NUMBER(status, 200, 599),
	TEXT(retry_after),
	{"message", FIELD_JSON, offsetof(SbFault, message), 0, 0, NULL},
	TEXT(body),
	OTHER("body_base64", read_base64),
	TEXT(data),
	TEXT(content_type),
	OTHER("headers", read_headers),
	OTHER("drop", read_drop),
	NUMBER(cut, 0, MAX_COUNT),
	SWITCH(chunked),
	SWITCH(gzip),
	OTHER("slow", read_slow),
	NUMBER(oversize, 0, MAX_COUNT),
	TEXT(signature),
	SWITCH(act),
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

/* Read a field of one of the plain kinds */
static bool
read_field(const Field *field, SbFault *fault, struct json_object *value, SbText *error)
{
	char	   *place = (char *) fault + field->offset;
	SbText	   *text = (SbText *) (void *) place;
	int64_t    *number = (int64_t *) (void *) place;

	switch (field->kind)
	{
		case FIELD_NUMBER:
			*number = json_object_get_int64(value);
			if (json_object_is_type(value, json_type_int) &&
				*number >= field->minimum && *number <= field->maximum)
				return true;
			sb_text_printf(error, "%s must be a whole number from %lld to %lld", field->name,
						   (long long) field->minimum, (long long) field->maximum);
			return false;
		case FIELD_SWITCH:
			*number = json_object_get_boolean(value);
			if (json_object_is_type(value, json_type_boolean))
				return true;
			sb_text_printf(error, "%s must be true or false", field->name);
			return false;
		case FIELD_TEXT:
			if (!json_object_is_type(value, json_type_string))
			{
				sb_text_printf(error, "%s must be a string", field->name);
				return false;
			}
			text->length = 0;
			sb_text_put(text, sb_json_string(value));
			return true;
		case FIELD_JSON:
			text->length = 0;
			sb_text_puts(text, sb_json_text(value));
			return true;
		default:
			return field->reader(fault, value, error);
	}
}

/* Read the member of a rule, if it is one */
static bool
read_member(SbFault *fault, const char *name, struct json_object *value, SbText *error)
{
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (strcmp(fields[i].name, name) == 0)
			return read_field(&fields[i], fault, value, error);
	sb_text_printf(error, "unknown field %.100s; a rule may have:", name);
	for (size_t i = 0; i < FIELD_COUNT; i++)
		sb_text_printf(error, "%s %s", i ? "," : "", fields[i].name);
	return false;
}

/* Check what only the whole rule shows */
static bool
check_rule(const SbFault *fault, SbText *error)
{
	if (!is_header_value(sb_text_slice(&fault->retry_after)) ||
		!is_header_value(sb_text_slice(&fault->content_type)) ||
		!is_header_value(sb_text_slice(&fault->signature)))
		sb_text_puts(error, "retry_after, content_type and signature cannot hold control characters");
	else if (fault->oversize >= 0 && (fault->body.data != NULL || fault->data.data != NULL))
		sb_text_puts(error, "oversize does not go with body or data");
	else if (fault->body.data != NULL && fault->data.data != NULL)
		sb_text_puts(error, "body does not go with data");
	else
		return true;
	return false;
}

/* Make a fault of its rule; NULL with the reason in *error */
SbFault *
sb_fault_parse(struct json_object *rule, SbText *error)
{
	SbFault    *fault;

	if (!json_object_is_type(rule, json_type_object))
	{
		sb_text_puts(error, "a rule must be an object");
		return NULL;
	}
	fault = sb_alloc(sizeof(SbFault));
	atomic_init(&fault->refs, 1);
	fault->operation = SB_NO_OPERATION;
	fault->times = fault->delay_ms = fault->status = fault->cut = fault->oversize = -1;
	fault->slow_bytes = fault->act = -1;
	json_object_object_foreach(rule, name, value)
	{
		if (!read_member(fault, name, value, error))
		{
			sb_fault_release(fault);
			return NULL;
		}
	}
	if (!check_rule(fault, error))
	{
		sb_fault_release(fault);
		return NULL;
	}
	sb_text_puts(&fault->source, sb_json_text(rule));
	fault->source.length--;
	return fault;
}

/* Let go of a rule */
void
sb_fault_release(SbFault *fault)
{
	if (fault == NULL || atomic_fetch_sub(&fault->refs, 1) != 1)
		return;
	sb_text_free(&fault->applicant);
	sb_text_free(&fault->retry_after);
	sb_text_free(&fault->message);
	sb_text_free(&fault->body);
	sb_text_free(&fault->data);
	sb_text_free(&fault->content_type);
	sb_text_free(&fault->signature);
	sb_text_free(&fault->source);
	for (size_t i = 0; i < fault->header_count; i++)
	{
		free(fault->headers[i].name);
		free(fault->headers[i].value);
	}
	free(fault->headers);
	free(fault);
}

/* Take a rule out of the list, with the list's reference; the caller holds the lock */
static SbFault *
take_rule(size_t place)
{
	SbFault    *taken = rules[place];

	rule_count--;
	memmove(rules + place, rules + place + 1, (rule_count - place) * sizeof(SbFault *));
	atomic_store(&rule_hint, rule_count);
	return taken;
}

/* Add a rule behind the others and take over the reference */
void
sb_faults_add(SbFault *fault)
{
	pthread_mutex_lock(&lock);
	if (rules == NULL)
		rules = sb_alloc(MAX_RULES * sizeof(SbFault *));
	if (rule_count == MAX_RULES)
		sb_fault_release(take_rule(0));
	rules[rule_count++] = fault;
	atomic_store(&rule_hint, rule_count);
	pthread_mutex_unlock(&lock);
}

/* Remove all rules */
void
sb_faults_clear(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < rule_count; i++)
		sb_fault_release(rules[i]);
	rule_count = 0;
	atomic_store(&rule_hint, 0);
	free(rules);
	rules = NULL;
	pthread_mutex_unlock(&lock);
}

/* Append the rules that are left, and how often each was used */
void
sb_faults_render(SbText *out)
{
	pthread_mutex_lock(&lock);
	sb_text_puts(out, "[");
	for (size_t i = 0; i < rule_count; i++)
	{
		SbSlice		source = sb_text_slice(&rules[i]->source);

		sb_text_puts(out, i ? ",\n" : "");
		sb_text_put(out, source);
		sb_text_printf(out, "%s\"used\":%lld}", source.length > 1 ? "," : "",
					   (long long) rules[i]->used);
	}
	sb_text_puts(out, "]");
	pthread_mutex_unlock(&lock);
}

/*
 * Find the first rule that holds for a call, and use it up by one.
 *
 * A rule that still lets calls pass counts this one and leaves it to the
 * rules behind. The caller releases the rule.
 */
SbFault *
sb_fault_match(SbOperation operation, SbSlice subject)
{
	SbFault    *match = NULL;

	if (atomic_load_explicit(&rule_hint, memory_order_relaxed) == 0)
		return NULL;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < rule_count && match == NULL; i++)
	{
		SbFault    *rule = rules[i];

		if (rule->operation != SB_NO_OPERATION && rule->operation != operation)
			continue;
		if (rule->applicant.data != NULL &&
			!sb_slice_equal(sb_text_slice(&rule->applicant), subject))
			continue;
		if (rule->times == 0)
			continue;
		if (rule->skip > 0)
		{
			rule->skip--;
			continue;
		}
		rule->used++;
		if (rule->times > 0 && --rule->times == 0)
			match = take_rule(i);
		else
		{
			match = rule;
			atomic_fetch_add(&match->refs, 1);
		}
	}
	pthread_mutex_unlock(&lock);
	return match;
}

/*
 * Tell whether a call that meets a rule is carried out.
 *
 * Where the rule does not say, a server that refuses (status 300 and above)
 * has not acted; one that drops the connection "before" never has.
 */
bool
sb_fault_acts(const SbFault *fault)
{
	if (fault == NULL)
		return true;
	if (fault->drop == SB_DROP_BEFORE)
		return false;
	return fault->act >= 0 ? fault->act != 0 : fault->status < 300;
}

/* Tell whether a rule sets a header itself */
bool
sb_fault_has_header(const SbFault *fault, const char *name)
{
	for (size_t i = 0; fault != NULL && i < fault->header_count; i++)
		if (strcasecmp(fault->headers[i].name, name) == 0)
			return true;
	return false;
}
