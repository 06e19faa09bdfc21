/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		A bounded, growing run of bytes that never throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "buffer.h"

/* The first allocation: a common document fits without a second one. */
#define AP_BUFFER_FIRST 8192

/*
 * Make an empty buffer that will hold at most max bytes.  Its owner, if it has
 * one already, stays.
 */
void
ap_buffer_init(ApBuffer *buffer, size_t max)
{
	buffer->data = NULL;
	buffer->len = 0;
	buffer->size = 0;
	buffer->max = max;
	buffer->overflow = false;
}

/*
 * Free the buffer's memory when its owner goes.
 */
static void
cleanup(void *arg)
{
	ap_buffer_free(arg);
}

/*
 * Let the buffer's memory go when the context is reset or deleted.  The
 * struct itself must live in that context.
 */
void
ap_buffer_own(ApBuffer *buffer, MemoryContext context)
{
	buffer->cleanup.func = cleanup;
	buffer->cleanup.arg = buffer;
	MemoryContextRegisterResetCallback(context, &buffer->cleanup);
}

/*
 * Make room for len more bytes and count them in; the caller writes them.
 * Returns NULL, changing nothing, at the maximum or out of memory.
 */
char *
ap_buffer_extend(ApBuffer *buffer, size_t len)
{
	size_t		needed;

	if (len > buffer->max - buffer->len)
	{
		buffer->overflow = true;
		return NULL;
	}
	needed = buffer->len + len + 1;
	if (needed > buffer->size)
	{
		size_t		size = Max(buffer->size * 2, AP_BUFFER_FIRST);
		char	   *data;

		size = Max(Min(size, buffer->max + 1), needed);
		data = realloc(buffer->data, size);
		if (data == NULL)
			return NULL;
		buffer->data = data;
		buffer->size = size;
	}
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return buffer->data + buffer->len - len;
}

/*
 * Append bytes.  Returns false, changing nothing, at the maximum or out of
 * memory.
 */
bool
ap_buffer_append(ApBuffer *buffer, const void *data, size_t len)
{
	char	   *room = ap_buffer_extend(buffer, len);

	if (room == NULL)
		return false;
	if (len > 0)
		memcpy(room, data, len);
	return true;
}

/*
 * Append a NUL-terminated text.
 */
bool
ap_buffer_append_text(ApBuffer *buffer, const char *text)
{
	return ap_buffer_append(buffer, text, strlen(text));
}

/*
 * Give the content as a C string, also of an empty buffer.
 */
const char *
ap_buffer_text(const ApBuffer *buffer)
{
	return buffer->data != NULL ? buffer->data : "";
}

/*
 * Free the memory; the buffer is empty then.
 */
void
ap_buffer_free(ApBuffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->len = buffer->size = 0;
}
