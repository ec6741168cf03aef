/* How long the operator waits for things, whatever the clocks of a cluster say; and objects that
 * are deleted but still there, by a finalizer. */
#include "tests/unit/plan_objects.h"

#define DELETED ",\"deletionTimestamp\":\"" T0_TEXT "\",\"finalizers\":[\"x/y\"]"

/* Each test once with clocks that agree, and with the API server's behind and ahead of this one's.
 */
static const int64_t skews_s[] = {0, -10, 10, -299, 299};

static void begin(void **state, size_t i)
{
    struct fixture *f = *state;

    fixture_done(f);
    fixture_init(f);
    f->now.wall_ns -= skews_s[i] * NSEC_PER_SEC;
}

static void test_missing_pool_is_waited_for(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(skews_s); i++) {
        begin(state, i);
        put_sandbox(f, "s", "", "");
        fixture_plan(f, SANDBOX, NULL);
        fixture_pass(f, 9999);
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s WaitingForPool\n");
        fixture_pass(f, 1);
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s PoolNotFound\n");
    }
}

/* The wait begins when the pool is missed: kubectl delete -f and apply -f take a moment. */
static void test_pool_that_is_made_anew_is_waited_for(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 0, "x");
    put_sandbox(f, "s", "", "\"phase\":\"Pending\"");
    fixture_plan(f, SANDBOX, NULL);
    fixture_pass(f, 60000);
    for (int i = 0; i < 2; i++) {
        fixture_remove(f, &api_warmpool, "p");
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s WaitingForPool\n");
        fixture_pass(f, 9000);
        fixture_put(f, &api_warmpool, "p", i ? ",\"uid\":\"uid-y\"" : ",\"uid\":\"uid-x\"",
                    "\"spec\":{\"replicas\":0,\"template\":{}}");
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s WaitingForPod\n");
    }
}

#define IDLE_POD "waiting for an idle pod of WarmPool p, 5m0s at most"
#define NO_POD IDLE_POD ": it keeps none, its spec.replicas is 0"

static void put_pending(struct fixture *f, const char *message)
{
    cleanup_free char *status = xasprintf(
        "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
        "\"reason\":\"WaitingForPod\",\"message\":\"%s\",\"lastTransitionTime\":\"" T0_TEXT "\"}]",
        message);

    put_sandbox(f, "s", "", status);
}

/* A change of a pool changes what all its waiting sandboxes have to say. That is not a write for
 * each sandbox at each change, but in the end their statuses are true. */
static void test_why_a_sandbox_waits_is_told_seldom(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pending(f, IDLE_POD);
    put_pool(f, 0, "x");
    assert_in(fixture_plan(f, SANDBOX, NULL), "status s WaitingForPod\n");
    put_pending(f, NO_POD);
    for (int i = 1; i <= 5; i++) {
        cleanup_free char *due = xasprintf("after %dms\n", 10000 - 1000 * i);
        const char *actions;

        fixture_pass(f, 1000);
        put_pool(f, i % 2, "x");
        actions = fixture_plan(f, SANDBOX, NULL);
        assert_null(strstr(actions, "status"));
        assert_int_equal(strstr(actions, due) != NULL, i % 2);
    }
    fixture_pass(f, 5000);
    assert_in(fixture_plan(f, SANDBOX, &body), "status s WaitingForPod\n");
    assert_non_null(strstr(body, IDLE_POD "\""));
}

static void test_pod_is_waited_for(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(skews_s); i++) {
        begin(state, i);
        put_pool(f, 0, "x");
        put_sandbox(f, "s", "", "");
        fixture_plan(f, SANDBOX, NULL);
        fixture_pass(f, 299999);
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s WaitingForPod\n");
        fixture_pass(f, 1);
        assert_in(fixture_plan(f, SANDBOX, NULL), "status s NoPodAvailable\n");
    }
}

/* The time for which a sandbox waited before this operator came counts, as far as clocks can be
 * trusted. */
static void test_old_sandbox_does_not_wait_from_the_beginning(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 0, "x");
    put_sandbox(f, "s", "", "");
    fixture_pass(f, 500000);
    fixture_plan(f, SANDBOX, NULL);
    fixture_pass(f, 100000);
    assert_in(fixture_plan(f, SANDBOX, NULL), "status s NoPodAvailable\n");
}

static void test_missing_sandbox_is_waited_for(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(skews_s); i++) {
        begin(state, i);
        put_task(f, "t", ONE_STEP, "\"state\":\"Pending\"");
        fixture_plan(f, TASK, NULL);
        fixture_pass(f, 9999);
        assert_in(fixture_plan(f, TASK, NULL), "status t WaitingForSandbox\n");
        fixture_pass(f, 1);
        assert_plan(f, TASK, "status t SandboxNotFound\n");
    }
}

/* The task was there when this operator began to act, but by the server's clock, which is ahead, it
 * is newer. So an operator before this one may have begun it. */
static void test_task_of_a_clock_ahead_is_not_taken_for_a_new_one(void **state)
{
    struct fixture *f = *state;

    for (int ahead_s = 0; ahead_s <= 10; ahead_s += 10) {
        begin(state, 0);
        f->now.wall_ns = T0_WALL - ahead_s * NSEC_PER_SEC;
        f->w->active_wall_ns = f->now.wall_ns - (ahead_s ? 0 : 10 * NSEC_PER_SEC);
        put_task(f, "t", ONE_STEP, "");
        fixture_plan(f, TASK, NULL);
        fixture_pass(f, 5000);
        /* A task that has certainly not begun says at once that it waits. */
        if (ahead_s)
            assert_plan(f, TASK, "after 5000ms\n");
        else
            assert_in(fixture_plan(f, TASK, NULL), "status t WaitingForSandbox\n");
    }
}

