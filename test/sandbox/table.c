/*-------------------------------------------------------------------------
 *
 * table.c
 *		Hash table from bytes to pointers, with chains that double.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define FIRST_WIDTH 64

typedef struct Entry
{
	struct Entry *next;
	uint64_t	hash;
	void	   *value;
	size_t		length;
	char		key[];
} Entry;

struct SbTable
{
	Entry	  **chains;
	size_t		width;			/* a power of two */
	size_t		count;
};

/* Hash bytes: FNV-1a, then a mix so that the low bits are good */
uint64_t
sb_hash(SbSlice key)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < key.length; i++)
		hash = (hash ^ (unsigned char) key.data[i]) * UINT64_C(0x100000001b3);
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9fb21c651e98df25);
	hash ^= hash >> 29;
	return hash;
}

/* Make an empty table */
SbTable *
sb_table_create(void)
{
	SbTable    *table = sb_alloc(sizeof(SbTable));

	table->width = FIRST_WIDTH;
	table->chains = sb_alloc(FIRST_WIDTH * sizeof(Entry *));
	return table;
}

/* Free a table */
void
sb_table_destroy(SbTable *table)
{
	sb_table_clear(table);
	free(table->chains);
	free(table);
}

/* Give the number of entries */
size_t
sb_table_count(const SbTable *table)
{
	return table->count;
}

/* Give the place of the pointer to an entry, or of the end of its chain */
static Entry **
locate(const SbTable *table, SbSlice key, uint64_t hash)
{
	Entry	  **place = &table->chains[hash & (table->width - 1)];

	while (*place != NULL &&
		   ((*place)->hash != hash ||
			!sb_slice_equal(key, (SbSlice) {(*place)->key, (*place)->length})))
		place = &(*place)->next;
	return place;
}

/* Find a value; NULL if there is none */
void *
sb_table_find(const SbTable *table, SbSlice key)
{
	Entry	   *entry = *locate(table, key, sb_hash(key));

	return entry ? entry->value : NULL;
}

/* Double the number of chains */
static void
widen(SbTable *table)
{
	size_t		width = table->width * 2;
	Entry	  **chains = sb_alloc(width * sizeof(Entry *));

	for (size_t i = 0; i < table->width; i++)
		for (Entry *entry = table->chains[i], *next; entry != NULL; entry = next)
		{
			next = entry->next;
			entry->next = chains[entry->hash & (width - 1)];
			chains[entry->hash & (width - 1)] = entry;
		}
	free(table->chains);
	table->chains = chains;
	table->width = width;
}

/* Give the place of a key's value, which is NULL if the key is new */
void **
sb_table_slot(SbTable *table, SbSlice key)
{
	uint64_t	hash = sb_hash(key);
	Entry	  **place = locate(table, key, hash);
	Entry	   *entry = *place;

	if (entry != NULL)
		return &entry->value;
	entry = sb_alloc(sizeof(Entry) + key.length);
	entry->hash = hash;
	entry->length = key.length;
	if (key.length > 0)
		memcpy(entry->key, key.data, key.length);
	*place = entry;
	if (++table->count > table->width)
		widen(table);
	return &entry->value;
}

/* Remove a key and give its value; NULL if there is none */
void *
sb_table_remove(SbTable *table, SbSlice key)
{
	Entry	  **place = locate(table, key, sb_hash(key));
	Entry	   *entry = *place;
	void	   *value;

	if (entry == NULL)
		return NULL;
	value = entry->value;
	*place = entry->next;
	free(entry);
	table->count--;
	return value;
}

/* Call a function for each entry, in no order */
void
sb_table_walk(const SbTable *table, SbTableVisit visit, void *context)
{
	for (size_t i = 0; i < table->width; i++)
		for (Entry *entry = table->chains[i]; entry != NULL; entry = entry->next)
			visit((SbSlice) {entry->key, entry->length}, entry->value, context);
}

/* Remove all entries */
void
sb_table_clear(SbTable *table)
{
	for (size_t i = 0; i < table->width; i++)
	{
		for (Entry *entry = table->chains[i], *next; entry != NULL; entry = next)
		{
			next = entry->next;
			free(entry);
		}
		table->chains[i] = NULL;
	}
	table->count = 0;
}
