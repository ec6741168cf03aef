#include "tests/unit/fake_ops.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/limits.h"

#define SEALED_MAX (2 * LIMIT_OBJECT_BYTES)

struct ops_timer {
    struct list link;
    void (*cb)(void *arg);
    void *arg;
    int64_t due_ns; /* 0: not armed */
};

/* ---- the agent's side ------------------------------------------------------------------------ */

static const struct channel_pair *agent_pair(void)
{
    static const unsigned char secret[CHANNEL_KEY_BYTES] = AGENT_SIDE_SECRET;
    static struct channel_pair pair;

    if (pair.secret[0] == 0)
        channel_pair_init(&pair, secret);
    return &pair;
}

static bool is_sealed(const struct ops_call *call)
{
    return strstr(call->headers, "Arl-Operator-Key: ") != NULL;
}

static char *header_of(const struct ops_call *call, const char *name)
{
    cleanup_free char *start = xasprintf("%s: ", name);
    const char *at = strstr(call->headers, start);

    assert(at);
    return xmemdup0(at + strlen(start), strcspn(at + strlen(start), "\n"));
}

/* X25519 is the slowest part of a call, and fuzz targets make the same call again and again: the
 * last result is kept. */
static bool agent_shared(const struct agent_side_request *r, struct channel_shared *ret)
{
    static char of[256];
    static struct channel_shared last;
    char now[sizeof(of)];
    int len = snprintf(now, sizeof(now), "%s %s", r->operator_key, r->pod_uid);

    if (len >= (int)sizeof(now))
        return agent_side_shared(agent_pair(), r, ret);
    if (strcmp(now, of) != 0) {
        if (!agent_side_shared(agent_pair(), r, &last))
            return false;
        memcpy(of, now, sizeof(of));
    }
    *ret = last;
    return true;
}

static void agent_key_of(const struct ops_call *call, enum channel_direction direction,
                         unsigned char ret[CHANNEL_KEY_BYTES])
{
    cleanup_free char *pod = header_of(call, "Arl-Pod-Uid");
    cleanup_free char *sandbox = header_of(call, "Arl-Sandbox-Uid");
    cleanup_free char *key = header_of(call, "Arl-Operator-Key");
    cleanup_free char *input = header_of(call, "Signature-Input");
    const struct agent_side_request r = {call->method, call->path, pod, sandbox, key, input};
    struct channel_shared shared;
    bool ok = agent_shared(&r, &shared) && agent_side_derive(&shared, &r, direction, ret);

    assert(ok);
}

/* Opens the body as the agent does. */
static void open_body(struct ops_call *call, size_t len)
{
    unsigned char key[CHANNEL_KEY_BYTES];

    if (len == 0)
        return;
    assert(strcmp(call->content_type, CHANNEL_CONTENT_TYPE) == 0);
    agent_key_of(call, CHANNEL_REQUEST, key);
    if (channel_open(key, call->body, len, &len) == 0)
        call->body[len] = '\0';
    else /* it is for an agent with another key */
        call->body[0] = '\0';
}

static void begin_answer(struct ops_call *call, int status, struct buf *out)
{
    unsigned char key[CHANNEL_KEY_BYTES];

    if (call->sealed)
        return;
    call->sealed = true;
    agent_key_of(call, CHANNEL_ANSWER, key);
    channel_writer_begin(&call->writer, key, status, out);
}

/* In frames, as agents seal; the last frame may be empty. */
static void put_sealed(struct ops_call *call, const char *data, size_t len, bool final,
                       struct buf *out)
{
    int r;

    for (; len > CHANNEL_FRAME_MAX; data += CHANNEL_FRAME_MAX, len -= CHANNEL_FRAME_MAX)
        channel_writer_put(&call->writer, data, CHANNEL_FRAME_MAX, false, out);
    r = channel_writer_put(&call->writer, data, len, final, out);
    assert(r == 0);
}

void fake_seal(struct ops_call *call, int status, const char *body, struct buf *out)
{
    begin_answer(call, status, out);
    put_sealed(call, body, strlen(body), true, out);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct ops_call *call)
{
    list_remove(&call->link);
    free(call->address);
    free(call->method);
    free(call->path);
    free(call->content_type);
    free(call->accept);
    free(call->headers);
    free(call->body);
    free(call);
}

