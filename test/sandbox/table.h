/*-------------------------------------------------------------------------
 *
 * table.h
 *		Hash table from bytes to pointers.
 *
 * It takes no lock: whoever owns a table guards it. It copies its keys and
 * does not own its values.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_TABLE_H
#define SB_TABLE_H

#include "text.h"

typedef struct SbTable SbTable;

typedef void (*SbTableVisit) (SbSlice key, void *value, void *context);

extern uint64_t sb_hash(SbSlice key);
extern SbTable *sb_table_create(void);
extern void sb_table_destroy(SbTable *table);
extern size_t sb_table_count(const SbTable *table);
extern void *sb_table_find(const SbTable *table, SbSlice key);
extern void **sb_table_slot(SbTable *table, SbSlice key);
extern void *sb_table_remove(SbTable *table, SbSlice key);
extern void sb_table_walk(const SbTable *table, SbTableVisit visit, void *context);
extern void sb_table_clear(SbTable *table);

#endif							/* SB_TABLE_H */
