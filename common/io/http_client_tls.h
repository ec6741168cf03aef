/*
 * Certificates with a count of references: a request keeps those with which it began.
 */
#ifndef ARL_COMMON_IO_HTTP_CLIENT_TLS_H
#define ARL_COMMON_IO_HTTP_CLIENT_TLS_H

#include <curl/curl.h>

#include "common/io/http_client.h"

struct http_tls_ref {
    unsigned refs;
    struct http_tls tls;
};

/* Copies; the caller has the first reference. */
struct http_tls_ref *http_tls_new(const struct http_tls *tls);
/* Dropping the last reference wipes the key. NULL is fine. */
void http_tls_unref(struct http_tls_ref *t);
/* Makes the request use t and hold a reference. NULL: it uses no certificates. */
void http_tls_apply(struct http_tls_ref *t, CURL *easy);

#endif
