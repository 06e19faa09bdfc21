/*-------------------------------------------------------------------------
 *
 * url.h
 *		Checking and building URLs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef AP_URL_H
#define AP_URL_H

#include "buffer.h"

extern bool ap_url_check(const char *url, const char **complaint);
extern bool ap_url_escape(ApBuffer *buffer, const char *text);

#endif							/* AP_URL_H */
