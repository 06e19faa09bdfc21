/*-------------------------------------------------------------------------
 *
 * stream.h
 *		Bodies that are cut, chunked, slow, compressed or made while sending.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SB_STREAM_H
#define SB_STREAM_H

#include "request.h"

extern bool sb_stream_needed(const SbRequest *request);
extern struct MHD_Response *sb_stream_response(SbRequest *request,
											   struct MHD_Connection *connection);
extern bool sb_stream_gzip(SbSlice plain, SbText *packed);

#endif							/* SB_STREAM_H */
