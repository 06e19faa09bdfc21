/*-------------------------------------------------------------------------
 *
 * stats.c
 *		Counters: requests, connections, concurrency, calls per applicant.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "stats.h"
#include "table.h"

typedef struct Calls
{
	uint64_t	operations[SB_OPERATION_COUNT];
} Calls;

static atomic_uint_fast64_t last_connection;
static atomic_uint generation;
static atomic_int_fast64_t connections;
static atomic_int_fast64_t open_connections;
static atomic_int_fast64_t in_flight;
static atomic_int_fast64_t peak;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* for what follows */
static uint64_t requests;
static uint64_t rejections;
static Calls all;
static SbTable *subjects;

/* Make the table of subjects */
void
sb_stats_start(void)
{
	subjects = sb_table_create();
}

/* Free one entry of the table */
static void
visit_free(SbSlice key, void *value, void *context)
{
	(void) key;
	(void) context;
	free(value);
}

/* Free the table of subjects */
void
sb_stats_stop(void)
{
	sb_table_walk(subjects, visit_free, NULL);
	sb_table_destroy(subjects);
}

/* Begin to count anew; what is open or in flight stays so */
void
sb_stats_reset(void)
{
	pthread_mutex_lock(&lock);
	requests = rejections = 0;
	all = (Calls) {{0}};
	sb_table_walk(subjects, visit_free, NULL);
	sb_table_clear(subjects);
	pthread_mutex_unlock(&lock);
	atomic_fetch_add(&generation, 1);
	atomic_store(&connections, 0);
	atomic_store(&peak, atomic_load(&in_flight));
}

/* Count a connection that was accepted */
SbConnection *
sb_stats_open(void)
{
	SbConnection *connection = sb_alloc(sizeof(SbConnection));

	connection->number = atomic_fetch_add(&last_connection, 1) + 1;
	connection->generation = atomic_load(&generation);
	atomic_fetch_add(&connections, 1);
	atomic_fetch_add(&open_connections, 1);
	return connection;
}

/* Count a connection that ended */
void
sb_stats_close(SbConnection *connection)
{
	if (!connection->control)
		atomic_fetch_sub(&open_connections, 1);
	free(connection);
}

/* Note what a connection is for, when its first request begins */
void
sb_stats_use(SbConnection *connection, bool control)
{
	if (connection->used)
		return;
	connection->used = true;
	connection->control = control;
	if (!control)
		return;
	atomic_fetch_sub(&open_connections, 1);
	if (connection->generation == atomic_load(&generation))
		atomic_fetch_sub(&connections, 1);
}

/* Count a request whose headers have come */
void
sb_stats_arrive(void)
{
	int_fast64_t now = atomic_fetch_add(&in_flight, 1) + 1;
	int_fast64_t highest = atomic_load(&peak);

	while (now > highest && !atomic_compare_exchange_weak(&peak, &highest, now))
		;
}

/* Count a request that is over */
void
sb_stats_leave(void)
{
	atomic_fetch_sub(&in_flight, 1);
}

/* Count a whole request, whatever becomes of it */
void
sb_stats_call(SbOperation operation, SbSlice subject, bool rejected)
{
	pthread_mutex_lock(&lock);
	requests++;
	rejections += rejected;
	if (operation != SB_NO_OPERATION)
	{
		all.operations[operation]++;
		if (subject.length > 0)
		{
			void	  **slot = sb_table_slot(subjects, subject);

			if (*slot == NULL)
				*slot = sb_alloc(sizeof(Calls));
			((Calls *) *slot)->operations[operation]++;
		}
	}
	pthread_mutex_unlock(&lock);
}

/* Append the counts that are not zero, or all of them */
static void
render_calls(const Calls *calls, bool zeros, SbText *out)
{
	const char *separator = "";

	sb_text_puts(out, "{");
	for (int i = 0; i < SB_OPERATION_COUNT; i++)
		if (zeros || calls->operations[i] > 0)
		{
			sb_text_printf(out, "%s\"%s\":%llu", separator, sb_operation_name((SbOperation) i),
						   (unsigned long long) calls->operations[i]);
			separator = ",";
		}
	sb_text_puts(out, "}");
}

/* Append one entry of the table */
static void
visit_render(SbSlice key, void *value, void *context)
{
	SbText	   *out = context;

	if (out->data[out->length - 1] != '{')
		sb_text_puts(out, ",");
	sb_text_quote(out, key);
	sb_text_puts(out, ":");
	render_calls(value, false, out);
}

/* Append all counters as a JSON object */
void
sb_stats_render(SbText *out)
{
	pthread_mutex_lock(&lock);
	sb_text_printf(out, "{\"requests\":%llu,\"connections\":%lld,\"open_connections\":%lld,"
				   "\"peak_concurrency\":%lld,\"in_flight\":%lld,\"operations\":",
				   (unsigned long long) requests, (long long) atomic_load(&connections),
				   (long long) atomic_load(&open_connections),
				   (long long) atomic_load(&peak), (long long) atomic_load(&in_flight));
	render_calls(&all, true, out);
	sb_text_puts(out, ",\"applicants\":{");
	sb_table_walk(subjects, visit_render, out);
	sb_text_printf(out, "},\"rejected\":%llu}", (unsigned long long) rejections);
	pthread_mutex_unlock(&lock);
}
