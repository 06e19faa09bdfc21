/*-------------------------------------------------------------------------
 *
 * options.c
 *		The options of servers and user mappings.
 *
 * A message never shows the value of a key.  A file that an option names is
 * read with the server's rights, so only those who may read the server's files
 * may set such an option.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "options.h"
#include "url.h"

#define AP_DEFAULT_TIMEOUT_MS 30000
#define AP_DEFAULT_CONNECT_TIMEOUT_MS 10000
#define AP_MAX_TIMEOUT_MS (60 * 60 * 1000)
#define AP_DEFAULT_CONCURRENCY 16
#define AP_MAX_CONCURRENCY 1024
#define AP_MAX_RATE 1000000.0

/* A key file holds one key and perhaps the end of a line. */
#define AP_KEY_FILE_SIZE 4096

/* Takes a value into the options; false with the status set if it is not valid. */
typedef bool (*TakeOption) (const char *name, const char *value,
							ApOptions *options, ApStatus *status);

/*-------------------------------------------------------------------------
 * Values
 *-------------------------------------------------------------------------
 */

/*
 * Refuse a value, showing it and what would be valid.
 */
static bool
refuse(const char *name, const char *value, ApStatus *status, const char *valid)
{
	ap_status_set(status, AP_BAD_ARGUMENT, "invalid value for option \"%s\": \"%s\"", name, value);
	ap_status_hint(status, "%s", valid);
	return false;
}

/*
 * Take a truth value.
 */
static bool
take_bool(const char *name, const char *value, bool *field, ApStatus *status)
{
	return parse_bool(value, field) ||
		refuse(name, value, status, "Valid values are \"on\" and \"off\".");
}

/*
 * Take one of the words of a list that is ended by NULL: its position is the
 * value.
 */
static bool
take_word(const char *name, const char *value, const char *const *words, int *field,
		  ApStatus *status)
{
	StringInfoData valid;

	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(value, words[i]) == 0)
		{
			*field = i;
			return true;
		}
	}
	initStringInfo(&valid);
	for (int i = 0; words[i] != NULL; i++)
		appendStringInfo(&valid, "%s\"%s\"", i == 0 ? "" : ", ", words[i]);
	return refuse(name, value, status, psprintf("Valid values are %s.", valid.data));
}

/*
 * Take a time: a number with a unit, or of milliseconds.
 */
static bool
take_time(const char *name, const char *value, int *field, ApStatus *status)
{
	int			ms;

	if (!parse_int(value, &ms, GUC_UNIT_MS, NULL) || ms < 1 || ms > AP_MAX_TIMEOUT_MS)
		return refuse(name, value, status,
					  "Valid values are times from \"1ms\" to \"1h\", such as \"1500ms\" or "
					  "\"30s\"; a bare number is milliseconds.");
	*field = ms;
	return true;
}

/*
 * Take the path of a file on the server.
 */
static bool
take_path(const char *name, const char *value, const char **field, ApStatus *status)
{
	if (!is_absolute_path(value))
		return refuse(name, value, status, "It must be an absolute path on the server.");
	*field = value;
	return true;
}

/*-------------------------------------------------------------------------
 * Options of a server
 *-------------------------------------------------------------------------
 */

/*
 * Take the base URL, less any slashes at its end.
 */
