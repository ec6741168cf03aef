/* Against a small server in the same loop. */
#include "tests/unit/http_client_rig.h"

static void test_buffered(void **state)
{
    struct client_call put = {0}, get = {0}, missing = {0}, busy = {0};
    const char *headers[] = {"Content-Type: application/json", "X-One: 1", NULL};

    start(&put, "/echo",
          (struct http_request){
              .method = "PATCH", .headers = headers, .body = "{\"a\":1}", .body_len = 7});
    run();
    assert_int_equal(put.status, 200);
    assert_int_equal(put.error, 0);
    assert_int_equal(put.retry_after_ms, -1);
    assert_int_equal(put.chunks, 0);
    assert_ptr_equal(strstr(put.body, "PATCH /echo HTTP/1.1\r\n"), put.body);
    assert_non_null(strstr(put.body, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(put.body, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(put.body, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(put.body, "Expect"));

    start(&get, "/echo", (struct http_request){.method = "GET"});
    run();
    assert_null(strstr(get.body, "Content-"));
    start(&missing, "/missing", (struct http_request){0});
    start(&busy, "/busy", (struct http_request){0});
    run();
    assert_int_equal(missing.status, 404);
    assert_int_equal(missing.error, 0);
    assert_string_equal(missing.body, "no such thing");
    assert_int_equal(busy.status, 429);
    assert_int_equal(busy.retry_after_ms, 7000);
    drop(&put);
    drop(&get);
    drop(&missing);
    drop(&busy);
}

static void test_connections(void **state)
{
    struct client_call t[6] = {0};

    for (int i = 0; i < 3; i++) {
        start(&t[i], "/echo", (struct http_request){0});
        run();
    }
    assert_int_equal(server.accepted, 1); /* kept */
    start(&t[3], "/chunks", (struct http_request){.stream = true, .own_connection = true});
    run();
    assert_int_equal(server.accepted, 2);
    start(&t[4], "/echo", (struct http_request){.close_after = true});
    run();
    start(&t[5], "/echo", (struct http_request){0});
    run();
    while (server.open > 1) /* closed after use, both of them, or one and the kept one */
        uv_run(&server.loop, UV_RUN_ONCE);
    for (int i = 0; i < 6; i++)
        drop(&t[i]);
}

static void start_by_proxy(struct client_call *t, const char *url)
{
    cleanup_free char *proxy = xasprintf("http://me:pw@127.0.0.1:%d", server.port);
    const char *headers[] = {"Authorization: Bearer secret", NULL};
    struct http_request req = {.method = "GET",
                               .url = url,
                               .headers = headers,
                               .proxy = proxy,
                               .timeout_ms = 30000,
                               .max_response = 100000};

    buf_init(&t->data, 1 << 20);
    calls_open++;
    t->call = http_client_start(client, &req, &handler, t);
}

/* The environment neither adds a proxy nor takes one away. Headers for the server are not in the
 * request that asks a proxy for a tunnel. */
static void test_proxy(void **state)
{
    struct client_call direct = {0}, plain = {0}, tunnel = {0};

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    start(&direct, "/echo", (struct http_request){0});
    run();
    assert_int_equal(direct.status, 200);
    setenv("NO_PROXY", "*", 1);
    start_by_proxy(&plain, "http://other.invalid/echo");
    run();
    assert_int_equal(plain.status, 200);
    assert_non_null(strstr(plain.body, "\r\nProxy-Authorization: Basic bWU6cHc=\r\n"));
    start_by_proxy(&tunnel, "https://other.invalid/echo");
    run();
    assert_true(tunnel.error < 0);
    assert_ptr_equal(strstr(server.connect, "CONNECT other.invalid:443 HTTP/1.1\r\n"),
                     server.connect);
    assert_non_null(strstr(server.connect, "\r\nProxy-Authorization: Basic bWU6cHc=\r\n"));
    assert_null(strstr(server.connect, "secret"));
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    unsetenv("NO_PROXY");
    drop(&direct);
    drop(&plain);
    drop(&tunnel);
}

static int sockets_without_cloexec(void)
{
    int bad = 0;

    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);

        bad += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return bad;
}

static void test_cloexec(void **state)
{
    struct client_call t = {0};
    int before = sockets_without_cloexec();

    start(&t, "/echo", (struct http_request){0});
    run();
    assert_int_equal(server.open, 1);
    assert_int_equal(sockets_without_cloexec(), before);
    drop(&t);
}

static void test_stream(void **state)
{
    struct client_call ok = {0}, cut = {0}, missing = {0};

    start(&ok, "/chunks", (struct http_request){.stream = true});
    start(&cut, "/cut-stream", (struct http_request){.stream = true});
    start(&missing, "/missing", (struct http_request){.stream = true});
    run();
    assert_string_equal(buf_str(&ok.data), "onetwothree");
    assert_string_equal(ok.body, "");
    assert_int_equal(ok.error, 0);
    assert_string_equal(buf_str(&cut.data), "onetw");
    assert_int_equal(cut.error, -ECONNRESET);
    assert_int_equal(cut.status, 200);
    assert_int_equal(missing.chunks, 0); /* an error's body is not the stream */
    assert_string_equal(missing.body, "no such thing");
    drop(&ok);
    drop(&cut);
    drop(&missing);
}

static void test_failures(void **state)
{
    struct client_call cut = {0}, nothing = {0}, large = {0}, refused = {0}, bad = {0}, fits = {0};
    struct sockaddr_in addr;
    int len = sizeof(addr);
    static uv_tcp_t free_port; /* bound, but nobody listens */

    uv_tcp_init(&server.loop, &free_port);
    uv_ip4_addr("127.0.0.1", 0, &addr);
    assert_int_equal(uv_tcp_bind(&free_port, (struct sockaddr *)&addr, 0), 0);
    uv_tcp_getsockname(&free_port, (struct sockaddr *)&addr, &len);

    start(&cut, "/cut", (struct http_request){0});
    start(&nothing, "/nothing", (struct http_request){.method = "POST"});
    start(&large, "/big", (struct http_request){.max_response = 65535});
    start(&fits, "/big", (struct http_request){.max_response = 65536});
    start_at(&refused, ntohs(addr.sin_port), "/", (struct http_request){0});
    start_at(&bad, 99999999, "/", (struct http_request){0});
    run();
    assert_int_equal(cut.error, -ECONNRESET);
    assert_true(cut.maybe_sent);
    assert_int_equal(nothing.error, -ECONNRESET);
    assert_int_equal(nothing.status, 0);
    assert_true(nothing.maybe_sent);
    assert_int_equal(large.error, -EMSGSIZE);
    assert_int_equal(fits.error, 0);
    assert_int_equal(strlen(fits.body), 65536);
    assert_int_equal(refused.error, -ECONNREFUSED);
    assert_false(refused.maybe_sent);
    assert_int_equal(bad.error, -EINVAL);
    assert_false(bad.maybe_sent);
    uv_close((uv_handle_t *)&free_port, NULL);
    drop(&cut);
    drop(&nothing);
    drop(&large);
    drop(&fits);
    drop(&refused);
    drop(&bad);
}

/* Just below and above LIMIT_ANSWER_HEADERS_BYTES, in all the places where headers may stand. */
static void test_large_heads(void **state)
{
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    static const struct {
        const char *before, *repeated, *after;
        int count, error;
    } rows[] = {
        {OK_2, "X-A: 012345678901234567890123\r\n", "\r\nok", 2100, 0},
        {OK_2, "X-A: 012345678901234567890123\r\n", "\r\nok", 2120, -EMSGSIZE},
        {"", "HTTP/1.1 100 Continue\r\n\r\n", OK_2 "\r\nok", 2600, 0},
        {"", "HTTP/1.1 100 Continue\r\n\r\n", OK_2 "\r\nok", 2700, -EMSGSIZE},
        {CHUNKED "3\r\none\r\n0\r\n", "X-T: 0123456789012345\r\n", "\r\n", 4000, -EMSGSIZE},
    };

    for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
        struct client_call t = {0};

        buf_init(&server.raw, 1 << 20);
        buf_puts(&server.raw, rows[i / 2].before);
        for (int k = 0; k < rows[i / 2].count; k++)
            buf_puts(&server.raw, rows[i / 2].repeated);
        buf_puts(&server.raw, rows[i / 2].after);
        start(&t, "/raw", (struct http_request){.stream = i % 2});
        run();
        assert_int_equal(t.error, rows[i / 2].error);
        drop(&t);
        buf_done(&server.raw);
    }
}

static void test_timeouts(void **state)
{
    struct client_call whole = {0}, idle = {0}, silent = {0}, ok = {0};

    start(&silent, "/hang", (struct http_request){.stream = true, .idle_timeout_ms = 900});
    start(&whole, "/hang", (struct http_request){.timeout_ms = 600});
    start(&idle, "/stall", (struct http_request){.stream = true, .idle_timeout_ms = 700});
    start(&ok, "/echo", (struct http_request){.timeout_ms = 60000});
    run();
    assert_int_equal(whole.error, -ETIMEDOUT);
    assert_true(whole.maybe_sent);
    assert_int_equal(whole.status, 0);
    assert_int_equal(idle.error, -ETIMEDOUT);
    assert_int_equal(idle.status, 200);
    assert_string_equal(buf_str(&idle.data), "one");
    assert_int_equal(silent.error, -ETIMEDOUT);
    assert_int_equal(ok.error, 0);
    drop(&whole);
    drop(&idle);
    drop(&silent);
    drop(&ok);
}

/* A stream that is answered may be silent for longer than an answer may take. */
static void test_answer_timeout(void **state)
{
    struct client_call unheard = {0}, opened = {0},
                       later = {.victim = &opened, .cancel_in_done = true};

    start(&unheard, "/hang",
          (struct http_request){
              .stream = true, .answer_timeout_ms = 200, .idle_timeout_ms = 3600000});
    start(&opened, "/open",
          (struct http_request){
              .stream = true, .answer_timeout_ms = 400, .idle_timeout_ms = 3600000});
    start(&later, "/hang", (struct http_request){.timeout_ms = 1000});
    run();
    assert_int_equal(unheard.error, -ETIMEDOUT);
    assert_int_equal(later.error, -ETIMEDOUT);
    assert_int_equal(opened.done, 0);
    drop(&unheard);
    drop(&opened);
    drop(&later);
}

/* The pool bounds what runs at once; what waits for it can be cancelled. */
static void test_many(void **state)
{
    enum { COUNT = 50 };
    struct client_call t[COUNT] = {0}, late = {0}, cancelled = {0};

    server.held_want = COUNT;
    for (int i = 0; i < COUNT; i++)
        start(&t[i], "/hold", (struct http_request){.timeout_ms = 60000});
    start(&cancelled, "/hold", (struct http_request){0});
    http_client_cancel(cancelled.call);
    calls_open--;
    start(&late, "/echo", (struct http_request){.timeout_ms = 60000});
    run();
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(t[i].done, 1);
        assert_string_equal(t[i].body, "held");
        drop(&t[i]);
    }
    assert_int_equal(late.status, 200);
    assert_int_equal(server.held_max, SEND_WINDOW_START);
    assert_int_equal(server.accepted, SEND_WINDOW_START);
    assert_int_equal(cancelled.done, 0);
    drop(&late);
    drop(&cancelled);
}

