/*-------------------------------------------------------------------------
 *
 * allpass.c
 *		The module: what it is, and what it does when it is loaded.
 *
 * The vocabulary of the sources, from the outside in:
 *
 *		server, mapping		where the API is and how it is used; one role's keys
 *		profile				a server together with the keys of a role
 *		operation, endpoint	what the API can do; its entry in the table
 *		call				one operation with its arguments, under way or answered
 *		transfer			one HTTP request and its answer
 *		envelope			the JSON object around the data of every answer
 *		seal, open			to encrypt and sign a text; to verify and decrypt it
 *		document			JSON data as the server's jsonb
 *		answer				what a call gave, kept for one execution of a statement
 *		site				a place in a plan's expressions that calls the API
 *		status				how something went: SQLSTATE and words
 *		job, queue			a call to be made after commit; the table of jobs
 *		claim, lease, settle	to take a job; for how long; to write its outcome down
 *		attempt				a job from its claim to its settlement
 *		lane				the waiting jobs of a server with one priority
 *
 * README.md has the picture of the layers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "hooks.h"
#include "launcher.h"
#include "planhooks.h"
#include "settings.h"
#include "shared.h"

AP_COMPAT_MODULE_MAGIC("allpass", AP_VERSION);

extern PGDLLEXPORT void _PG_init(void);

/*
 * Prepare the module in a backend, or in the postmaster.
 */
void
_PG_init(void)
{
	ap_settings_define();
	ap_plan_hooks_install();
	if (!process_shared_preload_libraries_in_progress)
		return;
	ap_shared_request();
	ap_hooks_install();
	/* a worker would change the cluster that is being upgraded */
	if (!IsBinaryUpgrade)
		ap_launcher_register();
}
