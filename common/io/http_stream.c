#include "common/io/http_server_internal.h"

#include <errno.h>

/* Buffer for a stream to an HTTP/1.0 client; chunked ones use the connection's pool. */
#define STREAM_BLOCK_BYTES 1024

static void resume(struct http_stream *st)
{
    if (!st->suspended)
        return;
    st->suspended = false;
    MHD_resume_connection(st->exchange->mhd);
    http_server_kick(st->exchange->server);
}

/* Takes the stream away from its user; no callback comes after that. */
static void detach(struct http_stream *st)
{
    struct http_conn *c = st->exchange->conn;

    c->stream = NULL;
    if (c->disconnect_used)
        uv_poll_stop(&c->disconnect);
}

void http_stream_gone(struct http_stream *st)
{
    if (st->exchange->conn->stream != st)
        return;
    detach(st);
    st->broken = true;
    resume(st);
    if (st->opts.on_gone)
        st->opts.on_gone(st->opts.arg);
}

/* Each event here means that the peer has closed, or that the connection is broken: the client has
 * sent its whole request, and no client of ours closes one half to go on reading. */
static void on_disconnect(uv_poll_t *p, int status, int events)
{
    struct http_conn *c = p->data;

    if (c->stream)
        http_stream_gone(c->stream);
}

/* Bytes that MHD has taken need not be kept any more. */
static void drop_sent(struct http_stream *st)
{
    http_server_release(st->exchange->server, st->sent);
    buf_consume(&st->queue, st->sent);
    st->sent = 0;
}

static ssize_t on_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct http_stream *st = cls;
    size_t n = MIN(st->queue.len - st->sent, max);

    if (st->broken)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > 0) {
        memcpy(out, st->queue.data + st->sent, n);
        st->sent += n;
        if (st->sent == st->queue.len) {
            drop_sent(st);
            if (!st->ended && st->opts.on_drain)
                st->opts.on_drain(st->opts.arg);
        }
        return (ssize_t)n;
    }
    if (st->ended)
        return st->cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    st->suspended = true;
    MHD_suspend_connection(st->exchange->mhd);
    return 0;
}

size_t http_stream_queued(const struct http_stream *st)
{
    return st->queue.len - st->sent;
}

/* Sent bytes are dropped only when they are the larger part of the queue, so that each byte moves
 * once. */
static size_t droppable(const struct http_stream *st)
{
    return st->sent > http_stream_queued(st) ? st->sent : 0;
}

size_t http_stream_room(const struct http_stream *st)
{
    size_t queued = http_stream_queued(st),
           room = st->opts.max_queue - MIN(queued, st->opts.max_queue);

    /* A stream with an empty queue gets no on_drain, so it would never hear that there is room
     * again. */
    if (queued == 0)
        return room;
    return MIN(room, http_server_room(st->exchange->server) + droppable(st));
}

int http_stream_write(struct http_stream *st, const void *data, size_t len)
{
    assert(!st->ended && !st->broken);
    if (len > http_stream_room(st))
        return -ENOBUFS;
    if (droppable(st) > 0)
        drop_sent(st);
    http_server_hold_anyway(st->exchange->server, len);
    buf_append(&st->queue, data, len);
    if (len > 0)
        resume(st);
    return 0;
}

void http_stream_end(struct http_stream *st)
{
    assert(!st->ended);
    st->ended = true;
    detach(st);
    resume(st);
}

void http_stream_cut(struct http_stream *st)
{
    st->cut = true;
    http_stream_end(st);
}

static void watch_disconnect(struct http_conn *c)
{
    if (!c->disconnect_used) {
        if (uv_poll_init(c->server->loop, &c->disconnect, c->fd) < 0)
            return;
        c->disconnect.data = c;
        c->disconnect_used = true;
        c->server->handles_open++;
    }
    uv_poll_start(&c->disconnect, UV_DISCONNECT, on_disconnect);
}

struct http_stream *http_reply_stream(struct http_exchange *x, const struct http_stream_opts *opts)
{
    struct http_stream *st = xcalloc(1, sizeof(*st));

    st->exchange = x;
    st->opts = *opts;
    /* Room for sent bytes that are not dropped yet, see http_stream_write(). */
    buf_init(&st->queue, 2 * opts->max_queue);
    x->stream = st;
    x->conn->stream = st;
    watch_disconnect(x->conn);
    http_exchange_queue(
        x, opts->status, opts->content_type,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, on_read, st, NULL));
    return st;
}

void http_stream_free(struct http_stream *st)
{
    http_server_release(st->exchange->server, st->queue.len);
    buf_done(&st->queue);
    free(st);
}
