/*-------------------------------------------------------------------------
 *
 * crypto.c
 *		Ciphers, digests and byte encodings, by OpenSSL.
 *
 * The only file that knows OpenSSL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "crypto.h"

/* One run of a cipher, in either direction. */
typedef struct Cipher
{
	const EVP_CIPHER *type;
	bool		encrypt;
	const unsigned char *key;
	ApBytes		iv;
	unsigned char *tag;			/* of GCM: made or checked; else NULL */
}			Cipher;

/*
 * Fill bytes at random, fit for an IV.
 */
bool
ap_crypto_random(unsigned char *bytes, size_t len)
{
	bool		ok = RAND_bytes(bytes, (int) len) == 1;

	ERR_clear_error();
	return ok;
}

/*
 * Compare bytes in a time that does not depend on them.
 */
bool
ap_crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

/*
 * Compute HMAC-SHA256 or HMAC-SHA512, chosen by the length of its result.
 * Returns that length, or -1.
 */
int
ap_crypto_hmac(int digest_length, ApBytes key, ApBytes message, unsigned char *mac)
{
	const EVP_MD *digest = digest_length == 64 ? EVP_sha512() : EVP_sha256();
	unsigned int len = 0;
	bool		ok;

	ok = HMAC(digest, key.data, (int) key.len, message.data, message.len,
			  mac, &len) != NULL;
	ERR_clear_error();
	return ok ? (int) len : -1;
}

/*
 * Set up a cipher context.
 */
static bool
begin(EVP_CIPHER_CTX *context, const Cipher *cipher)
{
	int			encrypt = cipher->encrypt ? 1 : 0;

	if (EVP_CipherInit_ex(context, cipher->type, NULL, NULL, NULL, encrypt) != 1)
		return false;
	if (cipher->tag != NULL &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_IVLEN, (int) cipher->iv.len, NULL) != 1)
		return false;
	return EVP_CipherInit_ex(context, NULL, NULL, cipher->key, cipher->iv.data, encrypt) == 1;
}

/*
 * Run a cipher over the input, into room for it and one block more.  Returns
 * the length of the output, or -1.
 */
static int
transform(EVP_CIPHER_CTX *context, const Cipher *cipher, ApBytes in, unsigned char *out)
{
	int			len = 0;
	int			last = 0;

	if (in.len > 0 && EVP_CipherUpdate(context, out, &len, in.data, (int) in.len) != 1)
		return -1;
	if (cipher->tag != NULL && !cipher->encrypt &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, AP_GCM_TAG, cipher->tag) != 1)
		return -1;
	if (EVP_CipherFinal_ex(context, out + len, &last) != 1)
		return -1;
	if (cipher->tag != NULL && cipher->encrypt &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, AP_GCM_TAG, cipher->tag) != 1)
		return -1;
	return len + last;
}

/*
 * Run a cipher and append its output.  On failure the buffer is as before.
 */
static bool
run(const Cipher *cipher, ApBytes in, ApBuffer *out)
{
	EVP_CIPHER_CTX *context;
	size_t		before = out->len;
	char	   *room;
	int			len = -1;

	if (in.len > INT_MAX - EVP_MAX_BLOCK_LENGTH)
		return false;
	room = ap_buffer_extend(out, in.len + AP_CBC_BLOCK);
	if (room == NULL)
		return false;
	context = EVP_CIPHER_CTX_new();
	if (context != NULL && begin(context, cipher))
		len = transform(context, cipher, in, (unsigned char *) room);
	EVP_CIPHER_CTX_free(context);
	ERR_clear_error();
	out->len = before + Max(len, 0);
	out->data[out->len] = '\0';
	return len >= 0;
}

/*
 * Encrypt by AES-256-CBC with PKCS#7 padding.
 */
bool
ap_crypto_cbc_encrypt(const unsigned char *key, const unsigned char *iv,
					  ApBytes plain, ApBuffer *sealed)
{
	Cipher		cipher = {EVP_aes_256_cbc(), true, key, {iv, AP_CBC_BLOCK}, NULL};

	return run(&cipher, plain, sealed);
}

