#include "sidecar/attempt/attempt_step.h"

#include <errno.h>
#include <signal.h>

#include "sidecar/runner/walk.h"

#define NAME_SHOWN_MAX 128

void attempt_actions_done(struct attempt_actions *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->list[i].text);
    free(a->list);
    *a = (struct attempt_actions){0};
}

/* ---- helpers --------------------------------------------------------------------------------- */

static struct attempt_action *add(const struct attempt_machine *m, struct attempt_actions *ret,
                                  enum attempt_action_type type)
{
    struct attempt_action *a;

    if (ret->count == ret->alloc) {
        ret->alloc = MAX(2 * ret->alloc, (size_t)8);
        ret->list = xrealloc(ret->list, ret->alloc * sizeof(*ret->list));
    }
    a = &ret->list[ret->count++];
    *a = (struct attempt_action){.type = type, .step = m->step};
    return a;
}

static const struct task_step *current(const struct attempt_machine *m)
{
    return &m->request->steps[m->step];
}

/* step "build", or step 3 where it has no name. */
static char *label(const struct attempt_machine *m)
{
    const char *name = current(m)->name;

    return *name ? xasprintf("step \"%.*s\"", NAME_SHOWN_MAX, name)
                 : xasprintf("step %zu", m->step + 1);
}

