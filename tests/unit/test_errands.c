/* Errands to agents, by the whole operator above the seam: what is asked when, and what is left
 * when the operator ends. Together these tests make each move of the errands' table. */
#include "tests/unit/unit.h"

#include "tests/unit/manager_rig.h"

#define CANCEL "DELETE /v1/tasks/uid-t/1"
#define AUDIT "GET /v1/tasks"
#define ACK "POST /v1/acknowledged"
#define TASK_X "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/x"
#define NOTHING_RUNS "{\"running\":[]}"
#define X_RUNS "{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"ns/x\"}]}"

/* ---- cancels --------------------------------------------------------------------------------- */

static void run_task(struct rig *r)
{
    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

static void delete_task(struct rig *r)
{
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
}

/* The audit behind a cancel is held until the attempt is over. */
static void test_audit_is_held_by_a_cancel(void **state)
{
    struct rig *r = *state;

    run_task(r);
    delete_task(r);
    lose(r, CANCEL);
    assert_no_call(r, AUDIT);
    fake_advance(&r->ops, 50);
    assert_no_call(r, AUDIT);
    answer(r, CANCEL, 204, "");
    answer(r, AUDIT, 200, NOTHING_RUNS);
    assert_no_call(r, AUDIT);
}

/* Somebody else answers in the agent's place, so there is an audit while the task runs. */
static void test_cancel_that_ends_leaves_an_audit_under_way_alone(void **state)
{
    const struct ops_response forged = {
        .status = 404, .body = "", .retry_after_ms = -1, .error_msg = ""};
    struct rig *r = *state;
    unsigned before;

    run_task(r);
    fake_answer_full(fake_find(&r->ops, PUT), &forged);
    turn(r);
    assert_call(r, AUDIT);
    delete_task(r);
    before = fake_calls(&r->ops);
    answer(r, CANCEL, 204, "");
    assert_int_equal(fake_calls(&r->ops), before - 1);
    answer(r, AUDIT, 200, NOTHING_RUNS);
    assert_no_call(r, AUDIT);
}

static void test_cancel_ends_with_its_pod(void **state)
{
    struct rig *r = *state;

    run_task(r);
    delete_task(r);
    lose(r, CANCEL);
    watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
    fake_advance(&r->ops, 2000);
    assert_no_call(r, CANCEL);
}

static void test_nothing_is_cancelled_in_a_pod_that_is_gone(void **state)
{
    struct rig *r = *state;

    run_task(r);
    watch_only(r, "pods", "DELETED", pod_object(r, "a", "s"));
    delete_task(r);
    assert_no_call(r, CANCEL);
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

/* A task with this name begins, ends, and its end is written. */
static void finish_task(struct rig *r, const char *name)
{
    const struct task_event events[] = {
        {.seq = 1, .type = TASK_EVENT_ACCEPTED},
        {.seq = 2, .type = TASK_EVENT_STEP, .time_unix_ms = 1767323045000},
        {.seq = 3, .type = TASK_EVENT_EXIT},
        {.seq = 4, .type = TASK_EVENT_END},
    };
    cleanup_free char *put = xasprintf("PUT /v1/tasks/uid-%s/1", name);
    cleanup_free char *status = xasprintf("tasks/%s/status", name);

    watch(r, "tasks", "ADDED", task_object(r, name, ""));
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        event(r, put, events[i]);
    answer_object(r, status, task_object(r, name, "\"state\":\"Succeeded\""));
}

static void assert_acks(struct rig *r, const char *attempts)
{
    cleanup_free char *body = xasprintf("{\"attempts\":[%s]}", attempts);

    assert_call(r, ACK);
    assert_string_equal(fake_find(&r->ops, ACK)->body, body);
}

static void test_acknowledgements_gather_until_they_are_sent(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    finish_task(r, "t");
    fake_advance(&r->ops, 500);
    assert_no_call(r, ACK);
    finish_task(r, "u");
    fake_advance(&r->ops, 500);
    assert_acks(r, "\"uid-t/1\",\"uid-u/1\"");
    finish_task(r, "v"); /* too late for this one */
    lose(r, ACK);
    fake_advance(&r->ops, 50);
    assert_acks(r, "\"uid-t/1\",\"uid-u/1\"");
    answer(r, ACK, 204, "");
    assert_no_call(r, ACK);
    fake_advance(&r->ops, 1000);
    assert_acks(r, "\"uid-v/1\"");
    answer(r, ACK, 204, "");
}

/* ---- audits ---------------------------------------------------------------------------------- */

static void start_with_audit(struct rig *r)
{
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    assert_call(r, AUDIT);
}

static void test_audit_is_asked_again(void **state)
{
    struct rig *r = *state;

    start_with_audit(r);
    lose(r, AUDIT);
    assert_no_call(r, AUDIT);
    fake_advance(&r->ops, 50);
    answer(r, AUDIT, 200, X_RUNS);
    assert_no_call(r, AUDIT);
    answer(r, TASK_X, 404, "{\"reason\":\"NotFound\"}");
    fake_advance(&r->ops, 2000);
    assert_no_call(r, AUDIT);
    answer(r, "DELETE /v1/tasks/uid-x/1", 404, "");
    answer(r, AUDIT, 200, NOTHING_RUNS);
    fake_advance(&r->ops, 2000);
    assert_no_call(r, AUDIT);
}

static void test_audit_ends_with_its_sandbox(void **state)
{
    struct rig *r = *state;

    start_with_audit(r);
    lose(r, AUDIT);
    watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
    fake_advance(&r->ops, 2000);
    assert_no_call(r, AUDIT);
}

/* ---- the end of the operator: teardown() finds calls and timers that are left ------------------
 */

static void test_operator_ends_while_acknowledgements_gather(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    finish_task(r, "t");
    assert_no_call(r, ACK);
}

static void test_operator_ends_while_an_audit_is_held(void **state)
{
    struct rig *r = *state;

    run_task(r);
    delete_task(r);
    assert_call(r, CANCEL);
    assert_no_call(r, AUDIT);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_audit_is_held_by_a_cancel),
        T(test_cancel_that_ends_leaves_an_audit_under_way_alone),
        T(test_cancel_ends_with_its_pod),
        T(test_nothing_is_cancelled_in_a_pod_that_is_gone),
        T(test_acknowledgements_gather_until_they_are_sent),
        T(test_audit_is_asked_again),
        T(test_audit_ends_with_its_sandbox),
        T(test_operator_ends_while_acknowledgements_gather),
        T(test_operator_ends_while_an_audit_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