/* A server that says 429 to writes gets fewer requests at once. Reads say nothing. */
static void test_refused_writes_narrow_the_window(void **state)
{
    for (int round = 0; round < 2; round++) {
        struct client_call busy[SEND_WINDOW_START] = {0}, t[SEND_WINDOW_START] = {0};
        int at_once = round ? SEND_WINDOW_START / 2 : SEND_WINDOW_START;

        for (int i = 0; i < SEND_WINDOW_START; i++)
            start(&busy[i], "/busy", (struct http_request){.method = round ? "PATCH" : "GET"});
        run();
        server.held_seen = 0;
        server.held_want = -1;
        for (int i = 0; i < SEND_WINDOW_START; i++)
            start(&t[i], "/hold", (struct http_request){.timeout_ms = 300});
        while (server.held_seen < at_once)
            uv_run(&server.loop, UV_RUN_ONCE);
        for (int i = 0; i < 10; i++)
            uv_run(&server.loop, UV_RUN_NOWAIT);
        assert_int_equal(server.held_seen, at_once);
        run();
        for (int i = 0; i < SEND_WINDOW_START; i++) {
            drop(&busy[i]);
            drop(&t[i]);
        }
    }
}

/* The most urgent request in line goes first, and one of another group before many of one group. */
static void test_order_of_the_line(void **state)
{
    enum { COUNT = 40 };
    struct client_call held[SEND_WINDOW_START] = {0}, many[COUNT] = {0}, other = {0}, urgent = {0};

    calls_done = 0;
    server.held_want = SEND_WINDOW_START;
    for (int i = 0; i < SEND_WINDOW_START; i++)
        start(&held[i], "/hold", (struct http_request){0});
    for (int i = 0; i < COUNT; i++)
        start(&many[i], "/echo", (struct http_request){.urgency = 2, .group = "a"});
    start(&other, "/echo", (struct http_request){.urgency = 2, .group = "b"});
    start(&urgent, "/echo", (struct http_request){.urgency = 1, .group = "a"});
    run();
    assert_int_equal(many[COUNT - 1].status, 200);
    assert_in_range(urgent.place, 0, 3 * SEND_WINDOW_START);
    assert_in_range(other.place, 0, 3 * SEND_WINDOW_START);
    for (int i = 0; i < SEND_WINDOW_START; i++)
        drop(&held[i]);
    for (int i = 0; i < COUNT; i++)
        drop(&many[i]);
    drop(&other);
    drop(&urgent);
}

