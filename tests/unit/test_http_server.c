#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/io/http_server.h"

#include "tests/unit/unit.h"

#define BODY_MAX 1000
#define ANSWER_MAX (4u << 20)
#define TURNS_MAX 60000
#define HELD_MAX 1500
#define CONNECTIONS_MAX 8
#define TOTAL_MS 200

/* ---- a server that tells what it was asked, and a client on the same loop -------------------- */

static uv_loop_t loop;
static struct http_server *server;
static struct http_stream *stream;
static unsigned heads, requests, drained, gone;
static char much[1 << 20];
static bool closed;

static void on_drain(void *arg)
{
    drained++;
}

static void on_gone(void *arg)
{
    gone++;
    stream = NULL;
}

static void reply_stream(struct http_exchange *x)
{
    const struct http_stream_opts opts = {.status = 200,
                                          .content_type = "text/plain",
                                          .max_queue = 1000,
                                          .on_drain = on_drain,
                                          .on_gone = on_gone};

    stream = http_reply_stream(x, &opts);
}

/* Callers prove who they are by the header X-Trust; /no is refused to everybody. */
static size_t on_head(struct http_exchange *x, void *arg)
{
    size_t len;

    heads++;
    assert_string_equal(http_body(x, &len), "");
    assert_int_equal(len, 0);
    if (http_header(x, "X-Trust"))
        http_trust(x);
    if (strcmp(http_path(x), "/no") == 0)
        http_reply(x, 401, "text/plain", "refused", 7);
    http_set_user(x, xstrdup(http_path(x)), free);
    return strcmp(http_path(x), "/small") == 0 ? 3 : SIZE_MAX;
}

static void on_request(struct http_exchange *x, void *arg)
{
    cleanup_buf struct buf b = BUF_INIT(10000);
    const char *extra = http_header(x, "X-Extra");
    size_t len;
    const char *body = http_body(x, &len);

    requests++;
    assert_string_equal(http_user(x), http_path(x));
    if (strcmp(http_path(x), "/where") == 0) {
        http_reply(x, http_from_loopback(x) ? 200 : 403, "text/plain", "where", 5);
        return;
    }
    if (strcmp(http_path(x), "/much") == 0) {
        http_reply(x, 200, "text/plain", much, sizeof(much));
        return;
    }
    if (strcmp(http_path(x), "/stream") == 0) {
        reply_stream(x);
        return;
    }
    buf_printf(&b, "%s|%s|%s|%s|%d|", http_method(x), http_path(x), http_query(x),
               str_or_empty(extra), http_header_repeated(x, "X-Extra"));
    buf_append(&b, body, len);
    http_reply(x, 200, "text/plain", b.data, b.len);
}

static int start_at(const char *address)
{
    struct http_server_opts opts = {.address = address,
                                    .max_body = BODY_MAX,
                                    .max_held = HELD_MAX,
                                    .max_connections = CONNECTIONS_MAX,
                                    .request_total_ms = TOTAL_MS,
                                    .on_head = on_head,
                                    .on_request = on_request};

    stream = NULL;
    heads = requests = drained = gone = 0;
    closed = false;
    memset(much, 'm', sizeof(much));
    uv_loop_init(&loop);
    return http_server_new(&loop, &opts, &server, NULL);
}

static int start(void **state)
{
    return start_at("127.0.0.1:0");
}

static int start_everywhere(void **state)
{
    return start_at("[::]:0");
}

static void on_closed(void *arg)
{
    closed = true;
}

static int stop(void **state)
{
    http_server_close(server, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* receive_bytes 0: as much as the kernel thinks fit. */
static int dial_with(in_addr_t address, int receive_bytes)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(server)),
                             .sin_addr.s_addr = address};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (receive_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int dial_at(in_addr_t address)
{
    return dial_with(address, 0);
}

static int dial(void)
{
    return dial_at(htonl(INADDR_LOOPBACK));
}

static int dial_ipv6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)http_server_port(server)),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* A turn of the loop, and what the client got meanwhile; false: the server has closed. */
static bool turn(int fd, struct buf *got)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char data[65536];
    ssize_t n;

    uv_run(&loop, UV_RUN_NOWAIT);
    if (poll(&p, 1, 1) <= 0)
        return true;
    n = recv(fd, data, sizeof(data), 0);
    if (n > 0)
        assert_int_equal(buf_append(got, data, (size_t)n), 0);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static void send_text(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            uv_run(&loop, UV_RUN_NOWAIT);
            n = 0;
        }
        text += n;
        len -= (size_t)n;
    }
}

