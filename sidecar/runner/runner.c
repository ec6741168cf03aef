#include "sidecar/runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/runner/keeper.h"
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

static _Noreturn void main_child(struct runner *r)
{
    int e;

    setsid();
    e = keeper_exec(r->main_argv, r->env);
    fprintf(stderr, "arl-runner: %s: %s\n", r->main_argv[0], strerror(e));
    _exit(e == ENOENT ? 127 : 126);
}

void runner_start_main(struct runner *r)
{
    if (r->main_started || !r->main_argv || r->stop_ns)
        return;
    r->main_started = true;
    r->main_pid = fork();
    if (r->main_pid == 0)
        main_child(r);
    if (r->main_pid < 0) {
        fprintf(stderr, "arl-runner: fork: %s\n", strerror(errno));
        r->exiting = true;
        r->exit_code = 126;
    }
}

/* ---- signals --------------------------------------------------------------------------------- */

static void end_with(struct runner *r, int code)
{
    r->exiting = true;
    r->exit_code = code;
}

static void reap(struct runner *r)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == r->main_pid)
            end_with(r, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        steps_on_reaped(r, pid, status);
    }
    if (pid < 0 && errno == ECHILD && r->stop_ns)
        end_with(r, 128 + SIGTERM);
}

/* All processes of the container; outside of a container of our own, all below us. */
static void signal_all(int sig)
{
    if (getpid() == 1)
        kill(-1, sig);
    else
        tree_signal(getpid(), sig);
}

static void on_stop(struct runner *r, int sig)
{
    if (!r->stop_ns)
        r->stop_ns = runner_now_ns() + RUNNER_GRACE_MS * MS;
    if (r->main_pid > 0)
        kill(r->main_pid, sig);
    else
        signal_all(SIGTERM);
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

    while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
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
    int64_t next = steps_advance(r, now_ns);

    if (r->sock < 0)
        next = MIN(next, r->redial_ns);
    if (r->stop_ns && now_ns >= r->stop_ns) {
        signal_all(SIGKILL);
        /* What can not be killed is the kernel's; it goes with this process when that is PID 1. */
        end_with(r, 128 + SIGTERM);
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
    bool with_sock;
    size_t n = 0;

    link_dial(r, now_ns);
    deadline_ns = next_deadline(r, now_ns);
    link_flush(r);
    if (r->exiting)
        return;
    if (*room < 2 + steps_poll_max(r)) {
        *room = 2 + steps_poll_max(r);
        *fds = xrealloc(*fds, *room * sizeof(**fds));
    }
    (*fds)[n++] = (struct pollfd){.fd = r->signal_fd, .events = POLLIN};
    with_sock = r->sock >= 0;
    if (with_sock)
        (*fds)[n++] = (struct pollfd){.fd = r->sock, .events = link_poll_events(r)};
    n += steps_poll(r, *fds + n);
    if (poll(*fds, n, wait_ms(deadline_ns, now_ns)) <= 0)
        return;
    /* Steps first: signals and frames change their list. */
    steps_on_poll(r, *fds + 1 + with_sock, n - 1 - with_sock);
    if ((*fds)[0].revents)
        on_signal_fd(r);
    if (with_sock && (*fds)[1].revents)
        link_on_poll(r, (*fds)[1].revents);
}

static void open_standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int runner_run(const char *socket_path, char **main_argv, char **env)
{
    struct runner r = {.socket_path = socket_path,
                       .main_argv = main_argv,
                       .env = env,
                       .sock = -1,
                       .redial_wait_ms = RUNNER_REDIAL_MIN_MS};
    struct pollfd *fds = NULL;
    size_t room = 0;

    /* What runs beside us as the same user must not read our memory or trace us. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    open_standard_fds();
    r.signal_fd = open_signals();
    if (r.signal_fd < 0) {
        fprintf(stderr, "arl-runner: signalfd: %s\n", strerror(errno));
        return 126;
    }
    if (getrandom(r.token, sizeof(r.token), 0) != sizeof(r.token)) {
        fprintf(stderr, "arl-runner: getrandom: %s\n", strerror(errno));
        return 126;
    }
    r.log = podlog_open(STDOUT_FILENO);
    list_init(&r.steps);
    while (!r.exiting)
        turn(&r, &fds, &room);
    podlog_close(&r.log);
    free(fds);
    return r.exit_code;
}
