#include "sidecar/follow/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"

struct follow_output {
    struct list followers;
    bool held; /* by who feeds it */
    bool ended;
    int code;
    uint64_t total[2];
    int fd[2];          /* what is read; -1: none */
    uint64_t gap_at[2]; /* the offset of bytes that the file lacks; it has those behind them */
    uint64_t gap_bytes[2];
    struct spool_file *file[2]; /* removed with it; NULL: none */
};

enum follower_state { ASKING, WAITING, FOLLOWING, ENDING };

struct follower {
    struct list node;    /* in follow->followers */
    struct list on_node; /* in output->followers, or in none */
    struct follow *follow;
    enum follower_state state;
    uv_pipe_t pipe;
    uv_timer_t timer;
    unsigned handles;
    char line[FOLLOW_LINE_BYTES];
    size_t line_len;
    struct follow_request req;
    struct follow_output *output;
    uint64_t at[2];
    uint64_t stop[2]; /* without -f: what there was when he came */
    int turn;         /* the stream that pump() begins with */
    bool busy;        /* the frame is on its way */
    uv_write_t write;
    unsigned char frame[FOLLOW_HEAD_BYTES + FOLLOW_CHUNK_BYTES];
};

struct follow {
    struct uv_loop_s *loop;
    struct follow_opts opts;
    uv_pipe_t door;
    struct list followers;
    size_t count;
    size_t handles;
    struct log_rate refusals;
    bool closing;
    void (*close_cb)(void *arg);
    void *close_arg;
};

/* ---- outputs --------------------------------------------------------------------------------- */

struct follow_output *follow_output_new(void)
{
    struct follow_output *o = xcalloc(1, sizeof(*o));

    list_init(&o->followers);
    o->held = true;
    o->fd[0] = o->fd[1] = -1;
    return o;
}

static void output_maybe_free(struct follow_output *o)
{
    if (o->held || !list_empty(&o->followers))
        return;
    for (int i = 0; i < 2; i++) {
        if (o->fd[i] >= 0)
            close(o->fd[i]);
        spool_remove(o->file[i]);
    }
    free(o);
}

void follow_output_begin(struct follow_output *o, int stream, uint64_t total, const char *path)
{
    if (o->fd[stream] >= 0)
        close(o->fd[stream]);
    o->total[stream] = total;
    o->fd[stream] = path ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
}

void follow_output_gap(struct follow_output *o, int stream, uint64_t at, uint64_t bytes)
{
    o->gap_at[stream] = at;
    o->gap_bytes[stream] = bytes;
}

void follow_output_keep(struct follow_output *o, int stream, struct spool_file *file)
{
    o->file[stream] = file;
}

/* ---- the end of a follower ------------------------------------------------------------------- */

static void maybe_finish_close(struct follow *f)
{
    void (*cb)(void *) = f->close_cb;
    void *arg = f->close_arg;

    if (!f->closing || f->handles > 0)
        return;
    free(f);
    if (cb)
        cb(arg);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct follower *w = h->data;
    struct follow *f = w->follow;

    if (--w->handles == 0)
        free(w);
    f->handles--;
    maybe_finish_close(f);
}

