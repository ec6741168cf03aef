/* Pods that live but are of no use any more: idle ones are replaced, sandboxes say so. */
#include "tests/unit/plan_objects.h"

#include "operator/core/run.h"

#define READY(status, since)                                                                       \
    "\"conditions\":[{\"type\":\"Ready\",\"status\":\"" status                                     \
    "\",\"lastTransitionTime\":\"" since "\"}]"
#define T5_TEXT "2025-06-15T15:06:45Z"
#define STARTED ",\"startTime\":\"" T0_TEXT "\","
#define TOLD "," AGENT_SIDE_TOLD(AGENT_SIDE_KEY)
#define IS_READY ",\"phase\":\"Running\"" STARTED READY("True", T5_TEXT) TOLD
#define NEVER_READY ",\"phase\":\"Running\"" STARTED READY("False", T0_TEXT) TOLD
#define READY_NO_MORE ",\"phase\":\"Running\"" STARTED READY("False", T5_TEXT) TOLD
#define RESTARTS(n)                                                                                \
    ",\"containerStatuses\":[{\"name\":\"sidecar\",\"restartCount\":7},{\"name\":\"executor\","    \
    "\"restartCount\":" #n ",\"state\":{\"running\":{}}}]"
#define ENDED(code)                                                                                \
    ",\"containerStatuses\":[{\"name\":\"executor\",\"state\":{\"terminated\":{"                   \
    "\"exitCode\":" #code "}}}]"

static void put_like(struct fixture *f, const char *name, const char *sandbox, const char *policy,
                     const char *status)
{
    cleanup_free char *owner =
        sandbox
            ? xasprintf("\"kind\":\"Sandbox\",\"name\":\"%s\",\"uid\":\"uid-%s\"", sandbox, sandbox)
            : xstrdup("\"kind\":\"WarmPool\",\"name\":\"p\",\"uid\":\"uid-p\"");
    cleanup_free char *md = xasprintf(
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"%s\"},\"annotations\":{"
        "\"arl.infra.io/wire-version\":\"2\",\"arl.infra.io/template-hash\":\"%s\",\"arl.infra.io/"
        "work-dir\":\"/w\"},"
        "\"ownerReferences\":[{%s,\"controller\":true}]",
        sandbox ? "allocated" : "idle", pool_hash(f), owner);
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"restartPolicy\":\"%s\"},\"status\":{\"podIP\":\"10.0.0.1\"%s}",
                  policy, status);

    fixture_put(f, &api_pod, name, md, rest);
}

static bool plans(struct fixture *f, const char *key, const char *what)
{
    return strstr(fixture_plan(f, key, NULL), what) != NULL;
}

/* ---- idle pods ------------------------------------------------------------------------------- */

static void test_containers_that_do_not_come_back(void **state)
{
    static const struct {
        const char *policy, *status;
        bool replaced;
    } rows[] = {
        {"Never", ",\"phase\":\"Running\"" ENDED(0), true},
        {"Never", ",\"phase\":\"Running\"" ENDED(1), true},
        {"OnFailure", ",\"phase\":\"Running\"" ENDED(0), true},
        {"OnFailure", ",\"phase\":\"Running\"" ENDED(1), false},
        {"Always", ",\"phase\":\"Running\"" ENDED(0), false},
        {"Never", IS_READY, false},
        {"Never",
         ",\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"arl-init\",\"state\":{"
         "\"terminated\":{\"exitCode\":0}}}]",
         false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture *f = *state;

        put_pool(f, 1, "x");
        put_like(f, "a", NULL, rows[i].policy, rows[i].status);
        if (plans(f, POOL, "delete a PodBroken\n") != rows[i].replaced)
            fail_msg("row %zu: %s", i, buf_str(&f->text));
        fixture_done(f);
        fixture_init(f);
    }
}

static void test_idle_pod_that_was_ready_may_be_unready_for_two_minutes(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_like(f, "a", NULL, "Always", NEVER_READY);
    fixture_pass(f, 5000);
    put_like(f, "a", NULL, "Always", IS_READY);
    assert_false(plans(f, POOL, "delete"));
    put_like(f, "a", NULL, "Always", READY_NO_MORE);
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 119000);
    put_like(f, "a", NULL, "Always", READY_NO_MORE); /* tells nothing new */
    assert_true(plans(f, POOL, "after 1000ms\n"));
    put_like(f, "a", NULL, "Always", IS_READY);
    fixture_pass(f, 1000);
    assert_false(plans(f, POOL, "delete"));
    put_like(f, "a", NULL, "Always", READY_NO_MORE);
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 119999);
    assert_false(plans(f, POOL, "delete"));
    fixture_pass(f, 1);
    assert_true(plans(f, POOL, "delete a PodBroken\n"));
}