/* A stream whose limit ends while it waits in line is not sent any more, although its end starts
 * another call. */
static void test_limit_that_ends_in_the_line(void **state)
{
    struct client_call hanging[SEND_WINDOW_START] = {0}, late = {0}, next = {0};

    for (int i = 0; i < SEND_WINDOW_START; i++)
        start(&hanging[i], "/hang", (struct http_request){.timeout_ms = 300});
    late.next = &next;
    late.next_path = "/echo";
    start(&late, "/chunks", (struct http_request){.stream = true, .idle_timeout_ms = 50});
    run();
    assert_int_equal(late.error, -ETIMEDOUT);
    assert_int_equal(late.chunks, 0);
    assert_int_equal(next.status, 200);
    for (int i = 0; i < SEND_WINDOW_START; i++)
        drop(&hanging[i]);
    drop(&late);
    drop(&next);
}

/* The time in line does not count: a request that waits there for longer than its timeout_ms is
 * sent all the same, and then has all of that time. */
static void test_wait_is_not_counted(void **state)
{
    struct client_call t[SEND_WINDOW_START + 2] = {0};

    server.held_want = -1;
    for (int i = 0; i < SEND_WINDOW_START; i++)
        start(&t[i], "/hang", (struct http_request){.timeout_ms = 300});
    start(&t[SEND_WINDOW_START], "/echo", (struct http_request){.timeout_ms = 200});
    start(&t[SEND_WINDOW_START + 1], "/hang", (struct http_request){.timeout_ms = 200});
    run();
    assert_int_equal(t[0].error, -ETIMEDOUT);
    assert_int_equal(t[SEND_WINDOW_START].status, 200);
    assert_int_equal(t[SEND_WINDOW_START + 1].error, -ETIMEDOUT);
    assert_true(t[SEND_WINDOW_START + 1].maybe_sent);
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        drop(&t[i]);
}