static void leave(struct follower *w)
{
    struct follow_output *o = w->output;

    if (uv_is_closing((uv_handle_t *)&w->pipe))
        return;
    w->state = ENDING;
    list_remove(&w->node);
    list_remove(&w->on_node);
    w->output = NULL;
    w->follow->count--;
    if (o)
        output_maybe_free(o);
    uv_close((uv_handle_t *)&w->timer, on_handle_closed);
    uv_close((uv_handle_t *)&w->pipe, on_handle_closed);
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct follower *w, uint64_t ms)
{
    /* The loop's own idea of the time is from the start of this turn. */
    uv_update_time(w->follow->loop);
    uv_timer_start(&w->timer, on_timer, ms, 0);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void pump(struct follower *w);

static void on_written(uv_write_t *req, int status)
{
    struct follower *w = req->data;

    w->busy = false;
    if (uv_is_closing((uv_handle_t *)&w->pipe))
        return;
    uv_timer_stop(&w->timer);
    if (status < 0 || w->state == ENDING)
        leave(w);
    else
        pump(w);
}

static void send_rest(struct follower *w, size_t from, size_t total)
{
    uv_buf_t b = uv_buf_init((char *)w->frame + from, (unsigned)(total - from));

    assert(!w->busy && total <= sizeof(w->frame));
    w->write.data = w;
    w->busy = true;
    set_timer(w, FOLLOW_STALL_MS);
    if (uv_write(&w->write, (uv_stream_t *)&w->pipe, &b, 1, on_written) < 0)
        leave(w);
}

/* len bytes stand behind the head already. The next frame is for another turn of the loop. */
static void send_frame(struct follower *w, enum follow_kind kind, size_t len)
{
    follow_head(w->frame, kind, len);
    send_rest(w, 0, FOLLOW_HEAD_BYTES + len);
}

/* New output has come, and there may be more of it in this turn. */
static void send_now(struct follower *w, enum follow_kind kind, const char *data, size_t len)
{
    uv_buf_t b = uv_buf_init((char *)w->frame, (unsigned)(FOLLOW_HEAD_BYTES + len));
    int n;

    follow_head(w->frame, kind, len);
    memcpy(w->frame + FOLLOW_HEAD_BYTES, data, len);
    n = uv_try_write((uv_stream_t *)&w->pipe, &b, 1);
    n = MAX(n, 0);
    if ((size_t)n < b.len)
        send_rest(w, (size_t)n, b.len);
}

static enum follow_kind kind_of(int stream)
{
    return stream == 0 ? FOLLOW_STDOUT : FOLLOW_STDERR;
}

static void send_text(struct follower *w, enum follow_kind kind, const char *text)
{
    size_t len = strlen(text);

    memcpy(w->frame + FOLLOW_HEAD_BYTES, text, len);
    send_frame(w, kind, len);
}

/* Tells him why, and ends. Nothing may be on its way. */
static void refuse(struct follower *w, enum follow_exit code, const char *why)
{
    char text[ERR_MSG_MAX];

    w->state = ENDING;
    snprintf(text, sizeof(text), "%c%s", (char)code, why);
    send_text(w, FOLLOW_REFUSED, text);
}

static uint64_t goal(const struct follower *w, int stream)
{
    if (!(w->req.streams & (1u << stream)))
        return w->at[stream];
    return w->req.follow ? w->output->total[stream] : w->stop[stream];
}

static void send_gap(struct follower *w, int stream, uint64_t bytes)
{
    char text[64];

    snprintf(text, sizeof(text), "{\"stream\":%d,\"bytes\":%llu}", stream + 1,
             (unsigned long long)bytes);
    w->at[stream] += bytes;
    send_text(w, FOLLOW_GAP, text);
}

/* Reads from the file. Bytes that it lacks will never come. */
static void send_more(struct follower *w, int stream)
{
    const struct follow_output *o = w->output;
    uint64_t at = w->at[stream], left = goal(w, stream) - at;
    uint64_t gap_end = o->gap_at[stream] + o->gap_bytes[stream];
    ssize_t n = -1;

    if (at < o->gap_at[stream])
        left = MIN(left, o->gap_at[stream] - at);
    else if (at < gap_end)
        left = MIN(left, gap_end - at);
    if (o->fd[stream] >= 0 && (at < o->gap_at[stream] || at >= gap_end))
        n = pread(o->fd[stream], w->frame + FOLLOW_HEAD_BYTES,
                  (size_t)MIN(left, (uint64_t)FOLLOW_CHUNK_BYTES),
                  (off_t)(at < gap_end ? at : at - o->gap_bytes[stream]));
    if (n <= 0) {
        send_gap(w, stream, left);
        return;
    }
    w->at[stream] += (uint64_t)n;
    send_frame(w, kind_of(stream), (size_t)n);
}

static void send_end(struct follower *w)
{
    char text[64] = "{}";

    if (w->output->ended)
        snprintf(text, sizeof(text), "{\"exitCode\":%d}", w->output->code);
    w->state = ENDING;
    send_text(w, FOLLOW_END, text);
}

/* One frame at a time: the next one is made when this one is gone. The streams take turns. */
static void pump(struct follower *w)
{
    if (w->state != FOLLOWING || w->busy)
        return;
    for (int i = 0; i < 2; i++) {
        int stream = (w->turn + i) % 2;

        if (w->at[stream] < goal(w, stream)) {
            w->turn = 1 - stream;
            send_more(w, stream);
            return;
        }
    }
    if (w->output->ended || !w->req.follow)
        send_end(w);
}

/* ---- what a step prints ---------------------------------------------------------------------- */

void follow_output_data(struct follow_output *o, int stream, const char *data, size_t len)
{
    o->total[stream] += len;
    list_for_each_safe (it, &o->followers) {
        struct follower *w = list_entry(it, struct follower, on_node);
        bool next =
            w->at[stream] + len == goal(w, stream) && w->at[1 - stream] == goal(w, 1 - stream);

        if (w->busy || !next || len == 0 || len > FOLLOW_CHUNK_BYTES) {
            pump(w);
            continue;
        }
        w->at[stream] += len;
        send_now(w, kind_of(stream), data, len);
    }
}

void follow_output_was(struct follow_output *o, int code)
{
    o->ended = true;
    o->code = code;
    o->held = false;
}

void follow_output_end(struct follow_output *o, int code)
{
    o->ended = true;
    o->code = code;
    list_for_each_safe (it, &o->followers)
        pump(list_entry(it, struct follower, on_node));
    o->held = false;
    output_maybe_free(o);
}

void follow_output_cut(struct follow_output *o)
{
    list_for_each_safe (it, &o->followers)
        leave(list_entry(it, struct follower, on_node));
    o->held = false;
    output_maybe_free(o);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void begin_following(struct follower *w, struct follow_output *o)
{
    w->state = FOLLOWING;
    w->output = o;
    list_push_back(&o->followers, &w->on_node);
    for (int i = 0; i < 2; i++)
        w->stop[i] = o->total[i];
    uv_timer_stop(&w->timer);
    send_frame(w, FOLLOW_FOUND, 0);
}

/* last: he does not wait any longer. */
static void look(struct follower *w, bool last)
{
    struct follow_output *o = NULL;

    switch (w->follow->opts.find(&w->req, &o, w->follow->opts.arg)) {
    case FOLLOW_IS_HERE:
        begin_following(w, o);
        break;
    case FOLLOW_IS_LATER:
        if (last)
            refuse(w, FOLLOW_NOT_BEGUN, "this step has not begun");
        break;
    case FOLLOW_IS_NEVER:
        refuse(w, FOLLOW_NOT_BEGUN, "the attempt ended before this step, or has no such step");
        break;
    case FOLLOW_IS_OVER:
        refuse(w, FOLLOW_OVER,
               "the step is over, and its output was handed to the Task's status: read it there");
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct follower *w = timer->data;

    if (w->state == WAITING)
        look(w, true);
    else
        leave(w);
}

static void take_line(struct follower *w)
{
    const char *newline = memchr(w->line, '\n', w->line_len);

    if (!newline && w->line_len < sizeof(w->line))
        return;
    /* Nothing may stand behind the line. */
    if (!newline || newline != w->line + w->line_len - 1 ||
        follow_request_parse(w->line, w->line_len - 1, &w->req) < 0) {
        refuse(w, FOLLOW_FAILED, "this is no request of arl-sidecar tail");
        return;
    }
    w->state = WAITING;
    set_timer(w, (uint64_t)w->req.wait_s * 1000);
    look(w, w->req.wait_s == 0);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct follower *w = h->data;

    *buf = uv_buf_init(w->line + w->line_len, (unsigned)(sizeof(w->line) - w->line_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct follower *w = stream->data;

    if (n == 0)
        return;
    /* tail sends nothing behind its line. */
    if (n < 0 || w->state != ASKING) {
        leave(w);
        return;
    }
    w->line_len += (size_t)n;
    take_line(w);
}

/* ---- the door -------------------------------------------------------------------------------- */

/* Of our own user (or root), and of our own process namespace: elsewhere a pid is 0. */
static bool is_one_of_ours(const struct follower *w)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    int fd;

    return uv_fileno((const uv_handle_t *)&w->pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid > 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

static void tell_stranger(struct follow *f)
{
    uint64_t left_out;
    char count[24];

    if (!log_rate_pass(&f->refusals, clock_read().mono_ns, LIMIT_REFUSAL_LINES_MS, &left_out))
        return;
    snprintf(count, sizeof(count), "%llu", (unsigned long long)left_out + 1);
    log_warn("caller of another container refused", "count", count, NULL);
}

/* Some followers have no reader any more: an exec goes on when its client has gone, and the
 * container runtime throws its output away. */
static void first_gives_way(struct follow *f)
{
    struct follower *w = list_entry(f->followers.next, struct follower, node);

    if (!w->busy)
        refuse(w, FOLLOW_TOO_MANY, "a later one has this place: too many follow");
    /* He may not keep it by not reading that. */
    leave(w);
}

static void welcome(struct follower *w)
{
    struct follow *f = w->follow;

    if (uv_accept((uv_stream_t *)&f->door, (uv_stream_t *)&w->pipe) < 0) {
        leave(w);
    } else if (!is_one_of_ours(w)) {
        tell_stranger(f);
        leave(w);
    } else if (uv_read_start((uv_stream_t *)&w->pipe, on_alloc, on_read) < 0) {
        leave(w);
    } else {
        set_timer(w, FOLLOW_ASK_MS);
        if (f->count > FOLLOW_MAX)
            first_gives_way(f);
    }
}

static void on_connection(uv_stream_t *door, int status)
{
    struct follow *f = door->data;
    struct follower *w;

    if (status < 0 || f->closing)
        return;
    w = xcalloc(1, sizeof(*w));
    w->follow = f;
    w->state = ASKING;
    list_init(&w->on_node);
    list_push_back(&f->followers, &w->node);
    f->count++;
    uv_pipe_init(f->loop, &w->pipe, 0);
    uv_timer_init(f->loop, &w->timer);
    w->pipe.data = w->timer.data = w;
    w->handles = 2;
    f->handles += 2;
    welcome(w);
}

static void on_door_closed(uv_handle_t *h)
{
    struct follow *f = h->data;

    f->handles--;
    maybe_finish_close(f);
}

void follow_look(struct follow *f)
{
    if (!f)
        return;
    list_for_each_safe (it, &f->followers) {
        struct follower *w = list_entry(it, struct follower, node);

        if (w->state == WAITING)
            look(w, false);
    }
}

int follow_new(struct uv_loop_s *loop, const struct follow_opts *opts, struct follow **ret,
               struct err *err)
{
    struct follow *f = xcalloc(1, sizeof(*f));
    mode_t before;
    int r;

    f->loop = loop;
    f->opts = (struct follow_opts){.find = opts->find, .arg = opts->arg};
    list_init(&f->followers);
    uv_pipe_init(loop, &f->door, 0);
    f->door.data = f;
    f->handles = 1;
    /* One that a sidecar before us has left. */
    unlink(opts->path);
    before = umask(0177);
    r = uv_pipe_bind(&f->door, opts->path);
    umask(before);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&f->door, FOLLOW_MAX, on_connection);
    if (r < 0) {
        err_set(err, r, "listen on %s: %s", opts->path, uv_strerror(r));
        follow_close(f, NULL, NULL);
        return r;
    }
    *ret = f;
    return 0;
}

void follow_close(struct follow *f, void (*cb)(void *arg), void *arg)
{
    if (!f)
        return;
    f->closing = true;
    f->close_cb = cb;
    f->close_arg = arg;
    list_for_each_safe (it, &f->followers)
        leave(list_entry(it, struct follower, node));
    uv_close((uv_handle_t *)&f->door, on_door_closed);
}
