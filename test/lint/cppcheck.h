/*-------------------------------------------------------------------------
 *
 * cppcheck.h
 *		What cppcheck must know of the server, whose headers it does not read:
 *		with them it takes minutes, and reports on them.
 *
 * A report of level ERROR and above does not return.  The level is pasted,
 * since cppcheck does not see that a constant condition holds; to the name of a
 * macro with parentheses, since version 2.10 crashes on one without.
 *
 *-------------------------------------------------------------------------
 */
#define PG_VERSION_NUM 150000
#define INT64_FORMAT "%ld"
#define UINT64_FORMAT "%lu"
#define AP_VERSION "1.0"
#define Assert(condition) ((void) 0)
#define pg_attribute_printf(format, first)
#define pg_attribute_noreturn() __attribute__((noreturn))
#define pg_unreachable() abort()

#define report_DEBUG1() ((void) 0)
#define report_LOG() ((void) 0)
#define report_NOTICE() ((void) 0)
#define report_WARNING() ((void) 0)
#define report_ERROR() abort()
#define report_FATAL() abort()
#define ereport(level, ...) report_##level()
#define elog(level, ...) report_##level()
#define foreach(cell, list) for (cell = list_head(list); cell != NULL; cell = lnext(list, cell))
typedef struct dlist_node { struct dlist_node *prev, *next; } dlist_node;
typedef struct dlist_head { dlist_node head; } dlist_head;
typedef struct dlist_iter { dlist_node *cur, *end; } dlist_iter;
typedef struct dlist_mutable_iter { dlist_node *cur, *next, *end; } dlist_mutable_iter;
#define dlist_foreach(iter, list) for (iter.cur = (list)->head.next; iter.cur != NULL; iter.cur = iter.cur->next)
#define dlist_foreach_modify(iter, list) dlist_foreach(iter, list)
