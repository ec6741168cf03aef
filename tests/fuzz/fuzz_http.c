/*
 * The bytes of a connection against the sidecar's server as it runs in a pod: its routes, limits,
 * keys, journal and table, over a socket of the loopback, in one loop. No runner is connected.
 *
 * What must hold: an unsigned request changes nothing and gets nothing but the answers that anybody
 * may get. What stands behind a signed request on its connection cannot change that request and
 * gains no rights from it. The server ends every connection that its peer has ended, answers the
 * next good request, and keeps no memory.
 *
 * The input: a byte for the mode, then what the mode wants: the bytes of the connection, a body to
 * be signed, or a request to be signed (three lines with method, path and query, then the body). A
 * body is sealed before it is signed, but not in the mode UNSEALED.
 */
#include <ctype.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "sidecar/app/server.h"
#include "sidecar/auth/agent_key.h"
#include "sidecar/runner/frames.h"
#include "tests/fuzz/fuzz.h"

#define KEY "lRrU542RzFpgF1sc:m8mlBFE-vmI_e-UTme4C5q0F0bQZdSgHyDwxaEeu85Q"
#define PUBLIC_KEY "lRrU542RzFpgF1sc=SbCWzY6fUnlcfRv_1b8wDTNNxkleWnIzzHO0RafwKaA"
#define POD "pod-1"
#define SANDBOX "sandbox-1"
/* The UID of an attempt that has ended: whoever may ask gets its result as a stream. No input has
 * this UID by chance. */
#define ENDED "8d7ac2f0-51f3-4c9e-a1f6-0b7d3e92c645"
#define EVENTS                                                                                     \
    "{\"seq\":1,\"type\":\"accepted\"}\n"                                                          \
    "{\"seq\":2,\"type\":\"end\",\"code\":0,\"durationNs\":1,\"reason\":\"Completed\"}\n"
#define INPUT_MAX (64u << 10)
#define ANSWER_MAX (16u << 20)
#define WAIT_NS (60 * NSEC_PER_SEC) /* on a machine that has other things to do */
#define QUIET_TURNS 3
#define CONNECT_MS 9000
/* What may be kept after all executions together: the sandbox's name and the like. */
#define KEPT_MAX (256 << 10)

enum mode { RAW, BEHIND_LIST, BEHIND_STREAM, TASK_BODY, ACKNOWLEDGE_BODY, SIGNED, UNSEALED, MODES };
/* Flags of the same byte. */
#define MODE_BITS 7
#define IN_PIECES 8
#define CHUNKED 16
#define HALF_CLOSE 32
#define REPLAY 64 /* with UNSEALED: the request does not even say that it is sealed */

/* Of the sanitizers; absent without them. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static struct {
    uv_loop_t loop;
    char dir[64];
    struct auth auth;
    struct journal *journal;
    struct spool *spool;
    struct attempt_table *table;
    struct server *server;
    struct sealer *sealer;
    struct channel_shared shared;
    char operator_key[CHANNEL_KEY_TEXT];
    unsigned char answer_key[CHANNEL_KEY_BYTES]; /* of the last signed request */
    struct signature_key key;
    uint64_t nonce;
    char task[32]; /* the UID of the last one */
    uint64_t tasks;
    uint64_t started;
    int64_t kept_bytes;
    uint32_t dials;
    uint64_t runs;
} app;

/* ---- the server ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void tidy_up(void)
{
    nftw(app.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The folder is in memory if there is any such place, since the journal waits for the disk. It
 * holds the runner's secret, as it does until a runner has come. */
static void make_dir(void)
{
    cleanup_free char *sub = NULL, *secret = NULL;
    bool shm = access("/dev/shm", W_OK) == 0;

    snprintf(app.dir, sizeof(app.dir), "%s/arl-fuzz-XXXXXX", shm ? "/dev/shm" : "/tmp");
    property(mkdtemp(app.dir));
    sub = xasprintf("%s/executor", app.dir);
    property(mkdir(sub, 0700) == 0);
    secret = xasprintf("%s/" FRAMES_SECRET_FILE, sub);
    property(mknod(secret, S_IFREG | 0444, 0) == 0);
    atexit(tidy_up);
}

