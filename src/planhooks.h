/*-------------------------------------------------------------------------
 *
 * planhooks.h
 *		The hooks by which plans get nodes of ours.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PLANHOOKS_H
#define AP_PLANHOOKS_H

extern void ap_plan_hooks_install(void);

#endif							/* AP_PLANHOOKS_H */
