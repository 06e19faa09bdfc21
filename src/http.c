/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP transfers that never block an interrupt, by libcurl.
 *
 * With url.c the only file that knows libcurl.  A pool is a multi handle; its sockets and
 * its timer are driven by sockets.c, so that all pools wait in one place and
 * an interrupt wakes them at once.
 *
 * Rules that hold throughout: nothing throws inside a callback of libcurl, nor
 * between taking a handle and tying it to a memory context; all signals are
 * blocked while libcurl drives transfers, since it may start a resolver thread,
 * which inherits the mask and must not take the backend's signals; a POST is
 * put on the wire at most once, even where libcurl would repeat it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <curl/curl.h>
#include <signal.h>
#include <time.h>

#include "lib/ilist.h"
#include "miscadmin.h"

#include "http.h"
#include "sockets.h"

/* CURLOPT_QUICK_EXIT: a hanging name lookup is left behind, not joined. */
StaticAssertDecl(LIBCURL_VERSION_NUM >= 0x075700, "allpass needs libcurl 7.87 or newer");

/* Idle easy handles kept by a pool, each with its options set. */
#define AP_IDLE_HANDLES 64

/* How often a request is started again when connections end under it. */
#define AP_MAX_RESTARTS 3

/* Runs of timers before sockets get their turn. */
#define AP_TIMER_RUNS 4

#define AP_USER_AGENT "allpass/" AP_VERSION " PostgreSQL/" PG_VERSION

struct ApHttpPool
{
	dlist_node	node;			/* in pools */
	CURLM	   *multi;			/* NULL if there was no memory for a new one */
	int			max_connections;
	int64		deadline;		/* of libcurl's timer, in ms; -1 for none */
	int			active;			/* transfers under way */
	int			unsent;			/* of these, whose request is not on the wire */
	int			ended;			/* of these, that are done */
	bool		broken;			/* libcurl gave up on the multi handle */
	bool		has_streams;	/* the server speaks HTTP/2 or newer */
	CURL	   *idle[AP_IDLE_HANDLES];
	int			nidle;
};

struct ApHttpTransfer
{
	ApHttpPool *pool;
	CURL	   *easy;
	struct curl_slist *headers;
	ApBuffer	body;
	bool		once;			/* must not be sent a second time */
	int			sends;			/* times the request was put on the wire */
	int			restarts;		/* after a connection had ended under it */
	bool		attached;		/* to the pool's multi handle */
	bool		done;
	CURLcode	result;
	char		error[CURL_ERROR_SIZE];
	MemoryContextCallback cleanup;
};

static dlist_head pools = DLIST_STATIC_INIT(pools);

/* The system's certificates are in a file, as libcurl was built. */
static bool has_ca_file = false;

/*
 * Give the time of a steady clock in microseconds.
 */
int64
ap_http_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * Block all signals for the thread that libcurl may start.
 */
static void
block_signals(sigset_t *old)
{
	sigset_t	all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, old);
}

/*
 * Undo block_signals().
 */
static void
restore_signals(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}

/*-------------------------------------------------------------------------
 * libcurl's callbacks
 *-------------------------------------------------------------------------
 */

/*
 * Take a piece of an answer's body; taking less than all of it ends the
 * transfer.
 */
static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	ApHttpTransfer *transfer = arg;

	return ap_buffer_append(&transfer->body, data, size * count) ? size * count : 0;
}

/*
 * Count a request that is about to be sent, and forbid a second one where that
 * could act twice: libcurl repeats a request by itself when a kept-alive
 * connection breaks before an answer, though the server may have acted.
 *
 * The connection may be one whose last answer has come in this very run of
 * libcurl, with something after it, so those are looked at here.  One that is
 * spoiled is broken, and a request is not sent on it but on another, or not at
 * all where a break would leave open what became of it.
 */
static int
on_send(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	ApHttpTransfer *transfer = arg;

	(void) peer;
	(void) local;
	(void) peer_port;
	(void) local_port;
	if (transfer->once && transfer->sends > 0)
		return CURL_PREREQFUNC_ABORT;
	if (ap_sockets_spoil(transfer->pool, transfer->pool->has_streams, true) && transfer->once)
		return CURL_PREREQFUNC_ABORT;
	if (transfer->sends++ == 0)
		transfer->pool->unsent--;
	return CURL_PREREQFUNC_OK;
}

/*
 * Open a socket.
 */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	int			fd = ap_sockets_open(address->family, address->socktype,
									 address->protocol);

	(void) arg;
	(void) purpose;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/*
 * Close a socket.
 */
