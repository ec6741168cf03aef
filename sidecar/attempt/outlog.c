#include "sidecar/attempt/outlog.h"

#include "common/base/limits.h"

/* ---- lines ----------------------------------------------------------------------------------- */

void outlog_restore(struct outlog *l, const char *line, size_t len)
{
    struct outlog_line *x = xmalloc(sizeof(*x) + len);

    if (l->count == l->alloc) {
        l->alloc = l->alloc ? 2 * l->alloc : 8;
        l->lines = xrealloc(l->lines, l->alloc * sizeof(struct outlog_line *));
    }
    x->len = len;
    memcpy(x->text, line, len);
    l->lines[l->count++] = x;
    l->bytes += len + OUTLOG_LINE_BYTES;
}

void outlog_emit(struct outlog *l, struct task_event *ev)
{
    cleanup_buf struct buf b = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    int r;

    ev->seq = l->count + 1;
    r = task_event_encode(ev, &b);
    /* Chunks and errors are bounded, so every line fits. */
    assert(r == 0);
    outlog_restore(l, b.data, b.len);
    if (l->on_line)
        l->on_line(l->lines[l->count - 1], l->arg);
}

const struct outlog_line *outlog_line(const struct outlog *l, uint64_t seq)
{
    return seq >= 1 && seq <= l->count ? l->lines[seq - 1] : NULL;
}

void outlog_init(struct outlog *l, size_t limit)
{
    *l = (struct outlog){.limit = limit};
    for (int i = 0; i < 2; i++)
        buf_init(&l->streams[i].pending, OUTLOG_COLLECT_BYTES + LIMIT_EVENT_CHUNK_BYTES);
}

static void stream_done(struct outlog_stream *s)
{
    buf_done(&s->pending);
    free(s->tail);
}

void outlog_done(struct outlog *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->lines[i]);
    free(l->lines);
    for (int i = 0; i < 2; i++)
        stream_done(&l->streams[i]);
    *l = (struct outlog){0};
}

/* ---- the ring -------------------------------------------------------------------------------- */

static void tail_grow(struct outlog_stream *s, size_t want)
{
    size_t alloc = s->tail_alloc ? s->tail_alloc : 4096;

    while (alloc < want)
        alloc *= 2;
    alloc = MIN(alloc, s->tail_max);
    if (alloc <= s->tail_alloc)
        return;
    /* The ring has its full size before it wraps around for the first time. */
    assert(s->tail_start == 0);
    s->tail = xrealloc(s->tail, alloc);
    s->tail_alloc = alloc;
}

static void tail_push(struct outlog_stream *s, const char *data, size_t len)
{
    if (len > s->tail_max) {
        s->dropped += len - s->tail_max;
        data += len - s->tail_max;
        len = s->tail_max;
    }
    tail_grow(s, MIN(s->tail_len + len, s->tail_max));
    if (s->tail_len + len > s->tail_max) {
        size_t over = s->tail_len + len - s->tail_max;

        s->dropped += over;
        s->tail_start = (s->tail_start + over) % s->tail_alloc;
        s->tail_len -= over;
    }
    while (len > 0) {
        size_t at = (s->tail_start + s->tail_len) % s->tail_alloc;
        size_t n = MIN(len, s->tail_alloc - at);

        memcpy(s->tail + at, data, n);
        s->tail_len += n;
        data += n;
        len -= n;
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

static void emit_out(struct outlog *l, int fd, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = MIN(len, (size_t)LIMIT_EVENT_CHUNK_BYTES);
        struct task_event ev = {
            .type = TASK_EVENT_OUT, .step = l->step, .fd = fd, .data = data, .data_len = n};

        outlog_emit(l, &ev);
        l->streams[fd - 1].events++;
        data += n;
        len -= n;
    }
}

static void emit_live(struct outlog *l, int fd, const char *data, size_t len)
{
    l->small += len > 0 && len < OUTLOG_COLLECT_BYTES;
    emit_out(l, fd, data, len);
}

static void send_pending(struct outlog *l, int fd)
{
    struct outlog_stream *s = &l->streams[fd - 1];

    emit_live(l, fd, s->pending.data, s->pending.len);
    buf_done(&s->pending);
}

static bool may_be_small(const struct outlog *l)
{
    return l->small < OUTLOG_SMALL_EVENTS;
}

static void put_live(struct outlog *l, int fd, const char *data, size_t len)
{
    struct outlog_stream *s = &l->streams[fd - 1];

    s->live_left -= len;
    l->kept += len;
    if (s->events < OUTLOG_EAGER_EVENTS && s->pending.len == 0 && may_be_small(l)) {
        emit_live(l, fd, data, len);
        return;
    }
    while (len > 0) {
        size_t n = MIN(len, (size_t)LIMIT_EVENT_CHUNK_BYTES);

        buf_append(&s->pending, data, n);
        if (s->pending.len >= OUTLOG_COLLECT_BYTES)
            send_pending(l, fd);
        data += n;
        len -= n;
    }
}

void outlog_data(struct outlog *l, int fd, const char *data, size_t len)
{
    struct outlog_stream *s = &l->streams[fd - 1];
    size_t live = MIN(len, s->live_left);

    if (live > 0)
        put_live(l, fd, data, live);
    if (len == live)
        return;
    s->tail_is_new = true;
    if (s->tail_max > 0)
        tail_push(s, data + live, len - live);
    else
        s->dropped += len - live;
}

bool outlog_overflows(const struct outlog *l, int fd, size_t len)
{
    const struct outlog_stream *s = &l->streams[fd - 1];

    return len > s->live_left && len - s->live_left > s->tail_max - s->tail_len;
}

static void replay_line(const struct outlog_line *line, int fd, struct buf *scratch,
                        void (*cb)(const char *data, size_t len, void *arg), void *arg)
{
    struct task_event ev;

    if (task_event_decode(line->text, line->len - 1, scratch, &ev, NULL) == 0 &&
        ev.type == TASK_EVENT_OUT && ev.fd == fd)
        cb(ev.data, ev.data_len, arg);
}

void outlog_replay(const struct outlog *l, int fd,
                   void (*cb)(const char *data, size_t len, void *arg), void *arg)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    const struct outlog_stream *s = &l->streams[fd - 1];
    size_t first = MIN(s->tail_len, s->tail_alloc - s->tail_start);

    for (size_t i = l->step_line; i < l->count; i++)
        replay_line(l->lines[i], fd, &scratch, cb, arg);
    cb(buf_str(&s->pending), s->pending.len, arg);
    if (s->tail_len > 0) {
        cb(s->tail + s->tail_start, first, arg);
        cb(s->tail, s->tail_len - first, arg);
    }
}