/* An operator that has just begun knows by the times in the status that the pod was ready. */
static void test_pod_that_was_ready_before_this_process(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 2, "x");
    put_like(f, "a", NULL, "Always", READY_NO_MORE);
    put_like(f, "b", NULL, "Always", NEVER_READY);
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 120000);
    assert_true(plans(f, POOL, "delete a PodBroken\n"));
    assert_false(plans(f, POOL, "delete b"));
}

/* If no pod of a template gets ready, the pool says so: to make its pods anew for ever would help
 * nobody. */
static void test_pod_that_restarts_is_replaced_where_others_get_ready(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_like(f, "a", NULL, "Always", NEVER_READY RESTARTS(3));
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 120000);
    assert_false(plans(f, POOL, "delete"));
    put_like(f, "b", NULL, "Always", IS_READY);
    put_pool(f, 2, "x");
    fixture_plan(f, POOL, NULL);
    assert_true(plans(f, POOL, "delete a PodBroken\nevent p PodReplaced\n"));
}

/* The runner was refused, say. The agent waits for it, and no container is started anew. */
static void test_pod_whose_runner_does_not_come(void **state)
{
    static const struct {
        const char *agent, *other;
        bool replaced;
    } rows[] = {
        {"\"ready\":false,\"state\":{\"running\":{}}", "\"ready\":true,\"state\":{\"running\":{}}",
         true},
        {"\"ready\":false,\"state\":{\"running\":{}}", "\"ready\":false,\"state\":{\"running\":{}}",
         true},
        /* A probe of the user's container has not succeeded yet. */
        {"\"ready\":true,\"state\":{\"running\":{}}", "\"ready\":false,\"state\":{\"running\":{}}",
         false},
        /* An image is pulled. */
        {"\"ready\":false,\"state\":{\"running\":{}}", "\"ready\":false,\"state\":{\"waiting\":{}}",
         false},
        {"\"ready\":false,\"state\":{\"waiting\":{}}", "\"ready\":true,\"state\":{\"running\":{}}",
         false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture *f = *state;
        cleanup_free char *status = xasprintf(
            NEVER_READY
            ",\"containerStatuses\":[{\"name\":\"executor\",%s},{\"name\":\"sidecar\",%s}]",
            rows[i].other, rows[i].agent);

        put_pool(f, 2, "x");
        put_like(f, "a", NULL, "Always", IS_READY);
        put_like(f, "b", NULL, "Always", status);
        fixture_plan(f, POOL, NULL);
        fixture_pass(f, 119999);
        assert_false(plans(f, POOL, "delete"));
        fixture_pass(f, 1);
        if (plans(f, POOL, "delete b PodBroken\n") != rows[i].replaced)
            fail_msg("row %zu: %s", i, buf_str(&f->text));
        fixture_done(f);
        fixture_init(f);
    }
}

static size_t deletes(const char *text)
{
    size_t n = 0;

    while ((text = strstr(text, "PodBroken\n"))) {
        text++;
        n++;
    }
    return n;
}

/* The pool is planned again and again, as after each answer of a delete. */
static void test_replacing_is_bounded(void **state)
{
    struct fixture *f = *state;
    char name[16];

    put_pool(f, 40, "x");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "a%d", i);
        put_like(f, name, NULL, "Never", ",\"phase\":\"Running\"" ENDED(0));
    }
    assert_int_equal(deletes(fixture_plan(f, POOL, NULL)), 16);
    assert_null(strstr(buf_str(&f->text), "create"));
    assert_int_equal(deletes(fixture_plan(f, POOL, NULL)), 0);
    assert_int_equal(world_pool_state(f->w, "ns/p")->failures, 1);
    fixture_pass(f, 2000);
    assert_int_equal(deletes(fixture_plan(f, POOL, NULL)), 16);
    fixture_pass(f, 2000);
    assert_int_equal(deletes(fixture_plan(f, POOL, NULL)), 0);
    fixture_pass(f, 2000);
    assert_int_equal(deletes(fixture_plan(f, POOL, NULL)), 16);
}

