/* spec.cancel of a Task: before it begins, while it runs, and when it has ended by itself. */
#include "tests/unit/plan_objects.h"

#define CANCELED ONE_STEP ",\"cancel\":true"
#define END "\"state\":\"Failed\",\"exitCode\":137"

static struct run *start(struct fixture *f)
{
    struct run_target target = {
        .task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s"), .pod_uid = xstrdup("uid-a")};
    struct run *r = run_new(target, 1, 1, f->now);

    world_add_run(f->w, "ns/t", r);
    return r;
}

static void event(struct fixture *f, struct run *r, struct task_event ev)
{
    ev.seq = r->last_seq + 1;
    assert_int_equal(run_event(r, &ev, f->now, NULL), 0);
}

static void put_running(struct fixture *f)
{
    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
}

static void check_end(struct fixture *f)
{
    cleanup_free char *body = plan_body(f, TASK);

    assert_string_equal(buf_str(&f->text), "status t Canceled\n");
    assert_in(body, END);
    assert_in(body, "\"reason\":\"Canceled\"");
}

static void test_what_waits_never_begins(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", CANCELED, "");
    check_end(f);
    put_task(f, "t", CANCELED, "\"state\":\"Pending\"");
    check_end(f);
}

/* The end and the output are those that the agent tells; the exit code is that of a canceled
 * task. */
static void test_the_end_of_what_runs_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct run *r;

    put_running(f);
    r = start(f);
    event(f, r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    event(f, r, (struct task_event){.type = TASK_EVENT_STEP});
    event(f, r,
          (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = "so far", .data_len = 6});
    put_task(f, "t", CANCELED, "\"state\":\"Running\"");
    assert_plan(f, TASK, "stop t\nafter 4000ms\n");
    /* The stop is sent once. */
    assert_plan(f, TASK, "after 4000ms\n");
    event(f, r, (struct task_event){.type = TASK_EVENT_EXIT, .code = 143});
    event(f, r,
          (struct task_event){.type = TASK_EVENT_END, .code = 143, .reason = TASK_END_CANCELED});
    {
        cleanup_free char *body = plan_body(f, TASK);

        assert_string_equal(buf_str(&f->text), "status t Canceled\n");
        assert_in(body, END);
        assert_in(body, "so far");
    }
}

/* The agent does not tell the end: the task ends without it, and its attempt is cancelled
 * afterwards. */
static void test_the_wait_has_a_limit(void **state)
{
    struct fixture *f = *state;

    put_running(f);
    start(f);
    put_task(f, "t", CANCELED, "\"state\":\"Running\"");
    assert_plan(f, TASK, "stop t\nafter 4000ms\n");
    fixture_pass(f, 4000);
    check_end(f);
    put_task(f, "t", CANCELED, "\"state\":\"Failed\"");
    assert_plan(f, TASK, "cancel t\n");
}

/* The task ended before it could be canceled. */
static void test_what_has_ended_keeps_its_end(void **state)
{
    struct fixture *f = *state;
    struct run *r;

    put_running(f);
    r = start(f);
    event(f, r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    event(f, r, (struct task_event){.type = TASK_EVENT_STEP});
    event(f, r, (struct task_event){.type = TASK_EVENT_EXIT});
    event(f, r, (struct task_event){.type = TASK_EVENT_END, .reason = TASK_END_COMPLETED});
    put_task(f, "t", CANCELED, "\"state\":\"Running\"");
    assert_plan(f, TASK, "status t Completed\n");
    put_task(f, "t", CANCELED, "\"state\":\"Succeeded\"");
    assert_plan(f, TASK, "forget t\n");
}

/* Another operator began the task, and this one has not attached yet. It does not begin the task in
 * order to stop it: the audit of the sandbox finds what runs there. */
static void test_what_another_operator_began(void **state)
{
    struct fixture *f = *state;

    put_running(f);
    str_set(&world_sandbox_state(f->w, "ns/s")->running_uid, xstrdup("uid-t")); /* the agent says */
    put_task(f, "t", CANCELED, "\"state\":\"Running\"");
    check_end(f);
    put_task(f, "t", CANCELED, "\"state\":\"Failed\"");
    assert_int_equal(world_sandbox_state(f->w, "ns/s")->agent.state, AGENT_UNKNOWN);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_waits_never_begins),     T(test_the_end_of_what_runs_is_waited_for),
        T(test_the_wait_has_a_limit),        T(test_what_has_ended_keeps_its_end),
        T(test_what_another_operator_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
