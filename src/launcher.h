/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		The process that starts a worker for each database that needs one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_LAUNCHER_H
#define AP_LAUNCHER_H

extern void ap_launcher_register(void);
extern PGDLLEXPORT void allpass_launcher_main(Datum unused);

#endif							/* AP_LAUNCHER_H */