static void read_until(int fd, struct buf *got, const char *text)
{
    for (int i = 0; i < TURNS_MAX && !strstr(buf_str(got), text); i++)
        assert_true(turn(fd, got));
    assert_non_null(strstr(buf_str(got), text));
}

static void read_to_end(int fd, struct buf *got)
{
    for (int i = 0; i < TURNS_MAX; i++)
        if (!turn(fd, got))
            return;
    fail_msg("the server does not close");
}

/* Makes one request. Its answer must begin with status and contain part. */
static void ask_n(const char *request, size_t len, const char *status, const char *part)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fd = dial();

    send_text(fd, request, len);
    read_until(fd, &got, part);
    if (strncmp(buf_str(&got), status, strlen(status)) != 0)
        fail_msg("%s: got %s", request, buf_str(&got));
    close(fd);
}

static void ask(const char *request, const char *status, const char *part)
{
    ask_n(request, strlen(request), status, part);
}

#define OK "HTTP/1.1 200"

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_requests(void **state)
{
    ask("GET /a%20b?c=d%21 HTTP/1.1\r\nHost: x\r\n\r\n", OK, "GET|/a%20b|c=d%21||0|");
    ask("GET /a HTTP/1.1\r\nHost: x\r\nx-extra: 1\r\nX-EXTRA: 2\r\n\r\n", OK, "|1|");
    ask("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", OK, "PUT|/a|||0|hello");
    ask("PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n"
        "\r\n",
        OK, "PUT|/a|||0|hello");
    ask("GET / HTTP/1.0\r\n\r\n", "HTTP/1.", "GET|/|||0|");
    assert_int_equal(requests, 5);
}

static void test_refused(void **state)
{
    static const struct {
        const char *request, *status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
         "HTTP/1.1 400"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
         "HTTP/1.1 400"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 400"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413"},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ask(rows[i].request, rows[i].status, "\r\n\r\n");
    assert_int_equal(requests, 0);
}

static void test_too_large_chunks(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(100000);

    buf_puts(&b, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 101; i++)
        buf_puts(&b, "a\r\n0123456789\r\n");
    buf_puts(&b, "0\r\n\r\n");
    ask(buf_str(&b), "HTTP/1.1 413", "too large");
    assert_int_equal(requests, 0);
}

static void test_long_head(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(100000);

    buf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\nX-Extra: ");
    for (int i = 0; i < 1700; i++)
        buf_puts(&b, "0123456789");
    buf_puts(&b, "\r\n\r\n");
    ask(buf_str(&b), "HTTP/1.1 431", "too long");
    assert_int_equal(requests, 0);
}

static void test_garbage(void **state)
{
    static const char *const rows[] = {"\r\n\r\n",
                                       "x",
                                       "GET\r\n\r\n",
                                       "GET / HTTP/9.9\r\n\r\n",
                                       "GET / HTTP/1.1\r\nbroken\r\n\r\n",
                                       "\x16\x03\x01\x02"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
        int fd = dial();

        send_text(fd, rows[i], strlen(rows[i]));
        shutdown(fd, SHUT_WR);
        read_to_end(fd, &got);
        close(fd);
    }
    assert_int_equal(requests, 0);
}

/* A request that trickles in is cut after its total time, however lively it is. */
static void test_deadline(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    const char head[] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n";
    bool open = true;
    int fd = dial();

    send_text(fd, head, strlen(head));
    for (int i = 0; i < TURNS_MAX && open; i++) {
        if (i % 10 == 0 && i < 8000)
            send(fd, "x", 1, MSG_NOSIGNAL);
        open = turn(fd, &got);
    }
    assert_false(open);
    assert_int_equal(requests, 0);
    close(fd);
}

