/*-------------------------------------------------------------------------
 *
 * window.h
 *		The rows that a plan node has read ahead, and their calls.
 *
 * A window belongs to a plan node and reads from its child.  Its current row is
 * in row_slot, with its answers held, until the next one is asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_WINDOW_H
#define AP_WINDOW_H

#include "nodes/execnodes.h"

#include "answers.h"

typedef struct ApSite ApSite;

/* A row that was read ahead, or has been given to a node that reads ahead. */
typedef struct ApRow
{
	struct ApRow *next;
	MinimalTuple tuple;
	ItemPointerData tid;
	Oid			table;
	int64		mark;			/* calls made up to it */
	int64		source_mark;	/* the mark of the source's row */
	int64		used;			/* answers used below for it, not counted yet */
	bool		is_unasked;		/* too many calls were under way */
	ApAnswer   *answers[FLEXIBLE_ARRAY_MEMBER];
} ApRow;

typedef struct ApRowQueue
{
	ApRow	   *first;
	ApRow	   *last;
	int			length;
} ApRowQueue;

typedef struct ApWindow
{
	PlanState  *parent;			/* whose window it is */
	MemoryContext context;
	ApAnswers  *answers;
	int			nsites;
	ApSite	   *sites;
	ExprContext *ask_context;
	TupleTableSlot *row_slot;
	TupleTableSlot *ask_slot;
	PlanState  *scan;			/* that knows where in a table a row is, or NULL */

	/* how far to read */
	bool		may_read_ahead;
	bool		is_lean;		/* what it reads costs calls, too */
	int			growth;			/* of the target, from row to row */
	int			target;			/* calls ahead at most, for now */
	int64		bound;			/* rows at most, or -1 */

	/* where it stands */
	ApRowQueue	waiting;		/* the rows read ahead */
	int			unasked;		/* how many of them need calls that wait */
	ApRow	   *current;		/* whose answers are held */
	int64		position;		/* rows taken from the child */
	int64		given_position; /* when a row was given last */
	bool		has_ended;		/* the child has no more rows */
	bool		is_after_end;	/* and the parent knows */
	bool		is_backward;
	ErrorData  *error;			/* of the row after those that wait */
	int64		made;			/* calls */
	int64		unused;			/* of them, those whose answers have not been used */
	int64		due;			/* the mark of the last row that had its turn */
	int64		used;			/* answers used below since the last row */

	/* windows on each other */
	struct ApWindow *source;	/* the one below, or NULL */
	bool		is_asked_ahead; /* by the one above */
	bool		is_dry;
	ApRowQueue	given;			/* rows given ahead to the one above */
	int64		last_mark;		/* of the row given last */

	/* for EXPLAIN ANALYZE */
	int64		duplicates;
	int			peak;
} ApWindow;

extern void ap_window_open(ApWindow *window, PlanState *parent, List *sites);
extern void ap_window_note_place(ApWindow *window, ApRow *row);
extern void ap_window_leave(ApWindow *window);
extern bool ap_window_go(ApWindow *window);
extern void ap_window_pass(ApWindow *window);
extern void ap_window_rescan(ApWindow *window);

#endif							/* AP_WINDOW_H */
