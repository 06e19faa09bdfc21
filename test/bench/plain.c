/*-------------------------------------------------------------------------
 *
 * plain.c
 *		The yardstick: the same calls by libcurl alone, as simply as can be.
 *
 * Usage: plain URL CALLS GAP [HEADER ...]
 *
 * One easy handle is used again for every call, so one connection serves all.
 * The body is read into memory and dropped.  After each call the program is
 * busy with nothing for GAP microseconds, which shows what a pause between
 * calls does to the machine: the other side falls asleep, and wakes slowly.
 * Prints the microseconds of a call, with its gap; ends with status 1 if an
 * answer is not 200.  ALLPASS_SANDBOX_CA names the certificates to trust.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The body of an answer. */
typedef struct Body
{
	char	   *data;
	size_t		len;
	size_t		size;
} Body;

/*
 * Take a piece of the body.
 */
static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	Body	   *body = arg;

	size *= count;
	if (body->len + size > body->size)
	{
		size_t		larger = (body->len + size) * 2;
		char	   *moved = realloc(body->data, larger);

		if (moved == NULL)
			return 0;
		body->data = moved;
		body->size = larger;
	}
	memcpy(body->data + body->len, data, size);
	body->len += size;
	return size;
}

/*
 * Give the time of a steady clock in microseconds.
 */
static double
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

/*
 * Make one call.  Returns whether it was answered by 200.
 */
static int
call(CURL *easy, Body *body)
{
	long		status = 0;
	CURLcode	result;

	body->len = 0;
	result = curl_easy_perform(easy);
	if (result != CURLE_OK)
	{
		fprintf(stderr, "plain: %s\n", curl_easy_strerror(result));
		return 0;
	}
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		fprintf(stderr, "plain: answered with status %ld\n", status);
	return status == 200;
}

/*
 * Be busy for some microseconds.
 */
static void
spin(double gap)
{
	double		end = now_us() + gap;

	while (gap > 0 && now_us() < end)
		continue;
}

/*
 * Make the calls, after one that opens the connection, and print what they took.
 */
static int
measure(CURL *easy, Body *body, long calls, double gap)
{
	double		start;

	if (!call(easy, body))
		return 1;
	start = now_us();
	for (long i = 0; i < calls; i++)
	{
		if (!call(easy, body))
			return 1;
		spin(gap);
	}
	printf("%.2f\n", (now_us() - start) / (double) calls);
	return 0;
}

/*
 * Read the command line and go.
 */
int
main(int argc, char **argv)
{
	CURL	   *easy;
	struct curl_slist *headers = NULL;
	const char *ca_file = getenv("ALLPASS_SANDBOX_CA");
	Body		body = {NULL, 0, 0};
	int			status;

	if (argc < 4)
	{
		fprintf(stderr, "usage: plain URL CALLS GAP [HEADER ...]\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	easy = curl_easy_init();
	for (int i = 4; i < argc; i++)
		headers = curl_slist_append(headers, argv[i]);
	curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
	if (ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	status = measure(easy, &body, atol(argv[2]), atof(argv[3]));
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	free(body.data);
	return status;
}
