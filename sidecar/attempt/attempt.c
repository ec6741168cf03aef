#include "sidecar/attempt/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "sidecar/auth/sealed.h"

/* How many bytes wait for a slow reader in its stream. The others wait in the log. */
#define STREAM_QUEUE_BYTES (256u << 10)

#define LABEL_PART_MAX 60
/* So many bytes of events are written into the journal at once. Fewer wait for
 * ATTEMPT_TABLE_SAVE_MS. */
#define UNSAVED_BYTES (64u << 10)

struct stream {
    struct list node; /* in attempt->streams */
    struct attempt *attempt;
    struct sealed_stream *out;
    uint64_t next_seq;
    /* The last events of the attempt were lost with the machine, and the reader may have seen more
     * events than the log has. So the end gets the number that the reader expects next. */
    bool end_anew;
};

/* ---- streams --------------------------------------------------------------------------------- */

static void stream_free(struct stream *s)
{
    list_remove(&s->node);
    s->attempt->table->streams--;
    free(s);
}

/* Fills b with the next lines, as many as go into a frame. Returns the number of the line behind
 * them. */
static uint64_t gather(const struct stream *s, struct buf *b)
{
    size_t room = sealed_stream_room(s->out);
    uint64_t seq = s->next_seq;
    const struct outlog_line *line;

    buf_clear(b);
    while ((line = outlog_line(&s->attempt->log, seq)) && b->len + line->len <= room) {
        buf_append(b, line->text, line->len);
        seq++;
    }
    return seq;
}

static void put_end_anew(const struct stream *s, struct buf *b)
{
    struct task_event ev = {.seq = s->next_seq,
                            .type = TASK_EVENT_END,
                            .code = ATTEMPT_CODE_LOST,
                            .reason = TASK_END_AGENT_LOST};

    task_event_encode(&ev, b);
}

/* Hands over as many lines as the stream takes, and ends it with the last one. */
static void stream_pump(struct stream *s)
{
    cleanup_buf struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

    for (;;) {
        uint64_t next = gather(s, &b);

        if (!s->attempt->running && next > s->attempt->log.count) {
            if (s->end_anew)
                put_end_anew(s, &b);
            if (sealed_stream_end(s->out, b.data, b.len) == 0)
                stream_free(s);
            return;
        }
        if (b.len == 0)
            return;
        sealed_stream_write(s->out, b.data, b.len);
        s->next_seq = next;
    }
}

static void on_drain(void *arg)
{
    stream_pump(arg);
}

static void on_gone(void *arg)
{
    stream_free(arg);
}

void attempt_attach(struct attempt *a, struct sealed_exchange *x, uint64_t after)
{
    struct stream *s = xcalloc(1, sizeof(*s));
    struct sealed_stream_opts opts = {
        .max_queue = STREAM_QUEUE_BYTES, .on_drain = on_drain, .on_gone = on_gone, .arg = s};

    s->attempt = a;
    s->next_seq = after + 1;
    s->end_anew = !a->running && a->lost_unseen && s->next_seq > a->log.count;
    list_push_back(&a->streams, &s->node);
    a->table->streams++;
    s->out = sealed_reply_stream(x, 200, &opts);
    outlog_tail_anew(&a->log);
    attempt_table_want_heartbeat(a->table);
    stream_pump(s);
}

void attempt_pump(struct attempt *a)
{
    list_for_each_safe (it, &a->streams)
        stream_pump(list_entry(it, struct stream, node));
}

/* ---- the journal ----------------------------------------------------------------------------- */

void attempt_save(struct attempt *a)
{
    cleanup_buf struct buf b = BUF_INIT(UNSAVED_BYTES + LIMIT_EVENT_LINE_BYTES);

    if (a->unsavable || a->saved == a->log.count)
        return;
    for (; a->saved < a->log.count; a->saved++)
        buf_append(&b, a->log.lines[a->saved]->text, a->log.lines[a->saved]->len);
    a->unsaved_bytes = 0;
    a->has_file = true;
    /* After a failure the file lacks the end event. So a restarted sidecar takes the attempt for
     * lost, never for a success. */
    a->unsavable = journal_events_append(a->table->opts.journal, &a->key, b.data, b.len) < 0;
}

