/* Planners that know less than they should: sandboxes made anew, caches that are behind. */
#include "tests/unit/plan_objects.h"

/* The pod was ready when it was chosen, and is not ready when it belongs to the sandbox. */
static void test_sandbox_whose_pod_is_not_ready_is_bound(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_pod(f, "a", false, "s");
    put_sandbox(f, "s", "", "");
    body = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "status s PodNotReady\n");
    assert_in(body, "\"phase\":\"Bound\"");
}

/* All containers of the pod were started anew, as after a restart of its node. */
static void test_sandbox_tells_the_new_address_of_its_pod(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_ready_sandbox(f);
    put_sandbox(
        f, "s", "",
        "\"phase\":\"Ready\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"podIP\":\"10.0.0.9\"");
    body = plan_body(f, SANDBOX);
    assert_in(buf_str(&f->text), "status s PodAddress\n");
    assert_in(body, "\"podIP\":\"10.0.0.1\"");
    assert_in(body, "\"phase\":\"Ready\"");
    put_sandbox(f, "s", "", READY_STATUS);
    assert_plan(f, SANDBOX, "after 751000ms\n");
}

/* An answer about an earlier sandbox of the name comes late, and says nothing about this one. */
static void test_audit_of_a_sandbox_made_anew(void **state)
{
    struct fixture *f = *state;
    const struct sandbox_state *st;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_UNKNOWN;
    assert_in(fixture_plan(f, SANDBOX, NULL), "audit s\n");
    fixture_remove(f, &api_sandbox, "s");
    world_audit_over(f->w, "ns", "s", "uid-s", AGENT_EV_CLEAN, NULL);
    fixture_put(f, &api_sandbox, "s", ",\"uid\":\"uid-anew\"",
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{}");
    st = world_sandbox_state(f->w, "ns/s");
    fixture_plan(f, SANDBOX, NULL);
    assert_int_equal(st->agent.state, AGENT_UNKNOWN); /* the cache says that it waits */
    world_nothing_ran(f->w, "ns/s");
    assert_int_equal(st->agent.state, AGENT_CLEAN);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_ASKING; /* as for one that was Ready */
    world_audit_over(f->w, "ns", "s", "uid-s", AGENT_EV_CLEAN, "uid-t");
    assert_int_equal(st->agent.state, AGENT_ASKING);
    world_audit_over(f->w, "ns", "s", "uid-anew", AGENT_EV_CLEAN, "uid-t");
    assert_int_equal(st->agent.state, AGENT_CLEAN);
    assert_string_equal(st->running_uid, "uid-t");
}

/* Another operator has begun the task; our cache of the sandboxes is behind. */
static void test_task_that_runs_does_not_wait_again(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "\"phase\":\"Pending\"");
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"");
    assert_plan(f, TASK, "");
    fixture_remove(f, &api_sandbox, "s");
    assert_plan(f, TASK, "after 10000ms\n");
}

/* ---- what may still run beside the next task --------------------------------------------------
 */

static struct run *start_run(struct fixture *f, const char *task)
{
    cleanup_free char *key = xasprintf("ns/%s", task);
    struct run_target target = {.task_uid = xasprintf("uid-%s", task),
                                .sandbox_uid = xstrdup("uid-s"),
                                .pod_uid = xstrdup("uid-a"),
                                .pod_name = xstrdup("a")};
    struct run *r = run_new(target, 1, 1, f->now);

    world_add_run(f->w, key, r);
    return r;
}

/* t runs, u is behind it in the line. */
static struct run *two_tasks(struct fixture *f)
{
    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP ",\"retries\":1", "\"state\":\"Running\"");
    put_task(f, "u", ONE_STEP, "");
    return start_run(f, "t");
}

#define NEXT "task/ns/u"
#define WAITS "after 800ms\n" /* to say so */

static void assert_asks(struct fixture *f, bool asks)
{
    assert_int_equal(strstr(fixture_plan(f, SANDBOX, NULL), "audit s\n") != NULL, asks);
}

static void audit_over(struct fixture *f, enum agent_event ev, const char *running_uid)
{
    world_audit(f->w, "ns", "s", "uid-s", AGENT_EV_SENT, f->now.mono_ns);
    world_audit_over(f->w, "ns", "s", "uid-s", ev, running_uid);
}