static void test_keep_alive(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fd = dial();

    for (int i = 0; i < 3; i++) {
        const char text[] = "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

        buf_clear(&got);
        send_text(fd, text, strlen(text));
        read_until(fd, &got, "PUT|/a|||0|hi");
    }
    assert_int_equal(requests, 3);
    close(fd);
}

#define GET_STREAM "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"

static int open_stream(struct buf *got)
{
    int fd = dial();

    send_text(fd, GET_STREAM, strlen(GET_STREAM));
    for (int i = 0; i < TURNS_MAX && !stream; i++)
        turn(fd, got);
    assert_non_null(stream);
    return fd;
}

static void test_stream(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fd = open_stream(&got);

    assert_int_equal(http_stream_write(stream, "one\n", 4), 0);
    read_until(fd, &got, "one\n");
    assert_int_equal(http_stream_write(stream, "two\n", 4), 0);
    read_until(fd, &got, "two\n");
    assert_int_equal(drained, 2);
    http_stream_write(stream, "end\n", 4);
    http_stream_end(stream);
    read_until(fd, &got, "0\r\n\r\n");
    assert_non_null(strstr(buf_str(&got), "end\n"));
    /* The connection is good for another request. */
    stream = NULL;
    buf_clear(&got);
    send_text(fd, GET_STREAM, strlen(GET_STREAM));
    read_until(fd, &got, OK);
    http_stream_end(stream);
    read_until(fd, &got, "0\r\n\r\n");
    assert_int_equal(gone, 0);
    close(fd);
}

static void test_stream_limit(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    char data[1000];
    int fd = open_stream(&got);

    memset(data, 'a', sizeof(data));
    assert_int_equal(http_stream_write(stream, data, 600), 0);
    assert_int_equal(http_stream_write(stream, data, 401), -ENOBUFS);
    assert_int_equal(http_stream_queued(stream), 600);
    assert_int_equal(http_stream_write(stream, data, 400), 0);
    assert_int_equal(http_stream_write(stream, data, 1), -ENOBUFS);
    for (int i = 0; i < TURNS_MAX && drained == 0; i++)
        turn(fd, &got);
    assert_int_equal(http_stream_queued(stream), 0);
    assert_int_equal(http_stream_write(stream, data, 1000), 0);
    http_stream_end(stream);
    read_until(fd, &got, "0\r\n\r\n");
    close(fd);
}

static void test_stream_gone(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fd = open_stream(&got);

    read_until(fd, &got, OK);
    close(fd);
    for (int i = 0; i < TURNS_MAX && gone == 0; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        poll(NULL, 0, 1);
    }
    assert_int_equal(gone, 1);
}

/* Streams that nobody ended are told when the server closes. */
static void test_close_with_stream(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fd = open_stream(&got);

    read_until(fd, &got, OK);
    stop(NULL);
    assert_int_equal(gone, 1);
    read_to_end(fd, &got);
    close(fd);
    assert_int_equal(start(NULL), 0);
}

static void ask_with(int fd, const char *headers)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    cleanup_free char *text = xasprintf("GET /a HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);

    send_text(fd, text, strlen(text));
    read_until(fd, &got, "GET|/a");
}

static void ask_on(int fd)
{
    ask_with(fd, "");
}

/* Whoever waits longest for a request makes room: here the second one, since the first asked again.
 */
static void test_more_than_allowed(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fds[9];

    for (size_t i = 0; i < 8; i++) {
        fds[i] = dial();
        ask_on(fds[i]);
    }
    ask_on(fds[0]);
    fds[8] = dial();
    ask_on(fds[8]);
    read_to_end(fds[1], &got);
    assert_int_equal(got.len, 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (i != 1)
            ask_on(fds[i]);
        close(fds[i]);
    }
}

/* ---- what is known from the head ------------------------------------------------------------- */

/* The whole answer to these bytes, up to the server's end of the connection. */
static void ask_to_end(const char *request, struct buf *got)
{
    int fd = dial();

    send_text(fd, request, strlen(request));
    read_to_end(fd, got);
    close(fd);
}

