/* What the runner is told of a step's command, by the keeper between the two. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/runner/keeper.h"

static char *no_env[] = {NULL};

/* Starts the command and returns all that its status pipe tells, "pid, exited 3". */
static const char *run(const char *const *argv)
{
    static const char *const hows[] = {[FRAME_EXITED] = "exited",
                                       [FRAME_SIGNALED] = "signaled",
                                       [FRAME_EXEC_FAILED] = "no exec",
                                       [FRAME_SPAWN_FAILED] = "no spawn",
                                       [FRAME_CHDIR_FAILED] = "no chdir"};
    struct keeper_spec spec = {.argv = (char **)argv, .env = no_env, .work_dir = "/"};
    int fds[KEEPER_FDS], status, n;
    pid_t pid = keeper_start(&spec, fds);
    struct keeper_msg msg;
    static char text[256];

    assert_true(pid > 0);
    text[0] = '\0';
    while ((n = keeper_read(fds[KEEPER_STATUS], &msg)) >= 0) {
        size_t len = strlen(text);

        if (n == 0)
            poll(&(struct pollfd){.fd = fds[KEEPER_STATUS], .events = POLLIN}, 1, -1);
        else if (msg.kind == KEEPER_PID)
            snprintf(text + len, sizeof(text) - len, "pid");
        else
            snprintf(text + len, sizeof(text) - len, "%s%s %u", len ? ", " : "", hows[msg.how],
                     msg.value);
    }
    assert_int_equal(n, -EPIPE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < KEEPER_FDS; i++)
        close(fds[i]);
    return text;
}

static void test_what_is_told(void **state)
{
    assert_string_equal(run((const char *const[]){"sh", "-c", "exit 3", NULL}), "pid, exited 3");
    assert_string_equal(run((const char *const[]){"sh", "-c", "kill -9 $$", NULL}),
                        "pid, signaled 9");
    assert_string_equal(run((const char *const[]){"/nothing/there", NULL}),
                        "pid, no exec 2, exited 127");
}

/* From now on nothing that this process starts can be a subreaper: EPERM. */
static void forbid_subreapers(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_CHILD_SUBREAPER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* A command that could leave its tree does not start. The last test: the filter stays. */
static void test_no_subreaper(void **state)
{
    char want[32];

    snprintf(want, sizeof(want), "no spawn %d", EPERM);
    forbid_subreapers();
    assert_string_equal(run((const char *const[]){"sh", "-c", "exit 3", NULL}), want);
}

static void test_env(void **state)
{
    static const char *const base[] = {"A=1", "AB=2", "C=3", NULL};
    static const char *const more[] = {"AB=4", "D=5", "A=", NULL};
    static const char *const want[] = {"A=", "AB=4", "C=3", "D=5"};
    char **env = keeper_env((char **)base, (char **)more);

    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(env[i], want[i]);
    assert_null(env[ARRAY_SIZE(want)]);
    free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_what_is_told),
        cmocka_unit_test(test_no_subreaper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
