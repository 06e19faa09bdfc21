/*-------------------------------------------------------------------------
 *
 * json.h
 *		Building the JSON objects of requests.
 *
 * Answers are not read here: see document.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_JSON_H
#define AP_JSON_H

#include "buffer.h"

typedef struct ApJson ApJson;

extern ApJson *ap_json_create(void);
extern bool ap_json_put_text(ApJson *object, const char *name, const char *value);
extern bool ap_json_put_verbatim(ApJson *object, const char *name, const char *json);
extern bool ap_json_print(ApJson *object, ApBuffer *text);
extern void ap_json_free(ApJson *object);

#endif							/* AP_JSON_H */