static void fill_journal(void)
{
    struct journal_key key = journal_key_of(ENDED, 1);
    unsigned char digest[JOURNAL_DIGEST_BYTES] = {0}, token[JOURNAL_TOKEN_BYTES] = {1};

    property(journal_open(app.dir, &app.journal, NULL) == 0);
    property(journal_set_sandbox(app.journal, SANDBOX, NULL) == 0);
    property(journal_set_token(app.journal, "executor", token, NULL) == 0);
    property(journal_start(app.journal, &key, digest, NULL) == 0);
    property(journal_events_append(app.journal, &key, EVENTS, strlen(EVENTS)) == 0);
}

static void set_up_keys(void)
{
    static const unsigned char secret[CHANNEL_KEY_BYTES] = {1, 2, 3};
    struct channel_pair operator_pair, agent_pair;

    property(signature_init() == 0 && signature_key_parse(KEY, &app.key, NULL) == 0);
    property(agent_key_make(app.dir, &agent_pair, NULL) == 0);
    property(sealer_new(app.dir, POD, &app.sealer, NULL) == 0);
    channel_pair_init(&operator_pair, secret);
    channel_key_format(operator_pair.public_key, app.operator_key);
    property(channel_shared_operator(&operator_pair, agent_pair.public_key, POD, &app.shared) == 0);
}

static void set_up(void)
{
    static const char *const containers[] = {"executor"};
    struct attempt_table_opts to = {
        .dir = app.dir, .containers = containers, .container_count = 1, .output_limit = 1000};
    struct server_opts so = {
        .listen = "127.0.0.1:0", .containers = containers, .container_count = 1, .auth = &app.auth};

    log_setup(LOG_ERROR, LOG_TEXT);
    make_dir();
    set_up_keys();
    fill_journal();
    property(spool_open(app.dir, &app.spool, NULL) == 0);
    property(auth_init(&app.auth, POD, PUBLIC_KEY, NULL) == 0);
    uv_loop_init(&app.loop);
    to.journal = app.journal;
    to.spool = app.spool;
    property(attempt_table_new(&app.loop, &to, &app.table, NULL) == 0);
    so.table = app.table;
    so.sealer = app.sealer;
    property(server_new(&app.loop, &so, &app.server, NULL) == 0);
}

/* ---- signed requests ------------------------------------------------------------------------- */

static void put_body(struct buf *out, bool chunked, const void *body, size_t len)
{
    if (!chunked) {
        buf_printf(out, "Content-Length: %zu\r\n\r\n", len);
        buf_append(out, body, len);
        return;
    }
    buf_puts(out, "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, n; at < len; at += n) {
        n = MIN(len - at, 1 + (len + at) % 1000);
        buf_printf(out, "%zx\r\n", n);
        buf_append(out, (const char *)body + at, n);
        buf_puts(out, "\r\n");
    }
    buf_puts(out, "0\r\n\r\n");
}

/* A body that is signed, and sealed or not. */
struct body {
    const void *data;
    size_t len;
    bool unsealed;
    bool untyped;
};

/* Makes the bytes that are sent as the body, and the key of the answer. */
static void seal_body(const struct channel_exchange *x, const struct body *b, struct buf *ret)
{
    unsigned char key[CHANNEL_KEY_BYTES];

    channel_derive(&app.shared, x, CHANNEL_ANSWER, app.answer_key);
    channel_derive(&app.shared, x, CHANNEL_REQUEST, key);
    if (b->unsealed)
        property(buf_append(ret, b->data, b->len) == 0);
    else if (b->len > 0)
        property(channel_seal(key, b->data, b->len, ret) == 0);
}

