/*
 * Certificates that requests hold on to: those of a request stay what they were when it began.
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
/* The last one wipes the key. NULL is harmless. */
void http_tls_unref(struct http_tls_ref *t);
/* A request is made with these, and has a reference from now on. NULL: with none, and has none. */
void http_tls_apply(struct http_tls_ref *t, CURL *easy);

#endif
