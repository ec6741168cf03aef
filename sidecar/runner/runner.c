#include "sidecar/runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/runner/keeper.h"
#include "sidecar/runner/oom_kills.h"
#include "sidecar/runner/outside.h"
#include "sidecar/runner/run.h"
#include "sidecar/runner/tree.h"

#define MS 1000000LL
#define POLL_MAX_MS 60000

int64_t runner_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- the main command ------------------------------------------------------------------------ */

void runner_end(struct runner *r, int code)
{
    if (r->exiting)
        return;
    r->exiting = true;
    r->exit_code = code;
}

void runner_start_main(struct runner *r)
{
    const struct keeper_spec spec = {.argv = r->main_argv,
                                     .env = r->env,
                                     .own_stdin = true,
                                     .own_output = isatty(STDOUT_FILENO)};
    int fds[KEEPER_FDS];
    pid_t pid;

    if (r->main_started || !r->main_argv || r->stop_ns)
        return;
    r->main_started = true;
    pid = keeper_start(&spec, fds);
    if (pid < 0) {
        fprintf(stderr, "arl-runner: start %s: %s\n", r->main_argv[0], strerror(-pid));
        runner_end(r, 126);
        return;
    }
    r->main_keeper = pid;
    r->main_status = fds[KEEPER_STATUS];
    r->main_log[0] = (struct mainlog){.in = fds[KEEPER_OUT], .log = &r->log};
    r->main_log[1] = (struct mainlog){.in = fds[KEEPER_ERR], .log = &r->log_err};
}

static void on_main_msg(struct runner *r, const struct keeper_msg *msg)
{
    int text_len = (int)strnlen(msg->text, sizeof(msg->text));

    switch (msg->kind) {
    case KEEPER_PID:
        r->main_pid = (pid_t)msg->value;
        break;
    case KEEPER_FAILED:
        if (text_len > 0)
            fprintf(stderr, "arl-runner: %s: cannot execute: %.*s\n", r->main_argv[0], text_len,
                    msg->text);
        else
            fprintf(stderr, "arl-runner: %s: %s\n", r->main_argv[0], strerror((int)msg->value));
        runner_end(r, msg->value == ENOENT ? 127 : 126);
        break;
    case KEEPER_EXIT:
        runner_end(r, msg->how == FRAME_SIGNALED ? 128 + (int)msg->value : (int)msg->value);
        break;
    }
}

static void read_main_status(struct runner *r)
{
    struct keeper_msg msg;
    int n = 1;

    while (r->main_status >= 0 && (n = keeper_read(r->main_status, &msg)) > 0)
        on_main_msg(r, &msg);
    if (n < 0) {
        close(r->main_status);
        r->main_status = -1;
    }
}

/* ---- what keepers that were killed have left --------------------------------------------------
 */

void runner_give_up(struct runner *r, const char *why)
{
    if (!r->exiting)
        fprintf(stderr, "arl-runner: %s: the container ends\n", why);
    runner_end(r, RUNNER_EXIT_STUCK);
}

void runner_on_keeper_lost(struct runner *r, int64_t now_ns)
{
    if (r->proc < 0)
        runner_give_up(r, "a step's parent was killed, and /proc can not be read");
    if (r->adopted_end_ns == 0)
        r->adopted_end_ns = now_ns + RUNNER_GIVE_UP_MS * MS;
}

/* Kills all descendants except the living keepers and their trees, because nobody knows any more
 * which step they belong to. Returns when to call it again. */
static int64_t kill_adopted(struct runner *r, int64_t now_ns)
{
    pid_t *spared;
    struct tree tree = {.proc = r->proc, .root = getpid()};
    int found;

    if (r->adopted_end_ns == 0)
        return INT64_MAX;
    tree.spared = spared = xcalloc(1 + r->active + r->left, sizeof(*spared));
    spared[0] = r->main_keeper;
    tree.spared_count = 1 + steps_keepers(r, spared + 1);
    found = tree_kill(&tree);
    free(spared);
    if (found == 0) {
        r->adopted_end_ns = 0;
        return INT64_MAX;
    }
    if (now_ns >= r->adopted_end_ns)
        runner_give_up(r, "a process of a step can not be killed");
    return now_ns + RUNNER_KILL_AGAIN_MS * MS;
}

