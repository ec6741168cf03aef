/* Planners that know less than they should: sandboxes made anew, caches that are behind. */
#include "tests/unit/plan_objects.h"

/* The pod was ready when it was chosen, and is not when it is the sandbox's. */
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

/* Its containers all began anew, as after a restart of its node. */
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

/* The answer about an earlier sandbox of the name comes late, and says nothing about this one. */
static void test_audit_of_a_sandbox_made_anew(void **state)
{
    struct fixture *f = *state;
    const struct sandbox_state *st;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    world_sandbox_state(f->w, "ns/s")->audited = false;
    assert_in(fixture_plan(f, SANDBOX, NULL), "audit s\n");
    fixture_remove(f, &api_sandbox, "s");
    world_audited(f->w, "ns", "s", "uid-s", NULL);
    fixture_put(f, &api_sandbox, "s", ",\"uid\":\"uid-anew\"",
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{}");
    st = world_sandbox_state(f->w, "ns/s");
    fixture_plan(f, SANDBOX, NULL);
    assert_true(st->audited && !st->auditing);
    world_sandbox_state(f->w, "ns/s")->auditing = true; /* as for one that was Ready */
    world_audited(f->w, "ns", "s", "uid-s", "uid-t");
    assert_true(st->auditing);
    world_audited(f->w, "ns", "s", "uid-anew", "uid-t");
    assert_false(st->auditing);
    assert_string_equal(st->running_uid, "uid-t");
}

/* Another operator has begun it; our cache of the sandboxes is behind. */
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sandbox_whose_pod_is_not_ready_is_bound),
        T(test_sandbox_tells_the_new_address_of_its_pod),
        T(test_audit_of_a_sandbox_made_anew),
        T(test_task_that_runs_does_not_wait_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
