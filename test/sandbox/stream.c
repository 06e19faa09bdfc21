/*-------------------------------------------------------------------------
 *
 * stream.c
 *		Bodies that are cut, chunked, slow, compressed or made while sending.
 *
 * The source of a stream is head, filler, tail; an ordinary body is a head
 * alone. The stream reads the request's answer, which outlives it: a request
 * ends only after libmicrohttpd is done with its response.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

#include "stream.h"

#define BLOCK_SIZE 65536
#define GZIP_WINDOW (15 + 16)	/* zlib's way to ask for a gzip header */

typedef struct Stream
{
	SbRequest  *request;
	struct MHD_Connection *connection;
	uint64_t	taken;			/* bytes of the source */
	uint64_t	sent;			/* bytes of the body */
	uint64_t	piece;			/* bytes left of this piece of a slow body */
	bool		waited;			/* the delay before this piece is over */
	bool		deflating;
	bool		ended;			/* the packer has given all it has */
	z_stream	packer;
	unsigned char *input;		/* of the packer */
} Stream;

/* Tell whether an answer cannot be sent as one buffer */
bool
sb_stream_needed(const SbRequest *request)
{
	const SbFault *fault = request->fault;

	return fault->cut >= 0 || fault->chunked || fault->slow_bytes > 0 || fault->oversize >= 0;
}

/* Copy what comes next out of the source */
static size_t
read_source(Stream *stream, char *buffer, size_t room)
{
	const SbAnswer *answer = &stream->request->answer;
	size_t		done = 0;

	while (done < room)
	{
		uint64_t	at = stream->taken;
		uint64_t	left;

		if (at < answer->body.length)
		{
			left = answer->body.length - at;
			left = left < room - done ? left : room - done;
			memcpy(buffer + done, answer->body.data + at, left);
		}
		else if (at - answer->body.length < answer->fill)
		{
			left = answer->fill - (at - answer->body.length);
			left = left < room - done ? left : room - done;
			memset(buffer + done, 'x', left);
		}
		else
		{
			at -= answer->body.length + answer->fill;
			left = answer->tail.length - at;
			left = left < room - done ? left : room - done;
			if (left == 0)
				break;
			memcpy(buffer + done, answer->tail.data + at, left);
		}
		stream->taken += left;
		done += left;
	}
	return done;
}

/* Compress what comes next out of the source */
static size_t
read_packed(Stream *stream, char *buffer, size_t room)
{
	z_stream   *packer = &stream->packer;

	packer->next_out = (unsigned char *) buffer;
	packer->avail_out = (unsigned int) room;
	while (packer->avail_out > 0 && !stream->ended)
	{
		size_t		more = packer->avail_in;

		if (more == 0)
		{
			more = read_source(stream, (char *) stream->input, BLOCK_SIZE);
			packer->next_in = stream->input;
			packer->avail_in = (unsigned int) more;
		}
		if (deflate(packer, more == 0 ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_END)
			stream->ended = true;
	}
	return room - packer->avail_out;
}

/*
 * Wait before the next piece of a slow body; true if a delay began.
 *
 * The first piece goes at once. A client that went away shows when the piece
 * is written.
 */
static bool
wait_for_piece(Stream *stream)
{
	const SbFault *fault = stream->request->fault;

	if (stream->piece > 0)
		return false;
	if (stream->sent > 0 && !stream->waited && fault->slow_delay_ms > 0)
	{
		stream->waited = true;
		if (sb_timer_suspend(&stream->request->wait, stream->connection,
							 (int) fault->slow_delay_ms, stream->request->generation))
			return true;
	}
	stream->waited = false;
	stream->piece = (uint64_t) fault->slow_bytes;
	return false;
}

/*
 * End the body before its time.
 *
 * libmicrohttpd notes the error, but may not look at the connection again
 * until something happens on its socket. Shutting it down is what happens;
 * bytes that were sent before still arrive.
 */
static ssize_t
break_off(const Stream *stream)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info != NULL)
		shutdown(info->connect_fd, SHUT_RDWR);
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Give libmicrohttpd the next bytes of the body */
static ssize_t
read_stream(void *context, uint64_t position, char *buffer, size_t room)
{
	Stream	   *stream = context;
	const SbFault *fault = stream->request->fault;
	size_t		length;

	(void) position;
	if (stream->request->wait.gone)
		return break_off(stream);
	if (fault->cut >= 0)
	{
		uint64_t	left = (uint64_t) fault->cut - stream->sent;

		if (left == 0)
			return break_off(stream);
		room = left < room ? left : room;
	}
	if (fault->slow_bytes > 0)
	{
		if (wait_for_piece(stream))
			return 0;
		room = stream->piece < room ? stream->piece : room;
	}
	length = stream->deflating ? read_packed(stream, buffer, room)
		: read_source(stream, buffer, room);
	if (length == 0)
		return fault->cut >= 0 ? break_off(stream) : MHD_CONTENT_READER_END_OF_STREAM;
	stream->sent += length;
	stream->piece -= fault->slow_bytes > 0 ? length : 0;
	return (ssize_t) length;
}

/* Free a stream */
static void
free_stream(void *context)
{
	Stream	   *stream = context;

	if (stream->deflating)
		deflateEnd(&stream->packer);
	free(stream->input);
	free(stream);
}

/* Make a response that is read piece by piece */
struct MHD_Response *
sb_stream_response(SbRequest *request, struct MHD_Connection *connection)
{
	const SbAnswer *answer = &request->answer;
	Stream	   *stream = sb_alloc(sizeof(Stream));
	uint64_t	size = answer->body.length + answer->fill + answer->tail.length;
	struct MHD_Response *response;

	stream->request = request;
	stream->connection = connection;
	/* a body with a filler was not compressed before: it is now, on its way */
	if (request->fault->gzip && answer->tail.data != NULL)
	{
		stream->input = sb_alloc(BLOCK_SIZE);
		stream->deflating = deflateInit2(&stream->packer, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW,
										 8, Z_DEFAULT_STRATEGY) == Z_OK;
	}
	if (request->fault->chunked || stream->deflating)
		size = MHD_SIZE_UNKNOWN;
	response = MHD_create_response_from_callback(size, BLOCK_SIZE, read_stream, stream,
												 free_stream);
	if (response == NULL)
		free_stream(stream);
	return response;
}

/* Compress a whole body */
bool
sb_stream_gzip(SbSlice plain, SbText *packed)
{
	z_stream	packer = {0};
	bool		done;

	if (deflateInit2(&packer, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	sb_text_reserve(packed, deflateBound(&packer, plain.length));
	packer.next_in = (unsigned char *) (uintptr_t) plain.data;
	packer.avail_in = (unsigned int) plain.length;
	packer.next_out = (unsigned char *) packed->data;
	packer.avail_out = (unsigned int) (packed->capacity - 1);
	done = deflate(&packer, Z_FINISH) == Z_STREAM_END;
	packed->length = packer.total_out;
	deflateEnd(&packer);
	return done;
}
