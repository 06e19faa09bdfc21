/*-------------------------------------------------------------------------
 *
 * cipher.h
 *		AES-256 in CBC and GCM, and HMAC-SHA256, over OpenSSL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_CIPHER_H
#define SB_CIPHER_H

#include "text.h"

#define SB_TAG_LENGTH 16
#define SB_HMAC_LENGTH 32
#define SB_IV_MAX 16

extern void sb_cipher_start(void);
extern void sb_cipher_stop(void);

extern bool sb_cipher_random(unsigned char *bytes, size_t length);
extern bool sb_cipher_encrypt(bool gcm, const unsigned char *key,
							  const unsigned char *iv, int iv_length,
							  SbSlice plain, SbText *out, unsigned char *tag);
extern bool sb_cipher_decrypt(bool gcm, const unsigned char *key,
							  const unsigned char *iv, int iv_length,
							  SbSlice sealed, const unsigned char *tag, SbText *out);
extern bool sb_cipher_hmac(const unsigned char *key, size_t key_length,
						   SbSlice message, unsigned char *digest);
extern bool sb_cipher_equal(const unsigned char *a, const unsigned char *b, size_t length);

#endif							/* SB_CIPHER_H */