/* The answer comes before the body: none of it was sent, or a part, or all. */
static void test_refused_by_head(void **state)
{
    static const char *const rows[] = {
        "PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n",
        "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "GET /no HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
        "GET /no HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /small HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
        const char *status = strstr(rows[i], "/small") ? "HTTP/1.1 413" : "HTTP/1.1 401";

        ask_to_end(rows[i], &got);
        if (strncmp(buf_str(&got), status, strlen(status)) != 0)
            fail_msg("%s: got %s", rows[i], buf_str(&got));
        assert_null(strstr(buf_str(&got) + 1, "HTTP/1.1"));
    }
    assert_int_equal(heads, ARRAY_SIZE(rows));
    assert_int_equal(requests, 0);
}

static void test_limit_by_head(void **state)
{
    ask("PUT /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", OK, "||0|abc");
    ask("PUT /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n",
        OK, "||0|abc");
    assert_int_equal(requests, 2);
    ask("PUT /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
        "HTTP/1.1 413", "too large");
    assert_int_equal(requests, 2);
}

/* ---- the budget ------------------------------------------------------------------------------ */

#define PUT_900 "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n"

static void run_turns(int fd, struct buf *got, unsigned until_heads)
{
    for (int i = 0; i < TURNS_MAX && heads < until_heads; i++)
        turn(fd, got);
    assert_int_equal(heads, until_heads);
}

static int send_chunk(const char *data, size_t len)
{
    cleanup_free char *head = xasprintf("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                        "chunked\r\n\r\n%zx\r\n",
                                        len);
    int fd = dial();

    send_text(fd, head, strlen(head));
    send_text(fd, data, len);
    send_text(fd, "\r\n0\r\n\r\n", 7);
    return fd;
}

/* The bytes that one request announces are not there for others, until it is answered. */
static void test_budget(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    char data[900];
    int fd = dial(), other;

    memset(data, 'a', sizeof(data));
    send_text(fd, PUT_900, strlen(PUT_900));
    run_turns(fd, &got, 1);
    ask(PUT_900, "HTTP/1.1 503", "too much");
    other = send_chunk(data, 900);
    read_until(other, &got, "too much");
    assert_memory_equal(got.data, "HTTP/1.1 503", 12);
    close(other);
    other = send_chunk(data, 600);
    read_until(other, &got, OK);
    close(other);
    assert_int_equal(requests, 1);
    send_text(fd, data, sizeof(data));
    buf_clear(&got);
    read_until(fd, &got, OK);
    close(fd);
    for (int i = 0; i < 5; i++) {
        other = send_chunk(data, 900);
        buf_clear(&got);
        read_until(other, &got, OK);
        close(other);
    }
}