void outlog_begin_step(struct outlog *l, uint32_t step)
{
    size_t room = OUTLOG_TOTAL_BYTES - MIN(l->kept, (size_t)OUTLOG_TOTAL_BYTES);
    size_t limit = MIN(l->limit, room / 2);

    l->step = step;
    l->step_line = l->count;
    for (int i = 0; i < 2; i++) {
        struct outlog_stream *s = &l->streams[i];

        stream_done(s);
        *s = (struct outlog_stream){.live_left = limit - limit / 2, .tail_max = limit / 2};
        buf_init(&s->pending, OUTLOG_COLLECT_BYTES + LIMIT_EVENT_CHUNK_BYTES);
    }
}

static void flush_stream(struct outlog *l, int fd)
{
    struct outlog_stream *s = &l->streams[fd - 1];
    struct task_event gap = {
        .type = TASK_EVENT_GAP, .step = l->step, .fd = fd, .gap_bytes = s->dropped};
    size_t first = MIN(s->tail_len, s->tail_alloc - s->tail_start);

    send_pending(l, fd);
    if (s->dropped > 0)
        outlog_emit(l, &gap);
    if (s->tail_len > 0) {
        emit_out(l, fd, s->tail + s->tail_start, first);
        emit_out(l, fd, s->tail, s->tail_len - first);
    }
    l->kept += s->tail_len;
    free(s->tail);
    s->tail = NULL;
    s->tail_alloc = s->tail_start = s->tail_len = 0;
    s->dropped = 0;
    s->tail_is_new = false;
}

void outlog_flush(struct outlog *l)
{
    flush_stream(l, 1);
    flush_stream(l, 2);
}

void outlog_tick(struct outlog *l)
{
    for (int fd = 1; fd <= 2 && may_be_small(l); fd++)
        send_pending(l, fd);
}

/* ---- for those who look on ------------------------------------------------------------------- */

static void tail_line(struct outlog *l, int fd, struct buf *out)
{
    struct outlog_stream *s = &l->streams[fd - 1];
    size_t n = MIN(s->tail_len, (size_t)LIMIT_TAIL_BYTES);
    char text[LIMIT_TAIL_BYTES];
    struct task_event ev = {.type = TASK_EVENT_TAIL,
                            .step = l->step,
                            .fd = fd,
                            .data = text,
                            .data_len = n,
                            .gap_bytes = s->dropped + s->tail_len - n};
    int r;

    if (!s->tail_is_new || n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        text[i] = s->tail[(s->tail_start + s->tail_len - n + i) % s->tail_alloc];
    r = task_event_encode(&ev, out);
    assert(r == 0);
    s->tail_is_new = false;
}

void outlog_tail(struct outlog *l, struct buf *out)
{
    tail_line(l, 1, out);
    tail_line(l, 2, out);
}

void outlog_tail_anew(struct outlog *l)
{
    for (int i = 0; i < 2; i++)
        l->streams[i].tail_is_new = l->streams[i].tail_len > 0;
}