static char *join_headers(const char *const *headers)
{
    struct buf b = BUF_INIT(1 << 16);

    for (; headers && *headers; headers++)
        buf_printf(&b, "%s\n", *headers);
    return b.len ? buf_steal(&b) : xstrdup("");
}

static struct ops_call *fake_start(struct ops *ops, const struct ops_request *req,
                                   const struct ops_handler *handler, void *arg)
{
    struct fake_ops *f = container_of(ops, struct fake_ops, ops);
    struct ops_call *call = xcalloc(1, sizeof(*call));

    assert(req->timeout_ms > 0 || req->stream);
    call->owner = f;
    call->target = req->target;
    call->address = xstrdup(req->address);
    call->method = xstrdup(req->method);
    call->path = xstrdup(req->path);
    call->content_type = xstrdup(req->content_type);
    call->accept = xstrdup(req->accept);
    call->headers = join_headers(req->headers);
    call->body = xmemdup0(req->body_len ? req->body : "", req->body_len);
    call->stream = req->stream;
    call->timeout_ms = req->timeout_ms;
    call->idle_timeout_ms = req->idle_timeout_ms;
    call->answer_timeout_ms = req->answer_timeout_ms;
    call->handler = *handler;
    call->arg = arg;
    if (is_sealed(call))
        open_body(call, req->body_len);
    list_push_back(&f->calls, &call->link);
    call->number = ++f->started;
    return call;
}

static void fake_cancel(struct ops *ops, struct ops_call *call)
{
    container_of(ops, struct fake_ops, ops)->cancelled++;
    call_free(call);
}

static struct now fake_now(struct ops *ops)
{
    return container_of(ops, struct fake_ops, ops)->now;
}

static void fake_random(struct ops *ops, void *out, size_t len)
{
    struct fake_ops *f = container_of(ops, struct fake_ops, ops);
    unsigned char *p = out;

    for (size_t i = 0; i < len; i++) {
        f->random = f->random * 6364136223846793005ULL + 1442695040888963407ULL;
        p[i] = f->random_zero ? 0 : (unsigned char)(f->random >> 56);
    }
}

static struct ops_timer *fake_timer_new(struct ops *ops, void (*cb)(void *arg), void *arg)
{
    struct fake_ops *f = container_of(ops, struct fake_ops, ops);
    struct ops_timer *t = xcalloc(1, sizeof(*t));

    t->cb = cb;
    t->arg = arg;
    list_push_back(&f->timers, &t->link);
    return t;
}

static void fake_timer_set(struct ops *ops, struct ops_timer *t, int64_t mono_ns)
{
    t->due_ns = mono_ns;
}

static void fake_timer_free(struct ops *ops, struct ops_timer *t)
{
    if (!t)
        return;
    list_remove(&t->link);
    free(t);
}

static const struct ops_vtable vtable = {
    .start = fake_start,
    .cancel = fake_cancel,
    .now = fake_now,
    .random = fake_random,
    .timer_new = fake_timer_new,
    .timer_set = fake_timer_set,
    .timer_free = fake_timer_free,
};

void fake_ops_init(struct fake_ops *f)
{
    *f = (struct fake_ops){
        .ops = {&vtable}, .now = {1000 * NSEC_PER_SEC, 1767323045 * NSEC_PER_SEC}, .random = 1};
    list_init(&f->calls);
    list_init(&f->timers);
}

void fake_ops_done(struct fake_ops *f)
{
    assert(list_empty(&f->calls));
    assert(list_empty(&f->timers));
}

unsigned fake_calls(const struct fake_ops *f)
{
    unsigned n = 0;

    list_for_each (it, &f->calls)
        n++;
    return n;
}

struct ops_call *fake_find(const struct fake_ops *f, const char *what)
{
    list_for_each (it, &f->calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);
        cleanup_free char *text = xasprintf("%s %s", call->method, call->path);

        if (strstr(text, what))
            return call;
    }
    return NULL;
}

