/*-------------------------------------------------------------------------
 *
 * answers.h
 *		The answers that one execution of a statement has asked for.
 *
 * An execution is known by its memory context (es_query_cxt), which is that of
 * the functions in its expressions as well (fn_mcxt); its answers go with it.
 * What a function does inside, such as a query of PL/pgSQL, is an execution of
 * its own, so what is asked there again is asked again.
 *
 * An answer is found by its question: the operation with all its arguments,
 * the server, and the role.  It is known once its call has ended, and is kept
 * while somebody holds it and then as long as there is memory for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ANSWERS_H
#define AP_ANSWERS_H

#include "utils/jsonb.h"

#include "endpoint.h"
#include "profile.h"

typedef struct ApAnswers ApAnswers;
typedef struct ApAnswer ApAnswer;

extern ApAnswers *ap_answers_open(MemoryContext execution);
extern ApAnswers *ap_answers_find(MemoryContext execution);
extern int	ap_answers_under_way(void);
extern int	ap_answers_window(const ApAnswers *answers);
extern int64 ap_answers_ahead(const ApAnswers *answers);
extern void ap_answers_put_ahead(ApAnswers *answers, int64 calls);
extern bool ap_answers_is_full(const ApAnswers *answers);
extern ApAnswer *ap_answers_hold(ApAnswers *answers, const char *server, Oid role,
								 const ApEndpoint *endpoint, const char *const *values);
extern void ap_answers_drop(ApAnswer *answer);
extern bool ap_answers_is_asked(const ApAnswer *answer);
extern bool ap_answers_is_known(ApAnswer *answer);
extern void ap_answers_ask(ApAnswer *answer, ApProfile *profile, const ApEndpoint *endpoint,
						   const char *const *values, size_t max_answer_size, int64 *unused);
extern bool ap_answers_wait(ApAnswer *answer, Jsonb **data, ApStatus *status);

#endif							/* AP_ANSWERS_H */
