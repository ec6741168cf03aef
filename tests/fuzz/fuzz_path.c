/*
 * Where a step works and where a FilePatch writes: the task's workDir, the step's and the path come
 * from users. They go the whole way: as the JSON text of a request, through its decoder, to the
 * action that reaches the runner. The result is compared with that of a second computation, which
 * works on folders and not on text.
 *
 * The input: a byte of flags, then the three texts with a byte 0xff between them.
 */
#include "common/base/json.h"
#include "common/base/limits.h"
#include "sidecar/attempt/attempt_step.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX (64u << 10)
#define DEPTH_MAX TEXT_MAX

/* LEAVE_OUT: a text that is empty is not in the step at all. */
enum flag { COMMAND = 1, PATCH = 2, LEAVE_OUT = 4 };

struct input {
    unsigned flags;
    struct text {
        const char *p;
        size_t len;
    } task_dir, step_dir, path;
};

/* ---- the computation of its own -------------------------------------------------------------- */

struct folder {
    struct text names[DEPTH_MAX];
    size_t depth;
};

static bool is_dots(struct text name)
{
    return name.len == 2 && name.p[0] == '.' && name.p[1] == '.';
}

/* Takes the first component of t off. */
static struct text take_name(struct text *t)
{
    struct text name = *t;
    const char *slash = memchr(t->p, '/', t->len);

    name.len = slash ? (size_t)(slash - t->p) : t->len;
    t->p += name.len + (slash != NULL);
    t->len -= name.len + (slash != NULL);
    return name;
}

static bool has_dots(struct text t)
{
    while (t.len > 0)
        if (is_dots(take_name(&t)))
            return true;
    return false;
}

static void enter(struct folder *f, struct text t)
{
    if (t.len > 0 && t.p[0] == '/')
        f->depth = 0;
    while (t.len > 0) {
        struct text name = take_name(&t);

        if (is_dots(name))
            f->depth -= f->depth > 0;
        else if (name.len > 0 && !(name.len == 1 && name.p[0] == '.'))
            f->names[f->depth++] = name;
    }
}

/* The first `depth` names are the same. */
static bool same_up_to(const struct folder *a, const struct folder *b, size_t depth)
{
    if (a->depth < depth || b->depth < depth)
        return false;
    for (size_t i = 0; i < depth; i++)
        if (a->names[i].len != b->names[i].len ||
            memcmp(a->names[i].p, b->names[i].p, a->names[i].len) != 0)
            return false;
    return true;
}

static bool absolute(struct text t)
{
    return t.len > 0 && t.p[0] == '/';
}

/* ---- what must come out ---------------------------------------------------------------------- */

static bool has_nul(struct text t)
{
    return t.len > 0 && memchr(t.p, 0, t.len);
}

/* Whether nothing of the step may run. */
static bool must_be_refused(const struct input *in)
{
    if (has_nul(in->step_dir))
        return true;
    if (in->flags & COMMAND)
        return false;
    /* A patch without a path names its files itself. */
    return (in->path.len == 0 && !(in->flags & PATCH)) || has_nul(in->path) || has_dots(in->path) ||
           (!absolute(in->path) && !absolute(in->step_dir) && has_dots(in->step_dir));
}

static void check_target(const struct input *in, const char *got)
{
    static struct folder want, base, have;
    struct text path = in->flags & COMMAND ? (struct text){"", 0} : in->path;

    base.depth = want.depth = have.depth = 0;
    enter(&base, in->task_dir);
    enter(&want, in->task_dir);
    enter(&want, in->step_dir);
    enter(&want, path);
    property(got[0] == '/');
    enter(&have, (struct text){got, strlen(got)});
    property(have.depth == want.depth && same_up_to(&have, &want, want.depth));
    /* What is relative to the workDir of the sandbox stays below it. */
    if (!(in->flags & COMMAND) && !absolute(path) && !absolute(in->step_dir))
        property(same_up_to(&have, &base, base.depth));
    if (!(in->flags & COMMAND) && absolute(path))
        property(strlen(got) == path.len && memcmp(got, path.p, path.len) == 0);
}

