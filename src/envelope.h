/*-------------------------------------------------------------------------
 *
 * envelope.h
 *		What an answer of the API says: its data, or why there is none.
 *
 * The envelope is {"status", "statusCode", "data", "time"}, where data is a
 * JSON value or a sealed text.  Errors come in the same envelope or in the
 * form of the vendor's framework, {"statusCode", "message", "error"}.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ENVELOPE_H
#define AP_ENVELOPE_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "http.h"
#include "seal.h"

extern Jsonb *ap_envelope_read(const ApSeal *seal, const ApHttpAnswer *answer,
							   const List *secrets, ApStatus *status);

#endif							/* AP_ENVELOPE_H */
