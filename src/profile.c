/*-------------------------------------------------------------------------
 *
 * profile.c
 *		A server with the keys of a role: everything a call needs to know.
 *
 * Reading the catalogs costs more than a call on a warm connection may, so
 * what a name meant to a role is remembered until a server or a mapping of
 * any kind changes; the files that options name are looked at every time.  A
 * profile is counted by the lookups that lead to it and by the calls that use
 * it, and closes its connections with the last of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "profile.h"

/* The validator that marks a foreign data wrapper as ours. */
#define AP_VALIDATOR "allpass_validator"

/* When the latest request to a server started, in microseconds. */
typedef struct RateClock
{
	Oid			server_id;
	pg_atomic_uint64 last_start;
}			RateClock;

/* What a server's name means to a role. */
typedef struct Lookup
{
	NameData	server_name;
	Oid			role;
	ApProfile  *profile;
}			Lookup;

/*
 * More than a session uses at the same time.  They stand in the order of their
 * last use, and the first makes room.
 */
#define AP_LOOKUPS 32

pg_atomic_uint64 *(*ap_profile_shared_clock) (Oid server_id) = NULL;

static Lookup lookups[AP_LOOKUPS];
static int	nlookups = 0;

/* Changes of servers and mappings: how many there were, and are dealt with. */
static uint64 changes = 0;
static uint64 reviewed = 0;

/*
 * Give up one count of a profile, and the profile with the last.
 */
static void
release(void *arg)
{
	ApProfile  *profile = arg;

	if (--profile->references > 0)
		return;
	if (profile->pool != NULL)
		ap_http_pool_close(profile->pool);
	MemoryContextDelete(profile->context);
}

/*
 * Keep a profile alive as long as the current memory context.
 */
void
ap_profile_hold(ApProfile *profile)
{
	MemoryContextCallback *callback = palloc0(sizeof(*callback));

	callback->func = release;
	callback->arg = profile;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	profile->references++;
}

/*
 * Note that some server or mapping has changed.  Nothing more: this may be
 * called while a call is under way.
 */
static void
on_change(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	changes++;
}

/*
 * Ask to be told of changes, once in a backend.
 */
static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_change, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_change, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_change, (Datum) 0);
	watching = true;
}

/*
 * Find the server of a name.
 */
static ForeignServer *
find_server(const char *name, ApStatus *status)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	ForeignDataWrapper *wrapper;
	char	   *validator;

	if (server == NULL)
	{
		ap_status_set(status, AP_NOT_CONFIGURED, "server \"%s\" does not exist", name);
		ap_status_hint(status, "Use CREATE SERVER ... FOREIGN DATA WRAPPER allpass, "
					   "or name another server in the setting \"allpass.server\".");
		return NULL;
	}
	wrapper = GetForeignDataWrapper(server->fdwid);
	validator = OidIsValid(wrapper->fdwvalidator) ? get_func_name(wrapper->fdwvalidator) : NULL;
	if (validator == NULL || strcmp(validator, AP_VALIDATOR) != 0)
	{
		ap_status_set(status, AP_NOT_CONFIGURED, "server \"%s\" is not a server of the Allpass API", name);
		ap_status_hint(status, "Its foreign data wrapper must be \"allpass\".");
		return NULL;
	}
	return server;
}

/*
 * Check that the role has USAGE on the server.
 */
static bool
may_use(Oid server_id, const char *name, Oid role, ApStatus *status)
{
	return ap_compat_may_use_server(server_id, role) ||
		ap_status_set(status, AP_DENIED, "permission denied for foreign server %s", name);
}

/*
 * Find the mapping of a role, else that of PUBLIC: its OID and options.
 */
static Oid
find_mapping(Oid server_id, Oid role, List **list)
{
	HeapTuple	tuple;
	Datum		options;
	bool		isnull;
	Oid			mapping_id;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role),
							ObjectIdGetDatum(server_id));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(server_id));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	mapping_id = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
	options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							  Anum_pg_user_mapping_umoptions, &isnull);
	*list = isnull ? NIL : untransformRelOptions(options);
	ReleaseSysCache(tuple);
	return mapping_id;
}

/*
 * Describe everything that a profile depends on, so that a change shows.
 */
static char *
make_fingerprint(const ForeignServer *server, const List *mapping_list)
{
	const List *lists[] = {server->options, mapping_list};
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	appendStringInfo(&text, "%s\n", server->servername);
	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		foreach(cell, lists[i])
		{
			DefElem    *element = lfirst(cell);

			appendStringInfo(&text, "%s=%s\n", element->defname, defGetString(element));
		}
	}
	appendStringInfoString(&text, ap_options_file_stamps(server->options));
	appendStringInfoString(&text, ap_options_file_stamps(mapping_list));
	return text.data;
}