void fake_answer_full(struct ops_call *call, const struct ops_response *resp)
{
    /* Out of the list first: what on_done() starts or looks for must not find it. */
    list_remove(&call->link);
    call->handler.on_done(call->arg, resp);
    call_free(call);
}

static bool is_under_way(const struct fake_ops *f, unsigned number);

static void answer_sealed(struct ops_call *call, int status, const char *body)
{
    cleanup_buf struct buf out = BUF_INIT(SEALED_MAX);
    struct ops_response resp = {.status = 200, .body = "", .retry_after_ms = -1, .error_msg = ""};

    fake_seal(call, status, body, &out);
    if (call->stream) {
        struct fake_ops *f = call->owner;
        unsigned number = call->number;

        call->handler.on_data(call->arg, out.data, out.len);
        if (!is_under_way(f, number))
            return;
    } else {
        resp.body = out.data;
        resp.body_len = out.len;
    }
    fake_answer_full(call, &resp);
}

void fake_answer(struct ops_call *call, int status, const char *body)
{
    if (is_sealed(call)) {
        answer_sealed(call, status, body);
        return;
    }
    fake_answer_full(call, &(struct ops_response){.status = status,
                                                  .body = body,
                                                  .body_len = strlen(body),
                                                  .retry_after_ms = -1,
                                                  .error_msg = ""});
}

void fake_fail(struct ops_call *call, int error, bool maybe_sent)
{
    fake_answer_full(call, &(struct ops_response){.body = "",
                                                  .retry_after_ms = -1,
                                                  .error = error,
                                                  .error_msg = strerror(-error),
                                                  .maybe_sent = maybe_sent});
}

/* By number: a new call may lie where the old one was freed. */
static bool is_under_way(const struct fake_ops *f, unsigned number)
{
    list_for_each (it, &f->calls)
        if (list_entry(it, struct ops_call, link)->number == number)
            return true;
    return false;
}

bool fake_raw_data(struct fake_ops *f, struct ops_call *call, const char *data, size_t len)
{
    /* A copy of its own, so that reading past the end is caught. */
    char *copy = xmalloc(len ? len : 1);
    unsigned number = call->number;

    assert(call->stream);
    memcpy(copy, data, len);
    call->handler.on_data(call->arg, copy, len);
    free(copy);
    return is_under_way(f, number);
}

bool fake_data(struct fake_ops *f, struct ops_call *call, const char *data, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT(SEALED_MAX);

    if (!is_sealed(call))
        return fake_raw_data(f, call, data, len);
    begin_answer(call, 200, &out);
    put_sealed(call, data, len, false, &out);
    return fake_raw_data(f, call, out.data, out.len);
}

bool fake_line(struct fake_ops *f, struct ops_call *call, const char *line)
{
    cleanup_free char *text = xasprintf("%s\n", line);

    return fake_data(f, call, text, strlen(text));
}

static struct ops_timer *next_timer(const struct fake_ops *f)
{
    struct ops_timer *best = NULL;

    list_for_each (it, &f->timers) {
        struct ops_timer *t = list_entry(it, struct ops_timer, link);

        if (t->due_ns && (!best || t->due_ns < best->due_ns))
            best = t;
    }
    return best;
}

static void move_to(struct fake_ops *f, int64_t mono_ns)
{
    if (mono_ns <= f->now.mono_ns)
        return;
    f->now.wall_ns += mono_ns - f->now.mono_ns;
    f->now.mono_ns = mono_ns;
}

void fake_advance(struct fake_ops *f, int64_t ms)
{
    int64_t end_ns = f->now.mono_ns + ms * NSEC_PER_MSEC;
    struct ops_timer *t;

    while ((t = next_timer(f)) && t->due_ns <= end_ns) {
        move_to(f, t->due_ns);
        t->due_ns = 0;
        t->cb(t->arg);
    }
    move_to(f, end_ns);
}

int64_t fake_next_timer_ms(const struct fake_ops *f)
{
    const struct ops_timer *t = next_timer(f);

    return t ? (t->due_ns - f->now.mono_ns) / NSEC_PER_MSEC : -1;
}
