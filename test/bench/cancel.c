/*-------------------------------------------------------------------------
 *
 * cancel.c
 *		How long a cancel takes while a call waits for its answer.
 *
 * Usage: cancel COUNT QUERY
 *
 * Starts the query, which must wait for long, in an API call or pg_sleep(),
 * until the server shows that it waits; then cancels it, and takes the time
 * until the error has arrived here: COUNT times by pg_cancel_backend() from
 * another session, and COUNT times by PQcancel(), which connects first.  Prints
 * a line "backend MS" or "request MS" for each.  Ends with status 1 if a query ends
 * in any other way than SQLSTATE 57014.  The connection is the environment's.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Say what went wrong, and end.
 */
static void __attribute__((noreturn))
fail(const char *what, const char *why)
{
	fprintf(stderr, "cancel: %s: %s\n", what, why);
	exit(1);
}

/*
 * Give the time of a steady clock in milliseconds.
 */
static double
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

/*
 * Open a session.
 */
static PGconn *
connect_to_server(void)
{
	PGconn	   *session = PQconnectdb("");

	if (PQstatus(session) != CONNECTION_OK)
		fail("could not connect", PQerrorMessage(session));
	return session;
}

/*
 * Run a query about a backend in a session, and tell whether it returned true.
 */
static int
ask(PGconn *session, const char *query, int backend)
{
	char		text[32];
	const char *values[] = {text};
	PGresult   *result;
	int			yes;

	snprintf(text, sizeof(text), "%d", backend);
	result = PQexecParams(session, query, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("query failed", PQerrorMessage(session));
	yes = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	PQclear(result);
	return yes;
}

/*
 * Wait until a backend waits.
 */
static void
await_wait(PGconn *observer, int backend)
{
	double		end = now_ms() + 10000;

	while (!ask(observer, "SELECT wait_event_type IN ('Extension', 'Timeout')"
				" FROM pg_stat_activity WHERE pid = $1", backend))
	{
		if (now_ms() > end)
			fail("no wait", "the query does not wait");
	}
}

/*
 * Take the query's end, which must be an error of a cancel.
 */
static void
expect_cancelled(PGconn *session)
{
	PGresult   *result = PQgetResult(session);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL || strcmp(sqlstate, "57014") != 0)
		fail("not cancelled", PQresultErrorMessage(result));
	PQclear(result);
	while ((result = PQgetResult(session)) != NULL)
		PQclear(result);
}

/*
 * Cancel what the session runs: by a request of its own, or from another
 * session, whose answer is not waited for.
 */
static void
cancel(PGconn *session, PGconn *other, int by_request)
{
	char		text[256];
	PGcancel   *request;

	if (by_request)
	{
		request = PQgetCancel(session);
		if (request == NULL || !PQcancel(request, text, sizeof(text)))
			fail("could not cancel", request != NULL ? text : "no request");
		PQfreeCancel(request);
		return;
	}
	snprintf(text, sizeof(text), "SELECT pg_cancel_backend(%d)", PQbackendPID(session));
	if (!PQsendQuery(other, text))
		fail("could not cancel", PQerrorMessage(other));
}

/*
 * Measure one cancel.
 */
static void
measure(PGconn *session, PGconn *other, const char *query, int by_request)
{
	double		start;
	PGresult   *result;

	if (!PQsendQuery(session, query))
		fail("could not start the query", PQerrorMessage(session));
	await_wait(other, PQbackendPID(session));
	start = now_ms();
	cancel(session, other, by_request);
	expect_cancelled(session);
	printf("%s %.3f\n", by_request ? "request" : "backend", now_ms() - start);
	while ((result = PQgetResult(other)) != NULL)
		PQclear(result);
}

/*
 * Read the command line and go.
 */
int
main(int argc, char **argv)
{
	PGconn	   *session;
	PGconn	   *other;

	if (argc != 3)
	{
		fprintf(stderr, "usage: cancel COUNT QUERY\n");
		return 2;
	}
	session = connect_to_server();
	other = connect_to_server();
	for (int by_request = 0; by_request < 2; by_request++)
	{
		for (int i = atoi(argv[1]); i > 0; i--)
			measure(session, other, argv[2], by_request);
	}
	PQfinish(session);
	PQfinish(other);
	return 0;
}
