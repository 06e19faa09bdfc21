/*-------------------------------------------------------------------------
 *
 * faults.h
 *		Rules that make chosen calls go wrong in a chosen way.
 *
 * A rule is never changed once it stands, but for its counters, which belong
 * to this module and its lock. A request holds the rule it met until it is
 * answered, so rules may be cleared at any time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_FAULTS_H
#define SB_FAULTS_H

#include <stdatomic.h>

#include "json.h"
#include "routes.h"

typedef enum SbDrop
{
	SB_DROP_NOT,
	SB_DROP_BEFORE,
	SB_DROP_AFTER
} SbDrop;

typedef struct SbHeader
{
	char	   *name;
	char	   *value;
} SbHeader;

typedef struct SbFault
{
	atomic_uint refs;
	/* which calls */
	SbOperation operation;		/* SB_NO_OPERATION: any */
	SbText		applicant;		/* without data: any */
	int64_t		skip;
	int64_t		times;			/* -1: for ever */
	int64_t		used;
	/* what happens to them; -1 or no data where nothing is said */
	int64_t		delay_ms;
	int64_t		status;
	int64_t		cut;
	int64_t		oversize;
	int64_t		slow_bytes;
	int64_t		slow_delay_ms;
	int64_t		act;
	int64_t		chunked;
	int64_t		gzip;
	SbDrop		drop;
	SbText		retry_after;
	SbText		message;		/* JSON text */
	SbText		body;
	SbText		data;
	SbText		content_type;
	SbText		signature;
	SbHeader   *headers;
	size_t		header_count;
	SbText		source;			/* the rule as JSON, without its last brace */
} SbFault;

extern SbFault *sb_fault_parse(struct json_object *rule, SbText *error);
extern void sb_faults_add(SbFault *fault);
extern void sb_faults_clear(void);
extern void sb_faults_render(SbText *out);
extern SbFault *sb_fault_match(SbOperation operation, SbSlice subject);
extern bool sb_fault_acts(const SbFault *fault);
extern bool sb_fault_has_header(const SbFault *fault, const char *name);
extern void sb_fault_release(SbFault *fault);

#endif							/* SB_FAULTS_H */
