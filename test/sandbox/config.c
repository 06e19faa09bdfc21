/*-------------------------------------------------------------------------
 *
 * config.c
 *		What the sandbox answers with: keys, encryption, mode, delay.
 *
 * The command line and the control path name the same fields; one table
 * serves both.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define MAX_DELAY_MS 3600000

typedef enum FieldKind
{
	FIELD_CHOICE,
	FIELD_NUMBER,
	FIELD_TEXT
} FieldKind;

typedef struct Field
{
	const char *name;
	FieldKind	kind;
	size_t		offset;
	const char *const *choices; /* FIELD_CHOICE: the texts of 0, 1, ... */
	int			minimum;
	int			maximum;
} Field;

static const char *const encryption_choices[] = {"none", "aes-256-cbc", "aes-256-gcm", NULL};
static const char *const over_choices[] = {"wire", "bytes", "plaintext", "body", "none", NULL};
static const char *const key_choices[] = {"hex", "text", NULL};
static const char *const tag_choices[] = {"header", "inband", NULL};
static const char *const mode_choices[] = {"live", "test", NULL};
static const char *const switch_choices[] = {"false", "true", NULL};

static const Field fields[] = {
	{"encryption", FIELD_CHOICE, offsetof(SbConfig, encryption), encryption_choices, 0, 0},
	{"crypto_key", FIELD_TEXT, offsetof(SbConfig, crypto_key), NULL, 0, 0},
	{"hmac_key", FIELD_TEXT, offsetof(SbConfig, hmac_key), NULL, 0, 0},
	{"signature_key", FIELD_CHOICE, offsetof(SbConfig, hmac_key_is_text), key_choices, 0, 0},
	{"signature_over", FIELD_CHOICE, offsetof(SbConfig, signature_over), over_choices, 0, 0},
	{"gcm_iv_length", FIELD_NUMBER, offsetof(SbConfig, gcm_iv_length), NULL, 12, 16},
	{"tag", FIELD_CHOICE, offsetof(SbConfig, tag_inband), tag_choices, 0, 0},
	{"mode", FIELD_CHOICE, offsetof(SbConfig, test_mode), mode_choices, 0, 0},
	{"log", FIELD_CHOICE, offsetof(SbConfig, log), switch_choices, 0, 0},
	{"api_key", FIELD_TEXT, offsetof(SbConfig, api_key), NULL, 0, 0},
	{"delay_ms", FIELD_NUMBER, offsetof(SbConfig, delay_ms), NULL, 0, MAX_DELAY_MS},
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SbConfig *current;

/* Fill in what holds where nothing is said */
void
sb_config_defaults(SbConfig *config)
{
	*config = (SbConfig) {.log = 1,.gcm_iv_length = 16};
	strcpy(config->api_key, "sandbox-key");
	strcpy(config->crypto_key,
		   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	strcpy(config->hmac_key,
		   "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
}

/* Copy a configuration but for the count of its users, who come and go meanwhile */
void
sb_config_copy(SbConfig *to, const SbConfig *from)
{
	size_t		first = offsetof(SbConfig, encryption);

	memcpy((char *) to + first, (const char *) from + first, sizeof(SbConfig) - first);
}

/* Choose one of the words a field knows */
static bool
set_choice(const Field *field, int *place, const char *value, SbText *error)
{
	for (int i = 0; field->choices[i] != NULL; i++)
		if (strcmp(field->choices[i], value) == 0)
		{
			*place = i;
			return true;
		}
	sb_text_printf(error, "%s must be one of:", field->name);
	for (int i = 0; field->choices[i] != NULL; i++)
		sb_text_printf(error, "%s %s", i ? "," : "", field->choices[i]);
	return false;
}

/* Set one field from text; false with the reason in *error */
bool
sb_config_set(SbConfig *config, SbSlice name, const char *value, SbText *error)
{
	for (size_t i = 0; i < FIELD_COUNT; i++)
	{
		const Field *field = &fields[i];
		char	   *place = (char *) config + field->offset;
		char	   *end;
		long		number;

		if (!sb_slice_is(name, field->name))
			continue;
		switch (field->kind)
		{
			case FIELD_CHOICE:
				return set_choice(field, (int *) (void *) place, value, error);
			case FIELD_TEXT:
				if (strlen(value) < SB_TEXT_MAX)
				{
					strcpy(place, value);
					return true;
				}
				sb_text_printf(error, "%s must be shorter than %d bytes",
							   field->name, SB_TEXT_MAX);
				return false;
			case FIELD_NUMBER:
				number = strtol(value, &end, 10);
				if (end > value && *end == '\0' &&
					number >= field->minimum && number <= field->maximum)
				{
					*(int *) (void *) place = (int) number;
					return true;
				}
				sb_text_printf(error, "%s must be a number from %d to %d",
							   field->name, field->minimum, field->maximum);
				return false;
		}
	}
	sb_text_puts(error, "unknown field ");
	sb_text_put(error, name);
	return false;
}

/* Work out the keys, and refuse what does not go together */
bool
sb_config_check(SbConfig *config, SbText *error)
{
	SbSlice		hmac_key = sb_slice(config->hmac_key);

	if (strlen(config->crypto_key) != SB_KEY_LENGTH * 2 ||
		!sb_hex_decode(sb_slice(config->crypto_key), config->crypto_bytes))
	{
		sb_text_puts(error, "crypto_key must be 64 hexadecimal digits");
		return false;
	}
	if (config->gcm_iv_length != 12 && config->gcm_iv_length != 16)
	{
		sb_text_puts(error, "gcm_iv_length must be 12 or 16");
		return false;
	}
	if (config->api_key[0] == '\0' || hmac_key.length == 0)
	{
		sb_text_puts(error, "api_key and hmac_key must not be empty");
		return false;
	}
	config->hmac_length = config->hmac_key_is_text ? hmac_key.length : hmac_key.length / 2;
	if (config->hmac_key_is_text)
		memcpy(config->hmac_bytes, hmac_key.data, hmac_key.length);
	else if (!sb_hex_decode(hmac_key, config->hmac_bytes))
	{
		sb_text_puts(error, "hmac_key must be hexadecimal digits unless signature_key is text");
		return false;
	}
	return true;
}

/* Write all fields as a JSON object; a sandbox has no secrets */
void
sb_config_render(const SbConfig *config, SbText *out)
{
	for (size_t i = 0; i < FIELD_COUNT; i++)
	{
		const Field *field = &fields[i];
		const char *place = (const char *) config + field->offset;

		sb_text_printf(out, "%s\"%s\":", i ? "," : "{", field->name);
		if (field->kind == FIELD_TEXT)
			sb_text_quote(out, sb_slice(place));
		else if (field->kind == FIELD_NUMBER)
			sb_text_printf(out, "%d", *(const int *) (const void *) place);
		else if (field->choices == switch_choices)
			sb_text_puts(out, field->choices[*(const int *) (const void *) place]);
		else
			sb_text_quote(out, sb_slice(field->choices[*(const int *) (const void *) place]));
	}
	sb_text_puts(out, "}");
}

/* Put a checked configuration in force, or with NULL none */
void
sb_config_install(const SbConfig *config)
{
	SbConfig   *fresh = NULL;
	SbConfig   *old;

	if (config != NULL)
	{
		fresh = sb_alloc(sizeof(SbConfig));
		sb_config_copy(fresh, config);
		atomic_init(&fresh->refs, 1);
	}
	pthread_mutex_lock(&lock);
	old = current;
	current = fresh;
	pthread_mutex_unlock(&lock);
	if (old != NULL)
		sb_config_release(old);
}

/* Take hold of the configuration in force */
SbConfig *
sb_config_get(void)
{
	SbConfig   *config;

	pthread_mutex_lock(&lock);
	config = current;
	atomic_fetch_add(&config->refs, 1);
	pthread_mutex_unlock(&lock);
	return config;
}

/* Let go of a configuration */
void
sb_config_release(SbConfig *config)
{
	if (atomic_fetch_sub(&config->refs, 1) == 1)
		free(config);
}
