/*-------------------------------------------------------------------------
 *
 * rowset.h
 *		Rows out of a JSON document, by a map of columns.
 *
 * A rowset walks from the document through named members, each taken as a list
 * or as one object, and makes a row wherever it arrives.  What it passes on
 * the way are levels: level 0 is the document, level 1 what the first member
 * holds, and so on.  A column is read from one level or, where its member is
 * missing there, from another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_ROWSET_H
#define AP_ROWSET_H

#include "nodes/execnodes.h"
#include "utils/jsonb.h"

#define AP_MAX_STEPS 4
#define AP_MAX_COLUMNS 24

typedef enum ApColumnKind
{
	AP_ROW_NUMBER,				/* integer: of the row in its rowset */
	AP_POSITION,				/* integer: of the level's element in its list */
	AP_LABEL,					/* text: the key itself */
	AP_TEXT,
	AP_INTEGER,
	AP_BIGINT,
	AP_NUMERIC,
	AP_BOOLEAN,
	AP_TIME,					/* timestamptz */
	AP_JSON,					/* jsonb */
	AP_IMAGE					/* bytea, from base64 */
} ApColumnKind;

typedef struct ApColumn
{
	ApColumnKind kind;
	int			level;
	const char *key;			/* the member's name */
	int			fallback;		/* the level to try next, or 0 for none */
} ApColumn;

typedef struct ApStep
{
	const char *member;
	bool		single;			/* one object, and a row even without it */
} ApStep;

typedef struct ApRowset
{
	int			nsteps;
	ApStep		steps[AP_MAX_STEPS];
	int			ncolumns;
	ApColumn	columns[AP_MAX_COLUMNS];
} ApRowset;

extern void ap_rowset_check(TupleDesc result, const Oid *types, int ntypes);
extern void ap_rowset_emit(const ApRowset *rowset, Jsonb *document, ReturnSetInfo *result);

#endif							/* AP_ROWSET_H */