/* Each callback cancels its own call, another running one, one that waits, or all of them. */
static void test_cancel(void **state)
{
    struct client_call other = {0}, self = {0}, both = {0}, done = {0}, ended = {0};

    start(&self, "/chunks", (struct http_request){.stream = true});
    self.victim = &self;
    self.cancel_in_data = true;
    run();
    assert_int_equal(self.chunks, 1);
    assert_int_equal(self.done, 0);

    start(&other, "/hang", (struct http_request){0});
    start(&both, "/chunks", (struct http_request){.stream = true});
    both.victim = &other;
    both.cancel_in_data = true;
    run();
    assert_int_equal(other.done, 0);
    assert_string_equal(buf_str(&both.data), "onetwothree");
    drop(&other);

    memset(&other, 0, sizeof(other));
    start(&other, "/hang", (struct http_request){0});
    start(&done, "/echo", (struct http_request){0});
    done.victim = &other;
    done.cancel_in_done = true;
    run();
    assert_int_equal(other.done, 0);
    start(&ended, "/echo", (struct http_request){0});
    ended.victim = &ended; /* its own, which has ended: nothing happens */
    ended.cancel_in_done = true;
    run();
    assert_int_equal(ended.done, 1);
    drop(&self);
    drop(&other);
    drop(&both);
    drop(&done);
    drop(&ended);
}

