/*-------------------------------------------------------------------------
 *
 * options.h
 *		The options of servers and user mappings.
 *
 * One table says which there are, where each belongs and what it may hold;
 * the validator and the loading of a profile both go by it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_OPTIONS_H
#define AP_OPTIONS_H

#include "nodes/pg_list.h"

#include "seal.h"
#include "status.h"

/* The values in effect.  Texts live where the options' list lives. */
typedef struct ApOptions
{
	/* of the server */
	const char *base_url;		/* without a slash at its end */
	const char *ca_file;		/* NULL for the system's certificates */
	int			timeout_ms;
	int			connect_timeout_ms;
	int			max_concurrency;
	double		rate_limit;		/* requests a second; 0 for no limit */
	bool		encrypt_requests;
	/* of the user mapping */
	const char *api_key;
	const char *crypto_key_text;	/* NULL if there is no such key */
	/* of both */
	ApSeal		seal;
} ApOptions;

extern void ap_options_default(ApOptions *options);
extern bool ap_options_check(const List *list, Oid catalog, ApStatus *status);
extern bool ap_options_apply(const List *list, ApOptions *options, ApStatus *status);
extern char *ap_options_file_stamps(const List *list);

#endif							/* AP_OPTIONS_H */
