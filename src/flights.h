/*-------------------------------------------------------------------------
 *
 * flights.h
 *		The attempts of jobs that are claimed and not settled.
 *
 * An attempt is in one of three lists: ready (claimed, its call to be sent when
 * the transaction has committed), flying, or ended (to be settled).  As long as
 * it is in any, it takes one of its server's places.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_FLIGHTS_H
#define AP_FLIGHTS_H

#include "lib/ilist.h"

#include "attempt.h"
#include "lane.h"

typedef struct ApFlights
{
	ApLanes    *lanes;
	dlist_head	ready;
	dlist_head	flying;
	dlist_head	ended;
	int			count;			/* in all three */
	int64		transaction_us;	/* what the latest one took */
	TimestampTz settle_from;	/* the first that has ended waits so long for others */
} ApFlights;

extern void ap_flights_init(ApFlights *flights, ApLanes *lanes);
extern void ap_flights_take(ApFlights *flights, ApServerLine *line, ApAttempt *attempt);
extern void ap_flights_send(ApFlights *flights);
extern void ap_flights_gather(ApFlights *flights);
extern void ap_flights_go_on(ApFlights *flights, ApAttempt *attempt);
extern void ap_flights_drop(ApFlights *flights, ApAttempt *attempt);
extern TimestampTz ap_flights_settle_time(ApFlights *flights);
extern bool ap_flights_must_be_durable(ApFlights *flights);

#endif							/* AP_FLIGHTS_H */
