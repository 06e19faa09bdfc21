/*-------------------------------------------------------------------------
 *
 * seal.h
 *		The encrypted form of a JSON text: sealing and opening.
 *
 * A sealed text ("wire string") is the IV followed by the ciphertext, in
 * hexadecimal; the header x-allpass-signature carries an HMAC (CBC) or the
 * authentication tag (GCM).  What the vendor's page leaves open is an option
 * here, with "auto" for: accept each reading that can be verified.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SEAL_H
#define AP_SEAL_H

#include "crypto.h"
#include "status.h"

typedef enum ApMethod
{
	AP_METHOD_NONE,
	AP_METHOD_CBC,
	AP_METHOD_GCM
} ApMethod;

/* How the text of the HMAC key becomes bytes. */
typedef enum ApKeyForm
{
	AP_KEY_AUTO,
	AP_KEY_HEX,					/* decoded */
	AP_KEY_TEXT					/* the bytes of the text itself */
} ApKeyForm;

/* What an HMAC covers. */
typedef enum ApSigned
{
	AP_SIGNED_AUTO,
	AP_SIGNED_WIRE,				/* the sealed text */
	AP_SIGNED_BYTES,			/* IV and ciphertext */
	AP_SIGNED_PLAINTEXT,
	AP_SIGNED_BODY				/* the whole HTTP body */
} ApSigned;

typedef struct ApSeal
{
	ApMethod	method;
	ApKeyForm	signature_key;
	ApSigned	signature_over;
	int			gcm_iv_length;	/* 12, 16, or 0 for auto */
	bool		require_signature;
	unsigned char crypto_key[AP_KEY_LENGTH];
	unsigned char hmac_key[AP_KEY_LENGTH];
	const char *hmac_key_text;	/* NULL if there is no HMAC key */
} ApSeal;

extern void ap_seal_refuse(ApStatus *status);
extern bool ap_seal_decode_key(const char *text, unsigned char *key);
extern bool ap_seal_is_sealed(const char *text, size_t len);
extern bool ap_seal_close(const ApSeal *seal, ApBytes plain, ApBuffer *body,
						  ApBuffer *signature, ApStatus *status);
extern bool ap_seal_open(const ApSeal *seal, ApBytes wire, const char *signature,
						 ApBytes body, ApBuffer *plain, ApStatus *status);

#endif							/* AP_SEAL_H */
