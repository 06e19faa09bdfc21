/*-------------------------------------------------------------------------
 *
 * hooks.h
 *		What the workers have to know of commands that backends run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_HOOKS_H
#define AP_HOOKS_H

extern void ap_hooks_install(void);

#endif							/* AP_HOOKS_H */
