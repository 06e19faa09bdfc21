/*-------------------------------------------------------------------------
 *
 * crypto.h
 *		Ciphers, digests and byte encodings.
 *
 * Every function returns false (or a length of -1) on failure and leaves no
 * trace in OpenSSL's error queue.  None throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_CRYPTO_H
#define AP_CRYPTO_H

#include "buffer.h"

#define AP_KEY_LENGTH 32
#define AP_CBC_BLOCK 16
#define AP_GCM_TAG 16
#define AP_HMAC_MAX 64			/* of SHA-512 */

/* A run of bytes that somebody else owns. */
typedef struct ApBytes
{
	const unsigned char *data;
	size_t		len;
} ApBytes;

extern bool ap_crypto_random(unsigned char *bytes, size_t len);
extern bool ap_crypto_equal(const void *a, const void *b, size_t len);

extern int	ap_crypto_hmac(int digest_length, ApBytes key, ApBytes message,
						   unsigned char *mac);
extern bool ap_crypto_cbc_encrypt(const unsigned char *key, const unsigned char *iv,
								  ApBytes plain, ApBuffer *sealed);
extern bool ap_crypto_cbc_decrypt(const unsigned char *key, const unsigned char *iv,
								  ApBytes sealed, ApBuffer *plain);
extern bool ap_crypto_gcm_encrypt(const unsigned char *key, ApBytes iv,
								  ApBytes plain, ApBuffer *sealed, unsigned char *tag);
extern bool ap_crypto_gcm_decrypt(const unsigned char *key, ApBytes iv,
								  ApBytes sealed, const unsigned char *tag,
								  ApBuffer *plain);

extern bool ap_crypto_to_hex(ApBytes bytes, ApBuffer *text);
extern bool ap_crypto_from_hex(const char *text, size_t len, ApBuffer *bytes);
extern bool ap_crypto_from_base64(const char *text, size_t len, ApBuffer *bytes);

#endif							/* AP_CRYPTO_H */
