/*-------------------------------------------------------------------------
 *
 * document.h
 *		Reading JSON documents, as the server's own jsonb.
 *
 * jsonb keeps numbers exact, refuses NaN and \u0000, and is what the user gets
 * in the end, so an answer is parsed once and by nobody else.
 *
 * The functions that look into a document accept any shape: what is not there,
 * or not of the kind asked for, is reported as absent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_DOCUMENT_H
#define AP_DOCUMENT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

extern Jsonb *ap_document_parse(const char *text, size_t len, const char **reason);

extern bool ap_document_value(Jsonb *document, JsonbValue *value);
extern bool ap_document_member(const JsonbValue *value, const char *name,
							   JsonbValue *member);
extern bool ap_document_as_object(const JsonbValue *value, JsonbValue *object);
extern bool ap_document_find(Jsonb *document, const char *name, JsonbValue *member);
extern int	ap_document_length(const JsonbValue *value);
extern bool ap_document_element(const JsonbValue *value, int index,
								JsonbValue *element);

extern char *ap_document_text(const JsonbValue *value);
extern bool ap_document_int64(const JsonbValue *value, int64 *number);
extern bool ap_document_numeric(const JsonbValue *value, Datum *number);
extern bool ap_document_bool(const JsonbValue *value, bool *truth);
extern bool ap_document_time(const JsonbValue *value, TimestampTz *time);
extern List *ap_document_leaves(Jsonb *document);

#endif							/* AP_DOCUMENT_H */