static void test_start_from_callback(void **state)
{
    struct client_call a = {0}, b = {0};

    a.next = &b;
    a.next_path = "/echo";
    start(&a, "/missing", (struct http_request){0});
    run();
    assert_int_equal(b.status, 200);
    drop(&a);
    drop(&b);
}

/* A kept connection that the server has closed meanwhile costs nothing but a new one. */
static void test_kept_but_closed(void **state)
{
    struct client_call a = {0}, b = {0}, c = {0};

    a.next = &b;
    a.next_path = "/echo";
    start(&a, "/bye", (struct http_request){0});
    run();
    assert_string_equal(a.body, "bye");
    assert_int_equal(b.error, 0);
    assert_int_equal(b.status, 200);
    start(&c, "/echo", (struct http_request){.method = "POST", .body = "x", .body_len = 1});
    run();
    assert_int_equal(c.status, 200);
    assert_int_equal(server.accepted, 2);
    drop(&a);
    drop(&b);
    drop(&c);
}

static void test_close_in_data(void **state)
{
    struct client_call a = {0}, b = {0};

    start(&b, "/hang", (struct http_request){0});
    start(&a, "/chunks", (struct http_request){.stream = true});
    a.close_in_data = true;
    while (!client_closed)
        uv_run(&server.loop, UV_RUN_ONCE);
    assert_int_equal(a.chunks, 1);
    assert_int_equal(a.done + b.done, 0);
    drop(&a);
    drop(&b);
}

static void test_close_in_done(void **state)
{
    struct client_call a = {0}, b = {0};

    start(&b, "/hang", (struct http_request){.timeout_ms = 20});
    start(&a, "/nothing", (struct http_request){0});
    a.close_in_done = true;
    while (!client_closed)
        uv_run(&server.loop, UV_RUN_ONCE);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 0);
    drop(&a);
    drop(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_buffered),
        TEST(test_connections),
        TEST(test_cloexec),
        TEST(test_stream),
        TEST(test_failures),
        TEST(test_large_heads),
        TEST(test_timeouts),
        TEST(test_answer_timeout),
        TEST(test_many),
        TEST(test_wait_is_not_counted),
        TEST(test_refused_writes_narrow_the_window),
        TEST(test_order_of_the_line),
        TEST(test_limit_that_ends_in_the_line),
        TEST(test_cancel),
        TEST(test_start_from_callback),
        TEST(test_close_in_data),
        TEST(test_kept_but_closed),
        TEST(test_close_in_done),
        TEST(test_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