static void on_line(const struct outlog_line *line, void *arg)
{
    struct attempt *a = arg;

    a->unsaved_bytes += line->len;
    if (a->unsaved_bytes >= UNSAVED_BYTES)
        attempt_save(a);
    else
        attempt_table_want_save(a->table);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void spool_cb(const char *data, size_t len, void *arg)
{
    spool_write(arg, data, len);
}

static void begin_file(struct attempt *a, int fd,
                       struct spool_file *(*begin)(struct spool *s, const char *name))
{
    cleanup_free char *name = xasprintf("%s.%u.%d", a->label, a->log.step, fd);
    char *slash = strchr(name, '/');

    if (slash)
        *slash = '.';
    a->spool[fd - 1] = begin(a->table->opts.spool, name);
    if (a->spool[fd - 1])
        outlog_replay(&a->log, fd, spool_cb, a->spool[fd - 1]);
}

struct spool_file *attempt_spool(struct attempt *a, int fd)
{
    if (!a->spool[fd - 1] && !a->overflowed[fd - 1])
        begin_file(a, fd, spool_begin_spare);
    return a->spool[fd - 1];
}

/* The log is about to drop bytes of this stream. Before that, all bytes so far go to a file. */
static void overflow(struct attempt *a, int fd)
{
    struct spool_file *f = a->spool[fd - 1];

    a->overflowed[fd - 1] = true;
    if (f && spool_keep(f))
        return;
    spool_remove(f);
    begin_file(a, fd, spool_begin);
    f = a->spool[fd - 1];
    if (a->output)
        follow_output_begin(a->output, fd - 1, a->printed[fd - 1], f ? spool_path(f) : NULL);
}

/* A file that was begun only for followers is removed when the last follower has gone. */
static void end_file(struct attempt *a, int fd)
{
    struct spool_file *f = a->spool[fd - 1];

    if (a->overflowed[fd - 1])
        spool_end(f);
    else if (a->output)
        follow_output_keep(a->output, fd - 1, f);
    else
        spool_remove(f);
    a->spool[fd - 1] = NULL;
    a->overflowed[fd - 1] = false;
}

static const char *lasting_path(const struct attempt *a, int fd)
{
    return a->spool[fd - 1] && a->overflowed[fd - 1] ? spool_path(a->spool[fd - 1]) : "";
}

/* Ends the step's files. Returns the paths of those that stay; NULL: none. */
static char *end_spool(struct attempt *a)
{
    const char *out = lasting_path(a, 1), *err = lasting_path(a, 2);
    char *paths = xasprintf("%s%s%s", out, *out && *err ? " " : "", err);

    end_file(a, 1);
    end_file(a, 2);
    if (!*paths)
        str_set(&paths, NULL);
    return paths;
}

/* Gives output to the stream's file and to its followers. */
static void show(struct attempt *a, int fd, const char *data, size_t len)
{
    a->printed[fd - 1] += len;
    if (a->spool[fd - 1])
        spool_write(a->spool[fd - 1], data, len);
    if (a->output)
        follow_output_data(a->output, fd - 1, data, len);
}

void attempt_output(struct attempt *a, int fd, const char *data, size_t len)
{
    if (!a->overflowed[fd - 1] && outlog_overflows(&a->log, fd, len))
        overflow(a, fd);
    show(a, fd, data, len);
    outlog_data(&a->log, fd, data, len);
    attempt_pump(a);
}

/* The open step has ended, and its files are closed. */
static void step_over(struct attempt *a, int code)
{
    if (a->output)
        follow_output_end(a->output, code);
    a->output = NULL;
    a->step_open = false;
    a->look_again = true;
}

static void step_opens(struct attempt *a)
{
    a->step_open = true;
    a->printed[0] = a->printed[1] = 0;
    a->look_again = true;
}

/* ---- actions --------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void on_timer_closed(uv_handle_t *h)
{
    struct attempt_table *t = h->data;

    free(h);
    attempt_table_handle_closed(t);
}

static void drop_timer(struct attempt *a)
{
    if (!a->timer)
        return;
    uv_timer_stop(a->timer);
    a->timer->data = a->table;
    uv_close((uv_handle_t *)a->timer, on_timer_closed);
    a->timer = NULL;
}

static void set_timer(struct attempt *a, int64_t timeout_ms)
{
    if (timeout_ms == 0) {
        drop_timer(a);
        return;
    }
    if (!a->timer) {
        a->timer = xcalloc(1, sizeof(*a->timer));
        uv_timer_init(a->table->loop, a->timer);
        a->timer->data = a;
        a->table->handles_open++;
    }
    /* uv counts from the time at which this turn of the loop began, unless it is updated. */
    uv_update_time(a->table->loop);
    uv_timer_start(a->timer, on_timer, (uint64_t)timeout_ms, 0);
}

static void ended(struct attempt *a, const struct attempt_action *act)
{
    struct attempt_table *t = a->table;
    char code[16];

    a->running = false;
    a->step_id = 0;
    t->stats.ended[act->reason]++;
    metrics_observe(&t->stats.duration_ns, act->duration_ns);
    snprintf(code, sizeof(code), "%d", act->code);
    log_info("task ended", "task", a->request.task_name, "attempt", a->label, "reason",
             task_end_reason_str(act->reason), "code", code, "trace", a->request.trace_id, NULL);
    task_request_done(&a->request);
    a->machine.request = NULL;
}

