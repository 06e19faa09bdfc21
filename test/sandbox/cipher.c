/*-------------------------------------------------------------------------
 *
 * cipher.c
 *		AES-256 in CBC and GCM, and HMAC-SHA256, over OpenSSL.
 *
 * Algorithms are fetched once: a fetch for each call costs more than the
 * encryption of a small answer.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "cipher.h"

static EVP_CIPHER *cbc_cipher;
static EVP_CIPHER *gcm_cipher;
static EVP_MAC *hmac_mac;

/* Fetch the algorithms */
void
sb_cipher_start(void)
{
	cbc_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	gcm_cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	hmac_mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (cbc_cipher == NULL || gcm_cipher == NULL || hmac_mac == NULL)
	{
		fputs("sandbox: OpenSSL lacks AES-256 or HMAC\n", stderr);
		exit(1);
	}
}

/* Free the algorithms */
void
sb_cipher_stop(void)
{
	EVP_CIPHER_free(cbc_cipher);
	EVP_CIPHER_free(gcm_cipher);
	EVP_MAC_free(hmac_mac);
}

/* Fill with random bytes */
bool
sb_cipher_random(unsigned char *bytes, size_t length)
{
	return length <= INT_MAX && RAND_bytes(bytes, (int) length) == 1;
}

/* Make a context with the key and the IV set; NULL if OpenSSL refuses */
static EVP_CIPHER_CTX *
begin(bool gcm, bool encrypt, const unsigned char *key,
	  const unsigned char *iv, int iv_length)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (context != NULL &&
		EVP_CipherInit_ex(context, gcm ? gcm_cipher : cbc_cipher, NULL, NULL, NULL, encrypt) == 1 &&
		(!gcm || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, iv_length, NULL) == 1) &&
		EVP_CipherInit_ex(context, NULL, NULL, key, iv, encrypt) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

/* Run the whole input through a context and append what comes out */
static bool
run(EVP_CIPHER_CTX *context, SbSlice input, SbText *out)
{
	int			length = 0;
	int			last = 0;

	if (input.length > INT_MAX - EVP_MAX_BLOCK_LENGTH)
		return false;
	sb_text_reserve(out, input.length + EVP_MAX_BLOCK_LENGTH);
	if (EVP_CipherUpdate(context, (unsigned char *) out->data + out->length, &length,
						 (const unsigned char *) input.data, (int) input.length) != 1)
		return false;
	out->length += (size_t) length;
	if (EVP_CipherFinal_ex(context, (unsigned char *) out->data + out->length, &last) != 1)
		return false;
	out->length += (size_t) last;
	out->data[out->length] = '\0';
	return true;
}

/* Encrypt and append; GCM also gives the tag */
bool
sb_cipher_encrypt(bool gcm, const unsigned char *key, const unsigned char *iv, int iv_length,
				  SbSlice plain, SbText *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *context = begin(gcm, true, key, iv, iv_length);
	bool		done = context != NULL && run(context, plain, out) &&
		(!gcm || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SB_TAG_LENGTH, tag) == 1);

	EVP_CIPHER_CTX_free(context);
	return done;
}

/* Decrypt and append; false if the padding or the tag is wrong */
bool
sb_cipher_decrypt(bool gcm, const unsigned char *key, const unsigned char *iv, int iv_length,
				  SbSlice sealed, const unsigned char *tag, SbText *out)
{
	EVP_CIPHER_CTX *context = begin(gcm, false, key, iv, iv_length);
	bool		done = context != NULL &&
		(!gcm || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SB_TAG_LENGTH,
									 (void *) (uintptr_t) tag) == 1) &&
		run(context, sealed, out);

	EVP_CIPHER_CTX_free(context);
	return done;
}

/* Work out HMAC-SHA256 */
bool
sb_cipher_hmac(const unsigned char *key, size_t key_length, SbSlice message,
			   unsigned char *digest)
{
	static char sha256[] = "SHA256";
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac_mac);
	OSSL_PARAM	parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end()
	};
	size_t		length = 0;
	bool		done = context != NULL &&
		EVP_MAC_init(context, key, key_length, parameters) == 1 &&
		EVP_MAC_update(context, (const unsigned char *) message.data, message.length) == 1 &&
		EVP_MAC_final(context, digest, &length, SB_HMAC_LENGTH) == 1;

	EVP_MAC_CTX_free(context);
	return done;
}

/* Compare in a time that does not tell where the difference is */
bool
sb_cipher_equal(const unsigned char *a, const unsigned char *b, size_t length)
{
	return CRYPTO_memcmp(a, b, length) == 0;
}