static bool
take_base_url(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	const char *complaint = NULL;
	char	   *url = pstrdup(value);

	if (!ap_url_check(value, &complaint))
	{
		/* the value is not shown: it may hold credentials */
		ap_status_set(status, AP_BAD_ARGUMENT, "invalid value for option \"%s\"", name);
		ap_status_detail(status, "%s", complaint);
		return false;
	}
	for (size_t len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
		url[len - 1] = '\0';
	options->base_url = url;
	return true;
}

/*
 * Take the encryption method.
 */
static bool
take_encryption(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	static const char *const words[] = {
		[AP_METHOD_NONE] = "none",
		[AP_METHOD_CBC] = "aes-256-cbc",
		[AP_METHOD_GCM] = "aes-256-gcm",
		NULL
	};
	int			word;

	if (!take_word(name, value, words, &word, status))
		return false;
	options->seal.method = word;
	return true;
}

/*
 * Take whether requests are encrypted.
 */
static bool
take_encrypt_requests(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	return take_bool(name, value, &options->encrypt_requests, status);
}

/*
 * Take whether an answer must be signed.
 */
static bool
take_require_signature(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	return take_bool(name, value, &options->seal.require_signature, status);
}

/*
 * Take the form of the HMAC key.
 */
static bool
take_signature_key(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	static const char *const words[] = {
		[AP_KEY_AUTO] = "auto",
		[AP_KEY_HEX] = "hex",
		[AP_KEY_TEXT] = "text",
		NULL
	};
	int			word;

	if (!take_word(name, value, words, &word, status))
		return false;
	options->seal.signature_key = word;
	return true;
}

/*
 * Take what an HMAC covers.
 */
static bool
take_signature_over(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	static const char *const words[] = {
		[AP_SIGNED_AUTO] = "auto",
		[AP_SIGNED_WIRE] = "wire",
		[AP_SIGNED_BYTES] = "bytes",
		[AP_SIGNED_PLAINTEXT] = "plaintext",
		[AP_SIGNED_BODY] = "body",
		NULL
	};
	int			word;

	if (!take_word(name, value, words, &word, status))
		return false;
	options->seal.signature_over = word;
	return true;
}

/*
 * Take the length of GCM's IV.
 */
static bool
take_gcm_iv_length(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	static const char *const words[] = {"auto", "12", "16", NULL};
	static const int lengths[] = {0, 12, 16};
	int			word;

	if (!take_word(name, value, words, &word, status))
		return false;
	options->seal.gcm_iv_length = lengths[word];
	return true;
}

/*
 * Take the file of the certificates to trust.
 */
static bool
take_ca_file(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	return take_path(name, value, &options->ca_file, status);
}

/*
 * Take the limit of a whole request.
 */
static bool
take_timeout(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	return take_time(name, value, &options->timeout_ms, status);
}

/*
 * Take the limit of making a connection.
 */
static bool
take_connect_timeout(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	return take_time(name, value, &options->connect_timeout_ms, status);
}

/*
 * Take the number of requests at the same time.
 */
static bool
take_max_concurrency(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	int			number;

	if (!parse_int(value, &number, 0, NULL) || number < 1 || number > AP_MAX_CONCURRENCY)
		return refuse(name, value, status, "Valid values are whole numbers from 1 to 1024.");
	options->max_concurrency = number;
	return true;
}

/*
 * Take the number of requests a second.
 */
static bool
take_rate_limit(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	double		rate;

	if (!parse_real(value, &rate, 0, NULL) || isnan(rate) || rate < 0.001 || rate > AP_MAX_RATE)
		return refuse(name, value, status,
					  "Valid values are requests a second, from 0.001 to 1000000.");
	options->rate_limit = rate;
	return true;
}

/*-------------------------------------------------------------------------
 * Options of a user mapping
 *-------------------------------------------------------------------------
 */

/*
 * Take the API key, which must be fit for a header.
 */
static bool
take_api_key(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	bool		good = value[0] != '\0';

	for (const char *c = value; *c != '\0'; c++)
		good = good && *c > ' ' && *c < 0x7f;
	if (!good)
	{
		ap_status_set(status, AP_BAD_ARGUMENT, "invalid value for option \"%s\"", name);
		ap_status_detail(status, "The key must be one or more printable ASCII characters without spaces.");
		return false;
	}
	options->api_key = value;
	return true;
}

/*
 * Take a key of 32 bytes.
 */
static bool
take_key(const char *name, const char *value, unsigned char *key, ApStatus *status)
{
	if (ap_seal_decode_key(value, key))
		return true;
	ap_status_set(status, AP_BAD_ARGUMENT, "invalid value for option \"%s\"", name);
	ap_status_detail(status, "The key must be 32 bytes: 64 hexadecimal digits, "
					 "44 characters of base64, or 32 characters taken as they are.");
	return false;
}

/*
 * Take the key of encryption.
 */
static bool
take_crypto_key(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	if (!take_key(name, value, options->seal.crypto_key, status))
		return false;
	options->crypto_key_text = value;
	return true;
}

/*
 * Take the key of signatures.
 */
static bool
take_hmac_key(const char *name, const char *value, ApOptions *options, ApStatus *status)
{
	if (!take_key(name, value, options->seal.hmac_key, status))
		return false;
	options->seal.hmac_key_text = value;
	return true;
}

/*-------------------------------------------------------------------------
 * The table
 *-------------------------------------------------------------------------
 */
static const struct Option
{
	const char *name;
	Oid			catalog;
	bool		names_file;		/* of the server's machine */
	TakeOption	take;			/* of a key's file: takes what it holds */
	const char *instead_of;		/* for a key's file: the option it replaces */
}			table[] = {
	{"base_url", ForeignServerRelationId, false, take_base_url, NULL},
	{"encryption", ForeignServerRelationId, false, take_encryption, NULL},
	{"encrypt_requests", ForeignServerRelationId, false, take_encrypt_requests, NULL},
	{"require_signature", ForeignServerRelationId, false, take_require_signature, NULL},
	{"signature_key", ForeignServerRelationId, false, take_signature_key, NULL},
	{"signature_over", ForeignServerRelationId, false, take_signature_over, NULL},
	{"gcm_iv_length", ForeignServerRelationId, false, take_gcm_iv_length, NULL},
	{"ca_file", ForeignServerRelationId, true, take_ca_file, NULL},
	{"timeout", ForeignServerRelationId, false, take_timeout, NULL},
	{"connect_timeout", ForeignServerRelationId, false, take_connect_timeout, NULL},
	{"max_concurrency", ForeignServerRelationId, false, take_max_concurrency, NULL},
	{"rate_limit", ForeignServerRelationId, false, take_rate_limit, NULL},
	{"api_key", UserMappingRelationId, false, take_api_key, NULL},
	{"api_key_file", UserMappingRelationId, true, take_api_key, "api_key"},
	{"crypto_key", UserMappingRelationId, false, take_crypto_key, NULL},
	{"crypto_key_file", UserMappingRelationId, true, take_crypto_key, "crypto_key"},
	{"hmac_key", UserMappingRelationId, false, take_hmac_key, NULL},
	{"hmac_key_file", UserMappingRelationId, true, take_hmac_key, "hmac_key"},
};

/*
 * Find an option by its name, or NULL.
 */
static const struct Option *
find(const char *name)
{
	for (int i = 0; i < (int) lengthof(table); i++)
	{
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

/*
 * Tell whether a list of options has one of a name.
 */
static bool
has_option(const List *list, const char *name)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		if (strcmp(((DefElem *) lfirst(cell))->defname, name) == 0)
			return true;
	}
	return false;
}

/*
 * Refuse an option that does not belong there, naming those that do.
 */
static bool
refuse_name(const char *name, Oid catalog, ApStatus *status)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < (int) lengthof(table); i++)
	{
		if (table[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", table[i].name);
	}
	ap_status_set(status, AP_BAD_OPTION_NAME, "invalid option \"%s\"", name);
	if (valid.len > 0)
		ap_status_hint(status, "Valid options in this context are: %s", valid.data);
	else
		ap_status_hint(status, "There are no valid options in this context.");
	return false;
}

/*-------------------------------------------------------------------------
 * Files of keys
 *-------------------------------------------------------------------------
 */

/*
 * Report a key file that cannot be used.
 */
static char *
refuse_file(const char *name, const char *reason, ApStatus *status)
{
	ap_status_set(status, AP_NOT_CONFIGURED, "could not read the file of option \"%s\"", name);
	ap_status_detail(status, "%s.", reason);
	return NULL;
}

/*
 * Read a key from a file, less the end of its line.  Returns NULL with the
 * status set when that is not possible.  Opened so as not to block, whatever
 * kind of file it is.
 */
static char *
read_key_file(const char *name, const char *path, ApStatus *status)
{
	char	   *key = palloc(AP_KEY_FILE_SIZE);
	int			fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK);
	struct stat mode = {0};
	ssize_t		len = -1;
	int			error;

	if (fd < 0)
		return refuse_file(name, strerror(errno), status);
	errno = 0;
	if (fstat(fd, &mode) == 0 && S_ISREG(mode.st_mode))
		len = read(fd, key, AP_KEY_FILE_SIZE);
	error = errno;
	CloseTransientFile(fd);
	if (len < 0)
		return refuse_file(name, error != 0 ? strerror(error) : "It is not a regular file", status);
	if (memchr(key, '\0', len) != NULL)
		return refuse_file(name, "It has a byte that is no character", status);
	if (len == AP_KEY_FILE_SIZE)
		return refuse_file(name, "It is too large for a key", status);
	if (mode.st_mode & S_IRWXO)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errhidestmt(true),
				 errhidecontext(true),
				 errmsg("the file of option \"%s\" is accessible to everybody on the server's machine", name),
				 errhint("Its permissions should be 0600 or 0640.")));
	while (len > 0 && strchr(AP_BLANKS, key[len - 1]) != NULL)
		len--;
	key[len] = '\0';
	return key;
}