/* -EINVAL: method, path or query can not be signed. */
static int put_signed_query(struct buf *out, const char *method, const char *path,
                            const char *query, bool chunked, const struct body *b)
{
    cleanup_buf struct buf body = BUF_INIT(INPUT_MAX + CHANNEL_SEAL_BYTES);
    unsigned char nonce[SIGNATURE_NONCE_BYTES] = {0};
    char text[SIGNATURE_NONCE_TEXT];
    struct channel_exchange x = {method, path, query, SANDBOX, text};
    struct signature_input in = {method, path, query, POD, SANDBOX, app.operator_key, NULL, 0};
    struct signature_headers h;

    /* Else the nonces of all executions would be remembered. */
    auth_done(&app.auth);
    property(auth_init(&app.auth, POD, PUBLIC_KEY, NULL) == 0);
    app.nonce++;
    memcpy(nonce, &app.nonce, sizeof(app.nonce));
    sodium_bin2base64(text, sizeof(text), nonce, sizeof(nonce),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    seal_body(&x, b, &body);
    in.body = body.data;
    in.body_len = body.len;
    if (signature_sign(&app.key, &in, clock_read().wall_ns / NSEC_PER_SEC, nonce, &h, NULL) < 0)
        return -EINVAL;
    buf_printf(out,
               "%s %s%s%s HTTP/1.1\r\nHost: a\r\nArl-Pod-Uid: " POD "\r\nArl-Sandbox-Uid: " SANDBOX
               "\r\nArl-Operator-Key: %s\r\nSignature-Input: %s\r\nSignature: %s\r\n"
               "Content-Digest: %s\r\n",
               method, path, *query ? "?" : "", query, app.operator_key, h.signature_input,
               h.signature, h.content_digest);
    if (!b->untyped)
        buf_puts(out, "Content-Type: " CHANNEL_CONTENT_TYPE "\r\n");
    put_body(out, chunked, buf_str(&body), body.len);
    return 0;
}

static void put_signed(struct buf *out, const char *method, const char *path, bool chunked,
                       const void *body, size_t len)
{
    const struct body b = {.data = body, .len = len};

    property(put_signed_query(out, method, path, "", chunked, &b) == 0);
}

/* Takes a line off. Characters that cannot be in a signed request are left out. */
static char *take_word(const uint8_t **data, size_t *size)
{
    const uint8_t *newline = *size ? memchr(*data, '\n', *size) : NULL;
    size_t len = newline ? (size_t)(newline - *data) : *size, n = 0;
    char *word = xmalloc(len + 1);

    for (size_t i = 0; i < len; i++)
        if ((*data)[i] > 0x20 && (*data)[i] < 0x7f)
            word[n++] = (char)(*data)[i];
    word[n] = '\0';
    *data += len + (newline != NULL);
    *size -= len + (newline != NULL);
    return word;
}

static void put_any_signed(struct buf *out, bool chunked, const uint8_t *data, size_t size)
{
    cleanup_free char *method = take_word(&data, &size), *path = take_word(&data, &size);
    cleanup_free char *query = take_word(&data, &size);
    const struct body b = {.data = data, .len = size};

    /* Only the mode TASK_BODY starts tasks. */
    if (!strchr(path, '?') && *path == '/' && strcmp(method, "PUT") != 0)
        put_signed_query(out, method, path, query, chunked, &b);
}

static void repeat(struct buf *b)
{
    cleanup_free char *copy = xmemdup0(buf_str(b), b->len);

    buf_append(b, copy, b->len);
}

static void put_request(struct buf *out, unsigned flags, const uint8_t *data, size_t size)
{
    const struct body unsealed = {data, size, true, flags & REPLAY};
    bool chunked = flags & CHUNKED;
    char path[64];

    switch (flags & MODE_BITS) {
    case TASK_BODY:
        snprintf(app.task, sizeof(app.task), "u-%llu", (unsigned long long)++app.tasks);
        snprintf(path, sizeof(path), "/v1/tasks/%s/1", app.task);
        put_signed(out, "PUT", path, chunked, data, size);
        return;
    case ACKNOWLEDGE_BODY:
        put_signed(out, "POST", "/v1/acknowledged", chunked, data, size);
        return;
    case SIGNED:
        put_any_signed(out, chunked, data, size);
        return;
    case UNSEALED:
        put_signed_query(out, "PUT", "/v1/tasks/u-unsealed/1", "", chunked, &unsealed);
        return;
    case BEHIND_LIST:
        put_signed(out, "GET", "/v1/tasks", chunked, "", 0);
        if (flags & REPLAY)
            repeat(out);
        break;
    case BEHIND_STREAM:
        put_signed(out, "GET", "/v1/tasks/" ENDED "/1", chunked, "", 0);
        break;
    }
    buf_append(out, data, size);
}

/* ---- a connection ---------------------------------------------------------------------------- */

/* Each connection comes from another address. The side that closes first keeps its port for a
 * minute, so the ports of one address would run out, for other programs as well. */
static void bind_fresh(int fd)
{
    uint32_t host = 0x7f000000u | (uint32_t)(2 + app.dials++ % 0xfffff0u);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};

    property(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

/* The kernel accepts the connection in the server's place. A signal of the fuzzer's clock may
 * interrupt the wait. */
static void connect_wait(int fd)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)server_port(app.server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int error = 0, n;

    property(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EINPROGRESS);
    do {
        n = poll(&p, 1, CONNECT_MS);
    } while (n < 0 && errno == EINTR);
    property(n == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
}

static int dial(void)
{
    struct linger reset = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    property(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    bind_fresh(fd);
    connect_wait(fd);
    return fd;
}

/* A turn of the loop and what came of it: bytes, 0: the end, -EAGAIN: nothing yet. */
static ssize_t turn(int fd, struct buf *got)
{
    static char block[64 << 10];
    ssize_t n;

    uv_run(&app.loop, UV_RUN_NOWAIT);
    n = recv(fd, block, sizeof(block), 0);
    if (n > 0)
        property(buf_append(got, block, (size_t)n) == 0);
    if (n < 0)
        return errno == EAGAIN ? -EAGAIN : 0;
    return n;
}

/* false: the server has closed. */
static bool turn_until_quiet(int fd, struct buf *got)
{
    for (int quiet = 0; quiet < QUIET_TURNS;) {
        ssize_t n = turn(fd, got);

        if (n == 0)
            return false;
        quiet = n > 0 ? 0 : quiet + 1;
    }
    return true;
}

static bool send_all(int fd, const char *data, size_t len, struct buf *got)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && (errno != EAGAIN || turn(fd, got) == 0))
            return false;
        data += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* An answer at the front of what came. */
struct answer {
    size_t end;       /* how many bytes it has */
    int http;         /* what HTTP says */
    int status;       /* what the seal says; 0: it is not sealed */
    struct buf plain; /* the body, opened */
};

static void answer_done(struct answer *a)
{
    buf_done(&a->plain);
}

static void on_status(void *arg, int status)
{
    ((struct answer *)arg)->status = status;
}

static void on_data(void *arg, const char *data, size_t len)
{
    property(buf_append(&((struct answer *)arg)->plain, data, len) == 0);
}

/* A sealed answer that is whole has its last frame. */
static void open_answer(struct answer *a, const struct buf *body)
{
    static const struct channel_reader_handler handler = {.on_status = on_status,
                                                          .on_data = on_data};
    CLEANUP(channel_reader_done) struct channel_reader r;

    property(a->http == 200);
    channel_reader_init(&r, app.answer_key);
    property(channel_reader_feed(&r, buf_str(body), body->len, &handler, a) == 0);
    property(r.final);
}

/* The end of the body in chunks that begins at `at`; 0: the end is not there yet. */
static size_t take_chunks(const struct buf *got, size_t at, struct buf *body)
{
    for (;;) {
        const char *line = buf_str(got) + at;
        const char *end = memmem(line, got->len - at, "\r\n", 2);
        size_t len = end ? strtoul(line, NULL, 16) : 0;

        if (!end || got->len < (size_t)(end - buf_str(got)) + len + 4)
            return 0;
        at = (size_t)(end - buf_str(got)) + 2;
        property(buf_append(body, buf_str(got) + at, len) == 0);
        at += len + 2;
        if (len == 0)
            return at;
    }
}

/* false: it is not all there yet. */
static bool take_answer(const struct buf *got, struct answer *ret)
{
    cleanup_buf struct buf body = BUF_INIT(ANSWER_MAX);
    const char *end = got->len > 0 ? memmem(got->data, got->len, "\r\n\r\n", 4) : NULL;
    cleanup_free char *head = end ? xmemdup0(got->data, (size_t)(end - got->data) + 2) : NULL;
    const char *length = head ? strcasestr(head, "\r\nContent-Length: ") : NULL;
    size_t at = end ? (size_t)(end - got->data) + 4 : 0, len;

    if (!end)
        return false;
    ret->http = (int)strtol(head + strlen("HTTP/1.1 "), NULL, 10);
    if (length) {
        len = strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
        if (got->len - at < len)
            return false;
        property(buf_append(&body, got->data + at, len) == 0);
        ret->end = at + len;
    } else {
        ret->end = take_chunks(got, at, &body);
        if (ret->end == 0)
            return false;
    }
    if (strcasestr(head, "\r\nContent-Type: " CHANNEL_CONTENT_TYPE "\r\n"))
        open_answer(ret, &body);
    else
        buf_append(&ret->plain, buf_str(&body), body.len);
    return true;
}

static bool has_answer(const struct buf *got)
{
    CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(ANSWER_MAX)};

    return take_answer(got, &a);
}

/* How a client behaves. */
struct manners {
    size_t first;    /* so many bytes first, the rest when nothing more comes */
    bool patient;    /* waits for an answer before it closes: the server may drop a request whose
                      * peer has gone */
    bool half_close; /* closes its own half and reads to the end, which must come; else it resets */
};

static void talk(const struct buf *out, const struct manners *m, struct buf *got)
{
    int64_t until_ns = clock_read().mono_ns + WAIT_NS;
    int fd = dial();
    bool open = send_all(fd, buf_str(out), m->first, got) && turn_until_quiet(fd, got) &&
                send_all(fd, buf_str(out) + m->first, out->len - m->first, got);

    while (open && m->patient && !has_answer(got)) {
        open = turn(fd, got) != 0;
        property(clock_read().mono_ns < until_ns);
    }
    open = open && turn_until_quiet(fd, got);
    if (m->half_close)
        shutdown(fd, SHUT_WR);
    while (open && m->half_close) {
        open = turn(fd, got) != 0;
        property(clock_read().mono_ns < until_ns);
    }
    close(fd);
    uv_run(&app.loop, UV_RUN_NOWAIT);
}

/* ---- what may be answered -------------------------------------------------------------------- */

static const char *next_answer(const char *p)
{
    const char *a = strstr(p, "HTTP/1.1 "), *b = strstr(p, "HTTP/1.0 ");

    return !a || (b && b < a) ? b : a;
}

/* Whether the text of an answer, which ends at `end`, has that in it. */
static bool holds(const char *p, const char *end, const char *text)
{
    return memmem(p, (size_t)(end - p), text, strlen(text));
}

/* An answer that anybody may get: none of those that a handler behind the signature gives. */
static bool is_for_everybody(const char *p, const char *end)
{
    switch (strtol(p + strlen("HTTP/1.1 "), NULL, 10)) {
    case 200:
        return holds(p, end, "\r\n\r\nok\n") && end - strlen("ok\n") >= p;
    case 503:
        return holds(p, end, "\r\n\r\n{\"ready\":false,");
    case 202:
    case 204:
    case 403:
    case 404:
    case 405:
    case 409:
    case 410:
    case 507:
        return false;
    }
    return true;
}

/* p: the first answer that is not one to a signed request. */
static void check_unsigned(const char *p)
{
    while (p) {
        const char *next = next_answer(p + 1);

        property(is_for_everybody(p, next ? next : p + strlen(p)));
        p = next;
    }
}

/* Lines of a head that begin with that name, in any case. */
static unsigned count_lines(const char *head, const char *end, const char *name)
{
    unsigned n = 0;

    for (const char *p = head; p && (size_t)(end - p) >= strlen(name);) {
        n += strncasecmp(p, name, strlen(name)) == 0;
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    return n;
}

/* The end of the head: an empty line. To libmicrohttpd it is also a line that begins with a colon.
 * That is a fault, but a harmless one: nothing else reads the request on its way, and all that
 * counts is signed. */
static const char *head_end(const char *head, size_t size)
{
    static const char *const ends[] = {"\n\r\n", "\n\n", "\n:"};
    const char *first = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        const char *end = memmem(head, size, ends[i], strlen(ends[i]));

        if (end && (!first || end < first))
            first = end;
    }
    return first;
}

/* Whether two readers could see the first request differently: its head has a field twice, or both
 * ways to say where the body ends. A head whose own end is in doubt does not count. */
static bool is_ambiguous(const char *head, size_t size)
{
    const char *end = head_end(head, size);
    unsigned lengths, codings;

    if (!end || isspace((unsigned char)*head) || memchr(head, 0, (size_t)(end - head)))
        return false;
    /* Readers also differ on lines that are folded (RFC 9112, 5.2): libmicrohttpd joins them and
     * does not tell which header they belong to. Such a request counts as unsigned: it gets a 401,
     * and nothing is done. */
    for (const char *p = head; p < end; p++)
        if ((*p == '\r' && p[1] != '\n') || (*p == '\n' && (p[1] == ' ' || p[1] == '\t')))
            return false;
    /* The request line is no field, whatever it looks like. */
    head = memchr(head, '\n', (size_t)(end + 1 - head));
    lengths = count_lines(head, end, "Content-Length:");
    codings = count_lines(head, end, "Transfer-Encoding:");
    return lengths > 1 || codings > 1 || (lengths && codings) ||
           count_lines(head, end, "Host:") > 1;
}

/* Such a request must be refused before anybody handles it. 200 and 503 would come from /healthz
 * and /readyz, 401 from the check of signatures. */
static void check_ambiguous(const char *first)
{
    long status = first ? strtol(first + strlen("HTTP/1.1 "), NULL, 10) : 400;

    property(status != 200 && status != 401 && status != 503);
}

/* The answer to a signed request. */
static void check_first(unsigned mode, bool untyped, const struct answer *a)
{
    const char *text = buf_str(&a->plain);

    switch (mode) {
    case TASK_BODY:
    case ACKNOWLEDGE_BODY:
        /* Whatever the body: its signature was good, so it was read as it was sent. */
        property(a->status != 0);
        break;
    case UNSEALED:
        /* An empty body needs no seal, and is no task. */
        property(a->status == 400 || (untyped && a->http == 426));
        break;
    case BEHIND_LIST:
        property(a->status == 200 && strcmp(text, "{\"running\":[]}") == 0);
        break;
    case BEHIND_STREAM:
        property(a->status == 200 && strstr(text, "\"reason\":\"Completed\"}\n"));
        break;
    }
}

/* Returns the first of the answers that are not to a signed request. */
static const char *check_answers(unsigned flags, const struct buf *got)
{
    CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(ANSWER_MAX)};
    unsigned mode = flags & MODE_BITS;
    const char *rest = buf_str(got);

    if (mode != RAW) {
        bool whole = take_answer(got, &a);

        /* What is no HTTP is refused before the signature is looked at; HEAD has no body. */
        property(whole || mode == SIGNED);
        check_first(mode, flags & REPLAY, &a);
        rest += whole ? a.end : got->len;
    }
    /* Bytes of zero would hide what follows. */
    property(strlen(rest) == (size_t)(buf_str(got) + got->len - rest));
    if (mode != RAW && mode != BEHIND_LIST && mode != BEHIND_STREAM)
        property(*rest == '\0');
    return next_answer(rest);
}