/*
 * Decrypt by AES-256-CBC with PKCS#7 padding.
 */
bool
ap_crypto_cbc_decrypt(const unsigned char *key, const unsigned char *iv,
					  ApBytes sealed, ApBuffer *plain)
{
	Cipher		cipher = {EVP_aes_256_cbc(), false, key, {iv, AP_CBC_BLOCK}, NULL};

	return run(&cipher, sealed, plain);
}

/*
 * Encrypt by AES-256-GCM; the tag has AP_GCM_TAG bytes.
 */
bool
ap_crypto_gcm_encrypt(const unsigned char *key, ApBytes iv, ApBytes plain,
					  ApBuffer *sealed, unsigned char *tag)
{
	Cipher		cipher = {EVP_aes_256_gcm(), true, key, iv, tag};

	return run(&cipher, plain, sealed);
}

/*
 * Decrypt by AES-256-GCM; fails unless the tag fits.
 */
bool
ap_crypto_gcm_decrypt(const unsigned char *key, ApBytes iv, ApBytes sealed,
					  const unsigned char *tag, ApBuffer *plain)
{
	unsigned char expected[AP_GCM_TAG];
	Cipher		cipher = {EVP_aes_256_gcm(), false, key, iv, expected};

	memcpy(expected, tag, AP_GCM_TAG);
	return run(&cipher, sealed, plain);
}

/*
 * Append bytes as lower-case hexadecimal digits.
 */
bool
ap_crypto_to_hex(ApBytes bytes, ApBuffer *text)
{
	static const char digits[] = "0123456789abcdef";
	char	   *room = ap_buffer_extend(text, bytes.len * 2);

	if (room == NULL)
		return false;
	for (size_t i = 0; i < bytes.len; i++)
	{
		*room++ = digits[bytes.data[i] >> 4];
		*room++ = digits[bytes.data[i] & 15];
	}
	return true;
}

/*
 * Give the value of a hexadecimal digit, or -1.  In a form without jumps, which
 * random digits would mislead.
 */
static int
digit_value(char digit)
{
	unsigned int decimal = (unsigned char) digit - '0';
	unsigned int letter = ((unsigned char) digit | 0x20) - 'a';
	int			value = decimal <= 9 ? (int) decimal : -1;

	return letter <= 5 ? (int) letter + 10 : value;
}

/*
 * Append the bytes that hexadecimal digits of any case stand for.  Fails, with
 * the buffer as before, on anything else.
 */
bool
ap_crypto_from_hex(const char *text, size_t len, ApBuffer *bytes)
{
	size_t		before = bytes->len;
	char	   *room;
	int			bad = 0;

	if (len % 2 != 0 || (room = ap_buffer_extend(bytes, len / 2)) == NULL)
		return false;
	for (size_t i = 0; i < len; i += 2)
	{
		int			high = digit_value(text[i]);
		int			low = digit_value(text[i + 1]);

		bad |= high | low;
		*room++ = (char) ((unsigned int) high << 4 | (unsigned int) low);
	}
	if (bad >= 0)
		return true;
	bytes->len = before;
	return false;
}

/*
 * Append the bytes that strict base64 (whole groups, padded, no white space)
 * stands for.  Fails, with the buffer as before, on anything else.
 */
bool
ap_crypto_from_base64(const char *text, size_t len, ApBuffer *bytes)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		before = bytes->len;
	size_t		padding = 0;
	char	   *room;
	int			got;

	if (len == 0 || len % 4 != 0 || len > INT_MAX)
		return false;
	while (padding < 2 && text[len - padding - 1] == '=')
		padding++;
	for (size_t i = 0; i < len - padding; i++)
	{
		if (text[i] == '\0' || strchr(alphabet, text[i]) == NULL)
			return false;
	}
	room = ap_buffer_extend(bytes, len / 4 * 3);
	if (room == NULL)
		return false;
	got = EVP_DecodeBlock((unsigned char *) room, (const unsigned char *) text, (int) len);
	ERR_clear_error();
	bytes->len = before + (got < 0 ? 0 : got - padding);
	bytes->data[bytes->len] = '\0';
	return got >= 0;
}
