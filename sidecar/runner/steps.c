#include "sidecar/runner/runner.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/runner/keeper.h"
#include "sidecar/runner/oom_kills.h"
#include "sidecar/runner/tree.h"

#define MS 1000000LL
/* The most bytes in a pipe that nobody has read yet (pipe-max-size is 1 MiB). */
#define LAST_READ_MAX (1u << 20)

/*
 * A step's life. `over` is said to the sidecar with DONE, unless it was abandoned.
 *
 *   running --exit--> exited --both pipes at EOF, or 500 ms--> over --no process, no pipe--> freed
 *      |  \                                                     ^
 *      |   `--KILL--> terming --2 s--> killing --no process left'
 *      `--its keeper was killed---------^   \--5 s--> the container ends
 */
enum step_phase {
    PHASE_RUNNING,
    PHASE_TERMING,
    PHASE_KILLING,
    PHASE_OVER,
};

enum { OUT = KEEPER_OUT, ERR = KEEPER_ERR, STATUS = KEEPER_STATUS, FDS = KEEPER_FDS };

struct step {
    struct list node;
    uint64_t id;
    enum step_phase phase;
    bool abandoned; /* nobody wants to hear of it */
    bool keeper_gone;
    pid_t keeper;
    pid_t pid; /* of the command; 0: not known (yet) */
    int fds[FDS];
    bool has_result;
    bool has_failure; /* how and value are from KEEPER_FAILED */
    uint32_t how;
    uint32_t value;
    char *text; /* from KEEPER_FAILED; NULL: none */
    int64_t started_ns;
    int64_t exited_ns;
    int64_t oom_kills;    /* when it began */
    int64_t phase_end_ns; /* of TERMING and KILLING */
    struct podlog_step log;
    int64_t credit; /* bytes that may be read */
    int64_t credit_ns;
    int64_t paused_until_ns; /* 0: it is read */
};

/* ---- reports --------------------------------------------------------------------------------- */

static void report_done(struct runner *r, uint64_t id, uint32_t how, uint32_t value,
                        int64_t duration_ns, const char *text)
{
    size_t start;

    if (!link_ready(r))
        return;
    start = frame_begin(&r->out, FRAME_DONE);
    frame_put_u64(&r->out, id);
    frame_put_u32(&r->out, how);
    frame_put_u32(&r->out, value);
    frame_put_u64(&r->out, (uint64_t)duration_ns);
    frame_put_text(&r->out, text);
    frame_end(&r->out, start);
}

