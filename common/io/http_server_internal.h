/*
 * Shared by the three files of the HTTP server: http_server.c (sockets, MHD inside the loop,
 * deadlines), http_exchange.c (requests and whole answers), http_stream.c (streamed answers).
 */
#ifndef ARL_COMMON_IO_HTTP_SERVER_INTERNAL_H
#define ARL_COMMON_IO_HTTP_SERVER_INTERNAL_H

#include "common/io/http_server.h"

#include <microhttpd.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/list.h"

/* The other end of a connection, as an IPv6 address. All loopback addresses are one peer. */
struct http_peer {
    unsigned char address[16];
};

struct http_conn {
    struct list node;
    struct http_server *server;
    int fd;
    struct http_peer peer;
    bool trusted;         /* see http_trust() */
    unsigned strangers;   /* untrusted connections of the same peer, including this one */
    int64_t deadline_ms;  /* loop time at which the connection is cut; INT64_MAX: none */
    uv_poll_t disconnect; /* watches for a vanished peer while a stream is sent */
    bool disconnect_used;
    struct http_stream *stream; /* the stream that its user may still call; NULL: none */
};

struct http_server {
    struct uv_loop_s *loop;
    struct http_server_opts opts;
    struct MHD_Daemon *daemon;
    int port;
    bool closing;
    struct list
        conns; /* connections that wait for a request; the one that has waited longest is first */
    unsigned conn_count;
    size_t held; /* bytes, see http_server_opts.max_held */
    /* Sockets of MHD, its timeouts, work to be done before the loop waits, request deadlines. */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_idle_t kick;
    uv_timer_t deadlines;
    int64_t deadline_due_ms; /* when `deadlines` fires; INT64_MAX: not armed */
    unsigned handles_open;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct http_exchange {
    struct http_server *server;
    struct http_conn *conn;
    struct MHD_Connection *mhd;
    const char *method; /* owned by MHD, as the header values are */
    char *path;
    const char *query; /* inside path's allocation */
    struct buf body;
    size_t held; /* bytes of max_held: the announced length, or the chunks that have come */
    bool begun;  /* the head has been looked at */
    int drop;    /* the status that the request ends with; the rest of its body is dropped */
    void *user;
    void (*free_user)(void *user);
    bool replied;
    int queue_result; /* of MHD_queue_response() */
    struct http_stream *stream;
};

struct http_stream {
    struct http_exchange *exchange;
    struct http_stream_opts opts;
    struct buf queue;
    size_t sent; /* bytes at the front of the queue that MHD has taken */
    bool suspended;
    bool ended;
    bool cut; /* it ends without the last chunk */
    bool broken;
};

/* See http_trust(). */
void http_conn_trust(struct http_conn *c);

/* How many bytes of max_held are left. */
size_t http_server_room(const struct http_server *s);
/* Takes bytes of max_held; false: not enough is left. http_server_release() gives them back. */
bool http_server_hold(struct http_server *s, size_t bytes);
bool http_peer_is_loopback(const struct http_peer *p);
void http_server_hold_anyway(struct http_server *s, size_t bytes);
void http_server_release(struct http_server *s, size_t bytes);

/* Lets MHD run before the loop waits the next time. */
void http_server_kick(struct http_server *s);
/* The connection will be cut in in_ms milliseconds. */
void http_conn_set_deadline(struct http_conn *c, int64_t in_ms);
/* The same for a connection whose request was answered, and which waits for its next request now.
 */
void http_conn_waits(struct http_conn *c, int64_t limit_ms);

/* Callbacks of MHD, see MHD_OPTION_URI_LOG_CALLBACK, MHD_start_daemon, MHD_OPTION_NOTIFY_COMPLETED.
 */
void *http_exchange_new(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                     const char *method, const char *version,
                                     const char *upload_data, size_t *upload_data_size,
                                     void **req_cls);
void http_exchange_completed(void *cls, struct MHD_Connection *mhd, void **req_cls,
                             enum MHD_RequestTerminationCode code);
/* Gives the answer to MHD; takes the reference to response (NULL: none could be made). */
void http_exchange_queue(struct http_exchange *x, int status, const char *content_type,
                         struct MHD_Response *response);

/* Parses digits only, as in Content-Length; false also if the number is too large. */
bool http_decimal_parse(const char *text, size_t *ret);

/* The peer is gone, or the server stops: tells the user, unless the stream was taken from it. */
void http_stream_gone(struct http_stream *st);
void http_stream_free(struct http_stream *st);

#endif
