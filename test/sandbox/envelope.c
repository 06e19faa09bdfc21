/*-------------------------------------------------------------------------
 *
 * envelope.c
 *		The outer form of answers, and the sealed form of data.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include <microhttpd.h>

#include "cipher.h"
#include "clock.h"
#include "envelope.h"

#define SUCCESS_HEAD "{\"status\":true,\"statusCode\":200,\"data\":"

/* Append the member "time" and the end of the envelope */
static void
close_envelope(SbText *body)
{
	char		time[SB_TIME_LENGTH + 1];

	sb_clock_format(sb_clock_wall(), time);
	sb_text_add(body, ",\"time\":\"", 9);
	sb_text_add(body, time, SB_TIME_LENGTH);
	sb_text_add(body, "\"}", 2);
}

/* Choose what an HMAC covers */
static SbSlice
covered(const SbConfig *config, SbSlice wire, SbSlice bytes, SbSlice plain, SbSlice body)
{
	switch ((SbSignatureOver) config->signature_over)
	{
		case SB_OVER_BYTES:
			return bytes;
		case SB_OVER_PLAINTEXT:
			return plain;
		case SB_OVER_BODY:
			return body;
		default:
			return wire;
	}
}

/* Write bytes as a C string of hexadecimal digits */
static void
write_hex(char *out, const unsigned char *bytes, size_t length)
{
	static const char *const digits = "0123456789abcdef";

	for (size_t i = 0; i < length; i++)
	{
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

/* Write the envelope around sealed data, and its signature */
static bool
seal(const SbConfig *config, SbSlice plain, SbText *bytes, SbText *body, char *signature)
{
	bool		gcm = config->encryption == SB_ENCRYPTION_GCM;
	int			iv_length = gcm ? config->gcm_iv_length : 16;
	unsigned char iv[SB_IV_MAX];
	unsigned char proof[SB_HMAC_LENGTH];
	size_t		start = body->length + 1;
	SbSlice		wire;

	if (!sb_cipher_random(iv, (size_t) iv_length))
		return false;
	sb_text_add(bytes, (char *) iv, (size_t) iv_length);
	if (!sb_cipher_encrypt(gcm, config->crypto_bytes, iv, iv_length, plain, bytes, proof))
		return false;
	if (gcm && config->tag_inband)
		sb_text_add(bytes, (char *) proof, SB_TAG_LENGTH);
	sb_text_add(body, "\"", 1);
	sb_text_hex(body, (unsigned char *) bytes->data, bytes->length);
	sb_text_add(body, "\"", 1);
	close_envelope(body);
	if (gcm && !config->tag_inband)
		write_hex(signature, proof, SB_TAG_LENGTH);
	if (gcm || config->signature_over == SB_OVER_NONE)
		return true;
	wire = (SbSlice) {body->data + start, bytes->length * 2};
	if (!sb_cipher_hmac(config->hmac_bytes, config->hmac_length,
						covered(config, wire, sb_text_slice(bytes), plain, sb_text_slice(body)),
						proof))
		return false;
	write_hex(signature, proof, SB_HMAC_LENGTH);
	return true;
}

/*
 * Write the envelope of a success, sealed if the configuration says so.
 *
 * The signature is left empty where none is sent.
 */
bool
sb_envelope_success(const SbConfig *config, SbSlice data, SbText *body, char *signature)
{
	SbText		bytes = {0};
	bool		done;

	*signature = '\0';
	sb_text_reserve(body, data.length + 128);
	sb_text_add(body, SUCCESS_HEAD, sizeof(SUCCESS_HEAD) - 1);
	if (config->encryption == SB_ENCRYPTION_NONE)
	{
		sb_text_put(body, data);
		close_envelope(body);
		return true;
	}
	done = seal(config, data, &bytes, body, signature);
	sb_text_free(&bytes);
	return done;
}

/*
 * Write the envelope of a failure; errors are never sealed.
 *
 * The message is any JSON text, or absent for the name of the status.
 */
void
sb_envelope_error(int status, SbSlice message, SbSlice data, SbText *body)
{
	SbSlice		reason = sb_slice(MHD_get_reason_phrase_for((unsigned int) status));

	sb_text_printf(body, "{\"status\":false,\"statusCode\":%d,", status);
	if (data.data != NULL)
	{
		sb_text_puts(body, "\"data\":");
		sb_text_put(body, data);
		sb_text_puts(body, ",");
	}
	sb_text_puts(body, "\"message\":");
	if (message.data != NULL)
		sb_text_put(body, message);
	else
		sb_text_quote(body, reason);
	sb_text_puts(body, ",\"error\":");
	sb_text_quote(body, reason);
	close_envelope(body);
}

/* Read a signature of a known length; false if it is not that */
static bool
read_signature(const char *signature, unsigned char *proof, size_t length)
{
	SbSlice		hex = sb_slice(signature);

	return hex.length == length * 2 && sb_hex_decode(hex, proof);
}

/* Tell whether the HMAC of a sealed request is right */
static bool
hmac_agrees(const SbConfig *config, SbSlice message, const unsigned char *proof)
{
	unsigned char digest[SB_HMAC_LENGTH];

	return sb_cipher_hmac(config->hmac_bytes, config->hmac_length, message, digest) &&
		sb_cipher_equal(digest, proof, SB_HMAC_LENGTH);
}

/* Open the bytes of a wire string; gives the reason for refusal, or NULL */
static const char *
open_bytes(const SbConfig *config, SbSlice wire, SbSlice bytes, SbSlice body,
		   const char *signature, SbText *plain)
{
	bool		gcm = config->encryption == SB_ENCRYPTION_GCM;
	bool		inband = gcm && config->tag_inband;
	bool		hmac = !gcm && config->signature_over != SB_OVER_NONE;
	size_t		iv_length = gcm ? (size_t) config->gcm_iv_length : 16;
	unsigned char proof[SB_HMAC_LENGTH];
	SbSlice		sealed;

	if (bytes.length < iv_length + (inband ? SB_TAG_LENGTH : 0))
		return "data is too short";
	sealed = (SbSlice) {bytes.data + iv_length, bytes.length - iv_length};
	if (inband)
	{
		sealed.length -= SB_TAG_LENGTH;
		memcpy(proof, sealed.data + sealed.length, SB_TAG_LENGTH);
	}
	else if ((gcm || hmac) &&
			 !read_signature(signature, proof, gcm ? SB_TAG_LENGTH : SB_HMAC_LENGTH))
		return "x-allpass-signature is missing or of a wrong form";
	if (!gcm && (sealed.length == 0 || sealed.length % 16 != 0))
		return "data is not a whole number of blocks";
	if (hmac && config->signature_over != SB_OVER_PLAINTEXT &&
		!hmac_agrees(config, covered(config, wire, bytes, sealed, body), proof))
		return "x-allpass-signature does not agree with data";
	if (!sb_cipher_decrypt(gcm, config->crypto_bytes, (const unsigned char *) bytes.data,
						   (int) iv_length, sealed, proof, plain))
		return "data could not be decrypted";
	if (hmac && config->signature_over == SB_OVER_PLAINTEXT &&
		!hmac_agrees(config, sb_text_slice(plain), proof))
		return "x-allpass-signature does not agree with data";
	return NULL;
}

/* Open the wire string of a request; gives the reason for refusal, or NULL */
const char *
sb_envelope_open(const SbConfig *config, SbSlice wire, SbSlice body,
				 const char *signature, SbText *plain)
{
	const char *refusal = "data must be hexadecimal digits";
	SbText		bytes = {0};

	sb_text_reserve(&bytes, wire.length / 2 + 1);
	if (sb_hex_decode(wire, (unsigned char *) bytes.data))
	{
		bytes.length = wire.length / 2;
		refusal = open_bytes(config, wire, sb_text_slice(&bytes), body,
							 signature ? signature : "", plain);
	}
	sb_text_free(&bytes);
	return refusal;
}
