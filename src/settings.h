/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The settings ("GUCs") of the module.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SETTINGS_H
#define AP_SETTINGS_H

extern char *ap_server;
extern int	ap_job_max_age;		/* s */
extern int	ap_job_retention;	/* s, -1 for ever */
extern int	ap_workers;
extern bool ap_prefetch;
extern int	ap_max_response_size;	/* kB */
extern int	ap_max_calls_per_statement; /* 0 for no limit */

extern void ap_settings_define(void);

#endif							/* AP_SETTINGS_H */