/* A request that is cut in the middle gives its bytes back. */
static void test_budget_given_back(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);

    for (unsigned i = 0; i < 5; i++) {
        int fd = dial();

        send_text(fd, PUT_900, strlen(PUT_900));
        send_text(fd, "abc", 3);
        run_turns(fd, &got, i + 1);
        close(fd);
        for (int k = 0; k < 20; k++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(got.len, 0);
}

/* A stream with nothing queued always takes a line, else its user would never be woken. */
static void test_budget_of_streams(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    char data[900];
    int fd = open_stream(&got), other = dial();

    memset(data, 'a', sizeof(data));
    assert_int_equal(http_stream_write(stream, data, 900), 0);
    send_text(other, PUT_900, strlen(PUT_900));
    http_stream_end(stream);
    read_until(fd, &got, "\r\n0\r\n\r\n");
    close(fd);
    /* 900 bytes are announced; 600 are left. */
    fd = open_stream(&got);
    run_turns(other, &got, 3);
    assert_int_equal(http_stream_write(stream, data, 500), 0);
    assert_int_equal(http_stream_write(stream, data, 101), -ENOBUFS);
    assert_int_equal(http_stream_write(stream, data, 100), 0);
    drained = 0;
    for (int i = 0; i < TURNS_MAX && drained == 0; i++)
        turn(fd, &got);
    assert_int_equal(http_stream_write(stream, data, 900), 0);
    assert_int_equal(http_stream_write(stream, data, 1), -ENOBUFS);
    http_stream_end(stream);
    close(fd);
    close(other);
}

/* ---- strangers ------------------------------------------------------------------------------- */

/* Any number of strangers, quick or slow, takes no place from a peer that has proven who it is. */
static void test_strangers(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int known[2], fds[5 * CONNECTIONS_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        known[i] = dial();
        ask_with(known[i], "X-Trust: 1\r\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = dial();
        if (i % 2)
            send_text(fds[i], PUT_900, strlen(PUT_900));
        turn(fds[i], &got);
    }
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        ask_on(known[i]);
        close(known[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

/* An address of this machine that is not the loopback's; 0: there is none. */
static in_addr_t own_address(void)
{
    struct ifaddrs *all = NULL;
    in_addr_t ret = 0;

    getifaddrs(&all);
    for (struct ifaddrs *i = all; i; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            in_addr_t a = ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr;

            ret = ntohl(a) >> 24 == IN_LOOPBACKNET ? ret : a;
        }
    freeifaddrs(all);
    return ret;
}

/* The peer with many connections loses one, not the one that has waited longest. */
static void test_strangers_of_two_peers(void **state)
{
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);
    int fds[2 * CONNECTIONS_MAX], fd;

    if (own_address() == 0)
        skip();
    fd = dial_at(own_address());
    turn(fd, &got);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = dial();
        turn(fds[i], &got);
    }
    ask_on(fd);
    close(fd);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

/* A stranger that asks and asks and reads nothing is cut like the others: when its time is over,
 * and to make room. */
static void test_strangers_that_do_not_read(void **state)
{
#define GET_MUCH "GET /much HTTP/1.1\r\nHost: x\r\n\r\n"
    static const char text[] = GET_MUCH GET_MUCH GET_MUCH GET_MUCH GET_MUCH;
    int fds[6 * CONNECTIONS_MAX];
    uint64_t begun_ms;

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = dial_with(htonl(INADDR_LOOPBACK), 4096);
        send_text(fds[i], text, strlen(text));
        for (int k = 0; k < 20; k++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    begun_ms = uv_now(&loop);
    ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", OK, "GET|/a");
    /* It ends in time, not only when TCP gives the peer up. */
    assert_true(uv_now(&loop) - begun_ms < 10000);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

static void ask_where(int fd, const char *status)
{
    static const char text[] = "GET /where HTTP/1.1\r\nHost: x\r\n\r\n";
    cleanup_buf struct buf got = BUF_INIT(ANSWER_MAX);

    send_text(fd, text, strlen(text));
    read_until(fd, &got, "where");
    assert_memory_equal(got.data, status, strlen(status));
    close(fd);
}

/* One socket serves IPv4 and IPv6, and a peer on this machine is known as one. */
static void test_everywhere(void **state)
{
    ask_where(dial(), OK);
    ask_where(dial_at(htonl(INADDR_LOOPBACK + 5)), OK);
    if (own_address() != 0)
        ask_where(dial_at(own_address()), "HTTP/1.1 403");
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    ask_where(dial_ipv6(), OK);
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {
        "", "8080", "127.0.0.1", "localhost:80", "[::1:80", "127.0.0.1:65536", "127.0.0.1:x"};
    struct http_server_opts opts = {.max_body = 1, .max_connections = 1, .request_total_ms = 1};
    struct http_server *s = NULL;
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        opts.address = bad[i];
        assert_int_equal(http_server_new(&loop, &opts, &s, &err), -EINVAL);
        assert_null(s);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests),
        TEST(test_refused),
        TEST(test_too_large_chunks),
        TEST(test_long_head),
        TEST(test_garbage),
        TEST(test_deadline),
        TEST(test_keep_alive),
        TEST(test_stream),
        TEST(test_stream_limit),
        TEST(test_stream_gone),
        TEST(test_addresses),
        TEST(test_close_with_stream),
        TEST(test_more_than_allowed),
        TEST(test_refused_by_head),
        TEST(test_limit_by_head),
        TEST(test_budget),
        TEST(test_budget_given_back),
        TEST(test_budget_of_streams),
        TEST(test_strangers),
        TEST(test_strangers_that_do_not_read),
        cmocka_unit_test_setup_teardown(test_everywhere, start_everywhere, stop),
        cmocka_unit_test_setup_teardown(test_strangers_of_two_peers, start_everywhere, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
