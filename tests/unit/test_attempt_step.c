#include <errno.h>
#include <signal.h>

#include "sidecar/attempt/attempt_step.h"
#include "sidecar/runner/walk.h"

#include "tests/unit/unit.h"

/* What comes out is compared as text: one line an action. */

static const char *const containers[] = {"executor", "helper"};
static const struct now start_time = {.mono_ns = 1000};

static void put_action(struct buf *b, const struct attempt_action *a)
{
    int n = (int)a->step;

    switch (a->type) {
    case ATTEMPT_EMIT_STEP:
        buf_printf(b, "step %d\n", n);
        break;
    case ATTEMPT_FLUSH:
        buf_printf(b, "flush\n");
        break;
    case ATTEMPT_TEXT:
        buf_printf(b, "text %d %s", a->fd, a->text);
        break;
    case ATTEMPT_EMIT_EXIT:
        buf_printf(b, "exit %d: %d after %d (%s)\n", n, a->code, (int)a->duration_ns,
                   a->text ? a->text : "-");
        break;
    case ATTEMPT_EMIT_END:
        buf_printf(b, "end %d after %d %s\n", a->code, (int)a->duration_ns,
                   task_end_reason_str(a->reason));
        break;
    case ATTEMPT_EXEC:
        buf_printf(b, "exec %d in %s at %s\n", n, containers[a->container], a->text);
        break;
    case ATTEMPT_WRITE:
        buf_printf(b, "write %d in %s to %s\n", n, containers[a->container], a->text);
        break;
    case ATTEMPT_KILL:
        buf_printf(b, "kill in %s after %d\n", containers[a->container], (int)a->timeout_ms);
        break;
    case ATTEMPT_TIMER:
        buf_printf(b, "timer %d\n", (int)a->timeout_ms);
        break;
    case ATTEMPT_DROP:
        buf_printf(b, "drop %s\n", containers[a->container]);
        break;
    }
}

static void expect(struct attempt_actions *acts, const char *want)
{
    cleanup_buf struct buf b = BUF_INIT(100000);

    for (size_t i = 0; i < acts->count; i++)
        put_action(&b, &acts->list[i]);
    attempt_actions_done(acts);
    assert_string_equal(buf_str(&b), want);
}

struct fixture {
    struct task_request req;
    struct attempt_machine machine;
    struct attempt_actions acts;
};

static void set_up(struct fixture *f, const char *steps)
{
    cleanup_free char *text =
        xasprintf("{\"sandboxUID\":\"s\",\"workDir\":\"/w\",\"timeoutMs\":2500,\"outputLimit\":9,"
                  "\"steps\":%s}",
                  steps);

    *f = (struct fixture){.acts = {.count = 0}};
    assert_int_equal(task_request_decode(text, strlen(text), &f->req, NULL), 0);
    f->machine = (struct attempt_machine){
        .request = &f->req, .containers = containers, .container_count = 2};
    attempt_machine_start(&f->machine, &start_time, &f->acts);
}

static void tear_down(struct fixture *f)
{
    task_request_done(&f->req);
}

static void done_text(struct fixture *f, enum frame_how how, uint32_t value, const char *text)
{
    const struct now now = {.mono_ns = f->machine.step_started_ns + 50};

    attempt_machine_on_done(&f->machine, how, value, text, 40, &now, &f->acts);
}

static void done(struct fixture *f, enum frame_how how, uint32_t value)
{
    done_text(f, how, value, "");
}

#define CMD "{\"name\":\"a\",\"type\":\"Command\",\"command\":[\"x\"]}"
#define LAUNCHED "step 0\nexec 0 in executor at /w\ntimer 2500\n"

