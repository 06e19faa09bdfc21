/*-------------------------------------------------------------------------
 *
 * commits.c
 *		Commit jobs at a steady pace, and tell when each was committed.
 *
 * Usage: commits COUNT GAP FIRST
 *
 * Connects as the environment says, and inserts COUNT jobs into the queue, one
 * in a transaction every GAP milliseconds, for the applicants c-FIRST and
 * those after it.  For each prints the applicant and the seconds since 1970 at
 * which the server had answered.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INSERT_JOB \
	"INSERT INTO allpass_queue (operation, applicant_id) VALUES ('schedule_deletion', $1)"

/*
 * Tell what went wrong, and end.
 */
static void
fail(PGconn *conn)
{
	fprintf(stderr, "commits: %s", PQerrorMessage(conn));
	exit(1);
}

/*
 * Wait until so many milliseconds later than a time.
 */
static void
wait_until(struct timespec begin, long ms)
{
	begin.tv_sec += ms / 1000;
	begin.tv_nsec += ms % 1000 * 1000000;
	if (begin.tv_nsec >= 1000000000)
	{
		begin.tv_sec++;
		begin.tv_nsec -= 1000000000;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &begin, NULL);
}

/*
 * Commit one job, and print when that was.
 */
static void
commit_job(PGconn *conn, int number)
{
	char		applicant[32];
	const char *values[] = {applicant};
	struct timespec now;
	PGresult   *result;

	snprintf(applicant, sizeof(applicant), "c-%d", number);
	result = PQexecPrepared(conn, "job", 1, values, NULL, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(conn);
	PQclear(result);
	printf("%s %lld.%06ld\n", applicant, (long long) now.tv_sec, now.tv_nsec / 1000);
}

/*
 * Read the command line and go.
 */
int
main(int argc, char **argv)
{
	int			count = argc == 4 ? atoi(argv[1]) : 0;
	struct timespec begin;
	PGconn	   *conn;

	if (count < 1)
	{
		fprintf(stderr, "usage: commits COUNT GAP FIRST\n");
		return 2;
	}
	conn = PQconnectdb("");
	if (PQstatus(conn) != CONNECTION_OK)
		fail(conn);
	PQclear(PQprepare(conn, "job", INSERT_JOB, 1, NULL));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < count; i++)
	{
		wait_until(begin, (i + 1) * atol(argv[2]));
		commit_job(conn, atoi(argv[3]) + i);
	}
	PQfinish(conn);
	return 0;
}