/* The next task begins only when the agent was asked and has answered. */
static void assert_held(struct fixture *f)
{
    assert_plan(f, NEXT, WAITS);
    assert_asks(f, true);
    assert_asks(f, false);
    audit_over(f, AGENT_EV_ABANDONED, NULL);
    assert_plan(f, NEXT, WAITS);
    assert_asks(f, true);
    audit_over(f, AGENT_EV_CLEAN, NULL);
    assert_plan(f, NEXT, "start u for s attempt 1\n");
}

static void test_what_was_given_up_is_stopped_before_the_next_task(void **state)
{
    struct fixture *f = *state;

    run_fail(two_tasks(f), "AgentUnavailable", "it is silent", true, f->now);
    /* The next attempt of this task does not begin beside it either. */
    assert_plan(f, TASK, "status t AgentUnavailable\nevent t AgentUnavailable\n");
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_plan(f, NEXT, WAITS);
    assert_plan(f, TASK, "cancel t\n");
    run_free(world_take_run(f->w, "ns/t"));
    assert_held(f);
}

/* The agent says that the task runs while another operator writes its end. This operator has no run
 * of it. */
static void test_what_is_found_running_and_ended_is_stopped(void **state)
{
    struct fixture *f = *state;

    two_tasks(f);
    run_free(world_take_run(f->w, "ns/t"));
    audit_over(f, AGENT_EV_CLEAN, "uid-t");
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_held(f);
}

/* The agent is asked already: its answer may be older than the end. */
static void test_what_ends_during_an_audit_needs_another(void **state)
{
    struct fixture *f = *state;

    run_fail(two_tasks(f), "AgentUnavailable", "it is silent", true, f->now);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_ASKING;
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_int_equal(world_agent_view(f->w, "ns", "s", "uid-s")->state, AGENT_OUTDATED);
    assert_plan(f, TASK, "cancel t\n");
    run_free(world_take_run(f->w, "ns/t"));
    assert_asks(f, false);
    world_audit_over(f->w, "ns", "s", "uid-s", AGENT_EV_CLEAN, NULL);
    assert_plan(f, NEXT, WAITS);
    assert_held(f);
}

static void test_what_another_operator_ended_is_stopped(void **state)
{
    struct fixture *f = *state;

    two_tasks(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_plan(f, TASK, "cancel t\n");
    run_free(world_take_run(f->w, "ns/t"));
    assert_held(f);
}

static void test_what_was_deleted_is_over_before_the_next_task(void **state)
{
    struct fixture *f = *state;

    two_tasks(f);
    fixture_remove(f, &api_task, "t");
    assert_plan(f, NEXT, WAITS);
    assert_plan(f, TASK, "cancel t\nafter 0ms\n");
    run_free(world_take_run(f->w, "ns/t"));
    assert_held(f);
}

/* An attempt that has told its end needs no audit. */
static void test_what_has_ended_holds_nothing_up(void **state)
{
    static const char *const ends[] = {"\"state\":\"Failed\"",
                                       "\"state\":\"Running\",\"attempt\":2"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct task_event end = {.seq = 1, .type = TASK_EVENT_END, .reason = TASK_END_STEP_FAILED};
        struct run *r = two_tasks(f);

        assert_int_equal(run_event(r, &end, f->now, NULL), 0);
        put_task(f, "t", ONE_STEP, ends[i]);
        assert_plan(f, TASK, i == 0 ? "forget t\n" : "cancel t\nafter 0ms\n");
        run_free(world_take_run(f->w, "ns/t"));
        assert_plan(f, i == 0 ? NEXT : TASK,
                    i == 0 ? "start u for s attempt 1\n" : "start t for s attempt 2\n");
        assert_int_equal(world_sandbox_state(f->w, "ns/s")->agent.state, AGENT_CLEAN);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sandbox_whose_pod_is_not_ready_is_bound),
        T(test_sandbox_tells_the_new_address_of_its_pod),
        T(test_audit_of_a_sandbox_made_anew),
        T(test_task_that_runs_does_not_wait_again),
        T(test_what_was_given_up_is_stopped_before_the_next_task),
        T(test_what_another_operator_ended_is_stopped),
        T(test_what_is_found_running_and_ended_is_stopped),
        T(test_what_ends_during_an_audit_needs_another),
        T(test_what_was_deleted_is_over_before_the_next_task),
        T(test_what_has_ended_holds_nothing_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
