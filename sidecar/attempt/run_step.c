#include "sidecar/attempt/run_step.h"

#include <errno.h>
#include <signal.h>

#include "sidecar/runner/walk.h"

#define NAME_SHOWN_MAX 128

void run_actions_done(struct run_actions *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->list[i].text);
    free(a->list);
    *a = (struct run_actions){0};
}

/* ---- helpers --------------------------------------------------------------------------------- */

static struct run_action *add(const struct attempt_machine *r, struct run_actions *ret,
                              enum run_action_type type)
{
    struct run_action *a;

    if (ret->count == ret->alloc) {
        ret->alloc = MAX(2 * ret->alloc, (size_t)8);
        ret->list = xrealloc(ret->list, ret->alloc * sizeof(*ret->list));
    }
    a = &ret->list[ret->count++];
    *a = (struct run_action){.type = type, .step = r->step};
    return a;
}

static const struct task_step *current(const struct attempt_machine *r)
{
    return &r->request->steps[r->step];
}

/* step "build", or step 3 where it has no name. */
static char *label(const struct attempt_machine *r)
{
    const char *name = current(r)->name;

    return *name ? xasprintf("step \"%.*s\"", NAME_SHOWN_MAX, name)
                 : xasprintf("step %zu", r->step + 1);
}

static char *join(const char *dir, const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    return xasprintf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

static char *step_dir(const struct attempt_machine *r)
{
    const char *own = current(r)->work_dir;

    return own ? join(r->request->work_dir, own) : xstrdup(r->request->work_dir);
}

int run_container(const struct attempt_machine *r, const char *name)
{
    if (!name)
        return r->container_count > 0 ? 0 : -1;
    for (size_t i = 0; i < r->container_count; i++)
        if (strcmp(r->containers[i], name) == 0)
            return (int)i;
    return -1;
}

static bool has_dot_dot(const char *path)
{
    while (*path) {
        size_t n = strcspn(path, "/");

        if (n == 2 && memcmp(path, "..", 2) == 0)
            return true;
        path += n + (path[n] == '/');
    }
    return false;
}

/* ---- states ---------------------------------------------------------------------------------- */

static const char *const state_names[RUN_STATES] = {
    [RUN_NEW] = "new", [RUN_RUNNING] = "running", [RUN_KILLING] = "killing", [RUN_ENDED] = "ended"};

static const bool followers[RUN_STATES][RUN_STATES] = {
    [RUN_NEW] = {[RUN_RUNNING] = true},
    [RUN_RUNNING] = {[RUN_KILLING] = true, [RUN_ENDED] = true},
    [RUN_KILLING] = {[RUN_RUNNING] = true, [RUN_ENDED] = true},
};

const struct sm_table run_states = {"run", state_names, followers[0], RUN_STATES};

static void move(struct attempt_machine *r, enum run_state to)
{
    sm_move(&run_states, r->state, to);
    r->state = to;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void end(struct attempt_machine *r, int code, enum task_end_reason reason,
                const struct now *now, struct run_actions *ret)
{
    struct run_action *a;

    move(r, RUN_ENDED);
    add(r, ret, RUN_TIMER);
    a = add(r, ret, RUN_EMIT_END);
    a->code = code;
    a->reason = reason;
    a->duration_ns = now->mono_ns - r->started_ns;
}

/* The step's last events. error: owned, said on stderr with our name in front; NULL for none. */
static void step_exit(struct attempt_machine *r, int code, int64_t duration_ns, char *error,
                      struct run_actions *ret)
{
    struct run_action *a;

    add(r, ret, RUN_FLUSH);
    if (error) {
        a = add(r, ret, RUN_TEXT);
        a->fd = 2;
        a->text = xasprintf("arl: %s\n", error);
    }
    a = add(r, ret, RUN_EMIT_EXIT);
    a->code = code;
    a->duration_ns = duration_ns;
    a->text = error;
}

/* The step is over, and the attempt if it was the last one. true: the next one is to begin. */
static bool next_step(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    if (r->step + 1 == r->request->step_count) {
        end(r, r->failed_code, r->failed_code ? TASK_END_STEP_FAILED : TASK_END_COMPLETED, now,
            ret);
        return false;
    }
    r->step++;
    r->stop = RUN_STOP_NONE;
    return true;
}

/* The step has failed; its last events are out. true: the next one is to begin. */
static bool after_failure(struct attempt_machine *r, int code, enum task_end_reason reason,
                          const struct now *now, struct run_actions *ret)
{
    if (!current(r)->goes_on || reason != TASK_END_STEP_FAILED) {
        end(r, r->failed_code ? r->failed_code : code, reason, now, ret);
        return false;
    }
    if (!r->failed_code)
        r->failed_code = code;
    return next_step(r, now, ret);
}

static bool fail_step(struct attempt_machine *r, int code, int64_t duration_ns, char *error,
                      enum task_end_reason reason, const struct now *now, struct run_actions *ret)
{
    step_exit(r, code, duration_ns, error, ret);
    return after_failure(r, code, reason, now, ret);
}

/* ---- the beginning of a step ----------------------------------------------------------------- */

static char *containers_text(const struct attempt_machine *r)
{
    char *text = xstrdup("");

    for (size_t i = 0; i < r->container_count; i++)
        str_set(&text, xasprintf("%s%s%s", text, i ? ", " : "", r->containers[i]));
    return text;
}

static char *no_container(const struct attempt_machine *r)
{
    cleanup_free char *all = containers_text(r);

    return xasprintf("there is no container \"%.*s\" that runs steps, known are: %s",
                     NAME_SHOWN_MAX, current(r)->container, all);
}

/* Why the step cannot run; NULL: it can. */
static char *refusal(const struct attempt_machine *r)
{
    const struct task_step *s = current(r);

    if (s->invalid)
        return xstrdup(s->invalid);
    if (run_container(r, s->container) < 0)
        return no_container(r);
    if (s->type == STEP_FILE_PATCH && s->path && has_dot_dot(s->path))
        return xasprintf("path \"%.*s\" has a \"..\" component", NAME_SHOWN_MAX, s->path);
    /* The same component, spelled in the other field. */
    if (s->type == STEP_FILE_PATCH && (!s->path || s->path[0] != '/') && s->work_dir &&
        s->work_dir[0] != '/' && has_dot_dot(s->work_dir))
        return xasprintf("workDir \"%.*s\" has a \"..\" component", NAME_SHOWN_MAX, s->work_dir);
    if (s->type == STEP_FILE_PATCH && s->is_patch && !s->path && s->mode >= 0)
        return xstrdup("mode needs path: a patch without path sets the modes of its files itself");
    return NULL;
}

static bool refuse(struct attempt_machine *r, const char *why, const struct now *now,
                   struct run_actions *ret)
{
    cleanup_free char *name = label(r);

    return fail_step(r, 1, 0, xasprintf("%s: %s", name, why), TASK_END_STEP_FAILED, now, ret);
}

/* The predecessor's own words, which clients know. */
static bool refuse_no_path(struct attempt_machine *r, const struct now *now,
                           struct run_actions *ret)
{
    struct run_action *a = add(r, ret, RUN_TEXT);

    a->fd = 2;
    a->text = xstrdup("FilePatch step requires 'path' field\n");
    a = add(r, ret, RUN_EMIT_EXIT);
    a->code = 1;
    a->text = xstrdup("FilePatch step requires 'path' field");
    return after_failure(r, 1, TASK_END_STEP_FAILED, now, ret);
}

static void launch(struct attempt_machine *r, struct run_actions *ret)
{
    const struct task_step *s = current(r);
    cleanup_free char *dir = step_dir(r);
    struct run_action *a = add(r, ret, s->type == STEP_COMMAND ? RUN_EXEC : RUN_WRITE);

    a->container = (size_t)run_container(r, s->container);
    a->text = s->path ? join(dir, s->path) : xstrdup(dir);
    add(r, ret, RUN_TIMER)->timeout_ms = r->request->timeout_ms;
}

/* true: the step could not run, and the next one has to begin. */
static bool begin_step(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    const struct task_step *s = current(r);
    cleanup_free char *why = refusal(r);

    r->step_started_ns = now->mono_ns;
    add(r, ret, RUN_EMIT_STEP);
    if (why)
        return refuse(r, why, now, ret);
    if (s->type == STEP_FILE_PATCH && !s->path && !s->is_patch)
        return refuse_no_path(r, now, ret);
    launch(r, ret);
    return false;
}

static void begin_steps(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    while (begin_step(r, now, ret))
        continue;
}

void run_start(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    move(r, RUN_RUNNING);
    r->started_ns = now->mono_ns;
    begin_steps(r, now, ret);
}

/* ---- the end of a step ----------------------------------------------------------------------- */

static char *signal_text(const struct attempt_machine *r, uint32_t sig, bool oom)
{
    const char *name = sig < 128 ? sigabbrev_np((int)sig) : NULL;
    cleanup_free char *step = label(r);
    const char *why = oom ? ": out of memory (its container's memory limit)" : "";

    return name ? xasprintf("%s was killed by signal %u (SIG%s)%s", step, sig, name, why)
                : xasprintf("%s was killed by signal %u%s", step, sig, why);
}

/* The command has ended by itself, such as a shell that exits with the 137 of its killed child. */
static char *oom_text(const struct attempt_machine *r)
{
    cleanup_free char *step = label(r);

    return xasprintf("%s: a process was killed meanwhile: out of memory (its container's memory "
                     "limit)",
                     step);
}

static char *exec_text(const char *program, int e, const char *why)
{
    if (*why)
        return xasprintf("%.*s: cannot execute: %s", NAME_SHOWN_MAX, program, why);
    if (e == E2BIG)
        return xasprintf("%.*s: an argument is longer than 128 KiB, or all are too long together: "
                         "write it into a file with a FilePatch step, or give it as stdin",
                         NAME_SHOWN_MAX, program);
    if (e == ENOENT && !strchr(program, '/'))
        return xasprintf("%.*s: command not found", NAME_SHOWN_MAX, program);
    if (e == ENOENT)
        return xasprintf("%s: %s", program, strerror(e));
    return xasprintf("%.*s: cannot execute: %s", NAME_SHOWN_MAX, program, strerror(e));
}

static char *patch_text(const struct task_step *s, const char *why)
{
    if (!*why)
        why = "the patch could not be applied";
    return s->path ? xasprintf("%s: %s", s->path, why) : xstrdup(why);
}

static char *link_text(const struct task_step *s, uint32_t refusal)
{
    bool reads = s->type == STEP_COMMAND;
    const char *path = str_or_empty(reads ? s->stdin_file : s->path);

    if (refusal == WALK_OUT_OF_VOLUME)
        return xasprintf("%s%s: a symbolic link in a volume leads out of that volume, and is not "
                         "followed",
                         reads ? "stdinFile " : "", path);
    return xasprintf("%s%s: a symbolic link belongs to neither root nor the user who %s, and is "
                     "not followed",
                     reads ? "stdinFile " : "", path, reads ? "reads" : "writes");
}

static int errno_of(uint32_t value)
{
    return value > 0 && value < 4096 ? (int)value : EIO;
}

/* Turns a DONE into the exit code and, if the program cannot have said it, a sentence. */
static int result_of(const struct attempt_machine *r, enum frame_how how, uint32_t value,
                     const char *text, char **ret_error)
{
    const struct task_step *s = current(r);
    cleanup_free char *dir = step_dir(r);
    int e = errno_of(value);
    bool oom = strcmp(text, FRAME_TEXT_OOM) == 0;

    *ret_error = NULL;
    switch (how) {
    case FRAME_EXITED:
        if (oom && (value & 255))
            *ret_error = oom_text(r);
        return (int)(value & 255);
    case FRAME_SIGNALED:
        *ret_error = signal_text(r, value, oom);
        return 128 + (int)(value & 127);
    case FRAME_USER_REFUSED:
        *ret_error =
            *text ? xstrdup(text) : xasprintf("user \"%s\" may not be used", str_or_empty(s->user));
        return 126;
    case FRAME_STDIN_FAILED:
        *ret_error = xasprintf("stdinFile %s: %s", str_or_empty(s->stdin_file),
                               e == EINVAL ? "not a regular file" : strerror(e));
        return 1;
    case FRAME_CHDIR_FAILED:
        *ret_error = xasprintf("workDir %s: %s", dir, strerror(e));
        return 1;
    case FRAME_EXEC_FAILED:
        *ret_error = exec_text(s->argc > 0 ? s->argv[0] : "", e, text);
        return e == ENOENT ? 127 : 126;
    case FRAME_WRITE_FAILED:
        *ret_error = xasprintf("%s: %s", str_or_empty(s->path), strerror(e));
        return 1;
    case FRAME_NOT_A_FILE:
        *ret_error = xasprintf("%s: not a regular file", str_or_empty(s->path));
        return 1;
    case FRAME_PATCH_FAILED:
        *ret_error = patch_text(s, text);
        return 1;
    case FRAME_LINK_REFUSED:
        *ret_error = link_text(s, value);
        return 1;
    default:
        *ret_error = xasprintf("the step could not be started: %s", strerror(e));
        return 126;
    }
}

static void finish_stopped(struct attempt_machine *r, int code, char *error, int64_t duration_ns,
                           const struct now *now, struct run_actions *ret)
{
    cleanup_free char *step = label(r);
    char limit[DURATION_MAX];

    free(error);
    if (r->stop == RUN_STOP_TIMEOUT) {
        duration_format(limit, r->request->timeout_ms * NSEC_PER_MSEC);
        if (!fail_step(r, 124, duration_ns, xasprintf("%s timed out after %s", step, limit),
                       TASK_END_STEP_FAILED, now, ret))
            return;
        move(r, RUN_RUNNING);
        begin_steps(r, now, ret);
        return;
    }
    fail_step(r, code ? code : 128 + SIGTERM, duration_ns, xasprintf("%s was canceled", step),
              TASK_END_CANCELED, now, ret);
}

void run_on_done(struct attempt_machine *r, enum frame_how how, uint32_t value, const char *text,
                 int64_t duration_ns, const struct now *now, struct run_actions *ret)
{
    int64_t elapsed_ns = now->mono_ns - r->step_started_ns;
    struct run_action *a;
    char *error;
    int code;

    if (r->state != RUN_RUNNING && r->state != RUN_KILLING)
        return;
    if (run_awaits_pod_end(r))
        return;
    if (how == FRAME_STOPPED && r->state == RUN_RUNNING) {
        move(r, RUN_KILLING);
        r->stop = RUN_STOP_CONTAINER;
        add(r, ret, RUN_TIMER)->timeout_ms = RUN_POD_END_MS;
        return;
    }
    /* The runner's duration is more precise, and counts if it can be true. */
    if (duration_ns < 0 || duration_ns > elapsed_ns)
        duration_ns = elapsed_ns;
    code = result_of(r, how, value, text, &error);
    if (r->state == RUN_KILLING) {
        finish_stopped(r, code, error, elapsed_ns, now, ret);
        return;
    }
    if (code != 0) {
        if (fail_step(r, code, duration_ns, error, TASK_END_STEP_FAILED, now, ret))
            begin_steps(r, now, ret);
        return;
    }
    /* A patch without a path prints the names of its files itself. */
    if (current(r)->type == STEP_FILE_PATCH && current(r)->path) {
        a = add(r, ret, RUN_TEXT);
        a->fd = 1;
        a->text = xasprintf("File %s: %s\n", current(r)->is_patch ? "patched" : "created",
                            current(r)->path);
    }
    step_exit(r, 0, duration_ns, NULL, ret);
    if (next_step(r, now, ret))
        begin_steps(r, now, ret);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void begin_kill(struct attempt_machine *r, enum run_stop why, struct run_actions *ret)
{
    struct run_action *kill = add(r, ret, RUN_KILL);

    move(r, RUN_KILLING);
    r->stop = why;
    kill->container = (size_t)run_container(r, current(r)->container);
    kill->timeout_ms = why == RUN_STOP_CANCEL ? RUN_GRACE_CANCEL_MS : RUN_GRACE_TIMEOUT_MS;
    add(r, ret, RUN_TIMER)->timeout_ms = RUN_KILL_LIMIT_MS;
}

void run_on_timer(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    if (r->state == RUN_RUNNING) {
        begin_kill(r, RUN_STOP_TIMEOUT, ret);
    } else if (r->state == RUN_KILLING) {
        if (r->stop != RUN_STOP_CONTAINER)
            add(r, ret, RUN_DROP)->container = (size_t)run_container(r, current(r)->container);
        r->stop = RUN_STOP_NONE;
        run_on_lost(r, now, ret);
    }
}

void run_on_cancel(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    if (r->state == RUN_RUNNING)
        begin_kill(r, RUN_STOP_CANCEL, ret);
}

bool run_awaits_pod_end(const struct attempt_machine *r)
{
    return r->state == RUN_KILLING && r->stop == RUN_STOP_CONTAINER;
}

void run_on_lost(struct attempt_machine *r, const struct now *now, struct run_actions *ret)
{
    cleanup_free char *step = NULL;

    if (r->state != RUN_RUNNING && r->state != RUN_KILLING)
        return;
    if (run_awaits_pod_end(r))
        return;
    step = label(r);
    fail_step(r, RUN_CODE_LOST, now->mono_ns - r->step_started_ns,
              xasprintf("the runner in the container was lost while %s ran", step),
              TASK_END_AGENT_LOST, now, ret);
}
