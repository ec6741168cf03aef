/*
 * A small HTTP server on a uv loop (libmicrohttpd driven by one uv_poll). A request is shown to
 * on_head when its head is complete, which refuses it or says how much of a body it may have, and
 * to on_request when the body is complete; an answer is either sent at once or streamed.
 *
 * Ownership: the server owns connections and requests. A request that is streamed lives until
 * http_stream_end() or http_stream_cut(), or until on_gone() told that the peer went away
 * (whichever is first).
 *
 * Hardening (limits.h): connection limit, header size, a total deadline from the first byte to the
 * end of the body, body cap per request (413), a budget for all that is held (503), strict parsing,
 * no Transfer-Encoding together with Content-Length, HTTP/1.1 needs one Host header.
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
    /* Bodies being received and queues of streams, all connections together; 0: no such limit. */
    size_t max_held;
    unsigned max_connections; /* one more: see LIMIT_HTTP_CONNECTIONS */
    int64_t request_total_ms;
    /* Called once a request, on the loop, when its head is complete and no byte of a body is kept.
     * Returns how large a body may be (max_body is the most in any case). Or it calls http_reply():
     * then the request is refused, its body is not read, and the connection closes behind the
     * answer. NULL: all are taken. */
    size_t (*on_head)(struct http_exchange *x, void *arg);
    /* Called once a request, on the loop, with the whole body, which is gone when it returns; must
     * call exactly one http_reply*() before it returns. */
    void (*on_request)(struct http_exchange *x, void *arg);
    void *arg;
};

int http_server_new(struct uv_loop_s *loop, const struct http_server_opts *opts,
                    struct http_server **ret, struct err *err);
void http_server_close(struct http_server *s, void (*cb)(void *arg), void *arg);
int http_server_port(const struct http_server *s);

const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);  /* decoded nowhere: as sent, without query */
const char *http_query(const struct http_exchange *x); /* as sent, without '?', "" for none */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL: absent */
bool http_header_repeated(const struct http_exchange *x, const char *name);
const char *http_body(const struct http_exchange *x, size_t *ret_len);

/* Whether the connection comes from this machine, or network namespace, itself. */
bool http_from_loopback(const struct http_exchange *x);

/* The caller has proven who it is: its connection gives way to no stranger's. */
void http_trust(struct http_exchange *x);
/* What on_head found out, for on_request; freed with the request. */
void http_set_user(struct http_exchange *x, void *user, void (*free_user)(void *user));
void *http_user(const struct http_exchange *x);

/* A whole answer. content_type NULL: none. The body is copied. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const char *body,
                size_t len);

/*
 * A streamed answer (chunked). http_stream_write() queues bytes; the queue is bounded by max_queue
 * and all of them by max_held, but for one write to a stream that has nothing queued: beyond it
 * -ENOBUFS is returned, nothing queued. on_drain is called when
 * the queue has run empty, on_gone when the peer is gone (the stream is then freed).
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
/* The longest write that is taken now. */
size_t http_stream_room(const struct http_stream *s);
/* Flushes what is queued and ends the answer; no callback comes after that. */
void http_stream_end(struct http_stream *s);
/* The same, but the peer sees that the answer is not whole. */
void http_stream_cut(struct http_stream *s);

#endif