static char *join(const char *dir, const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    return xasprintf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

static char *step_dir(const struct attempt_machine *m)
{
    const char *own = current(m)->work_dir;

    return own ? join(m->request->work_dir, own) : xstrdup(m->request->work_dir);
}

int attempt_machine_container(const struct attempt_machine *m, const char *name)
{
    if (!name)
        return m->container_count > 0 ? 0 : -1;
    for (size_t i = 0; i < m->container_count; i++)
        if (strcmp(m->containers[i], name) == 0)
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

static const char *const state_names[ATTEMPT_STATES] = {
    [ATTEMPT_NEW] = "new",
    [ATTEMPT_RUNNING] = "running",
    [ATTEMPT_KILLING] = "killing",
    [ATTEMPT_ENDED] = "ended",
};

static const bool followers[ATTEMPT_STATES][ATTEMPT_STATES] = {
    [ATTEMPT_NEW] = {[ATTEMPT_RUNNING] = true},
    [ATTEMPT_RUNNING] = {[ATTEMPT_KILLING] = true, [ATTEMPT_ENDED] = true},
    [ATTEMPT_KILLING] = {[ATTEMPT_RUNNING] = true, [ATTEMPT_ENDED] = true},
};

const struct sm_table attempt_states = {"attempt", state_names, followers[0], ATTEMPT_STATES};

static void move(struct attempt_machine *m, enum attempt_state to)
{
    sm_move(&attempt_states, m->state, to);
    m->state = to;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void end(struct attempt_machine *m, int code, enum task_end_reason reason,
                const struct now *now, struct attempt_actions *ret)
{
    struct attempt_action *a;

    move(m, ATTEMPT_ENDED);
    add(m, ret, ATTEMPT_TIMER);
    a = add(m, ret, ATTEMPT_EMIT_END);
    a->code = code;
    a->reason = reason;
    a->duration_ns = now->mono_ns - m->started_ns;
}

/* Adds the last events of the step. error: taken over, and printed to stderr, too; NULL: none. */
static void step_exit(struct attempt_machine *m, int code, int64_t duration_ns, char *error,
                      struct attempt_actions *ret)
{
    struct attempt_action *a;

    add(m, ret, ATTEMPT_FLUSH);
    if (error) {
        a = add(m, ret, ATTEMPT_TEXT);
        a->fd = 2;
        a->text = xasprintf("arl: %s\n", error);
    }
    a = add(m, ret, ATTEMPT_EMIT_EXIT);
    a->code = code;
    a->duration_ns = duration_ns;
    a->text = error;
}

/* The step is over. If it was the last one, so is the attempt. true: the next step is to begin. */
static bool next_step(struct attempt_machine *m, const struct now *now, struct attempt_actions *ret)
{
    if (m->step + 1 == m->request->step_count) {
        end(m, m->failed_code, m->failed_code ? TASK_END_STEP_FAILED : TASK_END_COMPLETED, now,
            ret);
        return false;
    }
    m->step++;
    m->stop = ATTEMPT_STOP_NONE;
    return true;
}

/* The step has failed, and its last events are out. true: the next step is to begin. */
static bool after_failure(struct attempt_machine *m, int code, enum task_end_reason reason,
                          const struct now *now, struct attempt_actions *ret)
{
    if (!current(m)->goes_on || reason != TASK_END_STEP_FAILED) {
        end(m, m->failed_code ? m->failed_code : code, reason, now, ret);
        return false;
    }
    if (!m->failed_code)
        m->failed_code = code;
    return next_step(m, now, ret);
}

static bool fail_step(struct attempt_machine *m, int code, int64_t duration_ns, char *error,
                      enum task_end_reason reason, const struct now *now,
                      struct attempt_actions *ret)
{
    step_exit(m, code, duration_ns, error, ret);
    return after_failure(m, code, reason, now, ret);
}

/* ---- the beginning of a step ----------------------------------------------------------------- */

static char *containers_text(const struct attempt_machine *m)
{
    char *text = xstrdup("");

    for (size_t i = 0; i < m->container_count; i++)
        str_set(&text, xasprintf("%s%s%s", text, i ? ", " : "", m->containers[i]));
    return text;
}

static char *no_container(const struct attempt_machine *m)
{
    cleanup_free char *all = containers_text(m);

    return xasprintf("there is no container \"%.*s\" that runs steps, known are: %s",
                     NAME_SHOWN_MAX, current(m)->container, all);
}

/* Why the step cannot run; NULL: it can. */
static char *refusal(const struct attempt_machine *m)
{
    const struct task_step *s = current(m);

    if (s->invalid)
        return xstrdup(s->invalid);
    if (attempt_machine_container(m, s->container) < 0)
        return no_container(m);
    if (s->type == STEP_FILE_PATCH && s->path && has_dot_dot(s->path))
        return xasprintf("path \"%.*s\" has a \"..\" component", NAME_SHOWN_MAX, s->path);
    /* A relative path is taken from workDir: a ".." there has the same effect. */
    if (s->type == STEP_FILE_PATCH && (!s->path || s->path[0] != '/') && s->work_dir &&
        s->work_dir[0] != '/' && has_dot_dot(s->work_dir))
        return xasprintf("workDir \"%.*s\" has a \"..\" component", NAME_SHOWN_MAX, s->work_dir);
    if (s->type == STEP_FILE_PATCH && s->is_patch && !s->path && s->mode >= 0)
        return xstrdup("mode needs path: a patch without path sets the modes of its files itself");
    return NULL;
}

static bool refuse(struct attempt_machine *m, const char *why, const struct now *now,
                   struct attempt_actions *ret)
{
    cleanup_free char *name = label(m);

    return fail_step(m, 1, 0, xasprintf("%s: %s", name, why), TASK_END_STEP_FAILED, now, ret);
}

/* Clients know this sentence, so it has neither "arl: " nor the step's name in front. */
static bool refuse_no_path(struct attempt_machine *m, const struct now *now,
                           struct attempt_actions *ret)
{
    struct attempt_action *a = add(m, ret, ATTEMPT_TEXT);

    a->fd = 2;
    a->text = xstrdup("FilePatch step requires 'path' field\n");
    a = add(m, ret, ATTEMPT_EMIT_EXIT);
    a->code = 1;
    a->text = xstrdup("FilePatch step requires 'path' field");
    return after_failure(m, 1, TASK_END_STEP_FAILED, now, ret);
}

static void launch(struct attempt_machine *m, struct attempt_actions *ret)
{
    const struct task_step *s = current(m);
    cleanup_free char *dir = step_dir(m);
    struct attempt_action *a = add(m, ret, s->type == STEP_COMMAND ? ATTEMPT_EXEC : ATTEMPT_WRITE);

    a->container = (size_t)attempt_machine_container(m, s->container);
    a->text = s->path ? join(dir, s->path) : xstrdup(dir);
    add(m, ret, ATTEMPT_TIMER)->timeout_ms = m->request->timeout_ms;
}

/* true: the step could not run, and the next one is to begin. */
static bool begin_step(struct attempt_machine *m, const struct now *now,
                       struct attempt_actions *ret)
{
    const struct task_step *s = current(m);
    cleanup_free char *why = refusal(m);

    m->step_started_ns = now->mono_ns;
    add(m, ret, ATTEMPT_EMIT_STEP);
    if (why)
        return refuse(m, why, now, ret);
    if (s->type == STEP_FILE_PATCH && !s->path && !s->is_patch)
        return refuse_no_path(m, now, ret);
    launch(m, ret);
    return false;
}

static void begin_steps(struct attempt_machine *m, const struct now *now,
                        struct attempt_actions *ret)
{
    while (begin_step(m, now, ret))
        continue;
}

void attempt_machine_start(struct attempt_machine *m, const struct now *now,
                           struct attempt_actions *ret)
{
    move(m, ATTEMPT_RUNNING);
    m->started_ns = now->mono_ns;
    begin_steps(m, now, ret);
}

/* ---- the end of a step ----------------------------------------------------------------------- */

static char *signal_text(const struct attempt_machine *m, uint32_t sig, bool oom)
{
    const char *name = sig < 128 ? sigabbrev_np((int)sig) : NULL;
    cleanup_free char *step = label(m);
    const char *why = oom ? ": out of memory (its container's memory limit)" : "";

    return name ? xasprintf("%s was killed by signal %u (SIG%s)%s", step, sig, name, why)
                : xasprintf("%s was killed by signal %u%s", step, sig, why);
}

/* The command has ended by itself, for example a shell that exits with the 137 of its child. */
static char *oom_text(const struct attempt_machine *m)
{
    cleanup_free char *step = label(m);

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

/* The exit code of a step whose DONE has come. *ret_error: what the program cannot have said
 * itself; NULL: nothing. */
static int result_of(const struct attempt_machine *m, enum frame_how how, uint32_t value,
                     const char *text, char **ret_error)
{
    const struct task_step *s = current(m);
    cleanup_free char *dir = step_dir(m);
    int e = errno_of(value);
    bool oom = strcmp(text, FRAME_TEXT_OOM) == 0;

    *ret_error = NULL;
    switch (how) {
    case FRAME_EXITED:
        if (oom && (value & 255))
            *ret_error = oom_text(m);
        return (int)(value & 255);
    case FRAME_SIGNALED:
        *ret_error = signal_text(m, value, oom);
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

static void finish_stopped(struct attempt_machine *m, int code, char *error, int64_t duration_ns,
                           const struct now *now, struct attempt_actions *ret)
{
    cleanup_free char *step = label(m);
    char limit[DURATION_MAX];

    free(error);
    if (m->stop == ATTEMPT_STOP_TIMEOUT) {
        duration_format(limit, m->request->timeout_ms * NSEC_PER_MSEC);
        if (!fail_step(m, 124, duration_ns, xasprintf("%s timed out after %s", step, limit),
                       TASK_END_STEP_FAILED, now, ret))
            return;
        move(m, ATTEMPT_RUNNING);
        begin_steps(m, now, ret);
        return;
    }
    fail_step(m, code ? code : 128 + SIGTERM, duration_ns, xasprintf("%s was canceled", step),
              TASK_END_CANCELED, now, ret);
}

void attempt_machine_on_done(struct attempt_machine *m, enum frame_how how, uint32_t value,
                             const char *text, int64_t duration_ns, const struct now *now,
                             struct attempt_actions *ret)
{
    int64_t elapsed_ns = now->mono_ns - m->step_started_ns;
    struct attempt_action *a;
    char *error;
    int code;

    if (m->state != ATTEMPT_RUNNING && m->state != ATTEMPT_KILLING)
        return;
    if (attempt_machine_awaits_pod_end(m))
        return;
    if (how == FRAME_STOPPED && m->state == ATTEMPT_RUNNING) {
        move(m, ATTEMPT_KILLING);
        m->stop = ATTEMPT_STOP_CONTAINER;
        add(m, ret, ATTEMPT_TIMER)->timeout_ms = ATTEMPT_POD_END_MS;
        return;
    }
    /* The runner's duration is more precise, and counts if it can be true. */
    if (duration_ns < 0 || duration_ns > elapsed_ns)
        duration_ns = elapsed_ns;
    code = result_of(m, how, value, text, &error);
    if (m->state == ATTEMPT_KILLING) {
        finish_stopped(m, code, error, elapsed_ns, now, ret);
        return;
    }
    if (code != 0) {
        if (fail_step(m, code, duration_ns, error, TASK_END_STEP_FAILED, now, ret))
            begin_steps(m, now, ret);
        return;
    }
    /* A patch without a path has printed the names of its files already. */
    if (current(m)->type == STEP_FILE_PATCH && current(m)->path) {
        a = add(m, ret, ATTEMPT_TEXT);
        a->fd = 1;
        a->text = xasprintf("File %s: %s\n", current(m)->is_patch ? "patched" : "created",
                            current(m)->path);
    }
    step_exit(m, 0, duration_ns, NULL, ret);
    if (next_step(m, now, ret))
        begin_steps(m, now, ret);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void begin_kill(struct attempt_machine *m, enum attempt_stop why,
                       struct attempt_actions *ret)
{
    struct attempt_action *kill = add(m, ret, ATTEMPT_KILL);

    move(m, ATTEMPT_KILLING);
    m->stop = why;
    kill->container = (size_t)attempt_machine_container(m, current(m)->container);
    kill->timeout_ms =
        why == ATTEMPT_STOP_CANCEL ? ATTEMPT_GRACE_CANCEL_MS : ATTEMPT_GRACE_TIMEOUT_MS;
    add(m, ret, ATTEMPT_TIMER)->timeout_ms = ATTEMPT_KILL_LIMIT_MS;
}

void attempt_machine_on_timer(struct attempt_machine *m, const struct now *now,
                              struct attempt_actions *ret)
{
    if (m->state == ATTEMPT_RUNNING) {
        begin_kill(m, ATTEMPT_STOP_TIMEOUT, ret);
    } else if (m->state == ATTEMPT_KILLING) {
        if (m->stop != ATTEMPT_STOP_CONTAINER)
            add(m, ret, ATTEMPT_DROP)->container =
                (size_t)attempt_machine_container(m, current(m)->container);
        m->stop = ATTEMPT_STOP_NONE;
        attempt_machine_on_lost(m, now, ret);
    }
}

void attempt_machine_on_cancel(struct attempt_machine *m, const struct now *now,
                               struct attempt_actions *ret)
{
    if (m->state == ATTEMPT_RUNNING)
        begin_kill(m, ATTEMPT_STOP_CANCEL, ret);
}

bool attempt_machine_awaits_pod_end(const struct attempt_machine *m)
{
    return m->state == ATTEMPT_KILLING && m->stop == ATTEMPT_STOP_CONTAINER;
}

void attempt_machine_on_lost(struct attempt_machine *m, const struct now *now,
                             struct attempt_actions *ret)
{
    cleanup_free char *step = NULL;

    if (m->state != ATTEMPT_RUNNING && m->state != ATTEMPT_KILLING)
        return;
    if (attempt_machine_awaits_pod_end(m))
        return;
    step = label(m);
    fail_step(m, ATTEMPT_CODE_LOST, now->mono_ns - m->step_started_ns,
              xasprintf("the runner in the container was lost while %s ran", step),
              TASK_END_AGENT_LOST, now, ret);
}
