#include "sidecar/runner/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/write_all.h"

#include "sidecar/runner/exec_why.h"
#include "sidecar/runner/user.h"
#include "sidecar/runner/walk.h"

#define STATUS_FD 3
/* They are moved to their numbers in this order, so that none overwrites one that is still needed.
 */
enum { IN, OUT, ERR, STATUS, PIPES };
/* The path of a program and its environment's search path, as execvp(3) has it. */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_BYTES_MAX 4096
/* Without close_range(2), which came with Linux 5.9. */
#define CLOSE_FDS_MAX 4096

/* ---- environment and lookup ------------------------------------------------------------------ */

static size_t name_len(const char *entry)
{
    return strcspn(entry, "=");
}

static size_t env_find(char **env, const char *entry)
{
    size_t i = 0, len = name_len(entry);

    while (env[i] && (name_len(env[i]) != len || memcmp(env[i], entry, len) != 0))
        i++;
    return i;
}

char **keeper_env(char **base, char **more)
{
    size_t n = 0, m = 0;
    char **env;

    while (base[n])
        n++;
    while (more[m])
        m++;
    env = xcalloc(n + m + 1, sizeof(*env));
    memcpy(env, base, n * sizeof(*env));
    for (size_t i = 0; i < m; i++)
        env[env_find(env, more[i])] = more[i];
    return env;
}

static const char *search_path(char **env)
{
    size_t i = env_find(env, "PATH");

    return env[i] && strlen(env[i]) > 4 ? env[i] + 5 : DEFAULT_PATH;
}

/* The most useful error. That a file exists and may not be executed, or lacks its interpreter, goes
 * before that another folder does not have it. A folder that may not be searched (one of root in
 * the PATH of many images) has no file. ret_file: the file of the error; "": none. */
static int exec_in_path(char **argv, char **env, char ret_file[PATH_BYTES_MAX])
{
    char file[PATH_BYTES_MAX];
    int result = ENOENT;
    struct stat st;

    for (const char *p = search_path(env);; p++) {
        int len = (int)strcspn(p, ":");
        int n = snprintf(file, sizeof(file), "%.*s%s%s", len, p, len ? "/" : "", argv[0]);

        if (n > 0 && (size_t)n < sizeof(file)) {
            int e;

            execve(file, argv, env);
            e = errno;
            if (!*ret_file && e != ENOTDIR && lstat(file, &st) == 0) {
                snprintf(ret_file, PATH_BYTES_MAX, "%s", file);
                result = e;
            }
            if (e != ENOENT && e != ENOTDIR && e != EACCES)
                return e;
        }
        p += len;
        if (*p == '\0')
            return result;
    }
}

/* Resets the signals as a program expects them, then executes it. Returns the errno of the failure;
 * ret_why: what the file says about it. */
static int exec_program(char **argv, char **env, char ret_why[FRAME_TEXT_MAX])
{
    char file[PATH_BYTES_MAX] = "", why[FRAME_TEXT_MAX];
    sigset_t none;
    int e;

    *ret_why = '\0';
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (!argv[0] || !argv[0][0])
        return ENOENT;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        e = errno;
        exec_why(argv[0], e, ret_why);
        return e;
    }
    e = exec_in_path(argv, env, file);
    exec_why(file, e, why);
    if (*file && *why)
        snprintf(ret_why, FRAME_TEXT_MAX, "%.160s: %.300s", file, why);
    return e;
}

/* ---- inside of the keeper -------------------------------------------------------------------- */

_Static_assert(sizeof(struct keeper_msg) <= PIPE_BUF, "a message is written at once");

static void tell_text(enum keeper_kind kind, enum frame_how how, int value, const char *text)
{
    struct keeper_msg msg = {.kind = kind, .how = how, .value = (uint32_t)value};

    snprintf(msg.text, sizeof(msg.text), "%s", text);

    /* If the runner is gone, no process reads this. */
    while (write(STATUS_FD, &msg, sizeof(msg)) < 0 && errno == EINTR)
        continue;
}

static void tell(enum keeper_kind kind, enum frame_how how, int value)
{
    tell_text(kind, how, value, "");
}

static _Noreturn void fail(enum frame_how how, int value, const char *text)
{
    tell_text(KEEPER_FAILED, how, value, text);
    _exit(how == FRAME_EXEC_FAILED ? 127 : 1);
}

/* *env: that of the step, in which HOME may be replaced. */
static void switch_user(const struct keeper_spec *spec, char ***env)
{
    char why[FRAME_TEXT_MAX];
    struct user u;

    if (user_find("", spec->user, &u, why) < 0 || user_become(&u, spec->user, why) < 0)
        fail(FRAME_USER_REFUSED, 0, why);
    if (*env && !spec->own_home)
        *env = keeper_env(*env, (char *[]){xasprintf("HOME=%s", u.home), NULL});
    user_done(&u);
}

/* A link of another container would make the step read files that the other container may not read.
 */
static void open_stdin_file(const struct keeper_spec *spec)
{
    const char *file = spec->stdin_file;
    cleanup_free char *path =
        file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", spec->work_dir, file);
    bool for_folder = file[strlen(file) - 1] == '/';
    struct walk at;
    int e = walk_to(path, WALK_ROOT | (spec->confined ? WALK_CONFINED : 0), &at), fd;

    if (e == EPERM && at.refusal)
        fail(FRAME_LINK_REFUSED, (int)at.refusal, "");
    if (e || !at.exists)
        fail(FRAME_STDIN_FAILED, e ? e : ENOENT, "");
    fd = walk_open_file(&at);
    close(at.dir);
    if (fd < 0 || for_folder)
        fail(FRAME_STDIN_FAILED, fd < 0 ? -fd : ENOTDIR, "");
    fcntl(fd, F_SETFL, 0);
    dup2(fd, STDIN_FILENO);
    close(fd);
}

