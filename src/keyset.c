/*-------------------------------------------------------------------------
 *
 * keyset.c
 *		A set of texts, which lives in the memory context where it is made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/hashfn.h"

#include "keyset.h"

typedef struct KeyEntry
{
	const char *key;
	uint32		hash;
	char		status;
} KeyEntry;

#define SH_PREFIX keys
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_bytes((const unsigned char *) (key), (int) strlen(key))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct ApKeyset
{
	keys_hash  *table;
	MemoryContext context;
};

/*
 * Make an empty set.
 */
ApKeyset *
ap_keyset_create(int64 expected)
{
	ApKeyset   *set = palloc(sizeof(*set));

	set->context = CurrentMemoryContext;
	set->table = keys_create(set->context, (uint32) Min(Max(expected, 4), 1 << 20), NULL);
	return set;
}

/*
 * Add a text; false if it was there.
 */
bool
ap_keyset_add(ApKeyset *set, const char *key)
{
	bool		found;
	KeyEntry   *entry = keys_insert(set->table, key, &found);

	if (!found)
		entry->key = MemoryContextStrdup(set->context, key);
	return !found;
}

/*
 * Tell whether a text is in the set.
 */
bool
ap_keyset_has(ApKeyset *set, const char *key)
{
	return keys_lookup(set->table, key) != NULL;
}