static void report_out(struct runner *r, struct step *s, int fd, const void *data, size_t len)
{
    size_t start;

    if (!link_ready(r) || s->abandoned || s->phase == PHASE_OVER)
        return;
    podlog_put(&r->log, &s->log, fd, data, len);
    start = frame_begin(&r->out, FRAME_OUT);
    frame_put_u64(&r->out, s->id);
    frame_put_u32(&r->out, (uint32_t)(fd == OUT ? 1 : 2));
    frame_put_bytes(&r->out, data, len);
    frame_end(&r->out, start);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void close_fd(struct step *s, int i)
{
    if (s->fds[i] >= 0)
        close(s->fds[i]);
    s->fds[i] = -1;
}

static bool pipes_closed(const struct step *s)
{
    return s->fds[OUT] < 0 && s->fds[ERR] < 0;
}

static void add_credit(struct step *s, int64_t now_ns)
{
    /* A second of it is more than there is room for. */
    int64_t passed_ns = MIN(now_ns - s->credit_ns, 1000 * MS);

    s->credit += passed_ns / 1000 * RUNNER_READ_BYTES_S / 1000000;
    s->credit = MIN(s->credit, RUNNER_READ_BURST);
    s->credit_ns = now_ns;
}

/* Ends a pause whose time is over. Returns the end of a pause that goes on, or INT64_MAX. */
static int64_t advance_pause(struct step *s, int64_t now_ns)
{
    if (!s->paused_until_ns)
        return INT64_MAX;
    if (now_ns < s->paused_until_ns)
        return s->paused_until_ns;
    s->paused_until_ns = 0;
    return INT64_MAX;
}

/* So many bytes were read. The clock is looked at only where the credit is used up. */
static void use_credit(struct step *s, size_t len)
{
    s->credit -= (int64_t)len;
    if (s->credit > 0)
        return;
    add_credit(s, runner_now_ns());
    if (s->credit <= 0)
        s->paused_until_ns = s->credit_ns + RUNNER_READ_PAUSE_MS * MS;
}

/* Reads once; false: there is nothing (more) to read. */
static bool read_pipe(struct runner *r, struct step *s, int i)
{
    char data[LIMIT_EVENT_CHUNK_BYTES];
    ssize_t n = read(s->fds[i], data, sizeof(data));

    if (n > 0) {
        use_credit(s, (size_t)n);
        report_out(r, s, i, data, (size_t)n);
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(s, i);
    return false;
}

/* Output that was written before the end belongs to the step, even if the queue to the sidecar is
 * full. */
static void read_rest(struct runner *r, struct step *s)
{
    for (int i = OUT; i <= ERR; i++)
        for (unsigned n = 0; s->fds[i] >= 0 && n < LAST_READ_MAX / LIMIT_EVENT_CHUNK_BYTES; n++)
            if (!read_pipe(r, s, i))
                break;
}

static bool may_read(const struct runner *r, const struct step *s)
{
    if (s->paused_until_ns)
        return false;
    if (s->abandoned || s->phase == PHASE_OVER)
        return true;
    return link_ready(r) && r->out.len < RUNNER_OUT_HIGH;
}

/* ---- results --------------------------------------------------------------------------------- */

static void set_result(struct step *s, uint32_t how, uint32_t value)
{
    if (s->has_result)
        return;
    s->has_result = true;
    s->exited_ns = runner_now_ns();
    if (s->has_failure)
        return;
    s->how = how;
    s->value = value;
}

static void set_status(struct step *s, int status)
{
    if (WIFSIGNALED(status))
        set_result(s, FRAME_SIGNALED, (uint32_t)WTERMSIG(status));
    else
        set_result(s, FRAME_EXITED, (uint32_t)WEXITSTATUS(status));
}

static void on_keeper_msg(struct step *s, const struct keeper_msg *msg)
{
    switch (msg->kind) {
    case KEEPER_PID:
        s->pid = (pid_t)msg->value;
        break;
    case KEEPER_FAILED:
        s->has_failure = true;
        s->how = msg->how;
        s->value = msg->value;
        str_set(&s->text, xmemdup0(msg->text, strnlen(msg->text, sizeof(msg->text))));
        if (msg->how == FRAME_SPAWN_FAILED)
            set_result(s, 0, 0);
        break;
    case KEEPER_EXIT:
        set_result(s, msg->how, msg->value);
        break;
    }
}

static void read_status(struct step *s)
{
    struct keeper_msg msg;
    int n = 1;

    while (s->fds[STATUS] >= 0 && (n = keeper_read(s->fds[STATUS], &msg)) > 0)
        on_keeper_msg(s, &msg);
    if (n < 0)
        close_fd(s, STATUS);
}

static void begin_killing(struct step *s, int64_t now_ns)
{
    s->phase = PHASE_KILLING;
    s->phase_end_ns = now_ns + RUNNER_GIVE_UP_MS * MS;
}

static void on_keeper_gone(struct runner *r, struct step *s, int status)
{
    int64_t now_ns = runner_now_ns();

    s->keeper_gone = true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    runner_on_keeper_lost(r, now_ns);
    if (s->phase == PHASE_RUNNING || s->phase == PHASE_TERMING)
        begin_killing(s, now_ns);
}

void steps_on_reaped(struct runner *r, pid_t pid, int status)
{
    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        if (s->keeper == pid || s->pid == pid || s->pid == 0)
            read_status(s);
        if (s->keeper == pid && !s->keeper_gone)
            on_keeper_gone(r, s, status);
        /* The keeper was killed, so its child became ours. */
        else if (s->pid == pid && s->keeper_gone)
            set_status(s, status);
    }
}

size_t steps_keepers(const struct runner *r, pid_t *ret)
{
    size_t n = 0;

    list_for_each (it, &r->steps) {
        const struct step *s = list_entry(it, struct step, node);

        if (!s->keeper_gone)
            ret[n++] = s->keeper;
    }
    return n;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void step_free(struct runner *r, struct step *s)
{
    for (int i = 0; i < FDS; i++)
        close_fd(s, i);
    if (s->phase == PHASE_OVER)
        r->left--;
    else
        r->active--;
    list_remove(&s->node);
    free(s->text);
    free(s);
}

/* Only steps that hold a pipe count: the others cost no descriptor. */
static void limit_left(struct runner *r)
{
    struct step *oldest = NULL;
    size_t n = 0;

    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        if (s->phase != PHASE_OVER || pipes_closed(s))
            continue;
        n++;
        if (!oldest)
            oldest = s;
    }
    if (n <= RUNNER_LEFT_MAX)
        return;
    close_fd(oldest, OUT);
    close_fd(oldest, ERR);
}

/* The process that is killed for want of memory is not always the command: a shell goes on. */
static void note_oom_kill(const struct runner *r, struct step *s)
{
    bool failed = s->how == FRAME_SIGNALED || (s->how == FRAME_EXITED && s->value != 0);

    if (failed && !s->text && oom_kills_count(r->oom_kills) > s->oom_kills)
        s->text = xstrdup(FRAME_TEXT_OOM);
}

static void step_over(struct runner *r, struct step *s)
{
    read_rest(r, s);
    podlog_end(&r->log, &s->log);
    set_result(s, FRAME_SIGNALED, SIGKILL);
    note_oom_kill(r, s);
    if (!s->abandoned)
        report_done(r, s->id, s->how, s->value, s->exited_ns - s->started_ns, s->text);
    s->phase = PHASE_OVER;
    r->active--;
    r->left++;
    limit_left(r);
}

/* Kills all processes of the step; if /proc cannot be read, only its process group. Processes of a
 * keeper that was killed are left to kill_adopted() in runner.c. */
static void signal_tree(const struct runner *r, const struct step *s, int sig)
{
    const struct tree tree = {.proc = r->proc, .root = s->keeper};
    int found;

    if (s->keeper_gone)
        return;
    found = sig == SIGKILL ? tree_kill(&tree) : tree_signal(&tree, sig);
    if (s->pid > 0 && (!s->has_result || found < 0))
        kill(-s->pid, sig);
    /* It may have been stopped by one of its own. */
    kill(s->keeper, SIGCONT);
}

static void begin_kill(const struct runner *r, struct step *s, int64_t now_ns, int64_t grace_ms)
{
    if (s->phase != PHASE_RUNNING)
        return;
    read_status(s);
    s->phase = PHASE_TERMING;
    s->phase_end_ns = now_ns + grace_ms * MS;
    signal_tree(r, s, SIGTERM);
}

void steps_kill(struct runner *r, uint64_t id, int64_t grace_ms)
{
    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        if (s->id == id && !s->abandoned)
            begin_kill(r, s, runner_now_ns(), grace_ms);
    }
}

