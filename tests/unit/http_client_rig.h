/*
 * For tests of the HTTP client: a small server in the same loop, whose answer depends on the path,
 * and calls that note what they were told. Header only.
 */
#ifndef ARL_TESTS_HTTP_CLIENT_RIG_H
#define ARL_TESTS_HTTP_CLIENT_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/io/http_client.h"
#include "common/io/send_window.h"

#include <uv.h>

#include "tests/unit/unit.h"

/* ---- the server ------------------------------------------------------------------------------ */

struct server_conn {
    uv_tcp_t tcp;
    struct list held; /* in server.held while its request waits for an answer */
    struct buf in;
    char chunk[65536];
};

static struct {
    uv_loop_t loop;
    uv_tcp_t tcp;
    int port;
    struct list held;
    int held_count;
    int held_max;
    int held_seen;
    int held_want; /* so many requests for /hold are to come in all */
    int accepted;
    int open;
    char connect[2048]; /* the last CONNECT, which is refused */
    struct buf raw;     /* the answer to /raw */
} server;

static void on_conn_closed(uv_handle_t *h)
{
    struct server_conn *c = h->data;

    if (!list_empty(&c->held)) {
        list_remove(&c->held);
        server.held_count--;
    }
    server.open--;
    buf_done(&c->in);
    free(c);
}

static void conn_close(struct server_conn *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static void conn_send(struct server_conn *c, const char *text, size_t len)
{
    while (len > 0) {
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)text, (unsigned)len);
        int r = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);

        if (r == UV_EAGAIN) /* the only large answer: poll until the client has read some */
            continue;
        if (r < 0)
            return;
        text += r;
        len -= (size_t)r;
    }
}

static void conn_puts(struct server_conn *c, const char *text)
{
    conn_send(c, text, strlen(text));
}