static void test_two_steps(void **state)
{
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[" CMD ",{\"type\":\"FilePatch\",\"path\":\"d/f\",\"container\":\"helper\","
               "\"workDir\":\"sub\"}]");
    expect(&f.acts, LAUNCHED);
    done(&f, FRAME_EXITED, 0);
    expect(&f.acts, "flush\nexit 0: 0 after 40 (-)\nstep 1\nwrite 1 in helper to /w/sub/d/f\n"
                    "timer 2500\n");
    done(&f, FRAME_EXITED, 0);
    expect(&f.acts, "text 1 File created: d/f\nflush\nexit 1: 0 after 40 (-)\ntimer 0\n"
                    "end 0 after 100 Completed\n");
    assert_int_equal(f.machine.state, ATTEMPT_ENDED);
}

/* What can become of a file, and what is said about it. */
static void test_files(void **state)
{
    static const struct {
        enum frame_how how;
        uint32_t value;
        const char *error;
    } rows[] = {
        {FRAME_WRITE_FAILED, ENOSPC, "f: No space left on device"},
        {FRAME_NOT_A_FILE, 0, "f: not a regular file"},
        {FRAME_PATCH_FAILED, 0, "f: hunk 1 does not fit"},
        {FRAME_LINK_REFUSED, WALK_OUT_OF_VOLUME,
         "f: a symbolic link in a volume leads out of that volume, and is not followed"},
        {FRAME_LINK_REFUSED, WALK_FOREIGN_LINK,
         "f: a symbolic link belongs to neither root nor the user who writes, and is not followed"},
    };
    static const char step[] = "[{\"type\":\"FilePatch\",\"path\":\"f\",\"patch\":\"@@\"}]";

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;
        cleanup_free char *want =
            xasprintf("flush\ntext 2 arl: %s\nexit 0: 1 after 40 (%s)\ntimer 0\n"
                      "end 1 after 50 StepFailed\n",
                      rows[i].error, rows[i].error);

        set_up(&f, step);
        expect(&f.acts, "step 0\nwrite 0 in executor to /w/f\ntimer 2500\n");
        done_text(&f, rows[i].how, rows[i].value, "hunk 1 does not fit");
        expect(&f.acts, want);
    }
}

#define CONTINUE(name)                                                                             \
    "{\"name\":\"" name "\",\"type\":\"Command\",\"command\":[\"x\"],\"onError\":\"Continue\"}"

/* Steps behind one that fails run all the same; the exit code is that of the first that failed. */
static void test_steps_that_go_on(void **state)
{
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[" CONTINUE("a") "," CONTINUE("b") "," CMD "]");
    expect(&f.acts, LAUNCHED);
    done(&f, FRAME_EXITED, 3);
    expect(&f.acts,
           "flush\nexit 0: 3 after 40 (-)\nstep 1\nexec 1 in executor at /w\ntimer 2500\n");
    done(&f, FRAME_EXITED, 4);
    expect(&f.acts,
           "flush\nexit 1: 4 after 40 (-)\nstep 2\nexec 2 in executor at /w\ntimer 2500\n");
    done(&f, FRAME_EXITED, 0);
    expect(&f.acts, "flush\nexit 2: 0 after 40 (-)\ntimer 0\nend 3 after 150 StepFailed\n");
}

/* Step a lets the others go on: they do so when its time is over, too. The second step does not,
 * and fails. */
static void test_going_on_after_a_time_limit(void **state)
{
    const struct now now = {.mono_ns = 1000};
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[" CONTINUE("a") "," CMD "]");
    attempt_actions_done(&f.acts);
    attempt_machine_on_timer(&f.machine, &now, &f.acts);
    attempt_actions_done(&f.acts);
    done(&f, FRAME_SIGNALED, SIGTERM);
    expect(&f.acts, "flush\ntext 2 arl: step \"a\" timed out after 2.5s\n"
                    "exit 0: 124 after 50 (step \"a\" timed out after 2.5s)\n"
                    "step 1\nexec 1 in executor at /w\ntimer 2500\n");
    assert_int_equal(f.machine.state, ATTEMPT_RUNNING);
    done(&f, FRAME_EXITED, 9);
    expect(&f.acts, "flush\nexit 1: 9 after 40 (-)\ntimer 0\nend 124 after 100 StepFailed\n");
}

/* After a cancel, or a lost runner, nothing goes on. */
static void test_nothing_goes_on_after_a_cancel(void **state)
{
    const struct now now = {.mono_ns = 1000};

    for (int lost = 0; lost < 2; lost++) {
        CLEANUP(tear_down) struct fixture f;

        set_up(&f, "[" CONTINUE("a") "," CMD "]");
        attempt_actions_done(&f.acts);
        if (lost)
            attempt_machine_on_lost(&f.machine, &now, &f.acts);
        else
            attempt_machine_on_cancel(&f.machine, &now, &f.acts);
        if (!lost)
            done(&f, FRAME_SIGNALED, SIGTERM);
        attempt_actions_done(&f.acts);
        assert_int_equal(f.machine.state, ATTEMPT_ENDED);
        assert_int_equal(f.machine.step, 0);
    }
}