static int
on_close(void *arg, curl_socket_t fd)
{
	(void) arg;
	ap_sockets_close(fd);
	return 0;
}

/*
 * Follow libcurl's wish to hear of a socket's events.
 */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	(void) easy;
	(void) unused;
	if (what == CURL_POLL_REMOVE)
	{
		ap_sockets_unwatch(fd);
		return 0;
	}
	/* out of memory the socket goes unwatched, and the timeout ends the transfer */
	(void) ap_sockets_watch(fd, what, arg);
	return 0;
}

StaticAssertDecl(CURL_POLL_IN == AP_SOCKET_IN && CURL_POLL_OUT == AP_SOCKET_OUT &&
				 CURL_POLL_INOUT == (AP_SOCKET_IN | AP_SOCKET_OUT),
				 "socket events of libcurl differ");

/*
 * Set the pool's timer.
 */
static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	ApHttpPool *pool = arg;

	(void) multi;
	pool->deadline = timeout_ms < 0 ? -1 : ap_http_clock_us() / 1000 + timeout_ms;
	return 0;
}

/*-------------------------------------------------------------------------
 * Pools
 *-------------------------------------------------------------------------
 */

/*
 * Initialise libcurl, once in a process.
 */
static bool
initialise(void)
{
	static bool initialised = false;
	sigset_t	old;

	if (!initialised)
	{
		block_signals(&old);
		initialised = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
		restore_signals(&old);
		has_ca_file = curl_version_info(CURLVERSION_NOW)->cainfo != NULL;
	}
	return initialised;
}

/*
 * Give a pool its multi handle.  Returns false out of memory.
 */
static bool
open_multi(ApHttpPool *pool)
{
	pool->multi = curl_multi_init();
	if (pool->multi == NULL)
		return false;
	pool->deadline = -1;
	pool->broken = false;
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	curl_multi_setopt(pool->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) pool->max_connections);
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long) pool->max_connections);
#if LIBCURL_VERSION_NUM >= 0x081400
	curl_multi_setopt(pool->multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	return true;
}

/*
 * Close a pool's multi handle and with it the connections.
 */
static void
close_multi(ApHttpPool *pool)
{
	while (pool->nidle > 0)
		curl_easy_cleanup(pool->idle[--pool->nidle]);
	curl_multi_cleanup(pool->multi);
	pool->multi = NULL;
}

/*
 * Make a pool that will open so many connections at the same time.  Returns
 * NULL out of memory.
 */
ApHttpPool *
ap_http_pool_create(int max_connections)
{
	ApHttpPool *pool;

	if (!initialise() || (pool = calloc(1, sizeof(*pool))) == NULL)
		return NULL;
	pool->max_connections = max_connections;
	if (!open_multi(pool))
	{
		free(pool);
		return NULL;
	}
	dlist_push_tail(&pools, &pool->node);
	return pool;
}

/*
 * Close a pool and its connections.  It must hold no transfer.
 */
void
ap_http_pool_close(ApHttpPool *pool)
{
	Assert(pool->active == 0);
	dlist_delete(&pool->node);
	if (pool->multi != NULL)
		close_multi(pool);
	free(pool);
}

/*
 * Tell whether a pool has no connection for one more transfer.
 */
bool
ap_http_pool_is_full(const ApHttpPool *pool)
{
	return pool->active - pool->ended >= pool->max_connections;
}

/* Set an option of the handle "easy", unless one failed before: then "ok" is false. */
#define SET(option, value) \
	ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK

/*
 * Make an easy handle with the options that no request changes.  Returns NULL
 * when libcurl lacks one of them or is out of memory.
 */
static CURL *
make_easy(void)
{
	CURL	   *easy = curl_easy_init();
	bool		ok = easy != NULL;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "https,http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	SET(CURLOPT_USERAGENT, AP_USER_AGENT);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_PREREQFUNCTION, on_send);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
	if (ok)
		return easy;
	curl_easy_cleanup(easy);
	return NULL;
}

/*-------------------------------------------------------------------------
 * Transfers
 *-------------------------------------------------------------------------
 */

/*
 * Give everything of a transfer back: libcurl closes the connection of one
 * that is abandoned under way, and keeps that of a finished one.
 */
