/*-------------------------------------------------------------------------
 *
 * log.c
 *		The last requests, as JSON.
 *
 * An entry comes as finished text, so that the lock is held for a swap only.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>

#include "log.h"

typedef struct Entry
{
	uint64_t	number;
	SbText		members;		/* those behind "n", without braces */
} Entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Entry *entries;			/* a ring */
static uint64_t capacity;
static uint64_t count;

/* Make room for so many entries */
void
sb_log_start(int size)
{
	capacity = (uint64_t) size;
	entries = sb_alloc(capacity * sizeof(Entry));
}

/* Free everything */
void
sb_log_stop(void)
{
	sb_log_reset();
	free(entries);
}

/* Forget all entries */
void
sb_log_reset(void)
{
	pthread_mutex_lock(&lock);
	for (uint64_t i = 0; i < capacity; i++)
		sb_text_free(&entries[i].members);
	count = 0;
	pthread_mutex_unlock(&lock);
}

/* Add an entry and take over its text */
void
sb_log_add(SbText *members)
{
	Entry	   *entry;
	SbText		old;

	pthread_mutex_lock(&lock);
	entry = &entries[count % capacity];
	old = entry->members;
	entry->members = *members;
	entry->number = ++count;
	pthread_mutex_unlock(&lock);
	*members = (SbText) {0};
	sb_text_free(&old);
}

/* Append all entries, the oldest first */
void
sb_log_render(SbText *out)
{
	uint64_t	first;

	pthread_mutex_lock(&lock);
	first = count > capacity ? count - capacity : 0;
	sb_text_puts(out, "[");
	for (uint64_t i = first; i < count; i++)
	{
		const Entry *entry = &entries[i % capacity];

		sb_text_printf(out, "%s{\"n\":%llu,", i > first ? ",\n" : "",
					   (unsigned long long) entry->number);
		sb_text_put(out, sb_text_slice(&entry->members));
		sb_text_puts(out, "}");
	}
	sb_text_puts(out, "]");
	pthread_mutex_unlock(&lock);
}
