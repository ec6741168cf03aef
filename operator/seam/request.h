/*
 * Copies of requests, for code that keeps a request until it can be sent. A copy owns all that it
 * points to.
 */
#ifndef ARL_OPERATOR_SEAM_REQUEST_H
#define ARL_OPERATOR_SEAM_REQUEST_H

#include "operator/seam/ops.h"

#define REQUEST_HEADERS_MAX 16 /* additional header lines of a request; nobody sends more */

struct ops_request *request_copy(const struct ops_request *req);
void request_free(struct ops_request *req);
/* Whether the request is about a Lease. Such requests go before all others. */
bool request_is_lease(const struct ops_request *req);

#endif
