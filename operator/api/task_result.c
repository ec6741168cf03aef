#include "operator/api/task_result.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"

#define MARKER_MAX 64
#define OUTPUT_FILE_MAX 512u
#define STEP_TEXT_BYTES 256u /* of a condition: it stands there twice */
#define LABEL_NAME_MAX 128   /* of a step's name, as in sidecar/attempt/attempt_step.c */
/* No text here comes near it: an attempt is trimmed to less (RUN_OUTPUT_MAX in run.h). */
#define TEXT_MAX ((size_t)8 * LIMIT_TASK_OBJECT_BYTES)

/* ---- collecting ------------------------------------------------------------------------------ */

struct task_result *task_result_new(size_t step_count)
{
    struct task_result *r = xcalloc(1, sizeof(*r));

    r->steps = xcalloc(step_count, sizeof(*r->steps));
    r->step_count = step_count;
    r->memory = sizeof(*r) + step_count * sizeof(*r->steps);
    for (size_t i = 0; i < step_count; i++)
        for (size_t k = 0; k < 2; k++)
            buf_init(&r->steps[i].streams[k].data, TEXT_MAX);
    return r;
}

void task_result_free(struct task_result *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->step_count; i++) {
        buf_done(&r->steps[i].streams[0].data);
        buf_done(&r->steps[i].streams[1].data);
        free(r->steps[i].streams[0].tail);
        free(r->steps[i].streams[1].tail);
        free(r->steps[i].error);
        free(r->steps[i].output_file);
        if (r->step_names)
            free(r->step_names[i]);
    }
    free(r->step_names);
    free(r->steps);
    free(r);
}

void task_result_set_names(struct task_result *r, char **names)
{
    assert(!r->step_names);
    r->step_names = names;
    for (size_t i = 0; i < r->step_count; i++)
        r->memory += sizeof(*names) + strlen(names[i]) + 1;
}

/* A text of the result that is another from now on. */
static void set_text(struct task_result *r, char **field, const char *text)
{
    r->memory -= *field ? strlen(*field) + 1 : 0;
    str_set(field, xstrdup(text));
    r->memory += *field ? strlen(*field) + 1 : 0;
}

void task_result_set_error(struct task_result *r, size_t step, const char *error)
{
    set_text(r, &r->steps[step].error, error);
}

static struct task_stream *stream_of(struct task_result *r, size_t step, int fd)
{
    if (step >= r->step_count || fd < 1 || fd > 2)
        return NULL;
    return &r->steps[step].streams[fd - 1];
}

static void drop_tail(struct task_result *r, struct task_stream *s)
{
    if (!s->tail)
        return;
    free(s->tail);
    s->tail = NULL;
    r->memory -= sizeof(*s->tail);
}

void task_result_set_tail(struct task_result *r, size_t step, int fd, const char *data, size_t len,
                          uint64_t before)
{
    struct task_stream *s = stream_of(r, step, fd);
    size_t n = MIN(len, sizeof(s->tail->text));

    if (!s)
        return;
    if (!s->tail) {
        s->tail = xcalloc(1, sizeof(*s->tail));
        r->memory += sizeof(*s->tail);
    }
    s->tail->before = before + (len - n);
    s->tail->len = n;
    memcpy(s->tail->text, data + (len - n), n);
}

void task_result_add_output(struct task_result *r, size_t step, int fd, const char *data,
                            size_t len)
{
    struct task_stream *s = stream_of(r, step, fd);

    if (!s)
        return;
    drop_tail(r, s);
    r->memory -= s->data.alloc;
    buf_append(&s->data, data, len);
    r->memory += s->data.alloc;
    r->output_bytes += len;
}

void task_result_add_gap(struct task_result *r, size_t step, int fd, uint64_t bytes)
{
    struct task_stream *s = stream_of(r, step, fd);

    if (!s)
        return;
    drop_tail(r, s);
    if (s->dropped == 0)
        s->head_len = s->data.len;
    s->dropped += bytes;
}

