/*-------------------------------------------------------------------------
 *
 * validate.h
 *		What the API's page says a request must look like.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_VALIDATE_H
#define SB_VALIDATE_H

#include "json.h"
#include "routes.h"

extern void sb_validate_members(SbOperation operation, struct json_object *body,
								SbText *complaints);
extern void sb_validate_query(SbOperation operation, SbSlice query, bool *transaction,
							  SbText *complaints);
extern void sb_complain(SbText *complaints, const char *format, ...)
			__attribute__((format(printf, 2, 3)));
extern bool sb_takes_body(SbOperation operation);
extern bool sb_needs_body(SbOperation operation);

#endif							/* SB_VALIDATE_H */
