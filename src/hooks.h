/*-------------------------------------------------------------------------
 *
 * hooks.h
 *		The hooks by which plans get nodes that make calls ahead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_HOOKS_H
#define AP_HOOKS_H

extern void ap_hooks_install(void);

#endif							/* AP_HOOKS_H */