/*
 * Collect the options into a new profile, and check that they suffice.
 */
static bool
fill(ApProfile *profile, const ForeignServer *server, const List *mapping_list, ApStatus *status)
{
	ApOptions  *options = &profile->options;
	ApSeal	   *seal = &options->seal;
	const char *missing = NULL;

	ap_options_default(options);
	if (!ap_options_apply(server->options, options, status) ||
		!ap_options_apply(mapping_list, options, status))
		return false;
	if (options->base_url == NULL)
		return ap_status_set(status, AP_NOT_CONFIGURED, "server \"%s\" has no option \"base_url\"",
							 server->servername);
	if (options->api_key == NULL)
		missing = "api_key";
	else if (seal->method != AP_METHOD_NONE && options->crypto_key_text == NULL)
		missing = "crypto_key";
	else if (seal->method == AP_METHOD_CBC && seal->hmac_key_text == NULL &&
			 (seal->require_signature || options->encrypt_requests))
		missing = "hmac_key";
	if (missing != NULL)
	{
		ap_status_set(status, AP_NOT_CONFIGURED, "user mapping for server \"%s\" has no option \"%s\"",
					  server->servername, missing);
		ap_status_hint(status, "Use ALTER USER MAPPING ... OPTIONS (ADD %s_file '...'), or (ADD %s '...').", missing, missing);
		return false;
	}
	if (options->encrypt_requests && seal->method == AP_METHOD_NONE)
		return ap_status_set(status, AP_NOT_CONFIGURED,
							 "server \"%s\" has option \"encrypt_requests\" but no method in \"encryption\"",
							 server->servername);
	return true;
}

/*
 * List the texts of the keys, which must not get into a message.
 */
static List *
list_secrets(const ApOptions *options)
{
	List	   *secrets = list_make1((char *) options->api_key);

	if (options->crypto_key_text != NULL)
		secrets = lappend(secrets, (char *) options->crypto_key_text);
	if (options->seal.hmac_key_text != NULL)
		secrets = lappend(secrets, (char *) options->seal.hmac_key_text);
	return secrets;
}

/*
 * Give the time at which the latest request to a server started.  It is one
 * for all roles and outlives the profiles, so that neither stretches the limit;
 * if there is a limit, it may be one for several processes, too.
 */
static pg_atomic_uint64 *
rate_clock(Oid server_id, bool is_limited)
{
	static HTAB *clocks = NULL;
	RateClock  *clock;
	pg_atomic_uint64 *shared = NULL;
	bool		found;

	if (is_limited && ap_profile_shared_clock != NULL)
		shared = ap_profile_shared_clock(server_id);
	if (shared != NULL)
		return shared;
	if (clocks == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(RateClock)};

		clocks = hash_create("allpass rate clocks", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	clock = hash_search(clocks, &server_id, HASH_ENTER, &found);
	if (!found)
		pg_atomic_init_u64(&clock->last_start, 0);
	return &clock->last_start;
}

/*
 * Make a profile from the catalogs' current state.
 */
static ApProfile *
make(const ForeignServer *server, Oid mapping_id, const List *mapping_list,
	 const char *fingerprint, ApStatus *status)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "allpass profile",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ApProfile  *profile = palloc0(sizeof(*profile));
	bool		ok;

	profile->context = context;
	profile->server_id = server->serverid;
	profile->mapping_id = mapping_id;
	profile->fingerprint = pstrdup(fingerprint);
	profile->list = list_concat(copyObject(server->options), copyObject((List *) mapping_list));
	profile->file_stamps = ap_options_file_stamps(profile->list);
	ok = fill(profile, server, mapping_list, status);
	profile->rate_clock = rate_clock(server->serverid, profile->options.rate_limit > 0);
	if (ok)
		profile->secrets = list_secrets(&profile->options);
	MemoryContextSwitchTo(old);
	if (ok)
	{
		MemoryContextSetParent(context, TopMemoryContext);
		return profile;
	}
	MemoryContextDelete(context);
	return NULL;
}

/*
 * Take a lookup out of the table.
 */
static void
forget(int index)
{
	ApProfile  *profile = lookups[index].profile;

	nlookups--;
	memmove(&lookups[index], &lookups[index + 1], (nlookups - index) * sizeof(Lookup));
	release(profile);
}

/*
 * Remember what a name means to a role.
 */
static void
remember(const char *name, Oid role, ApProfile *profile)
{
	Lookup	   *lookup;

	/* it may be the profile of the lookup that this one replaces */
	profile->references++;
	for (int i = nlookups - 1; i >= 0; i--)
	{
		if (lookups[i].role == role && strcmp(NameStr(lookups[i].server_name), name) == 0)
			forget(i);
	}
	if (nlookups == AP_LOOKUPS)
		forget(0);
	lookup = &lookups[nlookups++];
	namestrcpy(&lookup->server_name, name);
	lookup->role = role;
	lookup->profile = profile;
}

