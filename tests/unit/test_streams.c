/*
 * More tasks run than may be listened to at once (--max-streams). Their streams take turns. Nothing
 * is lost while a task waits: what its agent told meanwhile comes later.
 */
#include "tests/unit/unit.h"

#define RIG_STREAMS 2
#include "tests/unit/manager_rig.h"

#include "common/base/limits.h"

#define BOXES 4
#define SLICE LIMIT_STREAM_SLICE_MS
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- sandboxes with a pod and a task each ---------------------------------------------------- */

static char *a_pod(struct rig *r, int i)
{
    char name[16], box[16];

    snprintf(name, sizeof(name), "p%d", i);
    snprintf(box, sizeof(box), "s%d", i);
    return pod_object(r, name, box);
}

static char *a_box(struct rig *r, int i)
{
    cleanup_free char *status = xasprintf(
        "\"phase\":\"Ready\",\"podName\":\"p%d\",\"podUID\":\"uid-p%d\",\"workDir\":\"/w\"", i, i);
    char name[16];

    snprintf(name, sizeof(name), "s%d", i);
    return sandbox_object(r, name, status);
}

/* Its step may take ten seconds. */
static char *a_task(struct rig *r, int i, const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"sandboxRef\":\"s%d\",\"timeout\":\"10s\",\"steps\":[{\"name\":\"x\","
                  "\"type\":\"Command\",\"command\":[\"true\"]}]},\"status\":{%s}",
                  i, status);
    char name[16];

    snprintf(name, sizeof(name), "t%d", i);
    return object(r, name, "", rest);
}

static char *all(struct rig *r, char *(*make)(struct rig *r, int i))
{
    char *text = make(r, 0);

    for (int i = 1; i < BOXES; i++)
        text = join(text, make(r, i));
    return text;
}

static void start_boxes(struct rig *r, char *tasks)
{
    start(r, all(r, a_pod), pool_object(r, 0), all(r, a_box), tasks);
    for (int i = 0; i < BOXES; i++)
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
}

static void start_tasks(struct rig *r, int count)
{
    start_boxes(r, NULL);
    for (int i = 0; i < count; i++)
        watch(r, "tasks", "ADDED", a_task(r, i, ""));
}

static struct ops_call *stream_of(struct rig *r, int i)
{
    cleanup_free char *what = xasprintf(" /v1/tasks/uid-t%d/1", i);

    return fake_find(&r->ops, what);
}

static struct ops_call *status_of(struct rig *r, int i)
{
    cleanup_free char *what = xasprintf("/tasks/t%d/status", i);

    return fake_find(&r->ops, what);
}

static void answer_status_of(struct rig *r, int i, const char *state)
{
    cleanup_free char *what = xasprintf("/tasks/t%d/status", i);
    cleanup_free char *status = xasprintf("\"state\":\"%s\"", state);

    answer_object(r, what, a_task(r, i, status));
}

/* A letter for each task: open, or "-". */
static void assert_open(struct rig *r, const char *want)
{
    char got[BOXES + 1] = "";

    for (int i = 0; i < BOXES && want[i]; i++)
        got[i] = stream_of(r, i) ? (char)('0' + i) : '-';
    assert_string_equal(got, want);
}

static void tell(struct rig *r, int i, struct task_event ev)
{
    cleanup_free char *what = xasprintf(" /v1/tasks/uid-t%d/1", i);

    event(r, what, ev);
}

static void tell_step(struct rig *r, int i)
{
    tell(r, i, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
}

static void answer_running(struct rig *r, int i)
{
    if (status_of(r, i) && strstr(status_of(r, i)->body, "\"state\":\"Running\""))
        answer_status_of(r, i, "Running");
}

/* Output, and the end. */
static void tell_rest(struct rig *r, int i)
{
    tell(r, i,
         (struct task_event){
             .seq = 2, .type = TASK_EVENT_OUT, .fd = 1, .data = "late", .data_len = 4});
    answer_running(r, i); /* it is shown */
    tell(r, i, (struct task_event){.seq = 3, .type = TASK_EVENT_EXIT});
    tell(r, i, (struct task_event){.seq = 4, .type = TASK_EVENT_END});
}

/* Agents keep their streams alive. */
static void pass(struct rig *r, int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        for (int i = 0; i < BOXES; i++)
            if (stream_of(r, i))
                fake_data(&r->ops, stream_of(r, i), "\n", 1);
        fake_advance(&r->ops, MIN(ms, 1000));
        turn(r);
        for (int i = 0; i < BOXES; i++)
            answer_running(r, i);
    }
}

static int64_t metric(struct rig *r, const char *name)
{
    cleanup_buf struct buf out = BUF_INIT(1 << 20);
    cleanup_free char *line = xasprintf("\n%s ", name);
    const char *at;

    manager_metrics(r->m, &out);
    at = strstr(buf_str(&out), line);
    assert_non_null(at);
    return strtoll(at + strlen(line), NULL, 10);
}

static void assert_succeeds(struct rig *r, int i)
{
    struct ops_call *call = status_of(r, i);

    assert_non_null(call);
    if (!strstr(call->body, "\"state\":\"Succeeded\""))
        fail_msg("%s", call->body);
    assert_non_null(strstr(call->body, "\"stdout\":\"late\""));
}

/* ---- taking turns ---------------------------------------------------------------------------- */

