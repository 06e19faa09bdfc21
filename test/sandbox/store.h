/*-------------------------------------------------------------------------
 *
 * store.h
 *		What the sandbox remembers: applicants, flows, reports, overrides.
 *
 * Records are never changed once they are in the store: a change puts a new
 * record in the place of the old one. So a reader holds the lock only to find
 * a record and count itself in, and renders without it.
 *
 *	override	document text that a test put in the place of a real answer
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_STORE_H
#define SB_STORE_H

#include <stdatomic.h>

#include "text.h"

#define SB_ID_LENGTH 36

typedef struct SbApplicant
{
	atomic_uint refs;
	char		id[SB_ID_LENGTH + 1];
	uint64_t	seed;			/* all invented data comes from this */
	int64_t		flow_id;
	int64_t		created_ms;
	int64_t		updated_ms;
	int64_t		deletion_ms;	/* 0: not scheduled */
	SbSlice		external_id;
	SbSlice		status;
	SbSlice		flow_name;
	SbSlice		phone;			/* absent where never given, as are the next */
	SbSlice		email;
	SbSlice		lang;
} SbApplicant;

typedef struct SbReport
{
	atomic_uint refs;
	char		id[SB_ID_LENGTH + 1];
	uint64_t	seed;
	bool		transaction;
	int64_t		created_ms;
	SbSlice		blockchain;
	SbSlice		subject;		/* the address or the hash */
} SbReport;

typedef enum SbDocumentKind
{
	SB_DOCUMENT_APPLICANT,
	SB_DOCUMENT_AML,
	SB_DOCUMENT_QUESTIONNAIRE,
	SB_DOCUMENT_KINDS
} SbDocumentKind;

typedef struct SbOverride
{
	atomic_uint refs;
	SbText		data;			/* verbatim */
	SbText		status;			/* data of the status call */
} SbOverride;

typedef void (*SbChange) (SbApplicant *draft, const void *argument);

extern void sb_store_start(void);
extern void sb_store_stop(void);
extern void sb_store_reset(void);

extern SbApplicant *sb_store_create(const SbApplicant *draft);
extern SbApplicant *sb_store_find(SbSlice id);
extern SbApplicant *sb_store_change(SbSlice id, SbChange change, const void *argument);
extern bool sb_store_remove(SbSlice id);
extern void sb_store_seed(SbSlice prefix, int64_t count, SbSlice status);
extern void sb_applicant_release(SbApplicant *applicant);

extern int64_t sb_store_flow(SbSlice name);
extern void sb_store_flow_name(int64_t id, SbText *name);

extern SbReport *sb_store_add_report(SbSlice blockchain, SbSlice subject, bool transaction);
extern SbReport *sb_store_find_report(SbSlice id);
extern void sb_report_release(SbReport *report);

extern SbDocumentKind sb_document_kind(SbSlice name);
extern void sb_store_put_override(SbDocumentKind kind, SbSlice id, SbOverride *override);
extern SbOverride *sb_store_find_override(SbDocumentKind kind, SbSlice id);
extern void sb_override_release(SbOverride *override);

extern uint64_t sb_mix(uint64_t *state);
extern void sb_uuid(uint64_t seed, char *id);

#endif							/* SB_STORE_H */
