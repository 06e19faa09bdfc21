/*-------------------------------------------------------------------------
 *
 * keyset.h
 *		A set of texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_KEYSET_H
#define AP_KEYSET_H

typedef struct ApKeyset ApKeyset;

extern ApKeyset *ap_keyset_create(int64 expected);
extern bool ap_keyset_add(ApKeyset *set, const char *key);
extern bool ap_keyset_has(ApKeyset *set, const char *key);

#endif							/* AP_KEYSET_H */
