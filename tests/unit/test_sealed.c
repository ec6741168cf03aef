#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>
#include <uv.h>

#include "common/io/http_server.h"
#include "sidecar/auth/agent_key.h"
#include "sidecar/auth/sealed.h"

#include "tests/unit/unit.h"

#define POD "pod-1"
#define SANDBOX "sandbox-1"
#define NONCE "AAECAwQFBgcICQoLDA0ODw"
#define QUEUE_MAX (256u << 10)
#define GOT_MAX (8u << 20)
#define TURNS_MAX 100000

/* What the server does with a request; set by each test. */
typedef void serve_fn(struct sealed_exchange *x);

static struct {
    char dir[32];
    uv_loop_t loop;
    struct http_server *server;
    struct channel_pair agent;
    struct channel_pair operator;
    struct sealer *sealer;
    serve_fn *serve;
    int begun;  /* what sealed_begin() said */
    int opened; /* what sealed_open() said */
    struct sealed_exchange last;
    struct sealed_stream *stream;
    struct buf told; /* to the stream, as plain text */
    unsigned drains, gone;
} app;

/* ---- the server ------------------------------------------------------------------------------ */

static void on_request(struct http_exchange *x, void *arg)
{
    CLEANUP(sealed_done) struct sealed_exchange sealed = {0};

    app.begun = sealed_begin(app.sealer, x, NONCE, &sealed, NULL);
    if (app.begun == 0)
        app.opened = sealed_open(&sealed, NULL);
    if (app.begun == 0 && app.opened == 0) {
        app.last = sealed;
        app.serve(&sealed);
    } else {
        http_reply(x, 401, NULL, NULL, 0);
    }
}

