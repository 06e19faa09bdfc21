/*-------------------------------------------------------------------------
 *
 * seal.c
 *		The encrypted form of a JSON text: sealing and opening.
 *
 * Opening verifies before it decrypts wherever the signature allows that, gives
 * out nothing that a signature does not fit, and fails in one way only, whatever was wrong, so that an answer cannot be used
 * to probe the keys.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "seal.h"

/* The shortest sealed texts, in bytes: an IV and the least of ciphertext. */
#define AP_CBC_SHORTEST (AP_CBC_BLOCK * 2)
#define AP_GCM_SHORTEST (12 + 1)

/* Everything that is at hand while one text is opened. */
typedef struct Opening
{
	const ApSeal *seal;
	ApBytes		wire;			/* as text */
	ApBytes		bytes;			/* decoded: IV and ciphertext */
	ApBytes		body;			/* the HTTP body around it */
	ApBytes		signature;		/* decoded; length 0 if there is none */
}			Opening;

/*
 * Report an answer that cannot be opened: one error, whatever was wrong.
 */
void
ap_seal_refuse(ApStatus *status)
{
	ap_status_set(status, AP_NOT_OPENED,
				  "could not decrypt or authenticate the answer of the Allpass API");
}

/*
 * Give a text without the white space around it.
 */
static ApBytes
trim(const char *text, size_t len)
{
	while (len > 0 && strchr(AP_BLANKS, text[0]) != NULL)
		text++, len--;
	while (len > 0 && strchr(AP_BLANKS, text[len - 1]) != NULL)
		len--;
	return (ApBytes) {(const unsigned char *) text, len};
}

/*
 * Give the content of a buffer as bytes.
 */
static ApBytes
content(const ApBuffer *buffer)
{
	return (ApBytes) {(const unsigned char *) ap_buffer_text(buffer), buffer->len};
}

/*
 * Decode hexadecimal digits or, failing that, base64.
 */
static bool
decode(ApBytes text, ApBuffer *bytes)
{
	return ap_crypto_from_hex((const char *) text.data, text.len, bytes) ||
		ap_crypto_from_base64((const char *) text.data, text.len, bytes);
}

/*
 * Decode the text of a key: 64 hexadecimal digits, 44 characters of base64 or
 * exactly 32 bytes.  Returns false for any other.
 */
bool
ap_seal_decode_key(const char *text, unsigned char *key)
{
	ApBuffer	bytes;
	size_t		len = strlen(text);
	bool		ok;

	ap_buffer_init(&bytes, AP_KEY_LENGTH + 1);
	if (len == AP_KEY_LENGTH * 2)
		ok = ap_crypto_from_hex(text, len, &bytes);
	else if (len == 44)
		ok = ap_crypto_from_base64(text, len, &bytes);
	else
		ok = len == AP_KEY_LENGTH && ap_buffer_append(&bytes, text, len);
	ok = ok && bytes.len == AP_KEY_LENGTH;
	if (ok)
		memcpy(key, bytes.data, AP_KEY_LENGTH);
	ap_buffer_free(&bytes);
	return ok;
}

/*
 * Tell whether a text could be a sealed one, by any method.
 */
bool
ap_seal_is_sealed(const char *text, size_t len)
{
	ApBuffer	bytes;
	bool		sealed;

	ap_buffer_init(&bytes, len);
	sealed = decode(trim(text, len), &bytes) && bytes.len >= AP_GCM_SHORTEST;
	ap_buffer_free(&bytes);
	return sealed;
}

/*-------------------------------------------------------------------------
 * Sealing
 *-------------------------------------------------------------------------
 */

/*
 * Sign an outbound message by the first reading that the options allow.
 */
static bool
sign(const ApSeal *seal, ApBytes wire, ApBytes bytes, ApBytes plain, ApBytes body,
	 ApBuffer *signature)
{
	unsigned char mac[AP_HMAC_MAX];
	ApBytes		key = {seal->hmac_key, AP_KEY_LENGTH};
	ApBytes		message;

	if (seal->signature_key == AP_KEY_TEXT)
		key = (ApBytes) {(const unsigned char *) seal->hmac_key_text, strlen(seal->hmac_key_text)};
	switch (seal->signature_over)
	{
		case AP_SIGNED_BYTES:
			message = bytes;
			break;
		case AP_SIGNED_PLAINTEXT:
			message = plain;
			break;
		case AP_SIGNED_BODY:
			message = body;
			break;
		default:
			message = wire;
			break;
	}
	return ap_crypto_hmac(32, key, message, mac) == 32 &&
		ap_crypto_to_hex((ApBytes) {mac, 32}, signature);
}