static void
release(void *arg)
{
	ApHttpTransfer *transfer = arg;
	ApHttpPool *pool = transfer->pool;

	if (transfer->attached)
	{
		curl_multi_remove_handle(pool->multi, transfer->easy);
		pool->active--;
		if (transfer->sends == 0)
			pool->unsent--;
		if (transfer->done)
			pool->ended--;
	}
	if (transfer->easy != NULL)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, NULL);
		if (pool->nidle < AP_IDLE_HANDLES)
			pool->idle[pool->nidle++] = transfer->easy;
		else
			curl_easy_cleanup(transfer->easy);
	}
	curl_slist_free_all(transfer->headers);
	ap_buffer_free(&transfer->body);
}

/*
 * Copy the header lines; NULL out of memory.
 */
static struct curl_slist *
copy_headers(const char *const *lines)
{
	struct curl_slist *list = NULL;

	for (; *lines != NULL; lines++)
	{
		struct curl_slist *longer = curl_slist_append(list, *lines);

		if (longer == NULL)
		{
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

/*
 * Choose the version of HTTP.  Over TLS, it is agreed on as a connection is
 * made, so other requests wait for what the first one brings, to share it.
 * Without, they would wait for its answer, in vain.
 */
static void
choose_version(CURL *easy, const char *url)
{
	bool		tls = strncmp(url, "https:", 6) == 0;

	/* a libcurl without HTTP/2 refuses this, and speaks HTTP/1.1 */
	(void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
							tls ? (long) CURL_HTTP_VERSION_2TLS : (long) CURL_HTTP_VERSION_1_1);
	(void) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
}

/*
 * Set the options of this request.  Certificates come from one file alone, the
 * system's where it has one: libcurl keeps those in memory from connection to
 * connection, but not where it would look into a folder as well.
 */
static bool
prepare(ApHttpTransfer *transfer, const ApHttpRequest *request)
{
	CURL	   *easy = transfer->easy;
	bool		ok = true;

	choose_version(easy, request->url);
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	SET(CURLOPT_TIMEOUT_MS, (long) request->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) request->max_answer_size);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_PREREQDATA, transfer);
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	if (request->ca_file != NULL)
		SET(CURLOPT_CAINFO, request->ca_file);
	if (request->ca_file != NULL || has_ca_file)
		SET(CURLOPT_CAPATH, NULL);
	if (request->is_post)
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	return ok;
}

/*
 * Start a transfer in the current memory context; ap_http_wait() drives it.
 * Returns NULL with the status set out of memory.
 */
ApHttpTransfer *
ap_http_start(ApHttpPool *pool, const ApHttpRequest *request, ApStatus *status)
{
	ApHttpTransfer *transfer = palloc0(sizeof(*transfer));

	transfer->pool = pool;
	transfer->once = request->is_post;
	ap_buffer_init(&transfer->body, request->max_answer_size);
	transfer->cleanup.func = release;
	transfer->cleanup.arg = transfer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->cleanup);

	if (pool->broken && pool->active == 0)
	{
		if (pool->multi != NULL)
			close_multi(pool);
		(void) open_multi(pool);
	}
	transfer->easy = pool->nidle > 0 ? pool->idle[--pool->nidle] : make_easy();
	transfer->headers = copy_headers(request->headers);
	if (pool->multi != NULL && transfer->easy != NULL && transfer->headers != NULL &&
		prepare(transfer, request))
		transfer->attached = curl_multi_add_handle(pool->multi, transfer->easy) == CURLM_OK;
	if (!transfer->attached)
	{
		ap_status_set(status, AP_NO_MEMORY, "could not prepare a request to the Allpass API");
		return NULL;
	}
	pool->active++;
	pool->unsent++;
	return transfer;
}

/*
 * Tell whether a transfer has ended, well or not.
 */
bool
ap_http_is_done(const ApHttpTransfer *transfer)
{
	return transfer->done || transfer->pool->broken;
}

/*
 * Tell whether a transfer's request was put on the wire, at least in part.
 */
bool
ap_http_was_sent(const ApHttpTransfer *transfer)
{
	return transfer->sends > 0;
}

/*
 * See to it that no idle connection is used that is closed or that has input
 * which belongs to no request.  Of HTTP/2, control frames may come any time,
 * and a stream is not mistaken for another.
 */
static void
check_idle(ApHttpPool *pool)
{
	bool		spoiled = ap_sockets_spoil(pool, pool->has_streams, false);

	/* older ones look at a connection themselves, always, before they use it again */
#if LIBCURL_VERSION_NUM >= 0x081000
	if (spoiled)
		curl_multi_setopt(pool->multi, CURLMOPT_NETWORK_CHANGED, CURLMNWC_CLEAR_CONNS);
#else
	(void) spoiled;
#endif
}

