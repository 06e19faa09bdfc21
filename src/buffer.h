/*-------------------------------------------------------------------------
 *
 * buffer.h
 *		A bounded, growing run of bytes that never throws.
 *
 * It lives in malloc'd memory, so that it can be filled inside a callback of
 * a library, and so that memory checkers watch its edges.  The bytes are
 * always followed by a NUL that does not count.  ap_buffer_own() ties it to
 * a memory context; whoever does not do that must call ap_buffer_free().
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_BUFFER_H
#define AP_BUFFER_H

/* White space, for strchr(), which finds the NUL as well. */
#define AP_BLANKS " \t\r\n"

typedef struct ApBuffer
{
	char	   *data;			/* NULL until something is appended */
	size_t		len;
	size_t		size;			/* bytes allocated */
	size_t		max;			/* len never exceeds this */
	bool		overflow;		/* an append was refused because of max */
	MemoryContextCallback cleanup;
} ApBuffer;

extern void ap_buffer_init(ApBuffer *buffer, size_t max);
extern void ap_buffer_own(ApBuffer *buffer, MemoryContext context);
extern bool ap_buffer_append(ApBuffer *buffer, const void *data, size_t len);
extern bool ap_buffer_append_text(ApBuffer *buffer, const char *text);
extern char *ap_buffer_extend(ApBuffer *buffer, size_t len);
extern const char *ap_buffer_text(const ApBuffer *buffer);
extern void ap_buffer_free(ApBuffer *buffer);

#endif							/* AP_BUFFER_H */
