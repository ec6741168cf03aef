#include "sidecar/runner_link.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/limits.h"
#include "common/list.h"

#define READ_BYTES (64u << 10)
/* Of a connection's buffer, while something runs: a read behind a part of a frame. */
#define KEEP_BYTES (2 * READ_BYTES)

/* A connection: a caller at first, the runner once its HELLO was good. */
struct conn {
    struct list node; /* in link->callers, or in none */
    struct link *link;
    uv_pipe_t pipe;
    struct frame_buf in;
};

struct link {
    struct runner_links *links;
    size_t index;
    const char *name;
    char *path;
    uv_pipe_t listener;
    struct list callers;
    size_t caller_count;
    struct conn *runner; /* NULL: none */
    unsigned char token[FRAMES_TOKEN_BYTES];
    bool has_token;
};

struct runner_links {
    struct uv_loop_s *loop;
    struct runner_links_opts opts;
    struct link list[LIMIT_CONTAINERS];
    size_t handles_open;
    bool closing;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void maybe_finish_close(struct runner_links *links)
{
    void (*cb)(void *) = links->close_cb;
    void *arg = links->close_arg;

    if (!links->closing || links->handles_open > 0)
        return;
    for (size_t i = 0; i < links->opts.container_count; i++)
        free(links->list[i].path);
    free(links);
    if (cb)
        cb(arg);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct runner_links *links = c->link->links;

    frame_buf_done(&c->in);
    free(c);
    links->handles_open--;
    maybe_finish_close(links);
}

/* Takes the connection out of its link; tells when it was the runner's. */
static void conn_close(struct conn *c, const char *why)
{
    struct link *l = c->link;
    struct runner_links *links = l->links;
    bool was_runner = l->runner == c;

    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    if (was_runner) {
        l->runner = NULL;
    } else {
        list_remove(&c->node);
        l->caller_count--;
    }
    uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
    if (links->closing)
        return;
    if (was_runner)
        links->opts.on_lost(l->index, why, links->opts.arg);
    else
        links->opts.on_refused(l->index, why, links->opts.arg);
}

/* The runner is PID 1: when it goes its container goes, and the next one starts from scratch. */
static void forget_token(struct link *l)
{
    l->has_token = false;
    sodium_memzero(l->token, sizeof(l->token));
    journal_set_token(l->links->opts.journal, l->name, NULL, NULL);
}

static void on_peer_closed(struct conn *c, int status)
{
    if (c->link->runner == c)
        forget_token(c->link);
    conn_close(c, status == UV_EOF ? "the connection was closed" : uv_strerror(status));
}

/* ---- sending --------------------------------------------------------------------------------- */

struct send {
    uv_write_t req;
    struct frame_buf buf;
};

static void on_sent(uv_write_t *req, int status)
{
    struct send *s = req->data;

    frame_buf_done(&s->buf);
    free(s);
}

static void send_frame(struct conn *c, struct frame_buf *b)
{
    struct send *s = xcalloc(1, sizeof(*s));
    uv_buf_t chunk = uv_buf_init((char *)b->data, (unsigned)b->len);
    int n = uv_try_write((uv_stream_t *)&c->pipe, &chunk, 1);

    s->buf = *b;
    s->req.data = s;
    n = MAX(n, 0);
    if ((size_t)n == b->len || uv_is_closing((uv_handle_t *)&c->pipe)) {
        on_sent(&s->req, 0);
        return;
    }
    chunk = uv_buf_init((char *)b->data + n, (unsigned)(b->len - (size_t)n));
    if (uv_write(&s->req, (uv_stream_t *)&c->pipe, &chunk, 1, on_sent) < 0)
        on_sent(&s->req, 0);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Kept before the runner is told that it is the one: a sidecar that dies in between lets it in
 * again, as it was the runner that chose the token. */
static int keep_token(struct link *l, const unsigned char *token)
{
    struct err err;

    if (l->has_token)
        return 0;
    if (journal_set_token(l->links->opts.journal, l->name, token, &err) < 0)
        return -EIO;
    memcpy(l->token, token, sizeof(l->token));
    l->has_token = true;
    return 0;
}

static void become_runner(struct conn *c, const unsigned char *token)
{
    struct link *l = c->link;
    struct frame_buf b = {0};

    if (keep_token(l, token) < 0) {
        conn_close(c, "its token could not be kept");
        return;
    }
    if (l->runner)
        conn_close(l->runner, "it dialed once more");
    list_remove(&c->node);
    l->caller_count--;
    l->runner = c;
    frame_end(&b, frame_begin(&b, FRAME_WELCOME));
    send_frame(c, &b);
    l->links->opts.on_ready(l->index, l->links->opts.arg);
}

static int on_hello(struct conn *c, struct frame_reader *f)
{
    struct link *l = c->link;
    uint32_t version = frame_get_u32(f);
    size_t len;
    const void *token = frame_get_bytes(f, &len);

    if (!frame_complete(f) || version != FRAMES_VERSION || len != sizeof(l->token))
        return -EPROTO;
    if (l->has_token && sodium_memcmp(token, l->token, sizeof(l->token)) != 0) {
        conn_close(c, "it does not have the runner's token");
        return 0;
    }
    if (!l->has_token && l->runner)
        return -EPROTO;
    become_runner(c, token);
    return 0;
}

static int on_out(struct conn *c, struct frame_reader *f)
{
    struct runner_links *links = c->link->links;
    uint64_t id = frame_get_u64(f);
    uint32_t fd = frame_get_u32(f);
    size_t len;
    const char *data = frame_get_bytes(f, &len);

    if (!frame_complete(f) || (fd != 1 && fd != 2) || len > LIMIT_EVENT_CHUNK_BYTES)
        return -EPROTO;
    links->opts.on_out(c->link->index, id, (int)fd, data, len, links->opts.arg);
    return 0;
}

static int on_done(struct conn *c, struct frame_reader *f)
{
    struct runner_links *links = c->link->links;
    uint64_t id = frame_get_u64(f);
    uint32_t how = frame_get_u32(f);
    uint32_t value = frame_get_u32(f);
    int64_t duration_ns = (int64_t)frame_get_u64(f);

    if (!frame_complete(f) || how >= FRAME_HOW_COUNT)
        return -EPROTO;
    links->opts.on_done(c->link->index, id, (enum frame_how)how, value, duration_ns,
                        links->opts.arg);
    return 0;
}

static int on_frame(struct conn *c, enum frame_type type, struct frame_reader *f)
{
    bool is_runner = c->link->runner == c;

    if (type == FRAME_HELLO && !is_runner)
        return on_hello(c, f);
    if (type == FRAME_OUT && is_runner)
        return on_out(c, f);
    if (type == FRAME_DONE && is_runner)
        return on_done(c, f);
    return -EPROTO;
}

static void take_frames(struct conn *c)
{
    struct frame_reader f;
    enum frame_type type;
    size_t size, used = 0;
    int n;

    /* All frames first and one move of the rest: many small ones come at once. */
    for (;;) {
        struct frame_buf rest = {.data = c->in.data + used, .len = c->in.len - used};

        n = frame_next(&rest, &type, &f, &size);
        if (n <= 0)
            break;
        n = on_frame(c, type, &f);
        if (n < 0 || uv_is_closing((uv_handle_t *)&c->pipe))
            break;
        used += size;
    }
    if (n < 0)
        conn_close(c, "it does not speak the protocol");
    else if (!uv_is_closing((uv_handle_t *)&c->pipe))
        frame_buf_consume_keep(&c->in, used, KEEP_BYTES);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;

    *buf = uv_buf_init((char *)frame_buf_reserve(&c->in, READ_BYTES), READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    if (n < 0) {
        on_peer_closed(c, (int)n);
    } else if (n > 0) {
        c->in.len += (size_t)n;
        take_frames(c);
    } else {
        frame_buf_consume_keep(&c->in, 0, KEEP_BYTES);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct link *l = listener->data;
    struct conn *c;

    if (status < 0)
        return;
    c = xcalloc(1, sizeof(*c));
    c->link = l;
    uv_pipe_init(l->links->loop, &c->pipe, 0);
    c->pipe.data = c;
    l->links->handles_open++;
    list_push_back(&l->callers, &c->node);
    l->caller_count++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
        conn_close(c, "it could not be accepted");
    else if (l->caller_count > RUNNER_DIALS_MAX)
        conn_close(list_first(&l->callers, struct conn, node), "too many callers");
}

/* ---- requests to a runner -------------------------------------------------------------------- */

bool runner_ready(const struct runner_links *links, size_t container)
{
    return links->list[container].runner != NULL;
}

void runner_drop(struct runner_links *links, size_t container, const char *why)
{
    if (links->list[container].runner)
        conn_close(links->list[container].runner, why);
}

void runner_links_trim(struct runner_links *links)
{
    for (size_t i = 0; i < links->opts.container_count; i++) {
        struct conn *c = links->list[i].runner;

        if (c)
            frame_buf_consume(&c->in, 0);
    }
}

/* Ends the frame that began at the start of b, and sends it. */
static int send_to(struct runner_links *links, size_t container, struct frame_buf *b)
{
    struct conn *c = links->list[container].runner;
    bool fits = b->len - 4 <= FRAMES_MAX;

    if (!c || !fits) {
        frame_buf_done(b);
        return fits ? 0 : -E2BIG;
    }
    frame_end(b, 0);
    send_frame(c, b);
    return 0;
}

static void put_env(struct frame_buf *b, const struct task_step *step)
{
    frame_put_u32(b, (uint32_t)step->env_count);
    for (size_t i = 0; i < step->env_count; i++) {
        cleanup_free char *text = xasprintf("%s=%s", step->env[i].name, step->env[i].value);

        frame_put_text(b, text);
    }
}

int runner_exec(struct runner_links *links, size_t container, uint64_t id, const char *label,
                const char *work_dir, const struct task_step *step)
{
    struct frame_buf b = {0};

    frame_begin(&b, FRAME_EXEC);
    frame_put_u64(&b, id);
    frame_put_text(&b, label);
    frame_put_text(&b, work_dir);
    frame_put_u32(&b, (uint32_t)step->argc);
    for (size_t i = 0; i < step->argc; i++)
        frame_put_text(&b, step->argv[i]);
    put_env(&b, step);
    return send_to(links, container, &b);
}

int runner_write(struct runner_links *links, size_t container, uint64_t id, const char *path,
                 const struct task_step *step)
{
    struct frame_buf b = {0};

    frame_begin(&b, FRAME_WRITE);
    frame_put_u64(&b, id);
    frame_put_u32(&b, step->is_patch ? FRAME_WRITE_PATCH : FRAME_WRITE_CONTENT);
    frame_put_u32(&b, step->mode < 0 ? FRAME_MODE_UNSET : (uint32_t)step->mode);
    frame_put_text(&b, path);
    frame_put_bytes(&b, step->content, step->content_len);
    return send_to(links, container, &b);
}

void runner_kill(struct runner_links *links, size_t container, uint64_t id, int64_t grace_ms)
{
    struct frame_buf b = {0};

    frame_begin(&b, FRAME_KILL);
    frame_put_u64(&b, id);
    frame_put_u32(&b, (uint32_t)grace_ms);
    send_to(links, container, &b);
}

/* ---- start and stop -------------------------------------------------------------------------- */

static int listen_on(struct link *l, struct err *err)
{
    int r;

    /* A socket that a sidecar before us has left. */
    unlink(l->path);
    r = uv_pipe_bind(&l->listener, l->path);
    /* The container's user is not ours. */
    if (r == 0 && chmod(l->path, 0777) < 0)
        r = -errno;
    if (r == 0)
        r = uv_listen((uv_stream_t *)&l->listener, RUNNER_DIALS_MAX, on_connection);
    return r < 0 ? err_set(err, r, "listen on %s: %s", l->path, uv_strerror(r)) : 0;
}

static int link_start(struct runner_links *links, size_t i, struct err *err)
{
    struct link *l = &links->list[i];
    const char *name = links->opts.containers[i];
    int r = journal_token(links->opts.journal, name, l->token, err);

    /* Without the token whoever dials first would be the runner. */
    if (r < 0)
        return r;
    l->has_token = r > 0;
    l->links = links;
    l->index = i;
    l->name = name;
    l->path = xasprintf("%s/%s/sock", links->opts.dir, l->name);
    list_init(&l->callers);
    uv_pipe_init(links->loop, &l->listener, 0);
    l->listener.data = l;
    links->handles_open++;
    return listen_on(l, err);
}

static void on_listener_closed(uv_handle_t *h)
{
    struct link *l = h->data;

    l->links->handles_open--;
    maybe_finish_close(l->links);
}

void runner_links_close(struct runner_links *links, void (*cb)(void *arg), void *arg)
{
    if (!links)
        return;
    links->closing = true;
    links->close_cb = cb;
    links->close_arg = arg;
    for (size_t i = 0; i < links->opts.container_count; i++) {
        struct link *l = &links->list[i];

        if (!l->links)
            continue;
        if (l->runner)
            conn_close(l->runner, "");
        list_for_each_safe (it, &l->callers)
            conn_close(list_entry(it, struct conn, node), "");
        uv_close((uv_handle_t *)&l->listener, on_listener_closed);
    }
    maybe_finish_close(links);
}

int runner_links_new(struct uv_loop_s *loop, const struct runner_links_opts *opts,
                     struct runner_links **ret, struct err *err)
{
    struct runner_links *links = xcalloc(1, sizeof(*links));
    int r = 0;

    assert(opts->container_count <= LIMIT_CONTAINERS);
    links->loop = loop;
    links->opts = *opts;
    for (size_t i = 0; r == 0 && i < opts->container_count; i++)
        r = link_start(links, i, err);
    if (r < 0) {
        runner_links_close(links, NULL, NULL);
        return r;
    }
    *ret = links;
    return 0;
}
