/*-------------------------------------------------------------------------
 *
 * documents.h
 *		The JSON documents that the sandbox answers with.
 *
 * Each function appends the text of "data". Invented values follow from the
 * record's seed, so that the same id gives the same document at every run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_DOCUMENTS_H
#define SB_DOCUMENTS_H

#include "store.h"

extern void sb_documents_start(void);
extern void sb_documents_stop(void);

extern void sb_document_applicant(const SbApplicant *applicant, SbText *out);
extern void sb_document_status(const SbApplicant *applicant, SbText *out);
extern void sb_document_report(const SbReport *report, SbText *out);
extern bool sb_document_questionnaire(SbSlice id, SbText *out);

#endif							/* SB_DOCUMENTS_H */
