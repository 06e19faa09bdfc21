/*-------------------------------------------------------------------------
 *
 * multi.c
 *		The yardstick of many calls: the same ones by libcurl's multi interface
 *		alone, as simply as can be.
 *
 * Usage: multi CONCURRENCY FILE [HEADER ...]
 *
 * Each line of the file is a call: "GET URL" or "POST URL BODY".  So many are
 * under way at any time, each on one of as many easy handles; the body of an
 * answer is read into memory and dropped.  Prints the seconds it took, the
 * seconds of processor time, and the number of connections that were opened;
 * ends with status 1 if an answer is no success.  ALLPASS_SANDBOX_CA names the
 * certificates to trust.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_LINE 65536

/* A place for a call under way. */
typedef struct Slot
{
	CURL	   *easy;
	char	   *data;			/* of the answer */
	size_t		len;
	size_t		size;
} Slot;

static CURLM *multi;
static FILE *calls;
static struct curl_slist *headers;
static long connections;
static long failures;

/*
 * Take a piece of the body.
 */
static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	Slot	   *slot = arg;

	size *= count;
	if (slot->len + size > slot->size)
	{
		size_t		larger = (slot->len + size) * 2;
		char	   *moved = realloc(slot->data, larger);

		if (moved == NULL)
			return 0;
		slot->data = moved;
		slot->size = larger;
	}
	memcpy(slot->data + slot->len, data, size);
	slot->len += size;
	return size;
}

/*
 * Give the time of a steady clock in seconds.
 */
static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/*
 * Give the processor time of this process in seconds.
 */
static double
cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/*
 * Start the next call in a slot.  Returns whether there was one.
 */
static int
start(Slot *slot)
{
	static char line[MAX_LINE];
	char	   *url;
	char	   *body;

	if (fgets(line, sizeof(line), calls) == NULL)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	url = strchr(line, ' ');
	if (url == NULL)
		return 0;
	*url++ = '\0';
	body = strchr(url, ' ');
	if (body != NULL)
		*body++ = '\0';
	slot->len = 0;
	curl_easy_setopt(slot->easy, CURLOPT_URL, url);
	/* over TLS, wait for the first connection, which others may share */
	curl_easy_setopt(slot->easy, CURLOPT_PIPEWAIT, strncmp(url, "https:", 6) == 0 ? 1L : 0L);
	if (strcmp(line, "POST") == 0)
		curl_easy_setopt(slot->easy, CURLOPT_COPYPOSTFIELDS, body != NULL ? body : "");
	else
		curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L);
	return curl_multi_add_handle(multi, slot->easy) == CURLM_OK;
}

/*
 * Make a slot.
 */
static void
prepare(Slot *slot)
{
	const char *ca_file = getenv("ALLPASS_SANDBOX_CA");

	slot->easy = curl_easy_init();
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(slot->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	if (ca_file != NULL)
		curl_easy_setopt(slot->easy, CURLOPT_CAINFO, ca_file);
}

/*
 * Note how a call ended, and let the next one take its slot.  Returns whether
 * there was one.
 */
static int
end(CURL *easy, CURLcode result)
{
	Slot	   *slot = NULL;
	long		status = 0;
	long		opened = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &slot);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened);
	connections += opened;
	if (result != CURLE_OK || status / 100 != 2)
		failures++;
	curl_multi_remove_handle(multi, easy);
	return start(slot);
}

/*
 * Make all calls.
 */
static void
run(Slot *slots, int concurrency)
{
	int			active = 0;
	int			running;
	int			left;
	CURLMsg    *message;

	while (active < concurrency && start(&slots[active]))
		active++;
	while (active > 0)
	{
		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			if (message->msg == CURLMSG_DONE &&
				!end(message->easy_handle, message->data.result))
				active--;
		}
		if (active > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
}

/*
 * Read the command line and go.
 */
int
main(int argc, char **argv)
{
	int			concurrency = argc > 1 ? atoi(argv[1]) : 0;
	Slot	   *slots;
	double		began;
	double		cpu;

	if (argc < 3 || concurrency < 1 || (calls = fopen(argv[2], "r")) == NULL)
	{
		fprintf(stderr, "usage: multi CONCURRENCY FILE [HEADER ...]\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		headers = curl_slist_append(headers, argv[i]);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) concurrency);
	slots = calloc((size_t) concurrency, sizeof(*slots));
	if (slots == NULL)
		return 2;
	for (int i = 0; i < concurrency; i++)
		prepare(&slots[i]);
	began = now_s();
	cpu = cpu_s();
	run(slots, concurrency);
	printf("%.4f %.4f %ld\n", now_s() - began, cpu_s() - cpu, connections);
	for (int i = 0; i < concurrency; i++)
	{
		curl_easy_cleanup(slots[i].easy);
		free(slots[i].data);
	}
	free(slots);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	fclose(calls);
	if (failures > 0)
		fprintf(stderr, "multi: %ld calls failed\n", failures);
	return failures > 0;
}