/*
 * Start a transfer again whose HTTP/2 connection has ended before its answer
 * began, as a server that restarts or has had enough requests ends it for all
 * that share it.  Only what may be sent twice is.  Returns whether it was done.
 */
static bool
restart(ApHttpTransfer *transfer)
{
	ApHttpPool *pool = transfer->pool;

	if (transfer->once || transfer->restarts == AP_MAX_RESTARTS || !pool->has_streams ||
		transfer->body.len > 0 ||
		(transfer->result != CURLE_HTTP2 && transfer->result != CURLE_HTTP2_STREAM &&
		 transfer->result != CURLE_SEND_ERROR && transfer->result != CURLE_RECV_ERROR))
		return false;
	transfer->restarts++;
	transfer->error[0] = '\0';
	if (curl_multi_remove_handle(pool->multi, transfer->easy) == CURLM_OK &&
		curl_multi_add_handle(pool->multi, transfer->easy) == CURLM_OK)
		return true;
	transfer->attached = false;
	pool->active--;
	return false;
}

/*
 * Let libcurl act on a socket or its timer, and note what has ended.  Signals
 * are blocked by the caller, once for all that is due.
 */
static void
drive(ApHttpPool *pool, curl_socket_t fd, int events)
{
	CURLMcode	code;
	int			running;
	int			left;
	CURLMsg    *message;

	if (pool->unsent > 0)
		check_idle(pool);
	code = curl_multi_socket_action(pool->multi, fd, events, &running);
	if (code != CURLM_OK && code != CURLM_BAD_SOCKET)
		pool->broken = true;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		char	   *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		((ApHttpTransfer *) private)->result = message->data.result;
		if (restart((ApHttpTransfer *) private))
			continue;
		((ApHttpTransfer *) private)->done = true;
		pool->ended++;
	}
}

/*
 * Pass a socket that is ready on to libcurl.  CURL_CSELECT_IN and _OUT have
 * the values of AP_SOCKET_IN and _OUT as well.
 */
static void
on_ready(void *owner, int fd, int events)
{
	drive(owner, fd, events);
}

StaticAssertDecl(CURL_CSELECT_IN == AP_SOCKET_IN && CURL_CSELECT_OUT == AP_SOCKET_OUT,
				 "select bits of libcurl differ");

/*
 * Run the timers that are due, and shorten a wait to the next one.  Returns
 * whether any was due.
 */
static bool
run_timers(long *timeout_ms)
{
	dlist_iter	iter;
	bool		ran = false;
	int64		now = ap_http_clock_us() / 1000;
	sigset_t	old;

	dlist_foreach(iter, &pools)
	{
		ApHttpPool *pool = dlist_container(ApHttpPool, node, iter.cur);

		if (pool->deadline < 0 || pool->active == 0)
			continue;
		if (pool->deadline <= now)
		{
			pool->deadline = -1;
			block_signals(&old);
			drive(pool, CURL_SOCKET_TIMEOUT, 0);
			restore_signals(&old);
			ran = true;
		}
		else if (*timeout_ms < 0 || pool->deadline - now < *timeout_ms)
			*timeout_ms = (long) (pool->deadline - now);
	}
	return ran;
}

/*
 * Let all transfers make progress: act on what is due now or, if nothing is,
 * wait for it for at most timeout_ms (-1 for no limit).  Throws on interrupts.
 *
 * A caller that starts transfers all the time makes timers due all the time,
 * and many of the answers come while these run.  So that those of others do not
 * wait for ever, sockets get their turn after some runs.
 */
void
ap_http_wait(long timeout_ms)
{
	static int	runs = 0;
	sigset_t	old;

	CHECK_FOR_INTERRUPTS();
	if (run_timers(&timeout_ms))
	{
		if (++runs < AP_TIMER_RUNS)
			return;
		timeout_ms = 0;
	}
	runs = 0;
	if (!ap_sockets_wait(timeout_ms))
		return;
	block_signals(&old);
	ap_sockets_report(on_ready);
	restore_signals(&old);
}

/*-------------------------------------------------------------------------
 * Outcomes
 *-------------------------------------------------------------------------
 */

/*
 * Say where the time of a timed-out request went.
 */
