/*-------------------------------------------------------------------------
 *
 * worker.h
 *		The process that carries out the queue of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_WORKER_H
#define AP_WORKER_H

extern PGDLLEXPORT void allpass_worker_main(Datum slot);

#endif							/* AP_WORKER_H */