static int set_up(void **state)
{
    struct http_server_opts opts = {.address = "127.0.0.1:0",
                                    .max_body = 1 << 20,
                                    .max_connections = 4,
                                    .request_total_ms = 60000,
                                    .on_request = on_request};
    static const unsigned char secret[CHANNEL_KEY_BYTES] = {9};

    strcpy(app.dir, "/tmp/arl-seal-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(app.dir) || uv_loop_init(&app.loop) < 0)
        return -1;
    channel_pair_init(&app.operator, secret);
    buf_init(&app.told, GOT_MAX);
    return http_server_new(&app.loop, &opts, &app.server, NULL);
}

static int begin(void **state)
{
    app.drains = app.gone = 0;
    app.begun = app.opened = 1;
    app.stream = NULL;
    buf_clear(&app.told);
    return agent_key_make(app.dir, &app.agent, NULL) < 0 ||
           sealer_new(app.dir, POD, &app.sealer, NULL) < 0;
}

static int end(void **state)
{
    sealer_free(app.sealer);
    return 0;
}

static int tear_down(void **state)
{
    cleanup_free char *key = xasprintf("%s/agent-key", app.dir);

    http_server_close(app.server, NULL, NULL);
    uv_run(&app.loop, UV_RUN_DEFAULT);
    buf_done(&app.told);
    unlink(key);
    return rmdir(app.dir) < 0 || uv_loop_close(&app.loop) < 0;
}

/* ---- the client ------------------------------------------------------------------------------ */

static int dial(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(app.server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void derive(const struct channel_pair *operator, enum channel_direction direction,
                   unsigned char ret[CHANNEL_KEY_BYTES])
{
    struct channel_exchange about = {"PUT", "/p", "q=1", SANDBOX, NONCE};
    struct channel_shared shared;

    assert_int_equal(channel_shared_operator(operator, app.agent.public_key, POD, &shared), 0);
    channel_derive(&shared, &about, direction, ret);
}

static void ask(int fd, const char *operator_key, const char *type, const struct buf *body)
{
    cleanup_free char *head =
        xasprintf("PUT /p?q=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nArl-Sandbox-Uid: " SANDBOX
                  "\r\nArl-Operator-Key: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                  operator_key, type, body->len);

    assert_int_equal(write(fd, head, strlen(head)), strlen(head));
    for (size_t at = 0; at < body->len;) {
        ssize_t n = write(fd, body->data + at, body->len - at);

        assert_true(n > 0 || errno == EAGAIN);
        at += (size_t)MAX(n, 0);
        uv_run(&app.loop, UV_RUN_NOWAIT);
    }
}

/* All that comes until the server closes. */
static void listen_to_end(int fd, struct buf *got)
{
    char block[65536];

    for (int turns = 0;; turns++) {
        ssize_t n = recv(fd, block, sizeof(block), 0);

        assert_true(turns < TURNS_MAX && (n >= 0 || errno == EAGAIN));
        if (n == 0)
            break;
        if (n > 0)
            assert_int_equal(buf_append(got, block, (size_t)n), 0);
        uv_run(&app.loop, UV_RUN_NOWAIT);
    }
    close(fd);
}

struct answer {
    struct buf plain;
    int status;
    bool final;
    bool ended; /* as HTTP has it */
};

static void on_status(void *arg, int status)
{
    ((struct answer *)arg)->status = status;
}

static void on_data(void *arg, const char *data, size_t len)
{
    assert_int_equal(buf_append(&((struct answer *)arg)->plain, data, len), 0);
}

/* Opens what is behind the head, in chunks or whole. */
static void open_answer(const struct buf *got, const unsigned char *key, struct answer *ret)
{
    static const struct channel_reader_handler handler = {.on_status = on_status,
                                                          .on_data = on_data};
    CLEANUP(channel_reader_done) struct channel_reader r;
    const char *p = memmem(got->data, got->len, "\r\n\r\n", 4), *end = got->data + got->len;
    bool chunked;

    assert_non_null(p);
    assert_int_equal(strncmp(got->data, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(memmem(got->data, got->len, "Content-Type: " CHANNEL_CONTENT_TYPE "\r\n", 42));
    chunked = memmem(got->data, (size_t)(p - got->data), "chunked", 7);
    p += 4;
    channel_reader_init(&r, key);
    while (p < end) {
        char *line_end;
        size_t len = chunked ? strtoul(p, &line_end, 16) : (size_t)(end - p);

        p = chunked ? line_end + 2 : p;
        assert_int_equal(channel_reader_feed(&r, p, len, &handler, ret), 0);
        p += len + (chunked ? 2 : 0);
    }
    ret->final = r.final;
    ret->ended = got->len >= 5 && memcmp(end - 5, "0\r\n\r\n", 5) == 0;
}

static void answer_done(struct answer *a)
{
    buf_done(&a->plain);
}

/* A request with this body, sealed, and its answer. */
static void exchange(const void *body, size_t len, struct answer *ret)
{
    cleanup_buf struct buf sealed = BUF_INIT(1 << 20), got = BUF_INIT(GOT_MAX);
    unsigned char key[CHANNEL_KEY_BYTES];
    char operator_key[CHANNEL_KEY_TEXT];
    int fd = dial();

    derive(&app.operator, CHANNEL_REQUEST, key);
    if (len > 0)
        channel_seal(key, body, len, &sealed);
    channel_key_format(app.operator.public_key, operator_key);
    ask(fd, operator_key, CHANNEL_CONTENT_TYPE, &sealed);
    listen_to_end(fd, &got);
    derive(&app.operator, CHANNEL_ANSWER, key);
    open_answer(&got, key, ret);
}

/* ---- whole answers --------------------------------------------------------------------------- */

static void echo(struct sealed_exchange *x)
{
    assert_string_equal(x->sandbox_uid, SANDBOX);
    assert_int_equal(x->body[x->body_len], '\0');
    sealed_reply(x, 409, x->body, x->body_len);
}

static void test_there_and_back(void **state)
{
    static const size_t lengths[] = {0,      1,
                                     1000,   CHANNEL_FRAME_MAX - 1,
                                     65536,  CHANNEL_FRAME_MAX + 1,
                                     200000, 3 * CHANNEL_FRAME_MAX};
    cleanup_free char *body = xmalloc(3 * CHANNEL_FRAME_MAX);

    memset(body, 'b', 3 * CHANNEL_FRAME_MAX);
    app.serve = echo;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(GOT_MAX)};

        exchange(body, lengths[i], &a);
        assert_int_equal(a.status, 409);
        assert_true(a.final);
        assert_int_equal(a.plain.len, lengths[i]);
        assert_memory_equal(buf_str(&a.plain), body, lengths[i]);
    }
}

static void refused(const char *operator_key, const char *type, const struct buf *body, int begun,
                    int opened)
{
    cleanup_buf struct buf got = BUF_INIT(GOT_MAX);
    int fd = dial();

    app.begun = app.opened = 1;
    ask(fd, operator_key, type, body);
    listen_to_end(fd, &got);
    assert_int_equal(app.begun, begun);
    assert_int_equal(app.opened, opened);
}

static void test_bodies_that_were_not_sealed(void **state)
{
    cleanup_buf struct buf sealed = BUF_INIT(1000), cut = BUF_INIT(1000), empty = BUF_INIT(1);
    unsigned char key[CHANNEL_KEY_BYTES];
    char operator_key[CHANNEL_KEY_TEXT];

    app.serve = echo;
    channel_key_format(app.operator.public_key, operator_key);
    derive(&app.operator, CHANNEL_REQUEST, key);
    channel_seal(key, "body", 4, &sealed);
    refused(operator_key, CHANNEL_CONTENT_TYPE, &sealed, 0, 0);
    refused(operator_key, "application/json", &sealed, 0, -EPROTO);
    refused(operator_key, "application/json", &empty, 0, 0);
    buf_append(&cut, sealed.data, CHANNEL_SEAL_BYTES - 1);
    refused(operator_key, CHANNEL_CONTENT_TYPE, &cut, 0, -EBADMSG);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        refused(operator_key, CHANNEL_CONTENT_TYPE, &sealed, 0, -EBADMSG);
        sealed.data[i] ^= 1;
    }
    /* Sealed with the key of the answer. */
    buf_clear(&sealed);
    derive(&app.operator, CHANNEL_ANSWER, key);
    channel_seal(key, "body", 4, &sealed);
    refused(operator_key, CHANNEL_CONTENT_TYPE, &sealed, 0, -EBADMSG);
}

static void test_keys_that_are_none(void **state)
{
    /* Keys of small order: with these, anybody knows the shared secret. */
    static const unsigned char small[][CHANNEL_KEY_BYTES] = {{0}, {1}};
    cleanup_buf struct buf empty = BUF_INIT(1);
    char text[CHANNEL_KEY_TEXT];

    app.serve = echo;
    refused("", "a", &empty, -EACCES, 1);
    refused("none", "a", &empty, -EACCES, 1);
    for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
        channel_key_format(small[i], text);
        refused(text, "a", &empty, -EACCES, 1);
    }
}

/* More operators than are kept: a forgotten one's secret is computed again, and is the same. */
static void test_many_operators(void **state)
{
    cleanup_buf struct buf empty = BUF_INIT(1);

    app.serve = echo;
    for (int round = 0; round < 3; round++) {
        for (unsigned char i = 0; i < 2 * CHANNEL_PEERS_MAX + 1; i++) {
            unsigned char secret[CHANNEL_KEY_BYTES] = {i, 1}, want[CHANNEL_KEY_BYTES];
            struct channel_pair pair;
            char text[CHANNEL_KEY_TEXT];

            channel_pair_init(&pair, secret);
            channel_key_format(pair.public_key, text);
            for (int again = 0; again < 2; again++) {
                refused(text, "a", &empty, 0, 0);
                derive(&pair, CHANNEL_ANSWER, want);
                assert_memory_equal(app.last.answer_key, want, sizeof(want));
                derive(&pair, CHANNEL_REQUEST, want);
                assert_memory_equal(app.last.request_key, want, sizeof(want));
            }
        }
    }
}

static void test_no_key_no_seal(void **state)
{
    struct sealer *s = NULL;
    struct err err;

    assert_int_equal(sealer_new("/nonexistent", POD, &s, &err), -ENOENT);
    assert_null(s);
    assert_non_null(strstr(err.msg, "/nonexistent"));
}

/* ---- streams --------------------------------------------------------------------------------- */

static void on_gone(void *arg)
{
    app.gone++;
    app.stream = NULL;
}

static void on_drain(void *arg)
{
    size_t len;

    if (app.drains++ == 8) {
        assert_int_equal(sealed_stream_end(app.stream, "end", 3), 0);
        buf_puts(&app.told, "end");
        app.stream = NULL;
        return;
    }
    while ((len = sealed_stream_room(app.stream)) > 0) {
        cleanup_free char *data = xmalloc(len);

        assert_true(len <= CHANNEL_FRAME_MAX);
        memset(data, 'a' + (int)app.drains, len);
        sealed_stream_write(app.stream, data, len);
        buf_append(&app.told, data, len);
    }
    /* The queue is full: not even an empty last frame goes in, and nothing has changed. */
    assert_int_equal(sealed_stream_end(app.stream, "", 0), -ENOBUFS);
    assert_true(sealed_stream_queued(app.stream) > QUEUE_MAX - CHANNEL_FRAME_OVERHEAD - 1);
}

static struct sealed_stream *begin_stream(struct sealed_exchange *x)
{
    struct sealed_stream_opts opts = {
        .max_queue = QUEUE_MAX, .on_drain = on_drain, .on_gone = on_gone};

    return sealed_reply_stream(x, 200, &opts);
}

static void stream(struct sealed_exchange *x)
{
    app.stream = begin_stream(x);
    sealed_stream_write(app.stream, "\n", 1);
    buf_puts(&app.told, "\n");
}

static void test_stream(void **state)
{
    CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(GOT_MAX)};

    app.serve = stream;
    exchange("x", 1, &a);
    assert_int_equal(a.status, 200);
    assert_true(a.final);
    assert_int_equal(app.drains, 9);
    assert_true(a.plain.len > 7 * QUEUE_MAX);
    assert_int_equal(a.plain.len, app.told.len);
    assert_memory_equal(a.plain.data, app.told.data, a.plain.len);
    assert_int_equal(app.gone, 0);
}

/* A cut ends the stream at once: with a last frame if there is room for it, else without. */
static void cut_empty(struct sealed_exchange *x)
{
    sealed_stream_cut(begin_stream(x));
}

static void cut_full(struct sealed_exchange *x)
{
    app.stream = begin_stream(x);
    on_drain(NULL);
    sealed_stream_cut(app.stream);
}

static void test_cut(void **state)
{
    CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(GOT_MAX)};

    app.serve = cut_empty;
    exchange("x", 1, &a);
    assert_true(a.final && a.ended && a.plain.len == 0);
    app.serve = cut_full;
    exchange("x", 1, &a);
    assert_false(a.final || a.ended);
    assert_int_equal(a.plain.len, app.told.len);
}

static void test_peer_goes(void **state)
{
    cleanup_buf struct buf empty = BUF_INIT(1);
    char operator_key[CHANNEL_KEY_TEXT];
    int fd = dial();

    app.serve = stream;
    channel_key_format(app.operator.public_key, operator_key);
    ask(fd, operator_key, "a", &empty);
    for (int i = 0; i < TURNS_MAX && !app.stream; i++)
        uv_run(&app.loop, UV_RUN_NOWAIT);
    assert_non_null(app.stream);
    close(fd);
    for (int i = 0; i < TURNS_MAX && app.gone == 0; i++)
        uv_run(&app.loop, UV_RUN_NOWAIT);
    assert_int_equal(app.gone, 1);
}

#define SEAL_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEAL_TEST(test_there_and_back),
        SEAL_TEST(test_bodies_that_were_not_sealed),
        SEAL_TEST(test_keys_that_are_none),
        SEAL_TEST(test_many_operators),
        SEAL_TEST(test_no_key_no_seal),
        SEAL_TEST(test_stream),
        SEAL_TEST(test_cut),
        SEAL_TEST(test_peer_goes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