/* The label "task/step" for the container's log. It is bounded, and no character in it can end the
 * line or the label. */
static char *step_label(const struct attempt *a, size_t step)
{
    const char *slash = strrchr(a->request.task_name, '/'), *name = a->request.steps[step].name;
    const char *task = slash ? slash + 1 : a->request.task_name;
    char *label = *name ? xasprintf("%.*s/%.*s", LABEL_PART_MAX, task, LABEL_PART_MAX, name)
                        : xasprintf("%.*s/%zu", LABEL_PART_MAX, task, step + 1);

    for (char *p = label; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '[' || *p == ']')
            *p = '?';
    return label;
}

static int launch(struct attempt *a, const struct attempt_action *act)
{
    struct attempt_table *t = a->table;
    const struct task_step *step = &a->request.steps[act->step];
    cleanup_free char *label = step_label(a, act->step);

    a->step_id = ++t->last_id;
    a->container = act->container;
    if (act->type == ATTEMPT_EXEC)
        return runner_exec(t->links, act->container, a->step_id, label, act->text, step);
    return runner_write(t->links, act->container, a->step_id, act->text, step);
}

static void emit(struct attempt *a, const struct attempt_action *act, enum task_event_type type)
{
    cleanup_free char *spool = NULL;
    struct task_event ev = {.type = type,
                            .step = (uint32_t)act->step,
                            .fd = act->fd,
                            .code = act->code,
                            .duration_ns = act->duration_ns,
                            .reason = act->reason};

    if (type == TASK_EVENT_STEP)
        ev.time_unix_ms = clock_read().wall_ns / NSEC_PER_MSEC;
    else if (type == TASK_EVENT_OUT) {
        ev.data = act->text;
        ev.data_len = MIN(strlen(act->text), (size_t)LIMIT_EVENT_CHUNK_BYTES);
        show(a, act->fd, ev.data, ev.data_len);
    } else if (type == TASK_EVENT_EXIT) {
        ev.error = act->text;
        ev.spool = spool = end_spool(a);
        a->step_id = 0;
    }
    outlog_emit(&a->log, &ev);
}

/* 0, or a negative errno: the step could not be launched. */
static int apply(struct attempt *a, const struct attempt_action *act)
{
    struct attempt_table *t = a->table;

    switch (act->type) {
    case ATTEMPT_EMIT_STEP:
        outlog_begin_step(&a->log, (uint32_t)act->step);
        step_opens(a);
        emit(a, act, TASK_EVENT_STEP);
        break;
    case ATTEMPT_FLUSH:
        outlog_flush(&a->log);
        break;
    case ATTEMPT_TEXT:
        emit(a, act, TASK_EVENT_OUT);
        break;
    case ATTEMPT_EMIT_EXIT:
        emit(a, act, TASK_EVENT_EXIT);
        step_over(a, act->code);
        break;
    case ATTEMPT_EMIT_END:
        emit(a, act, TASK_EVENT_END);
        free(end_spool(a));
        step_over(a, act->code);
        ended(a, act);
        break;
    case ATTEMPT_EXEC:
    case ATTEMPT_WRITE:
        return launch(a, act);
    case ATTEMPT_KILL:
        runner_kill(t->links, act->container, a->step_id, act->timeout_ms);
        break;
    case ATTEMPT_TIMER:
        set_timer(a, act->timeout_ms);
        break;
    case ATTEMPT_DROP:
        /* The next actions of the list end this attempt. Only others are lost with the runner. */
        a->step_id = 0;
        runner_drop(t->links, act->container, "it did not end a step that was to be killed");
        break;
    }
    return 0;
}