/*
 * Encrypt a text: IV and ciphertext go to bytes, the tag of GCM to signature.
 */
static bool
encrypt(const ApSeal *seal, ApBytes plain, ApBuffer *bytes, ApBuffer *signature)
{
	unsigned char iv[16];
	unsigned char tag[AP_GCM_TAG];
	size_t		iv_length = 16;

	if (seal->method == AP_METHOD_GCM && seal->gcm_iv_length != 0)
		iv_length = seal->gcm_iv_length;
	if (!ap_crypto_random(iv, iv_length) || !ap_buffer_append(bytes, iv, iv_length))
		return false;
	if (seal->method == AP_METHOD_CBC)
		return ap_crypto_cbc_encrypt(seal->crypto_key, iv, plain, bytes);
	return ap_crypto_gcm_encrypt(seal->crypto_key, (ApBytes) {iv, iv_length}, plain, bytes, tag) &&
		ap_crypto_to_hex((ApBytes) {tag, AP_GCM_TAG}, signature);
}

/*
 * Seal a JSON text: make the request body {"data":"..."} and the value of the
 * signature header.  Returns false with the status set when it cannot be done.
 */
bool
ap_seal_close(const ApSeal *seal, ApBytes plain, ApBuffer *body,
			  ApBuffer *signature, ApStatus *status)
{
	static const char prefix[] = "{\"data\":\"";
	static const char suffix[] = "\"}";
	ApBuffer	bytes;
	bool		ok;

	ap_buffer_init(&bytes, plain.len + AP_CBC_BLOCK * 3);
	ok = encrypt(seal, plain, &bytes, signature) &&
		ap_buffer_append_text(body, prefix) &&
		ap_crypto_to_hex(content(&bytes), body) &&
		ap_buffer_append_text(body, suffix);
	if (ok && seal->method == AP_METHOD_CBC)
	{
		ApBytes		wire = {(unsigned char *) body->data + strlen(prefix), bytes.len * 2};

		ok = sign(seal, wire, content(&bytes), plain, content(body), signature);
	}
	ap_buffer_free(&bytes);
	return ok || ap_status_set(status, AP_NO_MEMORY, "could not encrypt a request to the Allpass API");
}

/*-------------------------------------------------------------------------
 * Opening
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether the signature is the HMAC of a message under one key.
 */
static bool
is_mac(const Opening *opening, ApBytes key, ApBytes message)
{
	unsigned char mac[AP_HMAC_MAX];
	size_t		len = opening->signature.len;

	if (len != 32 && len != 64)
		return false;
	return ap_crypto_hmac((int) len, key, message, mac) == (int) len &&
		ap_crypto_equal(mac, opening->signature.data, len);
}

/*
 * Tell whether the signature is the HMAC of a message, under the forms of the
 * key that the options allow.
 */
static bool
is_signed(const Opening *opening, ApBytes message)
{
	const ApSeal *seal = opening->seal;
	ApBytes		text = {(const unsigned char *) seal->hmac_key_text, strlen(seal->hmac_key_text)};
	bool		good = false;

	if (seal->signature_key != AP_KEY_TEXT)
		good |= is_mac(opening, (ApBytes) {seal->hmac_key, AP_KEY_LENGTH}, message);
	if (seal->signature_key != AP_KEY_HEX)
		good |= is_mac(opening, text, message);
	return good;
}

/*
 * Verify by the readings that need no decryption.
 */
static bool
verify_sealed(const Opening *opening)
{
	switch (opening->seal->signature_over)
	{
		case AP_SIGNED_AUTO:
			return is_signed(opening, opening->wire) ||
				is_signed(opening, opening->bytes) ||
				is_signed(opening, opening->body);
		case AP_SIGNED_WIRE:
			return is_signed(opening, opening->wire);
		case AP_SIGNED_BYTES:
			return is_signed(opening, opening->bytes);
		case AP_SIGNED_BODY:
			return is_signed(opening, opening->body);
		case AP_SIGNED_PLAINTEXT:
			break;
	}
	return false;
}

/*
 * Open a text of AES-256-CBC.  A signature is verified before anything is
 * decrypted, unless it may be one over the plaintext.
 */
