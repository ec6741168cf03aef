/* When a sandbox is idle for too long, and when it is not. */
#include "tests/unit/plan_objects.h"

#define LAST_TASK(time) ",\"lastTaskTime\":\"" time "\""

static void put_box(struct fixture *f, const char *last_task)
{
    cleanup_free char *status = xasprintf("%s%s", READY_STATUS, last_task);

    put_sandbox(f, "s", "", status);
}

static void test_sandbox_idle_timeout(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    fixture_pass(f, 100000);
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:08:20Z\"");
    assert_plan(f, SANDBOX, "after 5000ms\n");
    put_box(f, LAST_TASK("2025-06-15T15:08:20Z"));
    fixture_pass(f, 599000);
    assert_plan(f, SANDBOX, "after 2000ms\n");
    put_task(f, "t2", ONE_STEP, "");
    fixture_pass(f, 2000);
    assert_plan(f, SANDBOX, "");
    put_task(f, "t2", ONE_STEP, "\"state\":\"Failed\",\"completionTime\":\"2025-06-15T15:08:30Z\"");
    assert_plan(f, SANDBOX, "after 601000ms\nstatus s LastTask\n");
    fixture_pass(f, 601000);
    assert_plan(f, SANDBOX, "event s IdleTimeout\ndelete s IdleTimeout\n");
}

/* The task has run until it was deleted. */
static void test_sandbox_is_not_idle_when_a_task_is_deleted(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
    fixture_pass(f, 5000000);
    assert_plan(f, SANDBOX, "");
    fixture_remove(f, &api_task, "t");
    assert_plan(f, SANDBOX, "after 601000ms\nstatus s LastTask\n");
}

/* The agent tells of an attempt whose task is gone: nobody saw the task being deleted. */
static void test_sandbox_is_not_idle_when_something_ran_in_it(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    fixture_pass(f, 5000000);
    world_was_used(f->w, "ns", "s", "another");
    assert_plan(f, SANDBOX, "event s IdleTimeout\ndelete s IdleTimeout\n");
    world_was_used(f->w, "ns", "s", world_sandbox(f->w, "ns/s")->meta.uid);
    assert_plan(f, SANDBOX, "after 601000ms\nstatus s LastTask\n");
}

/* The time of the last task is written even for a sandbox that always works, but seldom: the next
 * operator may find the tasks deleted. That one allows for what may be missing. */
static void test_sandbox_that_is_busy_tells_its_last_task(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t2", ONE_STEP, "");
    fixture_pass(f, 149000);
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:09:09Z\"");
    assert_plan(f, SANDBOX, "after 1000ms\n");
    fixture_pass(f, 1000);
    body = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "status s LastTask\n");
    assert_in(body, "15:09:09");
}

static void test_sandbox_of_an_earlier_process_is_not_idle_too_early(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_box(f, LAST_TASK("2025-06-15T15:06:40Z"));
    assert_plan(f, SANDBOX, "after 751000ms\n");
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:06:40Z\"");
    assert_plan(f, SANDBOX, "after 601000ms\n");
}

/* Another operator has run a task, and its status came before the watch of tasks told of it. */
static void test_sandbox_is_not_idle_when_its_status_tells_of_a_task(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    /* A quarter more, as long as this process knows of no task. */
    assert_plan(f, SANDBOX, "after 751000ms\n");
    fixture_pass(f, 300000);
    put_box(f, LAST_TASK("2025-06-15T15:11:39Z"));
    assert_plan(f, SANDBOX, "after 751000ms\n");
    fixture_pass(f, 100000);
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:11:39Z\"");
    assert_plan(f, SANDBOX, "after 501000ms\n");
}

/* People who waited for the sandbox have time to see why it failed. */
static void test_sandbox_that_failed_after_its_idle_limit_stays(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    fixture_pass(f, 700000);
    put_sandbox(f, "s", "",
                "\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
                "\"reason\":\"NoPodAvailable\",\"lastTransitionTime\":\"" T0_TEXT "\"}]");
    assert_plan(f, SANDBOX, "after 751000ms\n");
    fixture_pass(f, 751000);
    assert_plan(f, SANDBOX, "event s IdleTimeout\ndelete s IdleTimeout\n");
}

/* All kinds are listed at once, and the tasks may come first. */
static void test_sandbox_that_is_listed_after_its_tasks(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:06:50Z\"");
    put_ready_sandbox(f);
    put_box(f, LAST_TASK("2025-06-15T15:06:50Z"));
    world_queue_all(f->w);
    /* A completion time from a clock that is ahead is no reason to wait longer. */
    assert_plan(f, SANDBOX, "after 601000ms\n");
}

/* A task that ended at T0. So the operator allows for nothing that an earlier operator may not have
 * written. */