static void test_broken_pod_is_not_claimed(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_like(f, "a", NULL, "Never", IS_READY ENDED(0));
    put_sandbox(f, "s", "", "");
    assert_false(plans(f, SANDBOX, "claim"));
    put_like(f, "a", NULL, "Never", IS_READY);
    assert_true(plans(f, SANDBOX, "claim a for s"));
}

/* ---- sandboxes ------------------------------------------------------------------------------- */

static void put_box(struct fixture *f, const char *phase, const char *more)
{
    cleanup_free char *status =
        xasprintf("\"phase\":\"%s\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"podIP\":\"10.0.0.1\","
                  "\"workDir\":\"/w\",\"agentKey\":\"" AGENT_SIDE_KEY "\"%s",
                  phase, more);

    put_sandbox(f, "s", "", status);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_CLEAN;
}

static void test_sandbox_of_a_pod_that_never_heals_fails(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_like(f, "a", "s", "Never", ",\"phase\":\"Running\"" ENDED(0));
    put_box(f, "Ready", "");
    fixture_plan(f, SANDBOX, &body);
    assert_string_equal(buf_str(&f->text),
                        "after 751000ms\nstatus s PodBroken\nevent s PodBroken\n");
    assert_in(body, "\"phase\":\"Failed\"");
    assert_in(body, "container executor has ended with exit code 0");
    put_box(f, "Bound", "");
    assert_plan(f, SANDBOX, "after 751000ms\nstatus s PodBroken\nevent s PodBroken\n");
}

#define FAILED_BOX                                                                                 \
    ",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"PodBroken\","          \
    "\"message\":\"pod a is of no use\"}]"

static void test_tasks_of_it_fail_at_once_with_the_cause(void **state)
{
    struct fixture *f = *state;
    struct run_target target = {.task_uid = xstrdup("uid-t"),
                                .sandbox_uid = xstrdup("uid-s"),
                                .pod_uid = xstrdup("uid-a"),
                                .pod_name = xstrdup("a")};
    cleanup_free char *runs = NULL, *waits = NULL;

    put_pool(f, 1, "x");
    put_like(f, "a", "s", "Never", ",\"phase\":\"Running\"" ENDED(0));
    put_box(f, "Failed", FAILED_BOX);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"");
    put_task(f, "t2", ONE_STEP, "");
    world_add_run(f->w, "ns/t", run_new(target, 1, 1, f->now));
    fixture_plan(f, TASK, &runs);
    assert_string_equal(buf_str(&f->text), "status t SandboxFailed\n");
    assert_in(runs, "sandbox s failed: pod a is of no use");
    fixture_plan(f, "task/ns/t2", &waits);
    assert_string_equal(buf_str(&f->text), "status t2 SandboxFailed\n");
    assert_in(waits, "sandbox s failed: pod a is of no use");
}

