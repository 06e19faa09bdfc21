/*-------------------------------------------------------------------------
 *
 * clock.h
 *		Wall-clock and monotonic time in milliseconds, and ISO-8601 text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_CLOCK_H
#define SB_CLOCK_H

#include <stdint.h>

/* Length of 2021-08-20T14:52:33.648Z */
#define SB_TIME_LENGTH 24

extern int64_t sb_clock_wall(void);
extern int64_t sb_clock_wall_us(void);
extern int64_t sb_clock_monotonic(void);
extern void sb_clock_format(int64_t ms, char *text);

#endif							/* SB_CLOCK_H */
