/*
 * Output of an attempt on its way into the Task's status: whatever bytes came in whatever pieces,
 * the patch is JSON, what was not cut is the exact text, and the object stays below its limit.
 *
 * The input is a list of pieces: a byte for step and stream, one for how often the text is repeated
 * (a power of two), one for the length of the text, the text. A piece of length 0 is a gap.
 */
#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/task_result.h"
#include "tests/fuzz/fuzz.h"

#define STEPS 3
#define ALL_MAX (6u << 10)
/* What the spec leaves of the object's limit: small, so that it is often reached, and quickly. */
#define ROOM (8u << 10)
static const char task_text[] =
    "{\"metadata\":{\"namespace\":\"n\",\"name\":\"t\",\"uid\":\"u\",\"resourceVersion\":\"1\"},"
    "\"spec\":{\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"a\",\"type\":\"Command\",\"command\":"
    "[\"x\"]},{\"name\":\"b\",\"type\":\"Command\",\"command\":[\"x\"]},{\"name\":\"c\",\"type\":"
    "\"Command\",\"command\":[\"x\"]}]}}";

static struct task *the_task(void)
{
    static struct meta *m;
    cleanup_json struct json_object *obj = NULL;

    if (!m)
        property(json_parse(task_text, strlen(task_text), &obj, NULL) == 0 &&
                 api_task.decode(obj, &m, NULL) == 0);
    container_of(m, struct task, meta)->spec_bytes = LIMIT_ETCD_OBJECT_BYTES - ROOM;
    return container_of(m, struct task, meta);
}

/* ---- in -------------------------------------------------------------------------------------- */

static void add_piece(struct task_result *r, unsigned where, unsigned times, const uint8_t *text,
                      size_t len)
{
    size_t step = where % (STEPS + 1); /* one of them is not there */
    int fd = where & 128 ? 2 : 1;

    if (step < STEPS)
        r->steps[step].started = true;
    if (len == 0)
        task_result_add_gap(r, step, fd, 1 + times);
    if (len > 0 && times % 16 == 15) { /* shown meanwhile, and no part of the end */
        task_result_set_tail(r, step, fd, (const char *)text, len, times);
        return;
    }
    for (size_t i = 0; len > 0 && i < (size_t)1 << times % 13 && r->output_bytes < ALL_MAX; i++)
        task_result_add_output(r, step, fd, (const char *)text, len);
}

static struct task_result *read_pieces(const uint8_t *p, size_t size)
{
    struct task_result *r = task_result_new(STEPS);

    while (size >= 3) {
        size_t len = MIN(p[2], size - 3);

        add_piece(r, p[0], p[1], p + 3, len);
        p += 3 + len;
        size -= 3 + len;
    }
    return r;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* What the API server makes of the bytes, as its clients read it. */
static void check_stream(struct json_object *step, const char *name, const struct task_stream *s,
                         bool truncated)
{
    cleanup_buf struct buf text = BUF_INIT(8 * ALL_MAX), again = BUF_INIT(8 * ALL_MAX);
    cleanup_buf struct buf shown = BUF_INIT(8 * LIMIT_TAIL_BYTES);
    struct json_object *got = json_get(step, name);

    property(json_object_is_type(got, json_type_string));
    property(json_escape(&text, buf_str(&s->data), s->data.len) == 0);
    if (s->tail)
        property(json_escape(&shown, s->tail->text, s->tail->len) == 0);
    /* A cut splits no character: there is no U+FFFD that whole text has not. */
    if (truncated && s->dropped == 0 && !strstr(buf_str(&text), "\xef\xbf\xbd") &&
        !strstr(buf_str(&shown), "\xef\xbf\xbd"))
        property(!strstr(json_object_get_string(got), "\xef\xbf\xbd"));
    if (truncated)
        return;
    property(json_escape(&again, json_object_get_string(got),
                         (size_t)json_object_get_string_len(got)) == 0);
    property(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
}

/* The steps that have begun, in their order. */
static void check_steps(const struct task_result *r, struct json_object *steps)
{
    size_t n = 0;

    for (size_t i = 0; i < STEPS; i++) {
        const struct task_step_result *s = &r->steps[i];
        struct json_object *step;
        bool truncated;

        if (!s->started)
            continue;
        property(n < json_array_len(steps));
        step = json_object_array_get_idx(steps, n++);
        truncated = json_get_bool(step, "truncated", false);
        property(truncated || (s->streams[0].dropped == 0 && s->streams[1].dropped == 0));
        check_stream(step, "stdout", &s->streams[0], truncated);
        check_stream(step, "stderr", &s->streams[1], truncated);
    }
    property(n == json_array_len(steps));
}

/* The object as it is stored is the patch and little else, with some characters escaped longer. */
static size_t stored_len(const struct buf *b)
{
    size_t n = b->len;

    for (size_t i = 0; i < b->len; i++)
        n += b->data[i] == '<' || b->data[i] == '>' || b->data[i] == '&' ? 5 : 0;
    return n;
}

static void check_patch(const struct task_result *r, int made, const struct buf *body)
{
    cleanup_json struct json_object *obj = NULL;

    property(made == 0 && json_parse(buf_str(body), body->len, &obj, NULL) == 0);
    property(stored_len(body) < ROOM);
    check_steps(r, json_get_path(obj, "status.steps"));
}

static size_t held(const struct task_result *r)
{
    size_t n = 0;

    for (size_t i = 0; i < STEPS; i++)
        n += r->steps[i].streams[0].data.len + r->steps[i].streams[1].data.len;
    return n;
}

/* What is kept of a stream is its end, and what is not is counted. */
static void check_tail(struct task_result *r, size_t step, size_t limit)
{
    uint64_t all[STEPS][2];

    for (size_t i = 0; i < STEPS; i++)
        for (size_t k = 0; k < 2; k++)
            all[i][k] = r->steps[i].streams[k].data.len + r->steps[i].streams[k].dropped;
    task_result_keep_tail(r, step, limit);
    property(r->output_bytes <= limit && held(r) == r->output_bytes);
    for (size_t i = 0; i < STEPS; i++)
        for (size_t k = 0; k < 2; k++)
            property(r->steps[i].streams[k].data.len + r->steps[i].streams[k].dropped == all[i][k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct condition fin = {.status = CONDITION_FALSE, .reason = (char *)"Running"};
    const struct task_end end = {TASK_FAILED, "StepFailed", NULL};
    cleanup_buf struct buf a = BUF_INIT(LIMIT_OBJECT_BYTES), b = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct task_result *r;
    size_t limit, memory;

    if (size == 0)
        return 0;
    r = read_pieces(data + 1, size - 1);
    property(held(r) == r->output_bytes);
    limit = (size_t)1 << data[0] % 14;
    if (data[0] >= 128) {
        task_result_trim(r, limit);
        property(r->output_bytes <= limit && held(r) == r->output_bytes);
    }
    memory = r->memory;
    check_patch(r, task_progress_patch(the_task(), TASK_RUNNING, "s", &fin, 1, r, &a), &a);
    check_patch(r, task_result_patch(the_task(), r, &end, "because", 1, &b), &b);
    property(r->memory == memory);
    check_tail(r, data[0] % STEPS, limit);
    task_result_free(r);
    return 0;
}
