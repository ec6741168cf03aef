/*
 * A claim and the status that says so, which are sent at the same time: what is done when either of
 * them is refused, lost, late, or made by somebody else. By the whole operator above the seam.
 */
#include "tests/unit/unit.h"

#include "tests/unit/claim_rig.h"

/* Pods a and b are idle, and a claim of this pool has been accepted: sandbox "first" has pod z. */
static void start_proven(struct rig *r)
{
    start(r,
          join(pod_object(r, "z", NULL), join(pod_object(r, "a", NULL), pod_object(r, "b", NULL))),
          pool_object(r, 2), sandbox_object(r, "first", ""), NULL);
    assert_no_call(r, FIRST_STATUS); /* nobody knows yet whether claims are accepted */
    answer_object(r, POD_Z, pod_object(r, "z", "first"));
    answer_object(r, FIRST_STATUS, ready_with(r, "first", "z"));
}

static void start_claim(struct rig *r)
{
    start_proven(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_call(r, POD_A);
    assert_status(r, "\"phase\":\"Ready\"");
    assert_status(r, "\"podUID\":\"uid-a\"");
    assert_status(r, "\"agentKey\":\"" AGENT_SIDE_KEY "\"");
}

static void test_both_are_sent_at_once(void **state)
{
    struct rig *r = *state;
    unsigned before;

    start_proven(r);
    before = r->ops.started;
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_call(r, POD_A);
    assert_status(r, "\"podName\":\"a\"");
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    assert_call(r, CREATE_POD); /* the refill */
    assert_int_equal(r->ops.started - before, 3);
}

/* The task of a Ready sandbox: nothing goes to the agent before the pod is the sandbox's. */
static void test_agent_is_told_nothing_before_the_claim_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    fake_advance(&r->ops, 50);
    assert_no_call(r, "/v1/tasks");
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, PUT);
}

/* While one of them is not answered, the sandbox takes no other pod. */
static void test_status_is_refused_before_the_claim_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_status(r, SANDBOX_STATUS, 409, "Conflict");
    answer_object(r, READ_SANDBOX, sandbox_object(r, "s", ""));
    fake_advance(&r->ops, 1000);
    assert_no_call(r, POD_B);
    assert_no_call(r, SANDBOX_STATUS);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_no_call(r, POD_B);
    assert_status(r, "\"podName\":\"a\"");
}

static void test_claim_is_lost_before_the_status_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    lose(r, POD_A);
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    fake_advance(&r->ops, 2000);
    assert_no_call(r, POD_A);
    assert_no_call(r, POD_B);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    assert_call(r, POD_A);
    assert_no_call(r, POD_B);
}

/* The kubelet has changed the pod meanwhile. */
static void test_conflict_claims_the_same_pod_again(void **state)
{
    struct rig *r = *state;
    cleanup_free char *version = NULL;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 409, "Conflict");
    assert_no_call(r, POD_A);
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    version = xasprintf("\"resourceVersion\":\"%u\"", r->rv);
    assert_non_null(strstr(fake_find(&r->ops, POD_A)->body, version));
    assert_no_call(r, POD_B);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_no_call(r, SANDBOX_STATUS);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

/* Neither has taken place: the next pod may be taken. */
static void test_both_conflict(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_status(r, SANDBOX_STATUS, 409, "Conflict");
    answer_object(r, READ_SANDBOX, sandbox_object(r, "s", ""));
    answer_status(r, POD_A, 409, "Conflict");
    assert_call(r, POD_B);
    assert_status(r, "\"podName\":\"b\"");
}

static void test_pod_is_gone_in_between(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 404, "NotFound");
    answer_status(r, READ_POD, 404, "NotFound");
    assert_status(r, "PodLost");
    assert_status(r, "pod a is gone");
    assert_no_call(r, POD_B);
}

static void test_pod_is_deleted_in_between(void **state)
{
    struct rig *r = *state;
    char *deleted;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 409, "Conflict");
    deleted = pod_object(r, "a", NULL);
    str_set(&deleted, xasprintf("{\"metadata\":{\"deletionTimestamp\":\"2026-01-02T03:04:05Z\",%s",
                                deleted + strlen("{\"metadata\":{")));
    answer_object(r, READ_POD, deleted);
    assert_status(r, "PodLost");
    assert_status(r, "pod a is being deleted");
}

