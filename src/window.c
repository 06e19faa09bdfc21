/*-------------------------------------------------------------------------
 *
 * window.c
 *		The rows that a plan node has read ahead, and their calls.
 *
 * The rows wait in a queue.  How far the window reaches grows from row to row,
 * up to as many calls as the server's options allow at once; so a parent that
 * stops after a few rows has caused few calls too many.
 *
 * Windows may be on each other, with nothing between them but what can be
 * asked again after it had no row.  The upper one reads ahead only what the
 * lower one has at hand, and no row that the lower would have to wait for, or
 * to make more calls for than its window allows: the lower says that it is dry
 * instead.  Its window moves on when the upper has used a row.  So each makes at
 * most one window of calls that the plain plan would not make.
 *
 * An error of a row that was read ahead waits for its row's turn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/relscan.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "fetch.h"
#include "settings.h"
#include "site.h"
#include "window.h"

/* Rows without calls of their own that are read ahead, for each call. */
#define AP_ROWS_PER_CALL 8

/* A call site: its operation and arguments, the last of which is missing_ok. */
struct ApSite
{
	const ApEndpoint *endpoint;
	int			nargs;
	ExprState  *args[AP_MAX_PARAMS + 1];
};

/*-------------------------------------------------------------------------
 * Queues of rows
 *-------------------------------------------------------------------------
 */

/*
 * Put a row at the end of a queue.
 */
static void
push_row(ApRowQueue *queue, ApRow *row)
{
	row->next = NULL;
	if (queue->first == NULL)
		queue->first = row;
	else
		queue->last->next = row;
	queue->last = row;
	queue->length++;
}

/*
 * Take the first row of a queue, or NULL.
 */
static ApRow *
pop_row(ApRowQueue *queue)
{
	ApRow	   *row = queue->first;

	if (row != NULL)
	{
		queue->first = row->next;
		queue->length--;
	}
	return row;
}

/*
 * Free a row, and let go of its answers.
 */
static void
free_row(ApWindow *window, ApRow *row)
{
	for (int i = 0; i < window->nsites; i++)
	{
		if (row->answers[i] != NULL)
			ap_answers_drop(row->answers[i]);
	}
	pfree(row->tuple);
	pfree(row);
}

/*
 * Free all rows that wait, and what else was found ahead of them.
 */
static void
free_waiting(ApWindow *window)
{
	ApRow	   *row;

	while ((row = pop_row(&window->waiting)) != NULL)
	{
		ap_answers_put_ahead(window->answers, -row->used);
		free_row(window, row);
	}
	ap_answers_put_ahead(window->answers, -window->used);
	window->unasked = 0;
	window->used = 0;
	window->error = NULL;
}

/*-------------------------------------------------------------------------
 * Reading rows, and asking for their answers
 *-------------------------------------------------------------------------
 */

/*
 * Tell whether an error can wait for its row's turn: one of the data, or one of
 * ours, which come from pure code and leave nothing behind.
 */
static bool
can_wait(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case MAKE_SQLSTATE('2', '1', '0', '0', '0'):
		case MAKE_SQLSTATE('2', '2', '0', '0', '0'):
		case MAKE_SQLSTATE('K', 'Y', '0', '0', '0'):
		case MAKE_SQLSTATE('H', 'V', '0', '0', '0'):
			return true;
		default:
			return sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE ||
				sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	}
}

/*
 * Ask for the answer that a site needs for a row.
 */
static void
ask_site(ApWindow *window, ApSite *site, ApAnswer **answer)
{
	LOCAL_FCINFO(fcinfo, AP_MAX_PARAMS + 1);
	const char *values[AP_MAX_PARAMS];
	bool		asked;

	InitFunctionCallInfoData(*fcinfo, NULL, site->nargs, InvalidOid, NULL, NULL);
	for (int i = 0; i < site->nargs; i++)
		fcinfo->args[i].value = ExecEvalExpr(site->args[i], window->ask_context,
											 &fcinfo->args[i].isnull);
	if (fcinfo->args[0].isnull || fcinfo->args[site->nargs - 1].isnull)
		return;
	ap_fetch_arguments(fcinfo, site->endpoint, values);
	*answer = ap_fetch_ahead(window->answers, site->endpoint, values, &window->unused, &asked);
	if (asked)
	{
		window->made++;
		window->peak = Max(window->peak, ap_answers_under_way());
	}
	else if (*answer != NULL && ap_answers_is_asked(*answer))
		window->duplicates++;
}