/* ---- the target ------------------------------------------------------------------------------ */

static void check_alive(void)
{
    cleanup_buf struct buf out = BUF_INIT(INPUT_MAX), got = BUF_INIT(ANSWER_MAX);
    CLEANUP(answer_done) struct answer a = {.plain = BUF_INIT(ANSWER_MAX)};
    bool sealed = app.runs++ % 64 == 0;

    if (sealed)
        put_signed(&out, "GET", "/v1/tasks", false, "", 0);
    else
        buf_puts(&out, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    talk(&out, &(struct manners){out.len, true, false}, &got);
    property(take_answer(&got, &a) && a.http == 200 && a.status == (sealed ? 200 : 0));
    property(strcmp(buf_str(&a.plain), sealed ? "{\"running\":[]}" : "ok\n") == 0);
}

/* Drops the result of the task that the request has started. None of its steps needs a runner, so
 * it is over at once. The journal goes on remembering it. False: no task was started. */
static bool forget_task(void)
{
    if (attempt_table_stats(app.table)->started == app.started)
        return false;
    property(attempt_table_delete(app.table, app.task, 1) == ATTEMPT_DELETE_ACKNOWLEDGED);
    app.started++;
    return true;
}

static void execute(unsigned flags, const uint8_t *data, size_t size)
{
    cleanup_buf struct buf out = BUF_INIT(16 * INPUT_MAX), got = BUF_INIT(ANSWER_MAX);
    unsigned mode = flags & MODE_BITS;
    struct manners m = {.patient = mode != RAW && mode != SIGNED, .half_close = flags & HALF_CLOSE};
    size_t count = journal_count(app.journal);
    const char *unsigned_ones;

    put_request(&out, flags, data, size);
    m.first = flags & IN_PIECES ? size % (out.len + 1) : out.len;
    talk(&out, &m, &got);
    unsigned_ones = check_answers(flags, &got);
    check_unsigned(unsigned_ones);
    if (mode == RAW && is_ambiguous((const char *)data, size))
        check_ambiguous(unsigned_ones);
    if (mode == SIGNED)
        property(journal_count(app.journal) <= count + 1);
    else if (mode != TASK_BODY || !forget_task())
        property(journal_count(app.journal) == count);
    property(attempt_table_kept(app.table) == 1 && attempt_table_running(app.table) == 0);
    property(attempt_table_stats(app.table)->started == app.started);
    check_alive();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = 0, remembered;

    if (size == 0 || size > INPUT_MAX || (data[0] & MODE_BITS) >= MODES)
        return 0;
    if (!app.server)
        set_up();
    /* The check at the end of the first execution makes the server allocate what it keeps. */
    if (app.runs > 0 && __sanitizer_get_current_allocated_bytes)
        before = __sanitizer_get_current_allocated_bytes();
    remembered = journal_count(app.journal);
    execute(data[0], data + 1, size - 1);
    /* An execution that makes the journal longer is not counted: the journal is bounded by its
     * number of attempts. */
    if (before > 0 && journal_count(app.journal) == remembered)
        app.kept_bytes += (int64_t)__sanitizer_get_current_allocated_bytes() - (int64_t)before;
    property(app.kept_bytes < KEPT_MAX);
    return 0;
}