static void put_old_task(struct fixture *f)
{
    put_task(f, "t", ONE_STEP, "\"state\":\"Succeeded\",\"completionTime\":\"" T0_TEXT "\"");
}

static void put_used(struct fixture *f, const char *at)
{
    cleanup_free char *annotation =
        xasprintf(",\"annotations\":{\"" SANDBOX_ANNOTATION_USED_AT "\":%s}", at);

    fixture_put(f, &api_sandbox, "s", annotation,
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{" READY_STATUS LAST_TASK(T0_TEXT) "}");
}

/* A change of the annotation counts as use at the moment in which it is seen, whatever a client's
 * clock says. */
static void test_used_at_is_use_when_it_changes(void **state)
{
    static const char *const times[] = {
        "\"2025-06-15T15:06:41Z\"",        "\"2025-06-15T15:06:40Z\"", /* back */
        "\"2099-01-01T00:00:00.123456Z\"", "\"2025-06-15T17:06:42+02:00\"",
        "\"1970-01-01T00:00:01Z\"",
    };
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_box(f, LAST_TASK(T0_TEXT));
    put_old_task(f);
    assert_plan(f, SANDBOX, "after 601000ms\n");
    fixture_pass(f, 300000);
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        fixture_pass(f, 300000);
        assert_plan(f, SANDBOX, "after 1000ms\n");
        put_used(f, times[i]);
        /* The operator writes nothing, and the whole time begins again. */
        assert_plan(f, SANDBOX, "after 601000ms\n");
        /* The same value once more is no use. */
        fixture_pass(f, 300000);
        put_used(f, times[i]);
        assert_plan(f, SANDBOX, "after 301000ms\n");
    }
    fixture_pass(f, 301000);
    assert_plan(f, SANDBOX, "event s IdleTimeout\ndelete s IdleTimeout\n");
}

static void test_used_at_that_is_no_time(void **state)
{
    static const char *const texts[] = {
        "\"\"",
        "\"yesterday\"",
        "\"2025-06-15\"",
        "17",
        "null",
        "{}",
        "\"1969-12-31T00:00:00Z\"",
        "\"2025-06-15T15:06:41.00000000000000000000000000000000000000000000000Z\"",
    };
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_box(f, LAST_TASK(T0_TEXT));
    put_old_task(f);
    assert_plan(f, SANDBOX, "after 601000ms\n");
    fixture_pass(f, 300000);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        put_used(f, texts[i]);
        assert_plan(f, SANDBOX, "after 301000ms\n");
    }
}

/* The annotation may be old, and the client's clock as far behind as clocks are thought to be. */
static void test_used_at_that_a_process_finds(void **state)
{
    static const struct {
        const char *at;
        const char *want;
    } rows[] = {
        {"\"2025-06-15T15:06:40Z\"", "after 301000ms\n"},
        {"\"2025-06-15T15:12:00Z\"", "after 601000ms\n"},
        {"\"2099-01-01T00:00:00Z\"", "after 601000ms\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture *f = *state;

        fixture_pass(f, 600000);
        put_pool(f, 1, "x");
        put_pod(f, "a", true, "s");
        put_used(f, rows[i].at);
        put_old_task(f);
        world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_CLEAN;
        assert_plan(f, SANDBOX, rows[i].want);
        teardown(state);
        setup(state);
    }
}

static void test_used_at_does_not_lengthen_its_life(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, "s");
    fixture_put(f, &api_sandbox, "s",
                ",\"annotations\":{\"" SANDBOX_ANNOTATION_USED_AT "\":\"2099-01-01T00:00:00Z\"}",
                "\"spec\":{\"poolRef\":\"p\",\"maxLifetimeSeconds\":60},\"status\":"
                "{" READY_STATUS "}");
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_CLEAN;
    assert_plan(f, SANDBOX, "after 60000ms\n");
    fixture_pass(f, 60000);
    assert_plan(f, SANDBOX, "event s LifetimeEnded\ndelete s LifetimeEnded\n");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sandbox_idle_timeout),
        T(test_sandbox_is_not_idle_when_a_task_is_deleted),
        T(test_sandbox_is_not_idle_when_something_ran_in_it),
        T(test_sandbox_that_is_busy_tells_its_last_task),
        T(test_sandbox_of_an_earlier_process_is_not_idle_too_early),
        T(test_sandbox_is_not_idle_when_its_status_tells_of_a_task),
        T(test_sandbox_that_is_listed_after_its_tasks),
        T(test_sandbox_that_failed_after_its_idle_limit_stays),
        T(test_used_at_is_use_when_it_changes),
        T(test_used_at_that_is_no_time),
        T(test_used_at_that_a_process_finds),
        T(test_used_at_does_not_lengthen_its_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
