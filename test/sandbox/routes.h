/*-------------------------------------------------------------------------
 *
 * routes.h
 *		From the raw request target to an operation and the id it is about.
 *
 * Words used throughout the sandbox:
 *	operation	one of the ten calls of the API
 *	subject		the id a call is about: the applicant, questionnaire or AML id
 *				of the path, the externalUserId of a create, the address or
 *				txHash of a search
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_ROUTES_H
#define SB_ROUTES_H

#include "text.h"

typedef enum SbOperation
{
	SB_CREATE_APPLICANT,
	SB_APPLICANT,
	SB_APPLICANT_STATUS,
	SB_MOVE_TO_FLOW,
	SB_SCHEDULE_DELETION,
	SB_RESTORE,
	SB_TOKEN,
	SB_QUESTIONNAIRE,
	SB_AML_SEARCH,
	SB_AML_DETAILS,
	SB_OPERATION_COUNT,
	SB_NO_OPERATION = SB_OPERATION_COUNT
} SbOperation;

typedef enum SbRouting
{
	SB_ROUTED,
	SB_NO_PATH,					/* 404 */
	SB_NO_METHOD,				/* 405 */
	SB_BAD_TARGET				/* 400 */
} SbRouting;

extern const char *sb_operation_name(SbOperation operation);
extern SbOperation sb_operation_named(SbSlice name);
extern bool sb_operation_is_get(SbOperation operation);

extern SbRouting sb_route(const char *method, const char *target,
						  SbOperation *operation, SbText *subject, SbSlice *query);
extern bool sb_percent_decode(SbSlice encoded, bool form, SbText *decoded);

#endif							/* SB_ROUTES_H */