/* ---- signals --------------------------------------------------------------------------------- */

static void reap(struct runner *r)
{
    pid_t pid = 1;
    int status;

    for (unsigned n = 0; n < RUNNER_REAPED_MAX && (pid = waitpid(-1, &status, WNOHANG)) > 0; n++) {
        if (pid == r->main_keeper) {
            read_main_status(r);
            /* Without its keeper nobody knows how the command ends, or which processes belong to
             * it. */
            runner_end(r, 128 + SIGKILL);
        }
        steps_on_reaped(r, pid, status);
    }
    r->reap_on = pid > 0;
    if (pid < 0 && errno == ECHILD && r->stop_ns)
        runner_end(r, 128 + SIGTERM);
}

/* All processes of the container; outside of a container of our own, all below us. */
static void signal_all(const struct runner *r, int sig)
{
    if (getpid() == 1)
        kill(-1, sig);
    else
        tree_signal(&(const struct tree){.proc = r->proc, .root = getpid()}, sig);
}

static void on_stop(struct runner *r, int sig)
{
    if (!r->stop_ns)
        r->stop_ns = runner_now_ns() + RUNNER_GRACE_MS * MS;
    /* Before any process is killed, because the steps will end by that kill and not by themselves.
     */
    steps_stop(r);
    link_flush(r);
    if (r->main_pid > 0)
        kill(r->main_pid, sig);
    else
        signal_all(r, SIGTERM);
    reap(r);
}

static void on_signal(struct runner *r, int sig)
{
    switch (sig) {
    case SIGCHLD:
        reap(r);
        break;
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        on_stop(r, sig);
        break;
    case SIGHUP:
    case SIGUSR1:
    case SIGUSR2:
    case SIGWINCH:
        if (r->main_pid > 0)
            kill(r->main_pid, sig);
        break;
    default:
        break;
    }
}

static void on_signal_fd(struct runner *r)
{
    struct signalfd_siginfo info;

    for (unsigned n = 0;
         n < RUNNER_SIGNALS_MAX && read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
         n++)
        if (info.ssi_signo == SIGCHLD || is_from_outside(&info))
            on_signal(r, (int)info.ssi_signo);
}

static int open_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all;

    sigfillset(&all);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(&all, faults[i]);
    sigprocmask(SIG_BLOCK, &all, NULL);
    return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int64_t next_deadline(struct runner *r, int64_t now_ns)
{
    int64_t next, steps;

    if (r->reap_on)
        reap(r);
    next = kill_adopted(r, now_ns);
    steps = steps_advance(r, now_ns);
    next = MIN(next, r->reap_on ? now_ns : steps);
    if (link_may_dial(r))
        next = MIN(next, r->redial_ns);
    if (r->stop_ns && now_ns >= r->stop_ns) {
        signal_all(r, SIGKILL);
        /* A process that cannot be killed is stuck in the kernel; it ends with this process if that
         * is PID 1. */
        runner_end(r, 128 + SIGTERM);
    } else if (r->stop_ns) {
        next = MIN(next, r->stop_ns);
    }
    return next;
}

static int wait_ms(int64_t deadline_ns, int64_t now_ns)
{
    int64_t ms = (deadline_ns - now_ns + MS - 1) / MS;

    return deadline_ns == INT64_MAX ? -1 : (int)MAX(0, MIN(ms, POLL_MAX_MS));
}