/* How these steps end now is not their own end: they are killed with the container. */
void steps_stop(struct runner *r)
{
    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        if (s->phase != PHASE_RUNNING || s->abandoned)
            continue;
        report_done(r, s->id, FRAME_STOPPED, 0, runner_now_ns() - s->started_ns, "");
        s->abandoned = true;
    }
}

void steps_abandon(struct runner *r)
{
    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        s->abandoned = true;
        begin_kill(r, s, runner_now_ns(), RUNNER_GRACE_MS);
    }
}

/* ---- moving on ------------------------------------------------------------------------------- */

/* When to stop waiting for the pipes; INT64_MAX: not yet. */
static int64_t eof_deadline(const struct step *s)
{
    return s->has_result ? s->exited_ns + RUNNER_EOF_MS * MS : INT64_MAX;
}

/* Whether all processes of the step are gone: its keeper has seen the last one end; or the keeper
 * was killed, and all processes that the runner has adopted are gone. */
static bool nothing_runs(const struct runner *r, const struct step *s)
{
    return s->keeper_gone && r->adopted_end_ns == 0;
}

static int64_t advance_running(struct runner *r, struct step *s, int64_t now_ns)
{
    if (!s->has_result && nothing_runs(r, s))
        set_result(s, FRAME_SIGNALED, SIGKILL);
    if (!s->has_result || (!pipes_closed(s) && now_ns < eof_deadline(s)))
        return eof_deadline(s);
    step_over(r, s);
    return now_ns;
}

static int64_t advance_killing(struct runner *r, struct step *s, int64_t now_ns)
{
    if (nothing_runs(r, s)) {
        set_result(s, FRAME_SIGNALED, SIGKILL);
        step_over(r, s);
        return now_ns;
    }
    if (s->phase == PHASE_TERMING && now_ns >= s->phase_end_ns)
        begin_killing(s, now_ns);
    if (s->phase == PHASE_TERMING)
        return s->phase_end_ns;
    if (now_ns >= s->phase_end_ns) {
        runner_give_up(r, "a process of a step can not be killed");
        return now_ns;
    }
    signal_tree(r, s, SIGKILL);
    return now_ns + RUNNER_KILL_AGAIN_MS * MS;
}

static int64_t advance(struct runner *r, struct step *s, int64_t now_ns)
{
    switch (s->phase) {
    case PHASE_RUNNING:
        return advance_running(r, s, now_ns);
    case PHASE_TERMING:
    case PHASE_KILLING:
        return advance_killing(r, s, now_ns);
    case PHASE_OVER:
        if (s->keeper_gone && pipes_closed(s))
            step_free(r, s);
        return INT64_MAX;
    }
    return INT64_MAX;
}

int64_t steps_advance(struct runner *r, int64_t now_ns)
{
    int64_t next = INT64_MAX;

    list_for_each_safe (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);
        int64_t pause = advance_pause(s, now_ns);
        int64_t t = advance(r, s, now_ns);

        next = MIN(next, MIN(t, pause));
    }
    return next;
}