/*
 * Find a remembered profile that was made from this state of the catalogs.
 */
static ApProfile *
find_same(Oid server_id, Oid mapping_id, const char *fingerprint)
{
	for (int i = 0; i < nlookups; i++)
	{
		ApProfile  *profile = lookups[i].profile;

		if (profile->server_id == server_id && profile->mapping_id == mapping_id &&
			strcmp(profile->fingerprint, fingerprint) == 0)
			return profile;
	}
	return NULL;
}

/*
 * Look a profile up in the catalogs.
 */
static ApProfile *
look_up(const char *name, Oid role, ApStatus *status)
{
	ForeignServer *server = find_server(name, status);
	ApProfile  *profile;
	List	   *mapping_list = NIL;
	Oid			mapping_id;
	char	   *fingerprint;

	if (server == NULL || !may_use(server->serverid, name, role, status))
		return NULL;
	mapping_id = find_mapping(server->serverid, role, &mapping_list);
	if (!OidIsValid(mapping_id))
	{
		ap_status_set(status, AP_NOT_CONFIGURED, "no user mapping for role \"%s\" on server \"%s\"",
					  GetUserNameFromId(role, true), name);
		ap_status_hint(status, "Use CREATE USER MAPPING FOR ... SERVER %s OPTIONS (api_key_file '...'), or (api_key '...').",
					   quote_identifier(name));
		return NULL;
	}
	fingerprint = make_fingerprint(server, mapping_list);
	profile = find_same(server->serverid, mapping_id, fingerprint);
	if (profile == NULL)
		profile = make(server, mapping_id, mapping_list, fingerprint, status);
	return profile;
}

/*
 * Tell whether the key files of a profile are as they were.
 */
static bool
has_same_files(const ApProfile *profile)
{
	char	   *stamps;
	bool		same;

	if (profile->file_stamps[0] == '\0')
		return true;
	stamps = ap_options_file_stamps(profile->list);
	same = strcmp(stamps, profile->file_stamps) == 0;
	pfree(stamps);
	return same;
}

/*
 * Find a lookup that still holds, or NULL.
 */
static ApProfile *
recall(const char *name, Oid role)
{
	for (int i = nlookups - 1; i >= 0; i--)
	{
		Lookup		found = lookups[i];

		if (found.role != role || strcmp(NameStr(found.server_name), name) != 0)
			continue;
		memmove(&lookups[i], &lookups[i + 1], (nlookups - 1 - i) * sizeof(Lookup));
		lookups[nlookups - 1] = found;
		return has_same_files(found.profile) ? found.profile : NULL;
	}
	return NULL;
}

/*
 * Drop the lookups whose servers or mappings are not what they were, with
 * their connections.
 */
static void
review(void)
{
	uint64		seen = changes;

	for (int i = nlookups - 1; i >= 0; i--)
	{
		ApProfile  *profile = lookups[i].profile;
		ForeignServer *server = GetForeignServerExtended(profile->server_id, FSV_MISSING_OK);
		List	   *mapping_list = NIL;

		if (server == NULL ||
			strcmp(server->servername, NameStr(lookups[i].server_name)) != 0 ||
			find_mapping(server->serverid, lookups[i].role, &mapping_list) != profile->mapping_id ||
			strcmp(make_fingerprint(server, mapping_list), profile->fingerprint) != 0)
			forget(i);
	}
	/* not before: an error on the way must not make the stale look fresh */
	reviewed = seen;
}

/*
 * Give the profile of a server's name for a role.  Returns NULL with the
 * status set when there is none or the role may not use it.
 */
ApProfile *
ap_profile_get(const char *server_name, Oid role, ApStatus *status)
{
	ApProfile  *profile;

	watch_catalogs();
	if (reviewed != changes)
		review();
	profile = recall(server_name, role);
	if (profile != NULL)
		return may_use(profile->server_id, server_name, role, status) ? profile : NULL;
	profile = look_up(server_name, role, status);
	if (profile != NULL)
		remember(server_name, role, profile);
	return profile;
}

/*
 * Give the number of calls that a server allows at the same time, whoever makes
 * them; 0 if there is no such server.
 */
int
ap_profile_max_concurrency(const char *server_name)
{
	ForeignServer *server = GetForeignServerByName(server_name, true);
	ApOptions	options;
	ApStatus	status;

	ap_status_clear(&status);
	ap_options_default(&options);
	if (server == NULL || !ap_options_apply(server->options, &options, &status))
		return 0;
	return options.max_concurrency;
}
