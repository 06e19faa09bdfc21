/*-------------------------------------------------------------------------
 *
 * answer.h
 *		From a decided answer to bytes on the wire, bent by a fault.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_ANSWER_H
#define SB_ANSWER_H

#include "request.h"

extern void sb_answer_complete(SbRequest *request);
extern enum MHD_Result sb_answer_queue(SbRequest *request, struct MHD_Connection *connection);

#endif							/* SB_ANSWER_H */