/* In a file in memory and not in a pipe: so no process has to stay and write while the command
 * reads. */
static void make_stdin(const char *data, size_t len)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC), e;

    if (fd < 0)
        fail(FRAME_SPAWN_FAILED, errno, "");
    e = write_all(fd, data, len);
    if (e < 0)
        fail(FRAME_SPAWN_FAILED, -e, "");
    lseek(fd, 0, SEEK_SET);
    dup2(fd, STDIN_FILENO);
    close(fd);
}

static _Noreturn void child_main(const struct keeper_spec *spec)
{
    char **env = spec->env, why[FRAME_TEXT_MAX];
    int e;

    setsid();
    /* Before any code of the user's: should it kill the keeper, this is how we find it. */
    tell(KEEPER_PID, 0, getpid());
    if (spec->user)
        switch_user(spec, &env);
    if (!spec->argv) {
        struct write_result r = write_file(&spec->file);

        if (r.how != FRAME_EXITED)
            tell_text(KEEPER_FAILED, r.how, (int)r.value, r.text);
        _exit(r.how == FRAME_EXITED ? 0 : 1);
    }
    if (spec->work_dir && chdir(spec->work_dir) < 0)
        fail(FRAME_CHDIR_FAILED, errno, "");
    if (spec->stdin_file)
        open_stdin_file(spec);
    else if (spec->stdin_data)
        make_stdin(spec->stdin_data, spec->stdin_len);
    e = exec_program(spec->argv, env, why);
    fail(FRAME_EXEC_FAILED, e, why);
}

static void close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    for (unsigned fd = first; fd < CLOSE_FDS_MAX; fd++)
        close((int)fd);
}

/* 0, 1 and 2 the pipes, 3 the status, and nothing else: a keeper that held the socket or somebody's
 * pipe would keep it open for as long as a daemon lives. */
static void arrange_fds(int pipes[PIPES][2])
{
    static const int targets[PIPES] = {
        [IN] = STDIN_FILENO, [OUT] = STDOUT_FILENO, [ERR] = STDERR_FILENO, [STATUS] = STATUS_FD};

    for (int i = 0; i < PIPES; i++) {
        int fd = pipes[i][i != IN];

        if (fd >= 0 && fd != targets[i])
            dup3(fd, targets[i], i == STATUS ? O_CLOEXEC : 0);
    }
    close_from(STATUS_FD + 1);
}

static _Noreturn void keeper_main(const struct keeper_spec *spec, int pipes[PIPES][2])
{
    siginfo_t info;
    pid_t child;

    prctl(PR_SET_NAME, "arl-step");
    arrange_fds(pipes);
    /* Otherwise processes that the command leaves behind would outlive the step: the command does
     * not start. */
    child = prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -1 : fork();
    if (child == 0)
        child_main(spec);
    if (child < 0)
        tell(KEEPER_FAILED, FRAME_SPAWN_FAILED, errno);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    /* Looks first and reaps afterwards: killed in between, it leaves the status to the runner. */
    while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0 || errno == EINTR) {
        if (info.si_pid == child) {
            tell(KEEPER_EXIT, info.si_code == CLD_EXITED ? FRAME_EXITED : FRAME_SIGNALED,
                 info.si_status);
            close(STATUS_FD);
        }
        waitpid(info.si_pid, NULL, WNOHANG);
    }
    _exit(0);
}

/* ---- the runner's side ----------------------------------------------------------------------- */

static void close_pipes(int pipes[PIPES][2])
{
    for (int i = 0; i < PIPES; i++)
        for (int end = 0; end < 2; end++)
            if (pipes[i][end] >= 0)
                close(pipes[i][end]);
}

static void close_end(int pipes[PIPES][2], int i, int end)
{
    if (pipes[i][end] >= 0)
        close(pipes[i][end]);
    pipes[i][end] = -1;
}

/* Their numbers are above STATUS_FD or STATUS_FD itself, as the runner has 0 to 2 open. */
static int make_pipes(const struct keeper_spec *spec, int pipes[PIPES][2])
{
    for (int i = 0; i < PIPES; i++) {
        if (i == IN ? spec->own_stdin : i != STATUS && spec->own_output)
            continue;
        if (pipe2(pipes[i], O_CLOEXEC) < 0) {
            int e = errno;

            close_pipes(pipes);
            return -e;
        }
        if (i != IN)
            fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
    }
    /* Empty: nobody writes into it. */
    close_end(pipes, IN, 1);
    return 0;
}

pid_t keeper_start(const struct keeper_spec *spec, int ret_fds[KEEPER_FDS])
{
    int pipes[PIPES][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    int r = make_pipes(spec, pipes);
    pid_t pid;

    if (r < 0)
        return r;
    pid = fork();
    if (pid == 0)
        keeper_main(spec, pipes);
    if (pid < 0) {
        r = -errno;
        close_pipes(pipes);
        return r;
    }
    close_end(pipes, IN, 0);
    for (int i = OUT; i < PIPES; i++) {
        close_end(pipes, i, 1);
        ret_fds[i - OUT] = pipes[i][0];
    }
    return pid;
}

int keeper_read(int fd, struct keeper_msg *ret)
{
    ssize_t n;

    do
        n = read(fd, ret, sizeof(*ret));
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*ret))
        return 1;
    return n < 0 && errno == EAGAIN ? 0 : -EPIPE;
}
