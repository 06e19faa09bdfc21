/*-------------------------------------------------------------------------
 *
 * progress.h
 *		How far a long statement is, for other sessions to read.
 *
 * A statement that makes many calls begins, counts each call as it starts and
 * ends, and ends; the view allpass_progress shows the figures.  Several in one
 * statement are shown as one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_PROGRESS_H
#define AP_PROGRESS_H

/* What reports; named as the view shows it. */
typedef enum ApProgressKind
{
	AP_PROGRESS_APPLICANTS,
	AP_PROGRESS_STATUSES,
	AP_PROGRESS_AML_SCREEN,
	AP_PROGRESS_PREFETCH
} ApProgressKind;

/* One of those that report; what it still has under way. */
typedef struct ApProgress
{
	int			in_flight;
} ApProgress;

extern void ap_progress_begin(ApProgress *progress, ApProgressKind kind);
extern void ap_progress_start_call(ApProgress *progress);
extern void ap_progress_end_call(ApProgress *progress, bool failed);
extern void ap_progress_end(ApProgress *progress);

#endif							/* AP_PROGRESS_H */