static void conn_answer(struct server_conn *c, const char *status, const char *headers,
                        const char *body, size_t len)
{
    cleanup_free char *head =
        xasprintf("HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, len);

    conn_puts(c, head);
    conn_send(c, body, len);
}

static void release_held(void)
{
    list_for_each_safe (it, &server.held) {
        struct server_conn *c = list_entry(it, struct server_conn, held);

        list_remove(it);
        server.held_count--;
        conn_answer(c, "200 OK", "", "held", 4);
    }
}

static void conn_hold(struct server_conn *c)
{
    list_push_back(&server.held, &c->held);
    server.held_count++;
    server.held_seen++;
    server.held_max = MAX(server.held_max, server.held_count);
    if (server.held_count == SEND_WINDOW_START || server.held_seen == server.held_want)
        release_held();
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static bool path_is(const struct server_conn *c, const char *path)
{
    const char *p = strchr(buf_str(&c->in), ' ');

    return p && strncmp(p + 1, path, strlen(path)) == 0;
}

static void conn_serve(struct server_conn *c)
{
    static char big[65536];

    if (path_is(c, "/echo ") || path_is(c, "http://other.invalid/echo ")) {
        conn_answer(c, "200 OK", "", c->in.data, c->in.len);
    } else if (path_is(c, "/missing ")) {
        conn_answer(c, "404 Not Found", "", "no such thing", 13);
    } else if (path_is(c, "/busy ")) {
        conn_answer(c, "429 Too Many Requests", "Retry-After: 7\r\n", "", 0);
    } else if (path_is(c, "/big ")) {
        memset(big, 'x', sizeof(big));
        conn_answer(c, "200 OK", "", big, sizeof(big));
    } else if (path_is(c, "/raw ")) {
        conn_send(c, server.raw.data, server.raw.len);
    } else if (path_is(c, "/chunks ")) {
        conn_puts(c, CHUNKED "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
    } else if (path_is(c, "/cut ")) {
        conn_puts(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
        conn_close(c);
    } else if (path_is(c, "/cut-stream ")) {
        conn_puts(c, CHUNKED "3\r\none\r\n3\r\ntw");
        conn_close(c);
    } else if (path_is(c, "/stall ")) {
        conn_puts(c, CHUNKED "3\r\none\r\n");
    } else if (path_is(c, "/open ")) {
        conn_puts(c, CHUNKED);
    } else if (path_is(c, "/bye ")) {
        conn_answer(c, "200 OK", "", "bye", 3); /* and does not say that it closes */
        conn_close(c);
    } else if (path_is(c, "/nothing ")) {
        conn_close(c);
    } else if (path_is(c, "other.invalid:443 ")) {
        snprintf(server.connect, sizeof(server.connect), "%s", buf_str(&c->in));
        conn_answer(c, "403 Forbidden", "", "", 0);
    } else if (path_is(c, "/hold ")) {
        conn_hold(c);
    }
    buf_clear(&c->in);
}

/* Whether the head and as much body as it announces are here. */
static bool conn_complete(const struct server_conn *c)
{
    const char *end = strstr(buf_str(&c->in), "\r\n\r\n");
    const char *len = strstr(buf_str(&c->in), "Content-Length: ");

    return end && (!len || len > end ||
                   (size_t)(end + 4 - c->in.data) + strtoul(len + 16, NULL, 10) <= c->in.len);
}

static void on_conn_alloc(uv_handle_t *h, size_t size, uv_buf_t *ret)
{
    struct server_conn *c = h->data;

    *ret = uv_buf_init(c->chunk, sizeof(c->chunk));
}

static void on_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct server_conn *c = stream->data;

    if (n < 0) {
        conn_close(c);
        return;
    }
    assert_int_equal(buf_append(&c->in, b->base, (size_t)n), 0);
    if (conn_complete(c))
        conn_serve(c);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct server_conn *c = calloc(1, sizeof(*c));

    uv_tcp_init(&server.loop, &c->tcp);
    c->tcp.data = c;
    list_init(&c->held);
    buf_init(&c->in, 1 << 20);
    assert_int_equal(uv_accept(stream, (uv_stream_t *)&c->tcp), 0);
    server.accepted++;
    server.open++;
    uv_read_start((uv_stream_t *)&c->tcp, on_conn_alloc, on_conn_read);
}

static void server_start(void)
{
    struct sockaddr_in addr;
    int len = sizeof(addr);

    memset(&server, 0, sizeof(server));
    list_init(&server.held);
    uv_loop_init(&server.loop);
    uv_tcp_init(&server.loop, &server.tcp);
    uv_ip4_addr("127.0.0.1", 0, &addr);
    assert_int_equal(uv_tcp_bind(&server.tcp, (struct sockaddr *)&addr, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server.tcp, 128, on_connection), 0);
    uv_tcp_getsockname(&server.tcp, (struct sockaddr *)&addr, &len);
    server.port = ntohs(addr.sin_port);
}

/* ---- the client's side ----------------------------------------------------------------------- */

struct client_call {
    struct http_call *call;
    struct buf data;
    struct client_call *victim; /* to be cancelled in the callback named */
    bool cancel_in_data;
    bool cancel_in_done;
    bool close_in_data;
    bool close_in_done;
    struct client_call *next; /* to be started from on_done, with the same path */
    const char *next_path;
    int chunks;
    int done;
    int place; /* among all that were done */
    int status;
    int error;
    bool maybe_sent;
    int64_t retry_after_ms;
    char *body;
};

static struct http_client *client;
static bool client_closed;
static int calls_open;
static int calls_done;

static void start(struct client_call *t, const char *path, struct http_request req);

static void on_client_closed(void *arg)
{
    client_closed = true;
    client = NULL;
}

static void act(struct client_call *t, bool cancel, bool close)
{
    if (cancel && t->victim) {
        http_client_cancel(t->victim->call);
        if (!t->victim->done && t->victim != t)
            calls_open--;
        if (t->victim == t && !t->done)
            calls_open--;
        t->victim = NULL;
    }
    if (close)
        http_client_close(client, on_client_closed, NULL);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct client_call *t = arg;

    t->chunks++;
    buf_append(&t->data, data, len);
    act(t, t->cancel_in_data, t->close_in_data);
}

static void on_done(void *arg, const struct http_response *resp)
{
    struct client_call *t = arg;

    t->done++;
    t->place = calls_done++;
    calls_open--;
    t->status = resp->status;
    t->error = resp->error;
    t->maybe_sent = resp->maybe_sent;
    t->retry_after_ms = resp->retry_after_ms;
    t->body = xstrdup(resp->body);
    assert_int_equal(strlen(resp->body), resp->body_len);
    assert_int_equal(resp->error == 0, resp->error_msg[0] == '\0');
    if (t->next)
        start(t->next, t->next_path, (struct http_request){0});
    act(t, t->cancel_in_done, t->close_in_done);
}

static const struct http_handler handler = {on_data, on_done};

static void start_at(struct client_call *t, int port, const char *path, struct http_request req)
{
    char url[128];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
    req.url = url;
    req.method = req.method ? req.method : "GET";
    req.max_response = req.max_response ? req.max_response : 100000;
    buf_init(&t->data, 1 << 20);
    calls_open++;
    t->call = http_client_start(client, &req, &handler, t);
    assert_int_equal(t->done, 0); /* never from inside */
    assert_int_equal(t->chunks, 0);
}

static void start(struct client_call *t, const char *path, struct http_request req)
{
    start_at(t, server.port, path, req);
}

static void run(void)
{
    while (calls_open > 0)
        uv_run(&server.loop, UV_RUN_ONCE);
}

static void drop(struct client_call *t)
{
    buf_done(&t->data);
    free(t->body);
    t->body = NULL;
}

static int setup(void **state)
{
    calls_open = 0;
    client_closed = false;
    server_start();
    assert_int_equal(http_client_new(&server.loop, NULL, &client, NULL), 0);
    return 0;
}

static void on_walk(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        conn_close(h->data);
}

static int teardown(void **state)
{
    if (client)
        http_client_close(client, on_client_closed, NULL);
    while (!client_closed)
        uv_run(&server.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&server.tcp, NULL);
    uv_walk(&server.loop, on_walk, NULL); /* what is left are the server's connections */
    uv_run(&server.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server.loop), 0);
    assert_int_equal(server.open, 0);
    return 0;
}

#endif
