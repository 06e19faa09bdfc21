/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		What the fuzz targets share: an input, and the end of a bad one.
 *
 * An input is taken from its front.  Its first byte chooses the target (see
 * driver.c); what follows is the target's: flags of one byte each, lines, and
 * the rest.  Flags are digits in the seeds, so that these can be read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../src/crypto.h"
#include "../../src/status.h"

typedef struct FuzzInput
{
	const unsigned char *data;
	size_t		len;
} FuzzInput;

/* driver.c */
extern void fuzz_fail(const char *fmt,...) pg_attribute_printf(1, 2)
	__attribute__((noreturn));

/* input.c */
extern int	fuzz_flag(FuzzInput *input, int choices);
extern int	fuzz_byte(FuzzInput *input);
extern char *fuzz_line(FuzzInput *input);
extern ApBytes fuzz_rest(FuzzInput *input);
extern bool fuzz_is_text(const char *text);
extern void fuzz_check_status(const ApStatus *status, bool ok);

/* answers.c */
extern void fuzz_envelope(FuzzInput *input);
extern void fuzz_open(FuzzInput *input);
extern void fuzz_round_trip(FuzzInput *input);

/* rows.c */
extern void fuzz_document(FuzzInput *input);
extern void fuzz_scalar(FuzzInput *input);

/* requests.c */
extern void fuzz_options(FuzzInput *input);
extern void fuzz_request(FuzzInput *input);

#endif							/* FUZZ_H */