/*
 * Ask for the answers that the sites need for a row and that were not asked
 * for.  If an argument fails, it will do so again at the row's turn.
 */
static void
ask(ApWindow *window, TupleTableSlot *slot, ApRow *row)
{
	MemoryContext old = CurrentMemoryContext;

	row->is_unasked = false;
	ResetExprContext(window->ask_context);
	window->ask_context->ecxt_outertuple = slot;
	MemoryContextSwitchTo(window->ask_context->ecxt_per_tuple_memory);
	PG_TRY();
	{
		for (int i = 0; i < window->nsites; i++)
		{
			if (row->answers[i] != NULL && ap_answers_is_asked(row->answers[i]))
				continue;
			if (row->answers[i] != NULL)
				ap_answers_drop(row->answers[i]);
			row->answers[i] = NULL;
			ask_site(window, &window->sites[i], &row->answers[i]);
			row->is_unasked |= row->answers[i] != NULL && !ap_answers_is_asked(row->answers[i]);
		}
	}
	PG_CATCH();
	{
		if (!can_wait(geterrcode()))
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	row->mark = window->made;
}

/*
 * Make the calls that had to wait, as far as that is possible now.
 */
static void
ask_again(ApWindow *window)
{
	int64		made = window->made;

	for (ApRow *row = window->waiting.first; row != NULL; row = row->next)
	{
		int64		mark = row->mark;

		if (row->is_unasked && ap_answers_under_way() < ap_answers_window(window->answers))
		{
			ExecStoreMinimalTuple(row->tuple, window->ask_slot, false);
			ask(window, window->ask_slot, row);
			ExecClearTuple(window->ask_slot);
			window->unasked -= !row->is_unasked;
		}
		row->mark = mark + window->made - made;
	}
}

/*
 * Stop the clocks of plan nodes that an error left running.
 */
static bool
stop_clocks(PlanState *child, void *context)
{
	ap_compat_stop_clock(child);
	return planstate_tree_walker(child, stop_clocks, context);
}

/*
 * Read the child's next row ahead of its turn.  An error that can wait is kept.
 */
static TupleTableSlot *
read_ahead(ApWindow *window)
{
	PlanState  *child = outerPlanState(window->parent);
	ApWindow *source = window->source;
	int64	   *counted = ap_fetch_count_ahead(&window->used);
	TupleTableSlot *volatile slot = NULL;

	if (source != NULL)
		source->is_asked_ahead = true;
	PG_TRY();
	{
		slot = ExecProcNode(child);
	}
	PG_CATCH();
	{
		ap_fetch_count_ahead(counted);
		if (!can_wait(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(window->context);
		window->error = CopyErrorData();
		FlushErrorState();
		(void) stop_clocks(child, NULL);
	}
	PG_END_TRY();
	ap_fetch_count_ahead(counted);
	if (source != NULL)
		source->is_asked_ahead = false;
	return slot;
}

/*
 * Note where in its table a row is, for WHERE CURRENT OF.
 */
void
ap_window_note_place(ApWindow *window, ApRow *row)
{
	TupleTableSlot *slot;

	row->table = InvalidOid;
	ItemPointerSetInvalid(&row->tid);
	if (window->scan == NULL)
		return;
	slot = ((ScanState *) window->scan)->ss_ScanTupleSlot;
	row->table = slot->tts_tableOid;
	row->tid = slot->tts_tid;
	if (IsA(window->scan, IndexOnlyScanState))
		row->tid = ((IndexOnlyScanState *) window->scan)->ioss_ScanDesc->xs_heaptid;
}

/*
 * Count the answers that were used ahead of a row's turn, which has come now.
 */
static void
count_used(ApWindow *window, int64 *used)
{
	int64		calls = *used;

	*used = 0;
	ap_fetch_count(window->answers, calls);
}

/*
 * Read a row of the child, ahead or at its turn, ask for its answers, and let
 * it wait.  Returns false if there is none, or none at hand.
 */
static bool
read_row(ApWindow *window, bool ahead)
{
	TupleTableSlot *slot;
	MemoryContext old;
	ApRow	   *row;

	if (ahead)
		slot = read_ahead(window);
	else
	{
		/* what was looked at ahead in vain is due before this */
		count_used(window, &window->used);
		slot = ExecProcNode(outerPlanState(window->parent));
	}
	if (TupIsNull(slot))
	{
		if (window->source != NULL && window->source->is_dry)
			window->source->is_dry = false;
		else if (window->error == NULL)
			window->has_ended = true;
		return false;
	}
	old = MemoryContextSwitchTo(window->context);
	row = palloc0(offsetof(ApRow, answers) + window->nsites * sizeof(ApAnswer *));
	row->tuple = ExecCopySlotMinimalTuple(slot);
	ap_window_note_place(window, row);
	MemoryContextSwitchTo(old);
	row->used = window->used;
	window->used = 0;
	if (window->source != NULL)
		row->source_mark = window->source->last_mark;
	row->mark = window->made;
	if (ap_prefetch)
		ask(window, slot, row);
	window->unasked += row->is_unasked;
	push_row(&window->waiting, row);
	return true;
}

/*
 * Tell whether to read another row ahead of its turn.
 */
static bool
wants_more(ApWindow *window)
{
	int			rows = window->is_lean ? window->target : window->target * AP_ROWS_PER_CALL;

	return ap_prefetch && window->may_read_ahead && !window->has_ended && window->error == NULL &&
		window->made + window->unasked - window->due < window->target &&
		window->unused < ap_answers_window(window->answers) &&
		window->waiting.length < rows &&
		(window->bound < 0 || window->position + window->waiting.length < window->bound) &&
		(window->source != NULL || ap_answers_under_way() < ap_answers_window(window->answers)) &&
		!ap_answers_is_full(window->answers);
}

/*
 * Read as many rows as should wait; at their turn at least one.
 */
static void
fill(ApWindow *window)
{
	if (window->unasked > 0)
		ask_again(window);
	if (!window->is_asked_ahead && window->waiting.length == 0 &&
		!window->has_ended && window->error == NULL && !read_row(window, false))
		return;
	while (wants_more(window) && read_row(window, true))
		;
}

/*-------------------------------------------------------------------------
 * Giving rows
 *-------------------------------------------------------------------------
 */

/*
 * Learn that the node above has used a row that it got ahead.
 */
static void
note_use(ApWindow *window, int64 mark)
{
	ApRow	   *row;

	while ((row = window->given.first) != NULL && row->mark <= mark)
	{
		(void) pop_row(&window->given);
		if (window->source != NULL)
			note_use(window->source, row->source_mark);
		pfree(row);
	}
	window->due = Max(window->due, mark);
	window->target = Min(window->target * window->growth, ap_answers_window(window->answers));
}

/*
 * Let go of the row that was given last.
 */
void
ap_window_leave(ApWindow *window)
{
	ApRow	   *row = window->current;

	if (row == NULL)
		return;
	window->current = NULL;
	ExecClearTuple(window->row_slot);
	free_row(window, row);
}

/*
 * Make a row the current one.
 */
static void
enter(ApWindow *window, ApRow *row)
{
	window->current = row;
	window->last_mark = row->mark;
	ExecStoreMinimalTuple(row->tuple, window->row_slot, false);
}

/*
 * Tell whether all answers for a row are known.
 */
static bool
is_ready(ApWindow *window, ApRow *row)
{
	for (int i = 0; i < window->nsites; i++)
	{
		if (row->answers[i] != NULL && !ap_answers_is_known(row->answers[i]))
			return false;
	}
	return true;
}

/*
 * End, or raise the error that waits, since there is no row before it.
 */
static bool
end_rows(ApWindow *window)
{
	ErrorData  *error = window->error;

	count_used(window, &window->used);
	if (error != NULL)
		ReThrowError(error);
	if (!window->is_after_end)
		window->position++;
	window->is_after_end = true;
	return false;
}

/*
 * Go to the next row.  Returns false if there is none, or none at hand.
 */
static bool
go_forward(ApWindow *window)
{
	ApRow	   *row;

	if (window->is_backward)
	{
		window->is_backward = false;
		window->has_ended = false;
	}
	fill(window);
	row = window->waiting.first;
	if (row == NULL && (window->has_ended || window->error != NULL))
		return end_rows(window);
	if (row == NULL || (window->is_asked_ahead && !is_ready(window, row)))
	{
		window->is_dry = true;
		return false;
	}
	(void) pop_row(&window->waiting);
	window->unasked -= row->is_unasked;
	window->position++;
	enter(window, row);
	count_used(window, &row->used);
	if (!window->is_asked_ahead)
	{
		note_use(window, row->mark);
		if (window->source != NULL)
			note_use(window->source, row->source_mark);
	}
	return true;
}

/*
 * Read the child's rows from the current one back, or up to it again.
 */
static void
retrace(ApWindow *window)
{
	EState	   *estate = window->parent->state;
	PlanState  *child = outerPlanState(window->parent);
	int64		steps = window->waiting.length + (window->has_ended ? 1 : 0);

	if (window->error != NULL)
	{
		/* it is not asked again after an error, unless from the start */
		estate->es_direction = ForwardScanDirection;
		ExecReScan(child);
		for (int64 i = 0; i < window->given_position; i++)
			(void) ExecProcNode(child);
		estate->es_direction = BackwardScanDirection;
	}
	else if (!window->is_after_end)
	{
		/* being dry, it may have taken rows that it did not give */
		steps += window->position - window->given_position;
		for (int64 i = 0; i < steps; i++)
			(void) ExecProcNode(child);
	}
	if (!window->is_after_end)
		window->position = window->given_position;
}

/*
 * Bring the child, which is ahead, back to the current row.  What it uses on
 * the way does not count.
 */
static void
return_child(ApWindow *window)
{
	int64		used = 0;
	int64	   *counted = ap_fetch_count_ahead(&used);

	PG_TRY();
	{
		retrace(window);
	}
	PG_FINALLY();
	{
		ap_fetch_count_ahead(counted);
	}
	PG_END_TRY();
	ap_answers_put_ahead(window->answers, -used);
	free_waiting(window);
	window->has_ended = false;
	window->is_after_end = false;
	window->is_backward = true;
	window->target = 1;
}

/*
 * Go to the row before the current one.  Returns false if there is none.
 */
static bool
go_backward(ApWindow *window)
{
	if (!window->is_backward)
		return_child(window);
	if (!read_row(window, false))
	{
		window->has_ended = false;
		window->position = 0;
		window->given_position = 0;
		return false;
	}
	window->position--;
	window->due = window->made;
	enter(window, pop_row(&window->waiting));
	window->unasked = 0;
	return true;
}

/*
 * Note that the current row is given to the node above; if that got it ahead,
 * remember it until it tells of its use.
 */
void
ap_window_pass(ApWindow *window)
{
	ApRow	   *row;

	window->given_position = window->position;
	if (!window->is_asked_ahead)
		return;
	row = MemoryContextAllocZero(window->context, offsetof(ApRow, answers));
	row->mark = window->current->mark;
	row->source_mark = window->current->source_mark;
	push_row(&window->given, row);
}

/*
 * Go to the next row, in the direction of the scan.  Returns false if there is
 * none, or none at hand.
 */
bool
ap_window_go(ApWindow *window)
{
	ap_window_leave(window);
	return ScanDirectionIsBackward(window->parent->state->es_direction) ?
		go_backward(window) : go_forward(window);
}

/*
 * Begin anew, as the child will.  The answers are kept.
 */
void
ap_window_rescan(ApWindow *window)
{
	ApRow	   *row;

	ap_window_leave(window);
	free_waiting(window);
	while ((row = pop_row(&window->given)) != NULL)
		pfree(row);
	window->has_ended = false;
	window->is_after_end = false;
	window->is_backward = false;
	window->is_dry = false;
	window->position = 0;
	window->given_position = 0;
	window->due = window->made;
	window->last_mark = window->made;
	window->target = 1;
}

/*
 * Prepare to evaluate the arguments of the sites.
 */
static void
open_sites(ApWindow *window, List *sites)
{
	window->nsites = list_length(sites);
	window->sites = palloc0(window->nsites * sizeof(ApSite));
	for (int i = 0; i < window->nsites; i++)
	{
		FuncExpr   *function = list_nth_node(FuncExpr, sites, i);
		ApSite	   *site = &window->sites[i];

		site->endpoint = ap_site_endpoint(function->funcid);
		site->nargs = list_length(function->args);
		if (site->endpoint == NULL || site->nargs != ap_endpoint_params(site->endpoint) + 1)
			elog(ERROR, "function %u is no reading function of allpass", function->funcid);
		for (int j = 0; j < site->nargs; j++)
			site->args[j] = ExecInitExpr(list_nth(function->args, j), window->parent);
	}
}

/*
 * Open the window of a plan node whose child is open, for calls of these sites.
 */
void
ap_window_open(ApWindow *window, PlanState *parent, List *sites)
{
	EState	   *estate = parent->state;
	TupleDesc	row = ExecGetResultType(outerPlanState(parent));

	window->parent = parent;
	window->context = estate->es_query_cxt;
	window->target = 1;
	window->bound = -1;
	window->row_slot = ExecInitExtraTupleSlot(estate, row, &TTSOpsMinimalTuple);
	window->ask_slot = ExecInitExtraTupleSlot(estate, row, &TTSOpsMinimalTuple);
	window->ask_context = CreateExprContext(estate);
	open_sites(window, sites);
}