/* A step that is refused fails alone: exit code 1 with a sentence, and nothing reaches a runner. */
static void check_refused(const struct attempt_actions *acts)
{
    const struct attempt_action *exit = NULL;

    for (size_t i = 0; i < acts->count; i++) {
        property(acts->list[i].type != ATTEMPT_EXEC && acts->list[i].type != ATTEMPT_WRITE);
        if (acts->list[i].type == ATTEMPT_EMIT_EXIT)
            exit = &acts->list[i];
    }
    property(exit && exit->code == 1 && exit->text && exit->text[0]);
}

static void check_actions(const struct input *in, const struct attempt_machine *m,
                          const struct attempt_actions *acts)
{
    enum attempt_action_type type = in->flags & COMMAND ? ATTEMPT_EXEC : ATTEMPT_WRITE;
    const struct attempt_action *launch = NULL;

    if (must_be_refused(in)) {
        property(m->state == ATTEMPT_ENDED);
        check_refused(acts);
        return;
    }
    for (size_t i = 0; i < acts->count; i++)
        if (acts->list[i].type == type)
            launch = &acts->list[i];
    property(m->state == ATTEMPT_RUNNING && launch && launch->container == 0);
    check_target(in, launch->text);
}

/* ---- the target ------------------------------------------------------------------------------ */

/* A copy in ASCII: what becomes of UTF-8 on its way through JSON is fuzz_json_text's business. */
static struct text take_text(const uint8_t **p, const uint8_t *end, char **ret_owner)
{
    const uint8_t *sep = *p < end ? memchr(*p, 0xff, (size_t)(end - *p)) : NULL;
    size_t len = (size_t)((sep ? sep : end) - *p);

    *ret_owner = xmemdup0(*p, len);
    for (size_t i = 0; i < len; i++)
        (*ret_owner)[i] &= 0x7f;
    *p = sep ? sep + 1 : end;
    return (struct text){*ret_owner, len};
}

static void put_steps(const struct input *in, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    json_w_array(&w, NULL);
    json_w_object(&w, NULL);
    json_w_str(&w, "type", in->flags & COMMAND ? "Command" : "FilePatch");
    if (in->flags & COMMAND)
        json_w_raw(&w, "command", "[\"true\"]");
    if (in->step_dir.len > 0 || !(in->flags & LEAVE_OUT))
        json_w_strn(&w, "workDir", in->step_dir.p, in->step_dir.len);
    if (in->path.len > 0 || !(in->flags & LEAVE_OUT))
        json_w_strn(&w, "path", in->path.p, in->path.len);
    json_w_str(&w, in->flags & PATCH ? "patch" : "content", "");
    json_w_end_object(&w);
    json_w_end_array(&w);
    property(w.error == 0);
}

static int decode(const struct input *in, struct task_request *ret)
{
    cleanup_buf struct buf steps = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    cleanup_buf struct buf body = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    cleanup_free char *dir = xmemdup0(in->task_dir.p, in->task_dir.len);
    const struct task_request_head head = {.sandbox_uid = "s",
                                           .task_name = "n/t",
                                           .work_dir = dir,
                                           .timeout_ms = 1000,
                                           .output_limit = 1000};

    put_steps(in, &steps);
    property(task_request_encode(&head, buf_str(&steps), &body, NULL) == 0);
    return task_request_decode(body.data, body.len, ret, NULL);
}

static void run(struct input *in)
{
    static const char *const containers[] = {"executor"};
    CLEANUP(task_request_done) struct task_request request = {0};
    CLEANUP(attempt_actions_done) struct attempt_actions acts = {.count = 0};
    struct attempt_machine m = {
        .request = &request, .containers = containers, .container_count = 1};
    struct now now = {0};

    /* The sandbox's workDir is a C string in the operator. */
    in->task_dir.len = strnlen(in->task_dir.p, in->task_dir.len);
    if (decode(in, &request) < 0) {
        property(!absolute(in->task_dir));
        return;
    }
    property(absolute(in->task_dir) && request.step_count == 1);
    attempt_machine_start(&m, &now, &acts);
    check_actions(in, &m, &acts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *task_dir = NULL, *step_dir = NULL, *path = NULL;
    const uint8_t *p = data + 1, *end = data + size;
    struct input in;

    if (size == 0 || size > TEXT_MAX)
        return 0;
    in.flags = data[0];
    in.task_dir = take_text(&p, end, &task_dir);
    in.step_dir = take_text(&p, end, &step_dir);
    in.path = take_text(&p, end, &path);
    run(&in);
    return 0;
}
