/*-------------------------------------------------------------------------
 *
 * start.c
 *		Starts AddressSanitizer before anything else in the process.
 *
 * Preloaded, the sanitizer starts with the first allocation.  In a server that
 * is linked with libgpg-error, this happens inside bindtextdomain(), which
 * holds a lock of the C library that the sanitizer's start takes as well: the
 * server would hang before it has begun.  Linked with "-z initfirst", this
 * makes an allocation before that.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

/*
 * Allocate something.
 */
static void __attribute__((constructor))
start(void)
{
	void	   *volatile memory = malloc(1);

	free(memory);
}
