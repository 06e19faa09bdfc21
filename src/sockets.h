/*-------------------------------------------------------------------------
 *
 * sockets.h
 *		Waiting for any number of sockets together with the backend's latch.
 *
 * A socket is watched for events, or parked (watched for none, still open).
 * Parking is free: the set of the kernel is left as it is until a parked
 * socket really stirs, so that a kept-alive connection that is used again and
 * again costs one system call per wait and none in between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_SOCKETS_H
#define AP_SOCKETS_H

#define AP_SOCKET_IN 1
#define AP_SOCKET_OUT 2

/* Told about a socket that is ready; it may open, watch and close others. */
typedef void (*ApSocketReady) (void *owner, int fd, int events);

extern int	ap_sockets_open(int family, int type, int protocol);
extern void ap_sockets_close(int fd);
extern bool ap_sockets_watch(int fd, int events, void *owner);
extern void ap_sockets_unwatch(int fd);
extern bool ap_sockets_spoil(const void *owner, bool may_talk, bool only_new);
extern bool ap_sockets_wait(long timeout_ms);
extern void ap_sockets_report(ApSocketReady ready);

#endif							/* AP_SOCKETS_H */