/*
 * Describe the state of the files that options name, so that a change shows.
 * The result is empty if there are none.
 */
char *
ap_options_file_stamps(const List *list)
{
	StringInfoData stamps;
	ListCell   *cell;

	initStringInfo(&stamps);
	foreach(cell, list)
	{
		DefElem    *element = lfirst(cell);
		const struct Option *option = find(element->defname);
		struct stat file;

		if (option == NULL || !option->names_file ||
			stat(defGetString(element), &file) != 0)
			continue;
		appendStringInfo(&stamps, "%s %llu %lld %lld.%09ld\n", option->name,
						 (unsigned long long) file.st_ino, (long long) file.st_size,
						 (long long) file.st_mtim.tv_sec, (long) file.st_mtim.tv_nsec);
	}
	return stamps.data;
}

/*-------------------------------------------------------------------------
 * Lists of options
 *-------------------------------------------------------------------------
 */

/*
 * Set the values that hold where no option says otherwise.
 */
void
ap_options_default(ApOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->timeout_ms = AP_DEFAULT_TIMEOUT_MS;
	options->connect_timeout_ms = AP_DEFAULT_CONNECT_TIMEOUT_MS;
	options->max_concurrency = AP_DEFAULT_CONCURRENCY;
}

/*
 * Check one option as it is being set.
 */