/* It has no character that JSON escapes, so its size in JSON is known. */
void task_result_set_output_file(struct task_result *r, size_t step, const char *paths)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "/.-_ ";
    size_t len = strnlen(paths, OUTPUT_FILE_MAX + 1);

    if (step < r->step_count && len > 0 && len <= OUTPUT_FILE_MAX && strspn(paths, allowed) == len)
        set_text(r, &r->steps[step].output_file, paths);
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* What is shown of a stream: the first and the last bytes of a text, which the stream owns. */
struct parts {
    const char *text;
    size_t len;       /* of the text */
    size_t head;      /* its first bytes that are shown */
    size_t tail;      /* its last bytes that are shown */
    uint64_t dropped; /* bytes of the stream between them */
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Moves the ends of the parts so that no UTF-8 sequence is cut in two (at most three bytes). */
static void align_parts(struct parts *p)
{
    for (int i = 0; i < 3 && p->head > 0 && is_continuation(p->text[p->head]); i++)
        p->head--;
    for (int i = 0; i < 3 && p->tail > 0 && is_continuation(p->text[p->len - p->tail]); i++)
        p->tail--;
}

/* The parts that a limit of cap bytes leaves. */
static struct parts stream_parts(const struct task_stream *s, size_t cap)
{
    size_t len = s->data.len;
    size_t head_len = s->dropped ? s->head_len : len;
    struct parts p = {.text = buf_str(&s->data),
                      .len = len,
                      .head = head_len,
                      .tail = len - head_len,
                      .dropped = s->dropped};