static void assert_no_delete(struct fixture *f)
{
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "delete"));
}

static void test_times_to_live(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(skews_s); i++) {
        begin(state, i);
        put_pool(f, 1, "x");
        put_pod(f, "a", true, "s");
        put_sandbox(f, "s", ",\"maxLifetimeSeconds\":60,\"idleTimeoutSeconds\":50", READY_STATUS);
        put_task(f, "t", ONE_STEP ",\"ttlSecondsAfterFinished\":5", "\"state\":\"Running\"");
        fixture_plan(f, SANDBOX, NULL);
        fixture_plan(f, TASK, NULL);
        fixture_pass(f, 1000);
        put_task(f, "t", ONE_STEP ",\"ttlSecondsAfterFinished\":5",
                 "\"state\":\"Failed\",\"completionTime\":\"" T0_TEXT "\"");
        assert_plan(f, TASK, "after 6000ms\n");
        fixture_plan(f, SANDBOX, NULL);
        fixture_pass(f, 6000);
        assert_plan(f, TASK, "delete t TTLExpired\n");
        fixture_pass(f, 44999);
        assert_no_delete(f);
        fixture_pass(f, 1);
        assert_in(fixture_plan(f, SANDBOX, NULL), "delete s IdleTimeout\n");
        put_task(f, "u", ONE_STEP, "");
        fixture_pass(f, 7999);
        assert_no_delete(f);
        fixture_pass(f, 1);
        assert_in(fixture_plan(f, SANDBOX, NULL), "delete s LifetimeEnded\n");
    }
}

/* ---- finalizers ------------------------------------------------------------------------------ */

static void put_deleted_task(struct fixture *f, const char *status)
{
    cleanup_free char *rest = xasprintf("\"spec\":{" ONE_STEP "},\"status\":{%s}", status);

    fixture_put(f, &api_task, "t", DELETED, rest);
}

static void test_deleted_task_gets_an_end(void **state)
{
    static const struct {
        const char *status;
        const char *code;
    } rows[] = {
        {"", "\"exitCode\":1,"},
        {"\"state\":\"Pending\"", "\"exitCode\":1,"},
        {"\"state\":\"Running\",\"startTime\":\"" T0_TEXT "\"", "\"exitCode\":137,"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *body = NULL;

        put_deleted_task(f, rows[i].status);
        body = plan_body(f, TASK);
        assert_string_equal(buf_str(&f->text), "status t Deleted\n");
        assert_in(body, "\"state\":\"Failed\"");
        assert_in(body, rows[i].code);
        assert_in(body, "the Task was deleted");
    }
    put_deleted_task(f, "\"state\":\"Failed\"");
    assert_plan(f, TASK, "");
}

/* The output so far is written and the attempt is cancelled, in one plan. */
static void test_deleted_task_that_runs_is_stopped_and_ends(void **state)
{
    const struct task_event events[] = {
        {.seq = 1, .type = TASK_EVENT_ACCEPTED},
        {.seq = 2, .type = TASK_EVENT_STEP},
        {.seq = 3, .type = TASK_EVENT_OUT, .fd = 1, .data = "so far", .data_len = 6},
    };
    struct fixture *f = *state;
    cleanup_free char *body = NULL;
    struct run *run;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
    run =
        run_new((struct run_target){.task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s")},
                1, 1, f->now);
    world_add_run(f->w, "ns/t", run);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        assert_int_equal(run_event(run, &events[i], f->now, NULL), 0);
    put_deleted_task(f, "\"state\":\"Running\"");
    body = plan_body(f, TASK);
    assert_in(buf_str(&f->text), "status t Deleted\ncancel t\n");
    assert_in(body, "so far");
    assert_in(body, "\"exitCode\":137");
}

static void test_deleted_sandbox_gets_an_end(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    fixture_put(f, &api_sandbox, "s", DELETED,
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{" READY_STATUS "}");
    body = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "delete a SandboxDeleted\nstatus s Deleted\n");
    assert_in(body, "\"phase\":\"Failed\"");
    assert_in(body, "\"status\":\"False\",\"reason\":\"Deleted\"");
    fixture_put(f, &api_sandbox, "s", DELETED,
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{\"phase\":\"Failed\"}");
    assert_plan(f, SANDBOX, "delete a SandboxDeleted\n");
}

/* Its work is stopped with it. */
static void test_task_in_a_deleted_sandbox_ends(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
    world_add_run(
        f->w, "ns/t",
        run_new((struct run_target){.task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s")},
                1, 1, f->now));
    fixture_put(f, &api_sandbox, "s", DELETED,
                "\"spec\":{\"poolRef\":\"p\"},\"status\":{" READY_STATUS "}");
    assert_in(fixture_plan(f, TASK, NULL), "status t SandboxDeleted\n");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_missing_pool_is_waited_for),
        T(test_pool_that_is_made_anew_is_waited_for),
        T(test_pod_is_waited_for),
        T(test_why_a_sandbox_waits_is_told_seldom),
        T(test_old_sandbox_does_not_wait_from_the_beginning),
        T(test_missing_sandbox_is_waited_for),
        T(test_times_to_live),
        T(test_task_of_a_clock_ahead_is_not_taken_for_a_new_one),
        T(test_deleted_task_gets_an_end),
        T(test_deleted_task_that_runs_is_stopped_and_ends),
        T(test_deleted_sandbox_gets_an_end),
        T(test_task_in_a_deleted_sandbox_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