/* ---- polling --------------------------------------------------------------------------------- */

size_t steps_poll_max(const struct runner *r)
{
    return FDS * (r->active + r->left);
}

size_t steps_poll(struct runner *r, struct pollfd *fds)
{
    size_t n = 0;

    list_for_each (it, &r->steps) {
        const struct step *s = list_entry(it, struct step, node);
        bool reading = may_read(r, s);

        for (int i = 0; i < FDS; i++)
            if (s->fds[i] >= 0 && (i == STATUS || reading))
                fds[n++] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
    }
    return n;
}

/* fds is in the order of steps_poll(), and no step came or went since. */
void steps_on_poll(struct runner *r, const struct pollfd *fds, size_t count)
{
    size_t n = 0;

    list_for_each (it, &r->steps) {
        struct step *s = list_entry(it, struct step, node);

        for (int i = 0; i < FDS && n < count; i++) {
            if (s->fds[i] < 0 || fds[n].fd != s->fds[i])
                continue;
            if (fds[n++].revents == 0)
                continue;
            if (i == STATUS)
                read_status(s);
            else
                read_pipe(r, s, i);
        }
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

static void start(struct runner *r, uint64_t id, const char *label, const struct keeper_spec *spec)
{
    struct step *s;
    int fds[FDS];
    pid_t pid;

    if (r->stop_ns) {
        report_done(r, id, FRAME_STOPPED, 0, 0, "");
        return;
    }
    pid = r->active < RUNNER_STEPS_MAX ? keeper_start(spec, fds) : -EAGAIN;

    if (pid < 0) {
        report_done(r, id, FRAME_SPAWN_FAILED, (uint32_t)-pid, 0, "");
        return;
    }
    s = xcalloc(1, sizeof(*s));
    s->id = id;
    s->keeper = pid;
    s->started_ns = s->credit_ns = runner_now_ns();
    s->oom_kills = oom_kills_count(r->oom_kills);
    s->credit = RUNNER_READ_BURST;
    podlog_set_label(&s->log, label);
    memcpy(s->fds, fds, sizeof(fds));
    list_push_back(&r->steps, &s->node);
    r->active++;
}

static const char *text_or_null(const char *s)
{
    return *s ? s : NULL;
}

static bool names_home(char **env)
{
    for (; *env; env++)
        if (strncmp(*env, "HOME=", 5) == 0)
            return true;
    return false;
}

static void free_pointers(char ***p)
{
    free(*p);
}

void steps_exec(struct runner *r, struct frame_reader *f)
{
    uint64_t id = frame_get_u64(f);
    cleanup_free char *label = frame_get_text(f);
    cleanup_free char *user = frame_get_text(f);
    cleanup_free char *work_dir = frame_get_text(f);
    size_t argc, envc;
    CLEANUP(frame_list_free) char **argv = frame_get_list(f, &argc);
    CLEANUP(frame_list_free) char **more = frame_get_list(f, &envc);
    CLEANUP(free_pointers) char **env = keeper_env(r->env, more);
    cleanup_free char *stdin_file = frame_get_text(f);
    bool confined = frame_get_u32(f) != 0;
    bool has_stdin = frame_get_u32(f) != 0;
    struct keeper_spec spec = {.user = text_or_null(user),
                               .argv = argv,
                               .env = env,
                               .work_dir = work_dir,
                               .own_home = names_home(more),
                               .stdin_file = text_or_null(stdin_file),
                               .confined = confined};

    spec.stdin_data = frame_get_bytes(f, &spec.stdin_len);
    if (!has_stdin)
        spec.stdin_data = NULL;

    f->bad = f->bad || !frame_complete(f) || argc == 0;
    if (!f->bad)
        start(r, id, label, &spec);
}

void steps_write(struct runner *r, struct frame_reader *f)
{
    uint64_t id = frame_get_u64(f);
    cleanup_free char *user = frame_get_text(f);
    uint32_t kind = frame_get_u32(f), mode, confined, fuzz;
    cleanup_free char *path = NULL;
    struct keeper_spec spec = {.user = text_or_null(user)};

    mode = frame_get_u32(f);
    confined = frame_get_u32(f);
    fuzz = frame_get_u32(f);
    path = frame_get_text(f);
    spec.file.content = frame_get_bytes(f, &spec.file.len);
    f->bad = f->bad || !frame_complete(f) || path[0] != '/' || kind >= FRAME_WRITE_COUNT;
    if (f->bad)
        return;
    spec.file.kind = (enum frame_write)kind;
    spec.file.mode = mode;
    spec.file.fuzz = fuzz;
    spec.file.confined = confined != 0;
    spec.file.path = path;
    start(r, id, "", &spec);
}