/* As many steps as there may be that cannot run, and all let the others go on. */
static void test_many_that_cannot_run(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(1 << 20);
    CLEANUP(tear_down) struct fixture f;

    for (int i = 0; i < LIMIT_STEPS; i++)
        buf_printf(&b, "%s{\"type\":\"Dance\",\"onError\":\"Continue\"}", i ? "," : "[");
    buf_puts(&b, "]");
    set_up(&f, buf_str(&b));
    assert_int_equal(f.machine.state, ATTEMPT_ENDED);
    assert_int_equal(f.acts.list[f.acts.count - 1].code, 1);
    assert_true(f.acts.count >= 3 * LIMIT_STEPS);
    attempt_actions_done(&f.acts);
}

static void test_patched(void **state)
{
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[{\"type\":\"FilePatch\",\"path\":\"f\",\"patch\":\"@@\"}]");
    attempt_actions_done(&f.acts);
    done(&f, FRAME_EXITED, 0);
    expect(&f.acts, "text 1 File patched: f\nflush\nexit 0: 0 after 40 (-)\ntimer 0\n"
                    "end 0 after 50 Completed\n");
}

/* How a step can end, and what is said about it. */
static void test_ends(void **state)
{
    static const struct {
        enum frame_how how;
        uint32_t value;
        const char *command;
        int code;
        const char *error; /* NULL: nothing is said */
    } rows[] = {
        {FRAME_EXITED, 42, "x", 42, NULL},
        {FRAME_SIGNALED, SIGKILL, "x", 137, "step \"a\" was killed by signal 9 (SIGKILL)"},
        {FRAME_EXITED, 137, "oom", 137,
         "step \"a\": a process was killed meanwhile: out of memory (its container's memory "
         "limit)"},
        {FRAME_SIGNALED, SIGKILL, "oom", 137,
         "step \"a\" was killed by signal 9 (SIGKILL): out of memory (its container's memory "
         "limit)"},
        {FRAME_SIGNALED, 64, "x", 192, "step \"a\" was killed by signal 64"},
        {FRAME_SIGNALED, 4000000000, "x", 128, "step \"a\" was killed by signal 4000000000"},
        {FRAME_CHDIR_FAILED, ENOENT, "x", 1, "workDir /w: No such file or directory"},
        {FRAME_EXEC_FAILED, ENOENT, "x", 127, "x: command not found"},
        {FRAME_EXEC_FAILED, ENOENT, "./x", 127, "./x: No such file or directory"},
        {FRAME_EXEC_FAILED, EACCES, "x", 126, "x: cannot execute: Permission denied"},
        {FRAME_EXEC_FAILED, E2BIG, "x", 126,
         "x: an argument is longer than 128 KiB, or all are too long together: write it into a "
         "file "
         "with a FilePatch step, or give it as stdin"},
        {FRAME_USER_REFUSED, 0, "x", 126, "user \"\" may not be used"},
        {FRAME_STDIN_FAILED, ENOENT, "x", 1, "stdinFile : No such file or directory"},
        {FRAME_EXEC_FAILED, 0, "x", 126, "x: cannot execute: Input/output error"},
        {FRAME_SPAWN_FAILED, EAGAIN, "x", 126,
         "the step could not be started: Resource temporarily unavailable"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;
        cleanup_free char *steps =
            xasprintf("[{\"name\":\"a\",\"type\":\"Command\",\"command\":[\"%s\"]}," CMD "]",
                      rows[i].command);
        cleanup_free char *text =
            rows[i].error ? xasprintf("text 2 arl: %s\n", rows[i].error) : NULL;
        cleanup_free char *want = xasprintf(
            "flush\n%sexit 0: %d after 40 (%s)\ntimer 0\nend %d after 50 StepFailed\n",
            str_or_empty(text), rows[i].code, rows[i].error ? rows[i].error : "-", rows[i].code);

        set_up(&f, steps);
        expect(&f.acts, LAUNCHED);
        done_text(&f, rows[i].how, rows[i].value,
                  strcmp(rows[i].command, "oom") == 0 ? FRAME_TEXT_OOM : "");
        expect(&f.acts, want);
    }
}

/* Steps that fail before anything is asked of a runner. */
static void test_refused(void **state)
{
    static const struct {
        const char *step, *label, *why;
    } rows[] = {
        {"{\"name\":\"n\",\"type\":\"X\"}", "step \"n\"",
         "unknown type \"X\", known are Command and FilePatch"},
        {"7", "step 1", "it is not an object"},
        {"{\"type\":\"Command\",\"command\":[\"x\"],\"container\":\"sidecar\"}", "step 1",
         "there is no container \"sidecar\" that runs steps, known are: executor, helper"},
        {"{\"type\":\"FilePatch\",\"path\":\"a/../b\"}", "step 1",
         "path \"a/../b\" has a \"..\" component"},
        {"{\"type\":\"FilePatch\",\"path\":\"..\"}", "step 1",
         "path \"..\" has a \"..\" component"},
        {"{\"type\":\"FilePatch\",\"path\":\"/a/..\"}", "step 1",
         "path \"/a/..\" has a \"..\" component"},
        {"{\"type\":\"FilePatch\",\"path\":\"b\",\"workDir\":\"a/../..\"}", "step 1",
         "workDir \"a/../..\" has a \"..\" component"},
        {"{\"type\":\"FilePatch\",\"patch\":\"x\",\"mode\":\"0755\"}", "step 1",
         "mode needs path: a patch without path sets the modes of its files itself"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;
        cleanup_free char *steps = xasprintf("[%s]", rows[i].step);
        cleanup_free char *want =
            xasprintf("step 0\nflush\ntext 2 arl: %s: %s\nexit 0: 1 after 0 (%s: %s)\ntimer 0\n"
                      "end 1 after 0 StepFailed\n",
                      rows[i].label, rows[i].why, rows[i].label, rows[i].why);

        set_up(&f, steps);
        expect(&f.acts, want);
    }
}

static void test_no_path(void **state)
{
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[{\"type\":\"FilePatch\"}]");
    expect(&f.acts, "step 0\ntext 2 FilePatch step requires 'path' field\n"
                    "exit 0: 1 after 0 (FilePatch step requires 'path' field)\ntimer 0\n"
                    "end 1 after 0 StepFailed\n");
}

static void test_directories(void **state)
{
    static const struct {
        const char *field, *want;
    } rows[] = {
        {"", "/w"},
        {",\"workDir\":\"sub/x\"", "/w/sub/x"},
        {",\"workDir\":\"/abs\"", "/abs"},
        {",\"workDir\":\"\"", "/w"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;
        cleanup_free char *steps =
            xasprintf("[{\"type\":\"Command\",\"command\":[\"x\"]%s}]", rows[i].field);
        cleanup_free char *want =
            xasprintf("step 0\nexec 0 in executor at %s\ntimer 2500\n", rows[i].want);

        set_up(&f, steps);
        expect(&f.acts, want);
    }
}

static void test_timeout(void **state)
{
    CLEANUP(tear_down) struct fixture f;
    const struct now now = {.mono_ns = 2000};

    set_up(&f, "[" CMD "]");
    expect(&f.acts, LAUNCHED);
    attempt_machine_on_timer(&f.machine, &now, &f.acts);
    expect(&f.acts, "kill in executor after 2000\ntimer 15000\n");
    /* A second reason changes nothing. Neither does it that the step ended well in the last
     * moment. */
    attempt_machine_on_cancel(&f.machine, &now, &f.acts);
    expect(&f.acts, "");
    done(&f, FRAME_EXITED, 0);
    expect(&f.acts, "flush\ntext 2 arl: step \"a\" timed out after 2.5s\n"
                    "exit 0: 124 after 50 (step \"a\" timed out after 2.5s)\ntimer 0\n"
                    "end 124 after 50 StepFailed\n");
}

static void test_cancel(void **state)
{
    static const struct {
        enum frame_how how;
        uint32_t value;
        int code;
    } rows[] = {{FRAME_SIGNALED, SIGTERM, 143}, {FRAME_EXITED, 0, 143}, {FRAME_EXITED, 3, 3}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;
        cleanup_free char *want =
            xasprintf("flush\ntext 2 arl: step \"a\" was canceled\nexit 0: %d "
                      "after 50 (step \"a\" was canceled)\ntimer 0\n"
                      "end %d after 50 Canceled\n",
                      rows[i].code, rows[i].code);

        set_up(&f, "[" CMD "," CMD "]");
        expect(&f.acts, LAUNCHED);
        attempt_machine_on_cancel(&f.machine, &start_time, &f.acts);
        expect(&f.acts, "kill in executor after 500\ntimer 15000\n");
        done(&f, rows[i].how, rows[i].value);
        expect(&f.acts, want);
    }
}

static void test_lost(void **state)
{
    CLEANUP(tear_down) struct fixture f;
    const struct now now = {.mono_ns = 1200};

    set_up(&f, "[" CMD "," CMD "]");
    expect(&f.acts, LAUNCHED);
    attempt_machine_on_lost(&f.machine, &now, &f.acts);
    expect(&f.acts,
           "flush\ntext 2 arl: the runner in the container was lost while step \"a\" ran\n"
           "exit 0: 255 after 200 (the runner in the container was lost while step \"a\" ran)\n"
           "timer 0\nend 255 after 200 AgentLost\n");
    /* Events that come too late find nothing to change. */
    done(&f, FRAME_EXITED, 0);
    attempt_machine_on_timer(&f.machine, &now, &f.acts);
    attempt_machine_on_cancel(&f.machine, &now, &f.acts);
    attempt_machine_on_lost(&f.machine, &now, &f.acts);
    expect(&f.acts, "");
}

/* Somebody ends the step's container, perhaps with the whole pod. Nothing is said of the step until
 * it is certain that this agent goes on. */
static void test_container_stopped(void **state)
{
    CLEANUP(tear_down) struct fixture f;
    const struct now now = {.mono_ns = 1200};

    set_up(&f, "[" CMD "," CMD "]");
    expect(&f.acts, LAUNCHED);
    done(&f, FRAME_STOPPED, 0);
    expect(&f.acts, "timer 3000\n");
    done(&f, FRAME_SIGNALED, SIGTERM);
    attempt_machine_on_lost(&f.machine, &now, &f.acts);
    expect(&f.acts, "");
    attempt_machine_on_timer(&f.machine, &now, &f.acts);
    expect(&f.acts,
           "flush\ntext 2 arl: the runner in the container was lost while step \"a\" ran\n"
           "exit 0: 255 after 200 (the runner in the container was lost while step \"a\" ran)\n"
           "timer 0\nend 255 after 200 AgentLost\n");
}

/* A runner that does not end what it was told to kill. */
static void test_stuck(void **state)
{
    CLEANUP(tear_down) struct fixture f;

    set_up(&f, "[" CMD "]");
    attempt_machine_on_timer(&f.machine, &start_time, &f.acts);
    attempt_actions_done(&f.acts);
    attempt_machine_on_timer(&f.machine, &start_time, &f.acts);
    expect(&f.acts,
           "drop executor\nflush\n"
           "text 2 arl: the runner in the container was lost while step \"a\" ran\n"
           "exit 0: 255 after 0 (the runner in the container was lost while step \"a\" ran)\n"
           "timer 0\nend 255 after 0 AgentLost\n");
}

/* A runner's word on times is not taken when it can not be true. */
static void test_durations(void **state)
{
    static const int64_t rows[][2] = {{-1, 50}, {51, 50}, {INT64_MAX, 50}, {0, 0}, {50, 50}};
    const struct now now = {.mono_ns = 1050};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(tear_down) struct fixture f;

        set_up(&f, "[" CMD "]");
        attempt_actions_done(&f.acts);
        attempt_machine_on_done(&f.machine, FRAME_EXITED, 0, "", rows[i][0], &now, &f.acts);
        assert_int_equal(f.acts.list[1].type, ATTEMPT_EMIT_EXIT);
        assert_int_equal(f.acts.list[1].duration_ns, rows[i][1]);
        attempt_actions_done(&f.acts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_patched),
        cmocka_unit_test(test_steps_that_go_on),
        cmocka_unit_test(test_going_on_after_a_time_limit),
        cmocka_unit_test(test_nothing_goes_on_after_a_cancel),
        cmocka_unit_test(test_many_that_cannot_run),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_path),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_container_stopped),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
