/*-------------------------------------------------------------------------
 *
 * url.c
 *		Checking and building URLs, by libcurl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include "url.h"

/*
 * Tell whether a host, as libcurl gives it, is this machine.
 */
static bool
is_loopback(const char *host)
{
	struct in_addr address;

	if (pg_strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &address) == 1 &&
		(ntohl(address.s_addr) >> 24) == 127;
}

/*
 * Tell whether a part of a parsed URL is there.
 */
static bool
has_part(CURLU *url, CURLUPart part)
{
	char	   *text = NULL;
	bool		present = curl_url_get(url, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return present;
}

/*
 * Find what is wrong with the parts of a base URL, or return NULL.
 */
static const char *
find_complaint(CURLU *url)
{
	const char *complaint = NULL;
	char	   *scheme = NULL;
	char	   *host = NULL;

	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0')
		complaint = "It must have the form https://host[:port][/path].";
	else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
		complaint = "It must not contain credentials.";
	else if (has_part(url, CURLUPART_QUERY))
		complaint = "It must not contain a query.";
	else if (has_part(url, CURLUPART_FRAGMENT))
		complaint = "It must not contain a fragment.";
	else if (strcmp(scheme, "https") != 0 &&
			 !(strcmp(scheme, "http") == 0 && is_loopback(host)))
		complaint = "The scheme must be https, or http for a loopback host.";
	curl_free(scheme);
	curl_free(host);
	return complaint;
}

/*
 * Tell whether a URL has exactly two slashes and then a host after its scheme;
 * libcurl takes other numbers of slashes as well.
 */
static bool
has_authority(const char *text)
{
	const char *slashes = strstr(text, "://");

	return slashes != NULL && slashes[3] != '\0' && slashes[3] != '/';
}

/*
 * Check a base URL: https, or http to a loopback host, and nothing but scheme,
 * host, port and path.  On failure *complaint is a sentence that says why.
 */
bool
ap_url_check(const char *text, const char **complaint)
{
	CURLU	   *url = curl_url();

	if (url == NULL)
		*complaint = "Out of memory.";
	else if (!has_authority(text) || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		*complaint = "It must have the form https://host[:port][/path].";
	else if (strpbrk(text, "?#") != NULL)
		*complaint = "It must not contain a query or a fragment.";
	else if (strstr(text, "/api/public") != NULL)
		*complaint = "It must not contain /api/public, which is added.";
	else
		*complaint = find_complaint(url);
	curl_url_cleanup(url);
	return *complaint == NULL;
}

/*
 * Append a text as one escaped path segment or query value.  Returns false out
 * of memory.
 */
bool
ap_url_escape(ApBuffer *buffer, const char *text)
{
	char	   *escaped;
	bool		ok;

	if (text[0] == '\0')		/* libcurl takes length 0 for "measure it" */
		return true;
	escaped = curl_easy_escape(NULL, text, (int) strlen(text));
	ok = escaped != NULL && ap_buffer_append_text(buffer, escaped);
	curl_free(escaped);
	return ok;
}
