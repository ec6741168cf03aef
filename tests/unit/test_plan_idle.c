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

/* Until then it has run. */
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

/* The agent tells of what belongs to no task any more: of one that nobody saw being deleted. */
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

/* Of a sandbox that always works the time is written seldom, but it is: the next process may find
 * the tasks deleted. It allows for what may be missing. */
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

/* Who waited for it has the time to see why. */
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

/* All are listed at once, and tasks may be there first. */
static void test_sandbox_that_is_listed_after_its_tasks(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_task(f, "t", ONE_STEP,
             "\"state\":\"Succeeded\",\"completionTime\":\"2025-06-15T15:06:50Z\"");
    put_ready_sandbox(f);
    put_box(f, LAST_TASK("2025-06-15T15:06:50Z"));
    world_queue_all(f->w);
    /* Of a clock that is ahead: no reason to wait longer. */
    assert_plan(f, SANDBOX, "after 601000ms\n");
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
        T(test_sandbox_that_is_listed_after_its_tasks),
        T(test_sandbox_that_failed_after_its_idle_limit_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