static bool
open_cbc(const Opening *opening, ApBuffer *plain)
{
	const ApSeal *seal = opening->seal;
	bool		has_signature = opening->signature.len > 0;
	bool		verified = has_signature && verify_sealed(opening);
	bool		may_sign_plaintext = has_signature &&
		(seal->signature_over == AP_SIGNED_AUTO || seal->signature_over == AP_SIGNED_PLAINTEXT);
	ApBytes		sealed = {opening->bytes.data + AP_CBC_BLOCK, opening->bytes.len - AP_CBC_BLOCK};

	if (opening->bytes.len < AP_CBC_SHORTEST || opening->bytes.len % AP_CBC_BLOCK != 0)
		return false;
	if (!verified && !may_sign_plaintext && (has_signature || seal->require_signature))
		return false;
	if (!ap_crypto_cbc_decrypt(seal->crypto_key, opening->bytes.data, sealed, plain))
		return false;
	return verified || !has_signature || is_signed(opening, content(plain));
}

/*
 * Open a text of AES-256-GCM with one length of IV; the tag is the signature
 * or, where there is none, the end of the text.
 */
static bool
open_gcm(const Opening *opening, size_t iv_length, ApBuffer *plain)
{
	ApBytes		iv = {opening->bytes.data, iv_length};
	ApBytes		sealed = {opening->bytes.data + iv_length, 0};
	const unsigned char *tag = opening->signature.data;
	size_t		around = iv_length;

	if (opening->signature.len == 0)
		around += AP_GCM_TAG;
	else if (opening->signature.len != AP_GCM_TAG)
		return false;
	if (opening->bytes.len < around)
		return false;
	sealed.len = opening->bytes.len - around;
	if (opening->signature.len == 0)
		tag = sealed.data + sealed.len;
	return ap_crypto_gcm_decrypt(opening->seal->crypto_key, iv, sealed, tag, plain);
}

/*
 * Open a decoded text by the server's own method.
 */
static bool
open_bytes(const Opening *opening, ApBuffer *plain)
{
	int			iv_length = opening->seal->gcm_iv_length;

	switch (opening->seal->method)
	{
		case AP_METHOD_CBC:
			return open_cbc(opening, plain);
		case AP_METHOD_GCM:
			if (iv_length != 0)
				return open_gcm(opening, iv_length, plain);
			return open_gcm(opening, 16, plain) || open_gcm(opening, 12, plain);
		case AP_METHOD_NONE:
			break;
	}
	return false;
}

/*
 * Decode the value of the signature header, which may be NULL.  Returns false
 * if there is one that cannot be decoded.
 */
static bool
decode_signature(const char *text, ApBuffer *bytes)
{
	ApBytes		trimmed = trim(text ? text : "", text ? strlen(text) : 0);
	static const char prefix[] = "sha256=";

	if (trimmed.len > strlen(prefix) &&
		pg_strncasecmp((const char *) trimmed.data, prefix, strlen(prefix)) == 0)
		trimmed = trim((const char *) trimmed.data + strlen(prefix), trimmed.len - strlen(prefix));
	return trimmed.len == 0 || decode(trimmed, bytes);
}

/*
 * Open a sealed text.  The signature is the header's value, or NULL; the body
 * is the HTTP body that held the text.  Returns false with the status set.
 */
bool
ap_seal_open(const ApSeal *seal, ApBytes wire, const char *signature, ApBytes body,
			 ApBuffer *plain, ApStatus *status)
{
	ApBuffer	bytes;
	ApBuffer	signature_bytes;
	Opening		opening = {.seal = seal, .body = body};
	bool		ok;

	opening.wire = trim((const char *) wire.data, wire.len);
	ap_buffer_init(&bytes, wire.len);
	ap_buffer_init(&signature_bytes, AP_HMAC_MAX + 2);
	ok = decode(opening.wire, &bytes) && decode_signature(signature, &signature_bytes);
	if (ok && seal->method == AP_METHOD_CBC && signature_bytes.len > 0 && seal->hmac_key_text == NULL)
	{
		ok = ap_status_set(status, AP_NOT_CONFIGURED, "user mapping has no \"hmac_key\"");
		ap_status_detail(status, "The answer is signed, and the signature must be verified.");
	}
	else
	{
		opening.bytes = content(&bytes);
		opening.signature = content(&signature_bytes);
		ok = ok && open_bytes(&opening, plain);
		if (!ok)
			ap_seal_refuse(status);
		if (!ok && seal->method == AP_METHOD_GCM && signature == NULL)
			ap_status_detail(status, "The answer has no header \"x-allpass-signature\", "
							 "which carries the authentication tag.");
	}
	ap_buffer_free(&signature_bytes);
	ap_buffer_free(&bytes);
	return ok;
}
