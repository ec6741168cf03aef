/*
 * HTTP requests on a uv loop (libcurl multi). Nothing blocks: every call returns at once, answers
 * come as callbacks from the loop, never from inside the call that started the request.
 *
 * Ownership: the client owns its requests. A request lives from http_client_start() until its
 * on_done() has returned or http_client_cancel() was called; on_done() is called exactly once
 * unless the request is cancelled (then never). Inputs are copied.
 *
 * Limits: a buffered answer at most max_response bytes and all of its headers at most
 * LIMIT_ANSWER_HEADERS_BYTES (else -EMSGSIZE, as soon as more has come); connect within
 * CONNECT_TIMEOUT_MS; the whole of a buffered request within timeout_ms; a stream is ended with
 * -ETIMEDOUT when no byte came for idle_timeout_ms.
 */
#ifndef ARL_COMMON_IO_HTTP_CLIENT_H
#define ARL_COMMON_IO_HTTP_CLIENT_H

#include "common/base/base.h"
#include "common/base/err.h"

struct uv_loop_s;
struct http_client;
struct http_call;

#define HTTP_CONNECT_TIMEOUT_MS 5000
/* TLS and identity of the peers of https:// URLs. Strings may be NULL. Certificates and keys are
 * PEM text in memory. */
struct http_tls {
    char *ca_pem;
    char *cert_pem;
    char *key_pem;
    char *server_name; /* for the certificate check, when it differs from the address */
    bool insecure_skip_verify;
};

struct http_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;
    size_t body_len;
    bool stream;               /* gives chunks of the body to on_data as they come */
    bool own_connection;       /* do not share a connection (watches) */
    bool close_after;          /* do not keep the connection for reuse */
    unsigned urgency;          /* the place in the line, with the group: see send_line.h */
    const char *group;         /* NULL: none */
    const char *proxy;         /* NULL: none */
    int64_t timeout_ms;        /* whole request; 0 for streams: none */
    int64_t answer_timeout_ms; /* streams: until the answer begins; 0: as idle_timeout_ms */
    int64_t idle_timeout_ms;   /* 0: none */
    size_t max_response; /* the most bytes of a buffered body, or of the error body of a stream */
};

struct http_response {
    int status;       /* HTTP status, 0 when no answer came */
    const char *body; /* NUL-terminated; "" for a stream with a 2xx status */
    size_t body_len;
    int64_t retry_after_ms; /* -1: no Retry-After */
    /* 0, or why no (complete) answer came: -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET, -EMSGSIZE,
     * -EIO... */
    int error;
    const char *error_msg; /* "" when error is 0 */
    bool maybe_sent; /* after an error: false only if the request surely never reached the peer */
};

struct http_handler {
    /* Stream only, after a 2xx status line: bytes as they come. May cancel the call. */
    void (*on_data)(void *arg, const char *data, size_t len);
    void (*on_done)(void *arg, const struct http_response *resp);
    /* Stream only: the headers of a 2xx answer have come. May be NULL; must not cancel the call. */
    void (*on_open)(void *arg);
};

struct http_client_opts {
    /* How many requests on shared connections (neither own_connection nor close_after) run at once
     * depends on the server (send_window.h). Further ones wait in line (send_line.h). Their
     * timeout_ms begins when they leave the line, because the server does not cause this wait. The
     * wait ends, because each request before them ends. false: requests never wait for each other.
     */
    bool in_line;
    long cache_max; /* idle connections that are kept; beyond it the oldest is closed */
};

/* opts NULL: in_line. */
int http_client_new(struct uv_loop_s *loop, const struct http_client_opts *opts,
                    struct http_client **ret, struct err *err);
/* Cancels all calls. When all handles are closed the client is freed and cb (may be NULL) is
 * called. */
void http_client_close(struct http_client *c, void (*cb)(void *arg), void *arg);
/* Sets TLS for https:// URLs from now on (copied). Running requests keep their certificates;
 * connections with other certificates are not used again. */
void http_client_set_tls(struct http_client *c, const struct http_tls *tls);

/* Never fails at once: an error comes by on_done, from the loop. */
struct http_call *http_client_start(struct http_client *c, const struct http_request *req,
                                    const struct http_handler *handler, void *arg);
void http_client_cancel(struct http_call *call);

#endif