static void turn(struct runner *r, struct pollfd **fds, size_t *room)
{
    int64_t now_ns = runner_now_ns(), deadline_ns;
    size_t n = 0, sock = 0, status = 0, logs[2] = {0}, first;
    int ready;

    link_dial(r, now_ns);
    deadline_ns = next_deadline(r, now_ns);
    link_flush(r);
    if (r->exiting)
        return;
    if (*room < 5 + steps_poll_max(r)) {
        *room = 5 + steps_poll_max(r);
        *fds = xrealloc(*fds, *room * sizeof(**fds));
    }
    (*fds)[n++] = (struct pollfd){.fd = r->signal_fd, .events = POLLIN};
    if (r->sock >= 0)
        (*fds)[sock = n++] = (struct pollfd){.fd = r->sock, .events = link_poll_events(r)};
    if (r->main_status >= 0)
        (*fds)[status = n++] = (struct pollfd){.fd = r->main_status, .events = POLLIN};
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++)
        if (mainlog_poll(&r->main_log[i], *fds + n))
            logs[i] = n++;
    first = n;
    n += steps_poll(r, *fds + n);
    ready = poll(*fds, n, wait_ms(deadline_ns, now_ns));
    /* Processes of the same user may lower our limits, and poll(2) takes no more descriptors than
     * the limit of open files: nothing could be waited for any more. */
    if (ready < 0 && errno == EINVAL)
        runner_give_up(r, "the limit of open files was taken away");
    if (ready <= 0)
        return;
    /* Steps first: signals and frames change their list. */
    steps_on_poll(r, *fds + first, n - first);
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++)
        if (logs[i] && (*fds)[logs[i]].revents)
            mainlog_on_poll(&r->main_log[i]);
    if (status && (*fds)[status].revents)
        read_main_status(r);
    if ((*fds)[0].revents)
        on_signal_fd(r);
    if (sock && (*fds)[sock].revents)
        link_on_poll(r, (*fds)[sock].revents);
}

/* Container runtimes open all three. A missing one becomes a pipe whose other end is closed,
 * because opening a file would mean to trust the container's /dev. */
static void open_standard_fds(void)
{
    int ends[2];

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The pipe's reading end gets the lowest free number. */
        if (fcntl(fd, F_GETFD) >= 0 || pipe(ends) < 0)
            continue;
        if (fd != STDIN_FILENO)
            dup2(ends[1], fd);
        close(ends[1]);
    }
}

int runner_run(const char *socket_path, char **main_argv, char **env)
{
    struct runner r = {.socket_path = socket_path,
                       .main_argv = main_argv,
                       .env = env,
                       .sock = -1,
                       .main_status = -1,
                       .main_log = {{.in = -1}, {.in = -1}}};
    struct pollfd *fds = NULL;
    size_t room = 0;

    /* Other processes of the same user must not read the memory of the runner or trace it. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    open_standard_fds();
    r.proc = tree_open();
    r.oom_kills = oom_kills_open();
    r.signal_fd = open_signals();
    if (r.signal_fd < 0) {
        fprintf(stderr, "arl-runner: signalfd: %s\n", strerror(errno));
        return 126;
    }
    link_open(&r);
    /* A terminal belongs to the main command, and all code in the container can write to it. Nobody
     * could tell a step's line from a forged one, so steps write no lines. */
    r.log = podlog_open(isatty(STDOUT_FILENO) ? -1 : STDOUT_FILENO);
    r.log_err = podlog_open(isatty(STDERR_FILENO) ? -1 : STDERR_FILENO);
    list_init(&r.steps);
    while (!r.exiting)
        turn(&r, &fds, &room);
    for (size_t i = 0; i < ARRAY_SIZE(r.main_log); i++) {
        mainlog_finish(&r.main_log[i], RUNNER_MAIN_LOG_MS);
        mainlog_done(&r.main_log[i]);
    }
    podlog_close(&r.log);
    podlog_close(&r.log_err);
    free(fds);
    return r.exit_code;
}