static void test_more_tasks_than_streams_take_turns(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 3);
    assert_open(r, "01-");
    assert_int_equal(metric(r, "arl_streams{state=\"Open\"}"), 2);
    assert_int_equal(metric(r, "arl_streams{state=\"Waiting\"}"), 1);
    tell_step(r, 0);
    tell_step(r, 1);
    fake_advance(&r->ops, 1000);
    turn(r);
    assert_non_null(status_of(r, 0)); /* Running */
    assert_null(status_of(r, 2));     /* nothing of it has begun */
    pass(r, SLICE - 2000);
    assert_open(r, "01-");
    pass(r, 1000);
    assert_open(r, "0-2");                                     /* 0 gave way to 2, then 1 to 0 */
    assert_non_null(strstr(stream_of(r, 0)->path, "after=1")); /* goes on where it was */
    tell_step(r, 2);
    pass(r, SLICE);
    assert_open(r, "-12");
    tell_rest(r, 1);
    assert_succeeds(r, 1);
    assert_int_equal(metric(r, "arl_task_pauses_total"), 4);
}

static void test_nobody_gives_way_for_nothing(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 2);
    tell_step(r, 0);
    tell_step(r, 1);
    pass(r, 4LL * SLICE);
    assert_open(r, "01");
    assert_int_equal(metric(r, "arl_task_pauses_total"), 0);
}

static void test_a_stream_that_ends_makes_room_at_once(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 3);
    tell_step(r, 1);
    tell_rest(r, 1);
    answer(r, "PUT /v1/tasks/uid-t1/1", 200, ""); /* the agent ends the stream */
    assert_non_null(stream_of(r, 2));
}

static void test_a_task_that_goes_leaves_the_line(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 4);
    watch(r, "tasks", "DELETED", a_task(r, 2, ""));
    assert_int_equal(metric(r, "arl_streams{state=\"Waiting\"}"), 1);
    watch(r, "tasks", "DELETED", a_task(r, 0, ""));
    assert_non_null(fake_find(&r->ops, "PUT /v1/tasks/uid-t3/1"));
    assert_int_equal(metric(r, "arl_streams{state=\"Waiting\"}"), 0);
}

/* ---- what is not lost ------------------------------------------------------------------------ */

static void test_after_a_restart_who_waits_is_not_lost(void **state)
{
    struct rig *r = *state;
    char *tasks = a_task(r, 0, "\"state\":\"Running\"");

    for (int i = 1; i < BOXES; i++)
        tasks = join(tasks, a_task(r, i, "\"state\":\"Running\""));
    start_boxes(r, tasks);
    assert_open(r, "01--");
    tell_step(r, 0);
    tell_step(r, 1);
    pass(r, SLICE);
    assert_open(r, "--23");
    for (int i = 2; i < BOXES; i++) {
        tell_step(r, i);
        tell_rest(r, i);
        assert_succeeds(r, i);
    }
}

/* The time of a task is over while its stream waits. The agent is asked once more when its turn
 * comes, and has told more. */
static void test_a_limit_that_passes_in_line(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 4);
    tell_step(r, 0);
    tell_step(r, 1);
    pass(r, SLICE);
    tell_step(r, 2);
    tell_step(r, 3);
    pass(r, 4LL * SLICE); /* 10 s, and the graces of 18 s, are over 3 s later */
    assert_open(r, "--23");
    pass(r, SLICE);
    assert_open(r, "01--");
    tell_rest(r, 0);
    tell_rest(r, 1);
    assert_succeeds(r, 0);
    assert_succeeds(r, 1);
}

/* An agent that says nothing but that the task runs is given up, although streams take turns. */
static void test_who_never_ends_is_given_up(void **state)
{
    struct rig *r = *state;

    start_tasks(r, 4);
    for (int i = 0; i < 2; i++)
        tell_step(r, i);
    pass(r, SLICE);
    for (int i = 2; i < 4; i++)
        tell_step(r, i);
    pass(r, 12LL * SLICE);
    for (int i = 0; i < BOXES; i++) {
        assert_non_null(status_of(r, i));
        assert_non_null(strstr(status_of(r, i)->body, "\"AgentUnavailable\""));
    }
}

/* An agent is given up after a minute of silence. The time in line does not count. */
static void test_the_time_in_line_is_no_silence(void **state)
{
    struct rig *r = *state;

    r->policy.task_timeout_ms = 3600000;
    start_tasks(r, 4);
    tell_step(r, 1);
    for (int s = 0; s < 70; s++) {
        while (stream_of(r, 0)) {
            fake_fail(stream_of(r, 0), -ECONNRESET, true);
            turn(r);
        }
        pass(r, 1000);
    }
    assert_null(status_of(r, 0));
    for (int s = 0; s < 3 * SLICE / 1000 && !stream_of(r, 0); s++)
        pass(r, 1000);
    tell_step(r, 0);
    tell_rest(r, 0);
    assert_succeeds(r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_tasks_than_streams_take_turns),
        TEST(test_nobody_gives_way_for_nothing),
        TEST(test_a_stream_that_ends_makes_room_at_once),
        TEST(test_a_task_that_goes_leaves_the_line),
        TEST(test_after_a_restart_who_waits_is_not_lost),
        TEST(test_a_limit_that_passes_in_line),
        TEST(test_who_never_ends_is_given_up),
        TEST(test_the_time_in_line_is_no_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
