/*-------------------------------------------------------------------------
 *
 * timer.h
 *		Delays that hold a suspended connection and no thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_TIMER_H
#define SB_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microhttpd.h>

/*
 * One suspended connection. It belongs to the request, which stays put while
 * the connection is suspended.
 */
typedef struct SbWait
{
	struct MHD_Connection *connection;
	int64_t		due;			/* monotonic milliseconds */
	size_t		place;			/* in the heap */
	int			fd;
	bool		gone;			/* the client went away meanwhile */
} SbWait;

extern void sb_timer_start(void);
extern void sb_timer_stop(void);
extern bool sb_timer_suspend(SbWait *wait, struct MHD_Connection *connection, int delay_ms,
							 unsigned since);
extern void sb_timer_release_all(void);
extern unsigned sb_timer_generation(void);

#endif							/* SB_TIMER_H */
