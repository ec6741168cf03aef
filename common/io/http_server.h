/*
 * A small HTTP server on a uv loop (libmicrohttpd driven by one uv_poll). When the head of a
 * request is complete, on_head refuses the request, or says how long its body may be. When the body
 * is complete, on_request answers. An answer is either sent as a whole or streamed.
 *
 * Ownership: the server owns connections and requests. A streamed request lives until
 * http_stream_end() or http_stream_cut(), or until on_gone() has said that the peer is gone.
 *
 * Protection (limits.h): limits for connections, for headers, for the time from the first byte to
 * the end of the body, for the body of a request (413), and for all bytes that are held (503).
 * Parsing is strict: no Transfer-Encoding together with Content-Length, and one Host header with
 * HTTP/1.1.
 */
#ifndef ARL_COMMON_IO_HTTP_SERVER_H
#define ARL_COMMON_IO_HTTP_SERVER_H

#include "common/base/base.h"
#include "common/base/err.h"

struct uv_loop_s;
struct http_server;
struct http_exchange; /* one request and its answer */
struct http_stream;

struct http_server_opts {
    const char *address; /* "0.0.0.0:8080" or "[::]:8080"; port 0 picks one */
    size_t max_body;
    /* Limit for bodies being received and queues of streams, all connections together; 0: none. */
    size_t max_held;
    unsigned max_connections; /* at the limit: see LIMIT_HTTP_CONNECTIONS */
    int64_t request_total_ms;
    /* Called once for a request, from the loop, when its head is complete and no byte of the body
     * is kept. Returns how long the body may be (at most max_body). Or it calls http_reply() to
     * refuse the request: then the body is not read, and the connection closes after the answer.
     * NULL: all requests are accepted. */
    size_t (*on_head)(struct http_exchange *x, void *arg);
    /* Called once for a request, from the loop, with the whole body, which is freed when it
     * returns. It must call exactly one http_reply*() before it returns. */
    void (*on_request)(struct http_exchange *x, void *arg);
    void *arg;
};

int http_server_new(struct uv_loop_s *loop, const struct http_server_opts *opts,
                    struct http_server **ret, struct err *err);
void http_server_close(struct http_server *s, void (*cb)(void *arg), void *arg);
int http_server_port(const struct http_server *s);

const char *http_method(const struct http_exchange *x);
const char *
http_path(const struct http_exchange *x); /* as sent, without the query; nothing is decoded */
const char *http_query(const struct http_exchange *x); /* as sent, without '?', "" for none */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL: absent */
bool http_header_repeated(const struct http_exchange *x, const char *name);
const char *http_body(const struct http_exchange *x, size_t *ret_len);

/* Whether the connection comes from this machine, or network namespace, itself. */
bool http_from_loopback(const struct http_exchange *x);

/* The peer has proven its identity: its connection is not cut to make room for a stranger. */
void http_trust(struct http_exchange *x);
/* A value that on_head leaves for on_request; freed with the request. */
void http_set_user(struct http_exchange *x, void *user, void (*free_user)(void *user));
void *http_user(const struct http_exchange *x);

/* A whole answer. content_type NULL: none. The body is copied. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const char *body,
                size_t len);

/*
 * A streamed answer (chunked). http_stream_write() queues bytes. A queue has at most max_queue
 * bytes, and all queues have at most max_held; but a stream with an empty queue may always queue
 * one write. Beyond a limit it returns -ENOBUFS and queues nothing. on_drain is called when the
 * queue has run empty; on_gone when the peer is gone (then the stream is freed).
 */
struct http_stream_opts {
    int status;
    const char *content_type;
    size_t max_queue;
    void (*on_drain)(void *arg);
    void (*on_gone)(void *arg);
    void *arg;
};
struct http_stream *http_reply_stream(struct http_exchange *x, const struct http_stream_opts *opts);
int http_stream_write(struct http_stream *s, const void *data, size_t len);
size_t http_stream_queued(const struct http_stream *s);
/* The longest write that http_stream_write() accepts now. */
size_t http_stream_room(const struct http_stream *s);
/* Sends the rest of the queue and ends the answer. No callback comes afterwards. */
void http_stream_end(struct http_stream *s);
/* The same, but the peer sees that the answer is incomplete. */
void http_stream_cut(struct http_stream *s);

#endif
