/*-------------------------------------------------------------------------
 *
 * json.c
 *		Building the JSON objects of requests, by json-c.
 *
 * The only file that knows json-c.  json-c carries no numbers here, since it
 * would bend large ones: a number or a whole document goes in verbatim.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <json-c/json.h>

#include "json.h"

/* The opaque face of a json_object. */
struct ApJson
{
	char		unused;
};

/*
 * Give json-c's object behind the opaque type.
 */
static json_object *
inner(ApJson *object)
{
	return (json_object *) object;
}

/*
 * Make an empty object; NULL out of memory.
 */
ApJson *
ap_json_create(void)
{
	return (ApJson *) json_object_new_object();
}

/*
 * Add a member, which may be NULL for out of memory.
 */
static bool
put(ApJson *object, const char *name, json_object *value)
{
	if (value == NULL)
		return false;
	if (json_object_object_add(inner(object), name, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/*
 * Add a text in UTF-8.
 */
bool
ap_json_put_text(ApJson *object, const char *name, const char *value)
{
	return put(object, name, json_object_new_string(value));
}

/*
 * Add a value that is JSON text already, to be printed as it is.
 */
bool
ap_json_put_verbatim(ApJson *object, const char *name, const char *json)
{
	json_object *value = json_object_new_object();
	char	   *copy = strdup(json);

	if (value == NULL || copy == NULL)
	{
		json_object_put(value);
		free(copy);
		return false;
	}
	json_object_set_serializer(value, json_object_userdata_to_json_string, copy,
							   json_object_free_userdata);
	return put(object, name, value);
}

/*
 * Append the object's text to a buffer.
 */
bool
ap_json_print(ApJson *object, ApBuffer *text)
{
	size_t		len;
	const char *printed;

	printed = json_object_to_json_string_length(inner(object),
												JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
												&len);
	return printed != NULL && ap_buffer_append(text, printed, len);
}

/*
 * Free an object.
 */
void
ap_json_free(ApJson *object)
{
	json_object_put(inner(object));
}