static void test_another_operator_has_taken_the_pod(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, READ_POD, pod_object(r, "a", "other"));
    assert_status(r, "PodTaken");
    assert_status(r, "pod a was taken by Sandbox other");
}

/* A policy of the cluster has changed. Ready was not true; it is Bound until the claim succeeds. */
static void test_claims_are_refused_from_now_on(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    for (int i = 0; i < 3; i++) {
        assert_no_call(r, SANDBOX_STATUS);
        answer_status(r, POD_A, 403, "Forbidden");
        assert_no_call(r, POD_A); /* not at once */
        fake_advance(&r->ops, 1000 << i);
    }
    assert_status(r, "ClaimRefused");
    assert_status(r, "\"phase\":\"Bound\"");
    assert_no_call(r, POD_B);
    /* The next one is not told what may be wrong. */
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    assert_call(r, POD_B);
    assert_no_call(r, "sandboxes/u/status");
}

static void test_claim_that_stays_refused_fails(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    for (int i = 0; i < 3; i++) {
        answer_status(r, POD_A, 403, "Forbidden");
        fake_advance(&r->ops, 1000 << i);
    }
    fake_advance(&r->ops, r->policy.sandbox_wait_ms);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a")); /* whose answer comes late */
    assert_status(r, "NoPodAvailable");
    assert_status(r, "\"phase\":\"Failed\"");
}

/* An operator before this one has died between the two. */
static void test_claim_is_finished_after_a_crash(void **state)
{
    struct rig *r = *state;

    start(r, join(pod_object(r, "a", NULL), pod_object(r, "b", NULL)), pool_object(r, 2),
          join(sandbox_object(r, "earlier", ""), ready_with(r, "s", "a")), task_object(r, "t", ""));
    assert_non_null(strstr(fake_find(&r->ops, POD_A)->body, "\"uid\":\"uid-s\""));
    /* Whoever waits longer gets another pod, though this one is the oldest. */
    assert_non_null(strstr(fake_find(&r->ops, POD_B)->body, "\"uid\":\"uid-earlier\""));
    assert_no_call(r, "/v1/tasks");
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, "GET /v1/tasks"); /* what runs there, nobody knows */
}

/* Its pod is not surplus, and not outdated, even if it was not claimed yet. */
static void test_promised_pod_is_not_scaled_down(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    lose(r, POD_A);
    watch(r, "warmpools", "MODIFIED", pool_object(r, 0));
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    assert_call(r, POD_A);
    assert_no_call(r, "DELETE /api/v1/namespaces/ns/pods/a");
    assert_call(r, "DELETE /api/v1/namespaces/ns/pods/b");
}

/* Deleted or failed, it promises nothing any more. */
static void test_pod_of_a_sandbox_that_is_gone_is_idle_again(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    watch(r, "sandboxes", "DELETED", ready_with(r, "s", "a"));
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    assert_no_call(r, POD_A);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    assert_non_null(strstr(fake_find(&r->ops, POD_A)->body, "\"uid\":\"uid-u\""));
}

/* Who may write statuses could name any pod: one that is another pool's stays there. */
static void test_pod_that_another_sandbox_has_is_left_alone(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "other"), pool_object(r, 0),
          join(ready_with(r, "other", "a"), ready_with(r, "s", "a")), NULL);
    assert_no_call(r, POD_A);
    assert_status(r, "PodTaken");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_both_are_sent_at_once),
        T(test_agent_is_told_nothing_before_the_claim_is_answered),
        T(test_status_is_refused_before_the_claim_is_answered),
        T(test_claim_is_lost_before_the_status_is_answered),
        T(test_conflict_claims_the_same_pod_again),
        T(test_both_conflict),
        T(test_pod_is_gone_in_between),
        T(test_pod_is_deleted_in_between),
        T(test_another_operator_has_taken_the_pod),
        T(test_claims_are_refused_from_now_on),
        T(test_claim_that_stays_refused_fails),
        T(test_claim_is_finished_after_a_crash),
        T(test_promised_pod_is_not_scaled_down),
        T(test_pod_of_a_sandbox_that_is_gone_is_idle_again),
        T(test_pod_that_another_sandbox_has_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