static void
describe_timeout(const ApHttpTransfer *transfer, ApStatus *status)
{
	CURL	   *easy = transfer->easy;
	curl_off_t	lookup = 0;
	curl_off_t	connect = 0;
	curl_off_t	first_byte = 0;
	curl_off_t	total = 0;
	const char *phase;

	curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup);
	curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connect);
	curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
	curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &total);

	if (transfer->sends > 0)
		phase = first_byte == 0 ? "waiting for the answer" : "receiving the answer";
	else if (lookup == 0)
		phase = "looking up the host name";
	else
		phase = connect == 0 ? "connecting" : "negotiating TLS";
	ap_status_set(status, AP_UNREACHABLE, "request to the Allpass API timed out");
	ap_status_detail(status, "No end after " INT64_FORMAT " ms, while %s.",
					 (int64) total / 1000, phase);
	ap_status_hint(status, "The server options \"timeout\" and \"connect_timeout\" set the limits.");
}

/*
 * Set the detail to libcurl's reason, which may hold bytes of a hostile peer.
 */
static void
quote_reason(const char *reason, ApStatus *status)
{
	int			len = (int) strlen(reason);

	while (len > 0 && strchr(".\r\n", reason[len - 1]) != NULL)
		len--;
	ap_status_detail(status, "%.*s.", len, reason);
	for (char *c = status->detail; *c != '\0'; c++)
	{
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

/*
 * Give a failed transfer its code and words.
 */
static void
describe_failure(const ApHttpTransfer *transfer, ApStatus *status)
{
	const char *reason = transfer->error[0] ? transfer->error :
		curl_easy_strerror(transfer->result);
	CURLcode	result = transfer->result;

	/* 7.88 says "out of memory" of a header that is too long, too */
	if (result == CURLE_OUT_OF_MEMORY && transfer->sends > 0)
		result = CURLE_WEIRD_SERVER_REPLY;
	switch (result)
	{
		case CURLE_OPERATION_TIMEDOUT:
			describe_timeout(transfer, status);
			return;
		case CURLE_OUT_OF_MEMORY:
			ap_status_set(status, AP_NO_MEMORY,
						  "out of memory during a request to the Allpass API");
			return;
		case CURLE_BAD_CONTENT_ENCODING:
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_UNSUPPORTED_PROTOCOL:
#if LIBCURL_VERSION_NUM >= 0x080600
		case CURLE_TOO_LARGE:
#endif
			ap_status_not_understood(status, "");
			quote_reason(reason, status);
			return;
		case CURLE_FILESIZE_EXCEEDED:
		case CURLE_WRITE_ERROR:
			if (result == CURLE_WRITE_ERROR && !transfer->body.overflow)
				break;
			ap_status_set(status, AP_NOT_UNDERSTOOD,
						  "answer of the Allpass API is larger than %zu bytes",
						  transfer->body.max);
			ap_status_hint(status, "The setting \"allpass.max_response_size\" sets the limit.");
			return;
		case CURLE_SSL_CACERT_BADFILE:
			ap_status_set(status, AP_NOT_CONFIGURED,
						  "could not use the certificates for the Allpass API");
			quote_reason(reason, status);
			return;
		case CURLE_ABORTED_BY_CALLBACK:
			if (transfer->sends == 0)
				break;
			ap_status_set(status, AP_UNREACHABLE, "could not complete a request to the Allpass API");
			ap_status_detail(status, "The connection broke after the request was sent; "
							 "the server may or may not have acted on it.");
			return;
		default:
			break;
	}
	if (transfer->sends > 0)
		ap_status_set(status, AP_UNREACHABLE, "could not complete a request to the Allpass API");
	else
		ap_status_set(status, AP_UNREACHABLE, "could not reach the Allpass API");
	quote_reason(reason, status);
}

/*
 * Give a header of the answer, or NULL.
 */
static const char *
get_header(CURL *easy, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

/*
 * Give the answer of a transfer that is done.  Returns false with the status
 * set if no whole answer came.
 */
bool
ap_http_finish(ApHttpTransfer *transfer, ApHttpAnswer *answer, ApStatus *status)
{
	long		http_status = 0;
	long		http_version = 0;
	curl_off_t	retry_after = 0;

	if (!transfer->done)
		return ap_status_set(status, AP_NO_MEMORY, "libcurl failed during a request to the Allpass API");
	if (transfer->result != CURLE_OK)
	{
		describe_failure(transfer, status);
		return false;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &http_status);
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &http_version);
	curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
	transfer->pool->has_streams = http_version >= CURL_HTTP_VERSION_2_0;
	answer->http_status = (int) http_status;
	answer->body = &transfer->body;
	answer->retry_after_s = retry_after > 0 ? (int64) retry_after : 0;
	answer->signature = get_header(transfer->easy, "x-allpass-signature");
	return true;
}
