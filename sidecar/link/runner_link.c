#include "sidecar/link/runner_link.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/limits.h"
#include "common/base/list.h"
#include "sidecar/link/runner_folder.h"

#define READ_BYTES (64u << 10)
/* Of a connection's buffer, while something runs: a read behind a part of a frame. */
#define KEEP_BYTES (2 * READ_BYTES)

/* A connection: a caller at first, the runner once its HELLO was good. */
struct conn {
    struct list node; /* in link->callers, or in none */
    struct link *link;
    uv_pipe_t pipe;
    struct frame_buf in;
    uint64_t deadline_ms; /* of its HELLO */
};

/* What a runner dials. */
struct door {
    uv_pipe_t pipe;
    struct link *link;
};

struct link {
    struct runner_links *links;
    size_t index;
    const char *name;
    char *path;
    struct door *door; /* NULL: it is shut */
    struct list callers;
    size_t caller_count;
    struct conn *runner; /* NULL: none */
    unsigned char token[FRAMES_TOKEN_BYTES];
    uv_timer_t timer;
    uint64_t renew_ms; /* when the link is renewed; 0: not by time */
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

/* Takes the connection out of its link. */
static void conn_leave(struct conn *c)
{
    if (c->link->runner == c) {
        c->link->runner = NULL;
    } else {
        list_remove(&c->node);
        c->link->caller_count--;
    }
    uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
}

static void refuse(struct conn *c, const char *why)
{
    struct link *l = c->link;

    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    conn_leave(c);
    l->links->opts.on_refused(l->index, why, l->links->opts.arg);
}

static void on_timer(uv_timer_t *timer);
static void on_connection(uv_stream_t *listener, int status);

/* For what is due first. */
static void set_timer(struct link *l)
{
    uint64_t now = uv_now(l->links->loop), next = l->renew_ms ? l->renew_ms : UINT64_MAX;

    /* They are in the order of their deadlines. */
    if (l->caller_count > 0)
        next = MIN(next, list_first(&l->callers, struct conn, node)->deadline_ms);
    if (next == UINT64_MAX)
        uv_timer_stop(&l->timer);
    else
        uv_timer_start(&l->timer, on_timer, next > now ? next - now : 0, 0);
}

/* ---- the door -------------------------------------------------------------------------------- */

static void on_door_closed(uv_handle_t *h)
{
    struct door *d = h->data;
    struct runner_links *links = d->link->links;

    free(d);
    links->handles_open--;
    maybe_finish_close(links);
}

/* Closes the socket, and refuses the callers that wait behind it. */
static void shut_door(struct link *l)
{
    if (l->door)
        uv_close((uv_handle_t *)&l->door->pipe, on_door_closed);
    l->door = NULL;
    list_for_each_safe (it, &l->callers) {
        if (l->links->closing)
            conn_leave(list_entry(it, struct conn, node));
        else
            refuse(list_entry(it, struct conn, node), "the socket was closed before its turn");
    }
}

static int open_door(struct link *l, struct err *err)
{
    struct door *d = xcalloc(1, sizeof(*d));
    int r;

    d->link = l;
    d->pipe.data = d;
    uv_pipe_init(l->links->loop, &d->pipe, 0);
    l->links->handles_open++;
    l->door = d;
    /* A socket that a sidecar before us has left. */
    unlink(l->path);
    r = uv_pipe_bind(&d->pipe, l->path);
    /* The container's user is not ours. */
    if (r == 0 && chmod(l->path, 0777) < 0)
        r = -errno;
    if (r == 0)
        r = uv_listen((uv_stream_t *)&d->pipe, RUNNER_DIALS_MAX, on_connection);
    return r < 0 ? err_set(err, r, "listen on %s: %s", l->path, uv_strerror(r)) : 0;
}

/* ---- the end of a runner --------------------------------------------------------------------- */

/* Nobody can have the new secret before the folder exists. */
static int make_anew(struct link *l, struct err *err)
{
    const struct runner_links_opts *o = &l->links->opts;
    int r;

    shut_door(l);
    randombytes_buf(l->token, sizeof(l->token));
    r = journal_set_token(o->journal, l->name, l->token, err);
    if (r == 0)
        r = runner_folder_renew(o->dir, l->name, NULL, o->container_count == 1, l->token, err);
    return r < 0 ? r : open_door(l, err);
}

static void renew(struct link *l)
{
    struct err err;

    l->renew_ms = 0;
    if (make_anew(l, &err) < 0) {
        shut_door(l);
        l->renew_ms = uv_now(l->links->loop) + RUNNER_RENEW_AGAIN_MS;
        l->links->opts.on_trouble(l->index, err.msg, l->links->opts.arg);
    }
    set_timer(l);
}

/* The runner is PID 1: its container ends with it, and the next life begins from scratch. A runner
 * that has only lost its connection ends, because its folder is gone. */
static void lose_runner(struct conn *c, const char *why)
{
    struct link *l = c->link;
    struct runner_links *links = l->links;

    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    conn_leave(c);
    if (links->closing)
        return;
    renew(l);
    links->opts.on_lost(l->index, why, links->opts.arg);
}

static void conn_end(struct conn *c, const char *why)
{
    if (c->link->runner == c)
        lose_runner(c, why);
    else
        refuse(c, why);
}

static void on_timer(uv_timer_t *timer)
{
    struct link *l = timer->data;
    uint64_t now = uv_now(l->links->loop);

    list_for_each_safe (it, &l->callers)
        if (list_entry(it, struct conn, node)->deadline_ms <= now)
            refuse(list_entry(it, struct conn, node), "it did not say who it is");
    if (l->renew_ms && l->renew_ms <= now)
        renew(l);
    else
        set_timer(l);
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

/* The secret is removed before any code of the user can run. */
static void become_runner(struct conn *c)
{
    struct link *l = c->link;
    struct runner_links *links = l->links;
    struct frame_buf b = {0};

    if (runner_folder_remove_secret(links->opts.dir, l->name) < 0) {
        refuse(c, "its secret could not be removed");
        return;
    }
    list_remove(&c->node);
    l->caller_count--;
    l->runner = c;
    l->renew_ms = 0;
    shut_door(l);
    set_timer(l);
    frame_end(&b, frame_begin(&b, FRAME_WELCOME));
    send_frame(c, &b);
    links->opts.on_ready(l->index, links->opts.arg);
}

static int on_hello(struct conn *c, struct frame_reader *f)
{
    struct link *l = c->link;
    uint32_t version = frame_get_u32(f);
    size_t len;
    const void *token = frame_get_bytes(f, &len);

    if (!frame_complete(f) || version != FRAMES_VERSION || len != sizeof(l->token))
        return -EPROTO;
    if (sodium_memcmp(token, l->token, sizeof(l->token)) != 0)
        refuse(c, "it does not have the runner's token");
    else
        become_runner(c);
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
    cleanup_free char *text = frame_get_text(f);

    if (!frame_complete(f) || how >= FRAME_HOW_COUNT || strlen(text) >= FRAME_TEXT_MAX)
        return -EPROTO;
    links->opts.on_done(c->link->index, id, (enum frame_how)how, value, text, duration_ns,
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
    static const unsigned char hello_size[4] = {FRAMES_HELLO_BYTES - 4};
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
    /* No other frame is allowed from a caller. */
    if (n == 0 && c->link->runner != c && c->in.len >= 4 &&
        memcmp(c->in.data, hello_size, sizeof(hello_size)) != 0)
        n = -EPROTO;
    if (n < 0)
        conn_end(c, "it does not speak the protocol");
    else if (!uv_is_closing((uv_handle_t *)&c->pipe))
        frame_buf_consume_keep(&c->in, used, KEEP_BYTES);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;
    /* The bytes behind a HELLO are read when the sender is known. */
    size_t n = c->link->runner == c ? READ_BYTES : FRAMES_HELLO_BYTES - c->in.len;

    *buf = uv_buf_init((char *)frame_buf_reserve(&c->in, n), (unsigned)n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;

    if (n < 0) {
        conn_end(c, n == UV_EOF ? "the connection was closed" : uv_strerror((int)n));
    } else if (n > 0) {
        c->in.len += (size_t)n;
        take_frames(c);
    } else {
        frame_buf_consume_keep(&c->in, 0, KEEP_BYTES);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct door *d = listener->data;
    struct link *l = d->link;
    struct conn *c;

    if (status < 0 || l->door != d)
        return;
    c = xcalloc(1, sizeof(*c));
    c->link = l;
    c->deadline_ms = uv_now(l->links->loop) + RUNNER_HELLO_MS;
    uv_pipe_init(l->links->loop, &c->pipe, 0);
    c->pipe.data = c;
    l->links->handles_open++;
    list_push_back(&l->callers, &c->node);
    l->caller_count++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
        refuse(c, "it could not be accepted");
    else if (l->caller_count > RUNNER_DIALS_MAX)
        refuse(list_first(&l->callers, struct conn, node), "too many callers");
    set_timer(l);
}

/* ---- requests to a runner -------------------------------------------------------------------- */

bool runner_ready(const struct runner_links *links, size_t container)
{
    return links->list[container].runner != NULL;
}

void runner_drop(struct runner_links *links, size_t container, const char *why)
{
    if (links->list[container].runner)
        lose_runner(links->list[container].runner, why);
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

/* If there is no other container, a link cannot lead out to one. */
static bool confined(const struct runner_links *links)
{
    return links->opts.container_count > 1;
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
    frame_put_text(&b, step->user);
    frame_put_text(&b, work_dir);
    frame_put_u32(&b, (uint32_t)step->argc);
    for (size_t i = 0; i < step->argc; i++)
        frame_put_text(&b, step->argv[i]);
    put_env(&b, step);
    frame_put_text(&b, step->stdin_file);
    frame_put_u32(&b, confined(links));
    frame_put_u32(&b, step->stdin_data != NULL);
    frame_put_bytes(&b, step->stdin_data ? step->stdin_data : "", step->stdin_len);
    return send_to(links, container, &b);
}

int runner_write(struct runner_links *links, size_t container, uint64_t id, const char *path,
                 const struct task_step *step)
{
    struct frame_buf b = {0};

    frame_begin(&b, FRAME_WRITE);
    frame_put_u64(&b, id);
    frame_put_text(&b, step->user);
    frame_put_u32(&b, !step->is_patch ? FRAME_WRITE_CONTENT
                      : step->path    ? FRAME_WRITE_PATCH
                                      : FRAME_WRITE_PATCHES);
    frame_put_u32(&b, step->mode < 0 ? FRAME_MODE_UNSET : (uint32_t)step->mode);
    frame_put_u32(&b, confined(links));
    frame_put_u32(&b, step->fuzz);
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

static int link_start(struct runner_links *links, size_t i, struct err *err)
{
    struct link *l = &links->list[i];
    const char *name = links->opts.containers[i];
    int r;

    l->links = links;
    l->index = i;
    l->name = name;
    l->path = xasprintf("%s/%s/sock", links->opts.dir, l->name);
    list_init(&l->callers);
    uv_timer_init(links->loop, &l->timer);
    l->timer.data = l;
    links->handles_open++;
    r = journal_token(links->opts.journal, name, l->token, err);
    if (r < 0)
        return r;
    if (r == 0)
        return make_anew(l, err);
    /* A runner that was in connects at once, if its container has not started again meanwhile. */
    if (!runner_folder_has_secret(links->opts.dir, name))
        l->renew_ms = uv_now(links->loop) + RUNNER_ABSENT_MS;
    set_timer(l);
    return open_door(l, err);
}

static void on_timer_closed(uv_handle_t *h)
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
            conn_leave(l->runner);
        shut_door(l);
        uv_close((uv_handle_t *)&l->timer, on_timer_closed);
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