    if (len <= cap)
        return p;
    p.head = MIN(head_len, cap / 2);
    p.tail = MIN(s->dropped ? len - head_len : len - p.head, cap - p.head);
    align_parts(&p);
    p.dropped = s->dropped + (len - p.head - p.tail);
    return p;
}

static void stream_cut(struct task_stream *s, size_t cap)
{
    struct parts p = stream_parts(s, cap);
    size_t len = s->data.len;

    if (p.head + p.tail == len)
        return;
    memmove(s->data.data + p.head, s->data.data + len - p.tail, p.tail);
    buf_shorten(&s->data, p.head + p.tail);
    s->head_len = p.head;
    s->dropped = p.dropped;
}

/* Gives memory back that a cut has left unused. */
static void stream_shrink(struct task_stream *s)
{
    struct buf old = s->data;

    if (old.alloc <= 2 * old.len + 1024)
        return;
    buf_init(&s->data, old.max);
    buf_append(&s->data, buf_str(&old), old.len);
    buf_done(&old);
}

static size_t longest_stream(const struct task_result *r)
{
    size_t max = 0;

    for (size_t i = 0; i < r->step_count; i++)
        for (size_t k = 0; k < 2; k++)
            max = MAX(max, r->steps[i].streams[k].data.len);
    return max;
}

static size_t raw_size(const struct task_result *r, size_t cap)
{
    size_t sum = 0;

    for (size_t i = 0; i < r->step_count; i++)
        for (size_t k = 0; k < 2; k++)
            sum += MIN(r->steps[i].streams[k].data.len, cap);
    return sum;
}

/* How many bytes the output takes as JSON in the API server: each stream is there twice, in its
 * step and joined. */
static size_t json_size(const struct task_result *r, size_t cap)
{
    size_t sum = TASK_STATUS_BYTES;

    for (size_t i = 0; i < r->step_count; i++) {
        const char *error = str_or_empty(r->steps[i].error);

        sum += TASK_STATUS_STEP_BYTES + strlen(str_or_empty(r->steps[i].output_file)) +
               json_stored_len(error, strlen(error));
        for (size_t k = 0; k < 2; k++) {
            const struct task_stream *s = &r->steps[i].streams[k];
            struct parts p = stream_parts(s, cap);

            if (s->data.len == 0)
                continue;
            sum += 2 * (json_stored_len(s->data.data, p.head) + MARKER_MAX +
                        json_stored_len(s->data.data + s->data.len - p.tail, p.tail));
        }
    }
    return sum;
}

/* The largest limit of a stream for which size() stays within max. */
static size_t fitting_cap(const struct task_result *r, size_t max,
                          size_t (*size)(const struct task_result *r, size_t cap))
{
    size_t low = 0, high = longest_stream(r);

    if (size(r, high) <= max)
        return high;
    while (low < high) {
        size_t mid = low + (high - low + 1) / 2;

        if (size(r, mid) <= max)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

void task_result_trim(struct task_result *r, size_t max_bytes)
{
    size_t cap;

    if (r->output_bytes <= max_bytes)
        return;
    cap = fitting_cap(r, max_bytes, raw_size);
    r->output_bytes = 0;
    for (size_t i = 0; i < r->step_count; i++)
        for (size_t k = 0; k < 2; k++) {
            struct task_stream *s = &r->steps[i].streams[k];

            r->memory -= s->data.alloc;
            stream_cut(s, cap);
            stream_shrink(s);
            r->memory += s->data.alloc;
            r->output_bytes += r->steps[i].streams[k].data.len;
        }
}

/* The last max bytes, from the beginning of a character on. */
static void stream_keep_tail(struct task_stream *s, size_t max)
{
    size_t from = s->dropped ? s->head_len : 0; /* the head is not next to the tail */
    size_t was = s->data.len;

    if (s->data.len - from > max)
        from = s->data.len - max;
    else if (s->data.len <= max)
        return;
    for (int i = 0; i < 3 && from < was && is_continuation(s->data.data[from]); i++)
        from++;
    s->dropped += from;
    s->head_len = 0;
    buf_consume(&s->data, from);
    stream_shrink(s);
}

void task_result_keep_tail(struct task_result *r, size_t step, size_t max_bytes)
{
    r->output_bytes = 0;
    for (size_t i = 0; i < r->step_count; i++)
        for (size_t k = 0; k < 2; k++) {
            struct task_stream *s = &r->steps[i].streams[k];

            r->memory -= s->data.alloc;
            stream_keep_tail(s, i == step ? max_bytes / 2 : 0);
            r->memory += s->data.alloc;
            r->output_bytes += s->data.len;
        }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What is shown of the two streams of a step. */
struct shown {
    struct parts streams[2];
};

/* For each step: what a limit of cap bytes leaves of each stream. The caller frees the list. */
static struct shown *shown_within(const struct task_result *r, size_t cap)
{
    struct shown *shown = xcalloc(r->step_count, sizeof(*shown));

    for (size_t i = 0; i < r->step_count; i++)
        for (size_t k = 0; k < 2; k++)
            shown[i].streams[k] = stream_parts(&r->steps[i].streams[k], cap);
    return shown;
}

static void render(const struct parts *p, struct buf *out)
{
    buf_append(out, p->text, p->head);
    if (p->dropped > 0)
        buf_printf(out, "\n[... %" PRIu64 " bytes dropped ...]\n", p->dropped);
    buf_append(out, p->text + p->len - p->tail, p->tail);
}

/* A newline comes between two outputs only where the earlier one does not end in one. */
static void join_gap(struct buf *out)
{
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        buf_putc(out, '\n');
}

static void write_joined(struct json_writer *w, const char *name, const struct task_result *r,
                         const struct shown *shown, size_t stream, const char *extra)
{
    cleanup_buf struct buf all = BUF_INIT(TEXT_MAX);

    for (size_t i = 0; r && i < r->step_count; i++) {
        const struct parts *p = &shown[i].streams[stream];

        if (p->len == 0 && p->dropped == 0)
            continue;
        join_gap(&all);
        render(p, &all);
    }
    if (extra) {
        join_gap(&all);
        buf_puts(&all, extra);
    }
    json_w_strn(w, name, buf_str(&all), all.len);
}

static void write_time(struct json_writer *w, const char *name, int64_t wall_ns)
{
    char text[RFC3339_MAX];

    if (wall_ns <= 0)
        return;
    rfc3339_format(text, wall_ns);
    json_w_str(w, name, text);
}

static void write_duration(struct json_writer *w, const char *name, int64_t ns)
{
    char text[DURATION_MAX];

    duration_format(text, ns);
    json_w_str(w, name, text);
}

static const char *step_name(const struct task *t, const struct task_result *r, size_t i)
{
    if (r->step_names)
        return r->step_names[i];
    return t->step_names && i < t->step_count ? t->step_names[i] : "";
}

static void write_step(struct json_writer *w, const struct task *t, const struct task_result *r,
                       size_t i, const struct shown *shown)
{
    static const char *const names[] = {"stdout", "stderr"};
    const struct task_step_result *step = &r->steps[i];
    bool truncated = false;

    json_w_object(w, NULL);
    json_w_str(w, "name", step_name(t, r, i));
    if (step->ended)
        json_w_int(w, "exitCode", step->code);
    for (size_t k = 0; k < 2; k++) {
        cleanup_buf struct buf text = BUF_INIT(TEXT_MAX);

        render(&shown->streams[k], &text);
        json_w_strn(w, names[k], buf_str(&text), text.len);
        truncated |= shown->streams[k].dropped > 0;
    }
    write_time(w, "startTime", step->start_wall_ns);
    if (step->ended)
        write_duration(w, "duration", step->duration_ns);
    if (step->error)
        json_w_str(w, "error", step->error);
    if (truncated)
        json_w_bool(w, "truncated", true);
    if (step->output_file)
        json_w_str(w, "outputFile", step->output_file);
    json_w_end_object(w);
}

/* The agent's error of a step, without the name of the step in front, which the message has
 * already. */
static const char *sentence_of(const char *error, const char *name, size_t number)
{
    cleanup_free char *label =
        *name ? xasprintf("step \"%.*s\"", LABEL_NAME_MAX, name) : xasprintf("step %zu", number);

    if (strncmp(error, label, strlen(label)) != 0)
        return error;
    error += strlen(label);
    error += strncmp(error, ": ", 2) == 0 ? 2 : *error == ' ';
    return strncmp(error, "was ", 4) == 0 ? error + 4 : error;
}

/* step "run" (2 of 3): exit code 127: nosuch: command not found. Of the first step that failed. */
static char *failed_step_text(const struct task *t, const struct task_result *r, int code)
{
    cleanup_free char *text = NULL;
    const char *name, *error;
    size_t i = 0;

    while (r && i < r->step_count && !(r->steps[i].ended && r->steps[i].code != 0))
        i++;
    if (!r || i == r->step_count)
        return xasprintf("exit code %d", code);

    name = step_name(t, r, i);
    error = str_or_empty(r->steps[i].error);
    text = xasprintf("step%s%.*s%s (%zu of %zu): exit code %d%s%s", *name ? " \"" : "",
                     LABEL_NAME_MAX, name, *name ? "\"" : "", i + 1, r->step_count,
                     r->steps[i].code, *error ? ": " : "", sentence_of(error, name, i + 1));

    return xstrdup_foreign(text, STEP_TEXT_BYTES);
}

static void write_conditions(struct json_writer *w, const struct task *t,
                             const struct task_result *r, const struct task_end *end, int code,
                             int64_t now_wall_ns)
{
    bool ok = end->state == TASK_SUCCEEDED;
    struct condition c = {.status = CONDITION_TRUE, .since_wall_ns = now_wall_ns};
    cleanup_free char *message = NULL;

    if (end->message)
        message = xstrdup(end->message);
    else
        message = ok ? xstrdup("every step exited with 0") : failed_step_text(t, r, code);
    c.reason = (char *)(uintptr_t)end->reason;
    c.message = message;
    json_w_array(w, "conditions");
    condition_write(w, "Finished", &c, t->meta.generation);
    c.status = ok ? CONDITION_TRUE : CONDITION_FALSE;
    condition_write(w, "Succeeded", &c, t->meta.generation);
    json_w_end_array(w);
}

/* status.attempts: the ones of before and, when attempts are more than one, this one. */
static void write_attempts(struct json_writer *w, const struct task *t, const struct task_result *r,
                           const struct task_end *end, int64_t now_wall_ns)
{
    cleanup_buf struct buf text = BUF_INIT(TEXT_MAX);
    struct json_writer a = JSON_WRITER_INIT(&text);
    const char *before = t->attempts_json;

    json_w_array(&a, NULL);
    if (before)
        json_w_raw(&a, NULL, before);
    json_w_object(&a, NULL);
    json_w_int(&a, "attempt", r->attempt);
    json_w_int(&a, "exitCode", r->code);
    json_w_str(&a, "reason", end->reason);
    json_w_str(&a, "message", str_or_empty(end->message));
    write_time(&a, "startTime", r->start_wall_ns);
    write_time(&a, "completionTime", now_wall_ns);
    json_w_end_object(&a);
    json_w_end_array(&a);
    json_w_raw(w, "attempts", buf_str(&text));
}

/* The most bytes of the status: what the promised size of the object leaves; or a little, if the
 * spec is large; or less, if the API server has refused that much. */
static size_t room_of(const struct task *t, const struct task_result *r)
{
    size_t promised = LIMIT_TASK_OBJECT_BYTES - MIN(t->spec_bytes, LIMIT_TASK_OBJECT_BYTES);
    size_t kept = LIMIT_ETCD_OBJECT_BYTES - MIN(t->spec_bytes, LIMIT_ETCD_OBJECT_BYTES);
    size_t room = MIN(MAX(promised, LIMIT_STATUS_ROOM_BYTES), kept);

    return r->room ? MIN(room, r->room) : room;
}

static void write_output(struct json_writer *w, const struct task *t, const struct task_result *r,
                         const struct shown *shown, const char *extra)
{
    write_joined(w, "stdout", r, shown, 0, NULL);
    write_joined(w, "stderr", r, shown, 1, extra);
    json_w_array(w, "steps");
    for (size_t i = 0; r && i < r->step_count; i++)
        if (r->steps[i].started)
            write_step(w, t, r, i, &shown[i]);
    json_w_end_array(w);
}

size_t task_result_status_bytes(const struct task *t, const struct task_result *r)
{
    return MIN(json_size(r, longest_stream(r)), MAX(room_of(t, r), TASK_STATUS_LEAST));
}

/* How many of the last bytes of the text take no more than max bytes in the API server. */
static size_t tail_fitting(const struct parts *p, size_t max)
{
    const char *end = p->text + p->len;
    size_t low = 0, high = MIN(p->dropped ? p->tail : p->len, max);

    while (low < high) {
        size_t mid = low + (high - low + 1) / 2;

        if (json_stored_len(end - mid, mid) <= max)
            low = mid;
        else
            high = mid - 1;
    }
    for (int i = 0; i < 3 && low > 0 && is_continuation(end[-(ptrdiff_t)low]); i++)
        low--;
    return low;
}

/* All that is known of a stream. If the agent has sent its end, that is the latest. */
static struct parts latest_parts(const struct task_stream *s)
{
    if (!s->tail)
        return stream_parts(s, SIZE_MAX);
    return (struct parts){.text = s->tail->text,
                          .len = s->tail->len,
                          .tail = s->tail->len,
                          .dropped = s->dropped + s->data.len + s->tail->before};
}

/* The end of a stream that takes at most max bytes in the API server. If the marker alone takes
 * more, only the marker is left. *ret_bytes: what the end takes. */
static struct parts end_parts(const struct task_stream *s, size_t max, size_t *ret_bytes)
{
    struct parts p = latest_parts(s);

    if (p.len == 0 || (p.dropped == 0 && json_stored_len(p.text, p.len) <= max)) {
        *ret_bytes = json_stored_len(p.text, p.len);
        return p;
    }
    p.head = 0;
    p.tail = max > MARKER_MAX ? tail_fitting(&p, max - MARKER_MAX) : 0;
    p.dropped += p.len - p.tail;
    *ret_bytes = MARKER_MAX + json_stored_len(p.text + p.len - p.tail, p.tail);
    return p;
}

/* For each step: the end of its output. The latest step takes what it needs first, and all together
 * take max bytes. Each byte is written twice: in its step and joined. The caller frees the list. */
static struct shown *shown_ends(const struct task_result *r, size_t max)
{
    struct shown *shown = xcalloc(r->step_count, sizeof(*shown));
    size_t left = max / 2, used;

    for (size_t i = r->step_count; i-- > 0;) {
        const struct task_stream *streams = r->steps[i].streams;

        shown[i].streams[1] = end_parts(&streams[1], left / 2, &used);
        left -= MIN(used, left);
        shown[i].streams[0] = end_parts(&streams[0], left, &used);
        left -= MIN(used, left);
    }
    return shown;
}

static void write_progress(struct json_writer *w, const struct task *t, const struct task_result *r)
{
    size_t room = room_of(t, r), others = json_size(r, 0);
    struct shown *shown =
        shown_ends(r, room > others ? MIN(room - others, TASK_PROGRESS_BYTES) : 0);

    write_output(w, t, r, shown, NULL);
    free(shown);
}

int task_progress_patch(const struct task *t, enum task_state state, const char *sandbox_uid,
                        const struct condition *fin, int64_t start_wall_ns,
                        const struct task_result *r, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    meta_patch_begin(&w, &t->meta, true);
    json_w_object(&w, "status");
    json_w_str(&w, "state", task_state_str(state));
    json_w_int(&w, "observedGeneration", t->meta.generation);
    if (sandbox_uid)
        json_w_str(&w, "sandboxUID", sandbox_uid);
    write_time(&w, "startTime", start_wall_ns);
    if (r)
        write_progress(&w, t, r);
    json_w_array(&w, "conditions");
    condition_write(&w, "Finished", fin, t->meta.generation);
    json_w_end_array(&w);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}

int task_result_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                      const char *extra_stderr, int64_t now_wall_ns, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    int64_t start = r && r->start_wall_ns ? r->start_wall_ns : t->start_wall_ns;
    int code = end->code ? end->code : r ? r->code : 1;
    struct shown *shown = r ? shown_within(r, fitting_cap(r, room_of(t, r), json_size)) : NULL;

    /* Clocks of two processes: no task ends before it begins. */
    now_wall_ns = MAX(now_wall_ns, start);
    meta_patch_begin(&w, &t->meta, true);
    json_w_object(&w, "status");
    json_w_str(&w, "state", task_state_str(end->state));
    json_w_int(&w, "exitCode", code);
    json_w_int(&w, "observedGeneration", t->meta.generation);
    write_output(&w, t, r, shown, extra_stderr);
    free(shown);
    write_duration(&w, "duration", r ? r->duration_ns : 0);
    write_time(&w, "startTime", start ? start : now_wall_ns);
    write_time(&w, "completionTime", now_wall_ns);
    if (r && r->attempt > 1) {
        json_w_int(&w, "attempt", r->attempt);
        write_attempts(&w, t, r, end, now_wall_ns);
    }
    write_conditions(&w, t, r, end, code, now_wall_ns);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}

int task_retry_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                     const char *sandbox_uid, int64_t now_wall_ns, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    struct condition fin = {
        .status = CONDITION_FALSE,
        .reason = (char *)(uintptr_t) "Retrying",
        .since_wall_ns = t->finished.since_wall_ns ? t->finished.since_wall_ns : now_wall_ns,
    };
    cleanup_free char *why = end->message ? xstrdup(end->message) : failed_step_text(t, r, r->code);
    cleanup_free char *message =
        xasprintf("attempt %" PRId64 " ended: %s: %s", r->attempt, end->reason, why);

    fin.message = message;
    meta_patch_begin(&w, &t->meta, true);
    json_w_object(&w, "status");
    json_w_str(&w, "state", task_state_str(TASK_RUNNING));
    json_w_int(&w, "attempt", r->attempt + 1);
    json_w_str(&w, "sandboxUID", sandbox_uid);
    write_time(&w, "startTime", t->start_wall_ns ? t->start_wall_ns : r->start_wall_ns);
    write_attempts(&w, t, r, end, now_wall_ns);
    json_w_array(&w, "conditions");
    condition_write(&w, "Finished", &fin, t->meta.generation);
    json_w_end_array(&w);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}
