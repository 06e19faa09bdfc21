/*-------------------------------------------------------------------------
 *
 * envelope.h
 *		The outer form of answers, and the sealed form of data.
 *
 *	envelope	{"status":…,"statusCode":…,"data":…,"time":…}
 *	wire		the text of sealed data: hex(IV) hex(ciphertext), and hex(tag)
 *				behind it where the tag travels in band
 *	seal, open	make the wire of a plaintext, and get it back
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_ENVELOPE_H
#define SB_ENVELOPE_H

#include "config.h"

/* Room for an HMAC in hexadecimal */
#define SB_SIGNATURE_MAX 65

extern bool sb_envelope_success(const SbConfig *config, SbSlice data, SbText *body,
								char *signature);
extern void sb_envelope_error(int status, SbSlice message, SbSlice data, SbText *body);
extern const char *sb_envelope_open(const SbConfig *config, SbSlice wire, SbSlice body,
									const char *signature, SbText *plain);

#endif							/* SB_ENVELOPE_H */
