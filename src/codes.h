/*-------------------------------------------------------------------------
 *
 * codes.h
 *		Names of the numeric codes in documents.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_CODES_H
#define AP_CODES_H

typedef struct ApCodeTable ApCodeTable;

extern const ApCodeTable *ap_codes_find(const char *kind);
extern const char *ap_codes_name(const ApCodeTable *table, int code);
extern const char *ap_codes_kind(int index);

#endif							/* AP_CODES_H */