static void test_sandbox_is_bound_while_its_pod_is_not_ready(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL, *again = NULL;

    put_pool(f, 1, "x");
    put_like(f, "a", "s", "Always", IS_READY);
    put_box(f, "Ready", "");
    fixture_plan(f, SANDBOX, NULL);
    put_like(f, "a", "s", "Always", READY_NO_MORE);
    assert_true(plans(f, SANDBOX, "after 120000ms\n"));
    assert_false(plans(f, SANDBOX, "status"));
    fixture_pass(f, 120000);
    fixture_plan(f, SANDBOX, &body);
    assert_true(plans(f, SANDBOX, "") && strstr(body, "\"phase\":\"Bound\""));
    assert_in(body, "\"reason\":\"PodNotReady\"");
    put_box(f, "Bound",
            ",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
            "\"PodNotReady\",\"message\":\"the agent in the pod does not answer yet\"}"
            "]");
    assert_false(plans(f, SANDBOX, "status"));
    /* The sandbox becomes Ready again. What may run there is not forgotten: see note_status() in
     * executor.c. */
    put_like(f, "a", "s", "Always", IS_READY);
    assert_true(plans(f, SANDBOX, "after 10000ms\n"));
    assert_false(plans(f, SANDBOX, "status"));
    fixture_pass(f, 10000);
    fixture_plan(f, SANDBOX, &again);
    assert_in(buf_str(&f->text), "status s PodReadyAgain\n");
    assert_in(again, "\"phase\":\"Ready\"");
}

static void test_sandbox_whose_pod_stays_unready_fails(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_like(f, "a", "s", "Always", READY_NO_MORE);
    put_box(f, "Ready", "");
    fixture_plan(f, SANDBOX, NULL);
    fixture_pass(f, 120000);
    assert_true(plans(f, SANDBOX, "status s PodUnready\n"));
    put_box(f, "Bound", "");
    fixture_plan(f, SANDBOX, NULL);
    fixture_pass(f, 299000);
    assert_false(plans(f, SANDBOX, "event"));
    fixture_pass(f, 1000);
    assert_true(plans(f, SANDBOX, "status s PodNotReady\nevent s PodNotReady\n"));
}

static void test_restart_under_a_sandbox_is_told(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *bound = NULL, *body = NULL;

    put_pool(f, 1, "x");
    put_like(f, "a", "s", "Always", IS_READY RESTARTS(2));
    put_sandbox(f, "s", "", "");
    fixture_plan(f, SANDBOX, &bound);
    assert_in(bound, "\"containerRestarts\":2"); /* before the claim: nobody's loss */
    put_box(f, "Ready", ",\"containerRestarts\":2");
    assert_false(plans(f, SANDBOX, "ContainerRestarted"));
    put_like(f, "a", "s", "Always", IS_READY RESTARTS(3));
    fixture_plan(f, SANDBOX, &body);
    assert_in(buf_str(&f->text), "status s ContainerRestarted\nevent s ContainerRestarted\n");
    assert_in(body, "\"type\":\"ContainerRestarted\",\"status\":\"True\"");
    assert_in(body, "container executor was started anew");
    put_box(f, "Ready", ",\"containerRestarts\":3");
    put_like(f, "a", "s", "Always", IS_READY RESTARTS(4));
    assert_false(plans(f, SANDBOX, "ContainerRestarted"));
    assert_true(plans(f, SANDBOX, "after 10000ms\n"));
    fixture_pass(f, 10000);
    assert_true(plans(f, SANDBOX, "status s ContainerRestarted\n"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_containers_that_do_not_come_back),
        T(test_idle_pod_that_was_ready_may_be_unready_for_two_minutes),
        T(test_pod_that_was_ready_before_this_process),
        T(test_pod_whose_runner_does_not_come),
        T(test_pod_that_restarts_is_replaced_where_others_get_ready),
        T(test_replacing_is_bounded),
        T(test_broken_pod_is_not_claimed),
        T(test_sandbox_of_a_pod_that_never_heals_fails),
        T(test_tasks_of_it_fail_at_once_with_the_cause),
        T(test_sandbox_is_bound_while_its_pod_is_not_ready),
        T(test_sandbox_whose_pod_stays_unready_fails),
        T(test_restart_under_a_sandbox_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
