/*-------------------------------------------------------------------------
 *
 * clock.c
 *		Wall-clock and monotonic time in milliseconds, and ISO-8601 text.
 *
 *-------------------------------------------------------------------------
 */
#include <time.h>

#include "clock.h"

/* Read a clock in microseconds */
static int64_t
read_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Give the microseconds since 1970 */
int64_t
sb_clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

/* Give the milliseconds since 1970 */
int64_t
sb_clock_wall(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

/* Give the milliseconds of a clock that is never set */
int64_t
sb_clock_monotonic(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

/* Write a number with leading zeros */
static char *
put_digits(char *out, int64_t value, int width)
{
	for (int i = width - 1; i >= 0; i--)
	{
		out[i] = (char) ('0' + value % 10);
		value /= 10;
	}
	return out + width;
}

/*
 * Write a time as ISO-8601 in UTC with milliseconds, and a zero byte.
 *
 * The calendar is worked out here (days since 0000-03-01 in eras of 400
 * years), since this runs for each answer and gmtime_r takes a lock.
 */
void
sb_clock_format(int64_t ms, char *text)
{
	int64_t		days = ms / 86400000 + 719468;
	int64_t		rest = ms % 86400000;
	int64_t		era = days / 146097;
	int64_t		day_of_era = days % 146097;
	int64_t		year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524
							   - day_of_era / 146096) / 365;
	int64_t		day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4
											- year_of_era / 100);
	int64_t		shifted = (5 * day_of_year + 2) / 153;
	int64_t		month = shifted < 10 ? shifted + 3 : shifted - 9;
	int64_t		year = year_of_era + era * 400 + (month <= 2);

	text = put_digits(text, year, 4);
	*text++ = '-';
	text = put_digits(text, month, 2);
	*text++ = '-';
	text = put_digits(text, day_of_year - (153 * shifted + 2) / 5 + 1, 2);
	*text++ = 'T';
	text = put_digits(text, rest / 3600000, 2);
	*text++ = ':';
	text = put_digits(text, rest / 60000 % 60, 2);
	*text++ = ':';
	text = put_digits(text, rest / 1000 % 60, 2);
	*text++ = '.';
	text = put_digits(text, rest % 1000, 3);
	*text++ = 'Z';
	*text = '\0';
}