static void apply_all(struct attempt *a, struct attempt_actions *acts)
{
    int r = 0;

    for (size_t i = 0; i < acts->count; i++) {
        int e = apply(a, &acts->list[i]);

        r = e < 0 ? e : r;
    }
    attempt_actions_done(acts);
    if (r < 0)
        attempt_on_done(a, FRAME_EXEC_FAILED, (uint32_t)-r, "", 0);
    else if (a->step_id && a->running && !attempt_machine_awaits_pod_end(&a->machine) &&
             !runner_ready(a->table->links, a->container))
        attempt_lost(a);
    attempt_pump(a);
    if (a->look_again) {
        a->look_again = false;
        follow_look(a->table->follow);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    struct attempt_actions acts = {.count = 0};
    struct now now = clock_read();

    attempt_machine_on_timer(&a->machine, &now, &acts);
    apply_all(a, &acts);
}

void attempt_on_done(struct attempt *a, enum frame_how how, uint32_t value, const char *text,
                     int64_t duration_ns)
{
    struct attempt_actions acts = {.count = 0};
    struct now now = clock_read();

    attempt_machine_on_done(&a->machine, how, value, text, duration_ns, &now, &acts);
    apply_all(a, &acts);
}

void attempt_cancel(struct attempt *a)
{
    struct attempt_actions acts = {.count = 0};
    struct now now = clock_read();

    attempt_machine_on_cancel(&a->machine, &now, &acts);
    apply_all(a, &acts);
}

void attempt_lost(struct attempt *a)
{
    struct attempt_actions acts = {.count = 0};
    struct now now = clock_read();

    attempt_machine_on_lost(&a->machine, &now, &acts);
    apply_all(a, &acts);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct attempt *attempt_new(struct attempt_table *t, const struct journal_key *key,
                            const char *label)
{
    struct attempt *a = xcalloc(1, sizeof(*a));

    a->table = t;
    a->key = *key;
    a->label = xstrdup(label);
    list_init(&a->streams);
    list_push_back(&t->attempts, &a->node);
    t->count++;
    return a;
}

void attempt_free(struct attempt *a)
{
    list_for_each_safe (it, &a->streams) {
        struct stream *s = list_entry(it, struct stream, node);

        sealed_stream_cut(s->out);
        stream_free(s);
    }
    drop_timer(a);
    free(end_spool(a));
    if (a->output)
        follow_output_cut(a->output);
    list_remove(&a->node);
    a->table->count--;
    outlog_done(&a->log);
    task_request_done(&a->request);
    free(a->label);
    free(a);
}

void attempt_start(struct attempt *a, struct task_request *request)
{
    struct task_event accepted = {.type = TASK_EVENT_ACCEPTED};
    struct attempt_actions acts = {.count = 0};
    struct now now = clock_read();

    a->request = *request;
    *request = (struct task_request){0};
    a->machine = (struct attempt_machine){.request = &a->request,
                                          .containers = a->table->opts.containers,
                                          .container_count = a->table->opts.container_count};
    a->running = true;
    outlog_init(&a->log, MIN(a->request.output_limit, a->table->opts.output_limit));
    a->log.on_line = on_line;
    a->log.arg = a;
    a->table->stats.started++;
    attempt_table_want_heartbeat(a->table);
    outlog_emit(&a->log, &accepted);
    attempt_machine_start(&a->machine, &now, &acts);
    apply_all(a, &acts);
}

static bool is_end(const char *line, size_t len)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    struct task_event ev;

    return task_event_decode(line, len, &scratch, &ev, NULL) == 0 && ev.type == TASK_EVENT_END;
}

void attempt_restore(struct attempt *a)
{
    struct task_event end = {
        .type = TASK_EVENT_END, .code = ATTEMPT_CODE_LOST, .reason = TASK_END_AGENT_LOST};
    cleanup_buf struct buf text = BUF_INIT(ATTEMPT_TABLE_BYTES);
    const char *p, *newline;
    bool complete = false;

    outlog_init(&a->log, 0);
    journal_events_read(a->table->opts.journal, &a->key, &text);
    p = buf_str(&text);
    while ((newline = memchr(p, '\n', text.len - (size_t)(p - buf_str(&text))))) {
        size_t len = (size_t)(newline - p) + 1;

        if (len > CHANNEL_FRAME_MAX)
            break; /* no line of ours */
        complete = is_end(p, len - 1);
        outlog_restore(&a->log, p, len);
        p = newline + 1;
    }
    a->saved = a->log.count;
    a->has_file = true;
    if (complete)
        return;
    a->lost_unseen = true;
    a->table->stats.ended[TASK_END_AGENT_LOST]++;
    outlog_emit(&a->log, &end);
    log_warn("task lost", "key", a->label, NULL);
}

/* Sends the end of the output, if it is new, or an empty line. A stream that has bytes under way
 * needs neither. A reader that does not have all lines yet gets no end of the output. */
static void stream_beat(struct stream *s, const struct buf *tail)
{
    bool has_all = s->next_seq > s->attempt->log.count;

    if (sealed_stream_queued(s->out) > 0 || sealed_stream_room(s->out) == 0)
        return;
    if (has_all && tail->len > 0 && sealed_stream_room(s->out) >= tail->len)
        sealed_stream_write(s->out, tail->data, tail->len);
    else
        sealed_stream_write(s->out, "\n", 1);
}

void attempt_beat(struct attempt *a)
{
    cleanup_buf struct buf tail = BUF_INIT(CHANNEL_FRAME_MAX);

    if (a->running)
        outlog_tick(&a->log);
    attempt_pump(a);
    if (a->running && !list_empty(&a->streams))
        outlog_tail(&a->log, &tail);
    list_for_each (it, &a->streams)
        stream_beat(list_entry(it, struct stream, node), &tail);
}
