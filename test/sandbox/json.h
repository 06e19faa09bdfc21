/*-------------------------------------------------------------------------
 *
 * json.h
 *		Reading JSON strictly: RFC 8259 and nothing more, into json-c objects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_JSON_H
#define SB_JSON_H

#include <json-c/json.h>

#include "text.h"

extern bool sb_json_valid(SbSlice text);
extern struct json_object *sb_json_parse(SbSlice text);
extern SbSlice sb_json_string(struct json_object *value);
extern const char *sb_json_text(struct json_object *value);

#endif							/* SB_JSON_H */
