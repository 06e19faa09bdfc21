/*-------------------------------------------------------------------------
 *
 * config.h
 *		What the sandbox answers with: keys, encryption, mode, delay.
 *
 * A configuration is never changed once it is in force: a change makes a new
 * one, and a request keeps the one it began with until it is answered.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_CONFIG_H
#define SB_CONFIG_H

#include <stdatomic.h>

#include "text.h"

#define SB_KEY_LENGTH 32
#define SB_TEXT_MAX 256			/* longest key text and api key, with its end */

typedef enum SbEncryption
{
	SB_ENCRYPTION_NONE,
	SB_ENCRYPTION_CBC,
	SB_ENCRYPTION_GCM
} SbEncryption;

typedef enum SbSignatureOver
{
	SB_OVER_WIRE,				/* the string in "data" */
	SB_OVER_BYTES,				/* the bytes it stands for */
	SB_OVER_PLAINTEXT,			/* the JSON inside */
	SB_OVER_BODY,				/* the whole HTTP body */
	SB_OVER_NONE				/* no signature at all */
} SbSignatureOver;

typedef struct SbConfig
{
	atomic_uint refs;
	int			encryption;		/* SbEncryption */
	int			signature_over; /* SbSignatureOver */
	int			hmac_key_is_text;
	int			tag_inband;
	int			test_mode;
	int			log;
	int			gcm_iv_length;
	int			delay_ms;
	char		api_key[SB_TEXT_MAX];
	char		crypto_key[SB_TEXT_MAX];
	char		hmac_key[SB_TEXT_MAX];
	/* what the key texts stand for */
	unsigned char crypto_bytes[SB_KEY_LENGTH];
	unsigned char hmac_bytes[SB_TEXT_MAX];
	size_t		hmac_length;
} SbConfig;

extern void sb_config_defaults(SbConfig *config);
extern void sb_config_copy(SbConfig *to, const SbConfig *from);
extern bool sb_config_set(SbConfig *config, SbSlice name, const char *value, SbText *error);
extern bool sb_config_check(SbConfig *config, SbText *error);
extern void sb_config_render(const SbConfig *config, SbText *out);

extern void sb_config_install(const SbConfig *config);
extern SbConfig *sb_config_get(void);
extern void sb_config_release(SbConfig *config);

#endif							/* SB_CONFIG_H */