static bool
check_option(const List *list, DefElem *element, Oid catalog, ApStatus *status)
{
	const struct Option *option = find(element->defname);
	ApOptions	scratch;
	const char *path;

	ap_options_default(&scratch);
	if (option == NULL || option->catalog != catalog)
		return refuse_name(element->defname, catalog, status);
	if (option->names_file && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
	{
		ap_status_set(status, AP_DENIED, "permission denied to set option \"%s\"", option->name);
		ap_status_detail(status, "Only roles with privileges of the role "
						 "\"pg_read_server_files\" may name a file of the server.");
		return false;
	}
	if (option->instead_of == NULL)
		return option->take(option->name, defGetString(element), &scratch, status);
	if (has_option(list, option->instead_of))
		return ap_status_set(status, AP_BAD_ARGUMENT,
							 "options \"%s\" and \"%s\" exclude each other",
							 option->instead_of, option->name);
	return take_path(option->name, defGetString(element), &path, status);
}

/*
 * Check the options of an object of a catalog as they are being set.
 */
bool
ap_options_check(const List *list, Oid catalog, ApStatus *status)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		if (!check_option(list, lfirst(cell), catalog, status))
			return false;
	}
	if (catalog == ForeignServerRelationId && !has_option(list, "base_url"))
	{
		ap_status_set(status, AP_BAD_ARGUMENT, "option \"base_url\" is required");
		ap_status_hint(status, "It is the address of the Allpass API, such as "
					   "OPTIONS (base_url 'https://host').");
		return false;
	}
	return true;
}

/*
 * Take a list of options into effect, reading the files that hold keys.  The
 * options keep texts of the current memory context.
 */
bool
ap_options_apply(const List *list, ApOptions *options, ApStatus *status)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *element = lfirst(cell);
		const struct Option *option = find(element->defname);
		const char *value = pstrdup(defGetString(element));

		if (option == NULL)
			return refuse_name(element->defname, InvalidOid, status);
		if (option->instead_of != NULL)
			value = read_key_file(option->name, value, status);
		if (value == NULL)
			return false;
		if (!option->take(option->name, value, options, status))
		{
			/* what stands in the catalog was valid, so it is what a file holds */
			status->code = AP_NOT_CONFIGURED;
			snprintf(status->message, sizeof(status->message),
					 "invalid key in the file of option \"%s\"", option->name);
			return false;
		}
	}
	return true;
}
