/*-------------------------------------------------------------------------
 *
 * profile.h
 *		A server with the keys of a role: everything a call needs to know.
 *
 * A profile never changes.  When its server, its mapping or a key file
 * changes, the next ap_profile_get() gives a new one, with new connections;
 * calls under way keep the old one alive through ap_profile_hold().
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PROFILE_H
#define AP_PROFILE_H

#include "port/atomics.h"

#include "http.h"
#include "options.h"

typedef struct ApProfile
{
	ApOptions	options;
	List	   *secrets;		/* the texts of the keys */
	ApHttpPool *pool;			/* the connections made under it */
	pg_atomic_uint64 *rate_clock;	/* of the server; client.c's */
	/* private to profile.c */
	Oid			server_id;
	Oid			mapping_id;
	char	   *fingerprint;
	char	   *file_stamps;
	List	   *list;			/* of all options */
	int			references;
	MemoryContext context;
} ApProfile;

/* Gives the clock of a server that all workers share, if there is one. */
extern pg_atomic_uint64 *(*ap_profile_shared_clock) (Oid server_id);

extern ApProfile *ap_profile_get(const char *server_name, Oid role, ApStatus *status);
extern int	ap_profile_max_concurrency(const char *server_name);
extern void ap_profile_hold(ApProfile *profile);

#endif							/* AP_PROFILE_H */
