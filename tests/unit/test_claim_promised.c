/*
 * Pods that the status of a sandbox names and that are not claimed for it: who gets them, who frees
 * them, and what a status does that names a pod it should not. By the whole operator above the
 * seam.
 */
#include "tests/unit/unit.h"

#include "tests/unit/claim_rig.h"

#define DELETE_A "DELETE /api/v1/namespaces/ns/pods/a"

/* A claim of the pool has been accepted; pod a is idle. */
static void start_claim(struct rig *r)
{
    start(r, join(pod_object(r, "z", NULL), pod_object(r, "a", NULL)), pool_object(r, 1),
          sandbox_object(r, "first", ""), NULL);
    answer_object(r, POD_Z, pod_object(r, "z", "first"));
    answer_object(r, FIRST_STATUS, ready_with(r, "first", "z"));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_call(r, POD_A);
    assert_status(r, "\"podUID\":\"uid-a\"");
}

static void assert_claimed_for(struct rig *r, const char *uid)
{
    const struct ops_call *c = fake_find(&r->ops, POD_A);

    if (!c)
        fail_msg("pod a is not claimed, expected: for %s", uid);
    if (!strstr(c->body, uid))
        fail_msg("pod a is not claimed for %s: %s", uid, c->body);
}

/* Whose status may still take place: nobody else gets the pod, whatever became of the claim. */
static void test_claim_is_refused_before_the_status_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    answer_status(r, POD_A, 403, "Forbidden");
    assert_no_call(r, POD_A);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    fake_advance(&r->ops, 1000);
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
}

static void test_claim_conflicts_before_the_status_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    assert_no_call(r, POD_A);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
}

static void test_neither_is_done_and_the_next_one_gets_the_pod(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    answer_status(r, POD_A, 403, "Forbidden");
    answer_status(r, SANDBOX_STATUS, 409, "Conflict");
    assert_no_call(r, POD_A);
    answer_object(r, READ_SANDBOX, sandbox_object(r, "s", ""));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
}

/* Whoever waits gets the pod at once. */
static void test_pod_of_a_deleted_sandbox_goes_to_who_waits(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 403, "Forbidden");
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    assert_no_call(r, POD_A);
    watch(r, "sandboxes", "DELETED", ready_with(r, "s", "a"));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
}

static void test_pod_of_a_failed_sandbox_goes_to_who_waits(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 403, "Forbidden");
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    watch(r, "sandboxes", "MODIFIED",
          sandbox_object(r, "s",
                         "\"phase\":\"Failed\",\"podName\":\"a\",\"podUID\":\"uid-a\","
                         "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
                         "\"NoPodAvailable\",\"message\":\"x\"}]"));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
}

/* The client saw Ready, and has deleted the sandbox again before the claim was answered. */
static void test_sandbox_is_deleted_before_the_claim_is_answered(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    watch(r, "sandboxes", "DELETED", ready_with(r, "s", "a"));
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, DELETE_A);
}

static void test_sandbox_is_made_anew_before_the_claim_is_answered(void **state)
{
    struct rig *r = *state;
    char *anew;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    watch(r, "sandboxes", "DELETED", ready_with(r, "s", "a"));
    anew = sandbox_object(r, "s", "");
    memcpy(strstr(anew, "uid-s"), "uid-t", 5);
    watch(r, "sandboxes", "ADDED", anew);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, DELETE_A);
    assert_no_call(r, SANDBOX_STATUS);
}

static char *pod_of_other_pool(struct rig *r)
{
    char *text = pod_object(r, "a", NULL);

    memcpy(strstr(text, "pool\":\"p\""), "pool\":\"q\"", 9);
    memcpy(strstr(text, "uid-p"), "uid-q", 5);
    return text;
}

/* Who may write statuses could name any pod. */
static void test_pod_of_another_pool_is_not_claimed(void **state)
{
    struct rig *r = *state;

    start(r, pod_of_other_pool(r), pool_object(r, 0), ready_with(r, "s", "a"), NULL);
    assert_no_call(r, POD_A);
    answer_object(r, READ_POD, pod_of_other_pool(r));
    assert_no_call(r, POD_A);
    assert_no_call(r, READ_POD);
    assert_status(r, "PodLost");
}

static void test_many_name_one_pod(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 0),
          join(ready_with(r, "s", "a"), ready_with(r, "t", "a")), NULL);
    answer_object(r, POD_A,
                  pod_object(r, "a", strstr(fake_find(&r->ops, POD_A)->body, "uid-t") ? "t" : "s"));
    assert_no_call(r, POD_A);
    assert_true(!!fake_find(&r->ops, SANDBOX_STATUS) ^ !!fake_find(&r->ops, "sandboxes/t/status"));
}

/* Each claim is cut off, and reads are answered: the first time says nothing, then it is a refusal.
 */
static void test_claim_that_is_lost_each_time_is_made_again_seldom(void **state)
{
    struct rig *r = *state;
    cleanup_free char *pod = NULL;
    unsigned times = 0;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    pod = pod_object(r, "a", NULL);
    watch(r, "pods", "MODIFIED", xstrdup(pod));
    lose(r, POD_A);
    answer(r, READ_POD, 200, pod);
    for (int i = 0; i < 500; i++) {
        if (fake_find(&r->ops, POD_A)) {
            lose(r, POD_A);
            answer(r, READ_POD, 200, pod);
            times++;
        }
        fake_advance(&r->ops, 10);
    }
    assert_int_equal(times, 3); /* at once, where the pod had changed, too; then after 2 s */
    assert_status(r, "no answer came");
}

static void test_claim_that_fails_in_the_server_is_made_again_seldom(void **state)
{
    struct rig *r = *state;
    unsigned times = 0;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    for (int i = 0; i < 100; i++) {
        if (fake_find(&r->ops, POD_A)) {
            answer_status(r, POD_A, 500, "InternalError");
            times++;
        }
        if (fake_find(&r->ops, READ_POD))
            answer_object(r, READ_POD, pod_object(r, "a", NULL));
        fake_advance(&r->ops, 10);
    }
    assert_true(times < 10);
}

/* The status is refused, the claim is done: no loop. */
static void test_status_refused_each_time(void **state)
{
    struct rig *r = *state;
    unsigned times = 0;

    start_claim(r);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    for (int i = 0; i < 100; i++) {
        if (fake_find(&r->ops, SANDBOX_STATUS)) {
            answer_status(r, SANDBOX_STATUS, 403, "Forbidden");
            times++;
        }
        fake_advance(&r->ops, 10);
    }
    assert_true(times < 10);
}

static char *being_deleted(char *text)
{
    str_set(&text, xasprintf("{\"metadata\":{\"deletionTimestamp\":\"2026-01-02T03:04:05Z\",%s",
                             text + strlen("{\"metadata\":{")));
    return text;
}

/* A finalizer keeps it. */
static void test_deleted_with_finalizer_while_both_are_under_way(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    watch(r, "sandboxes", "MODIFIED", being_deleted(sandbox_object(r, "s", "")));
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, DELETE_A);
    answer_status(r, SANDBOX_STATUS, 409, "Conflict");
    answer_object(r, READ_SANDBOX, being_deleted(sandbox_object(r, "s", "")));
    assert_status(r, "\"phase\":\"Failed\"");
}

static void test_pool_is_deleted_while_promised(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 403, "Forbidden");
    watch(r, "warmpools", "DELETED", pool_object(r, 1));
    assert_no_call(r, DELETE_A);
    watch(r, "sandboxes", "DELETED", ready_with(r, "s", "a"));
    assert_call(r, DELETE_A);
}

static void test_sandbox_is_gone_when_its_status_is_written(void **state)
{
    struct rig *r = *state;

    start_claim(r);
    answer_status(r, SANDBOX_STATUS, 404, "NotFound");
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, DELETE_A);
}

/* The watch is behind: an old pod event comes after the claim's answer. */
static void test_watch_is_quicker_than_both_answers(void **state)
{
    struct rig *r = *state;
    char *old;

    start_claim(r);
    old = pod_object(r, "a", NULL);
    watch(r, "sandboxes", "MODIFIED", ready_with(r, "s", "a"));
    watch(r, "pods", "MODIFIED", pod_object(r, "a", "s"));
    watch(r, "pods", "MODIFIED", old);
    answer_status(r, SANDBOX_STATUS, 409, "Conflict");
    answer_object(r, READ_SANDBOX, ready_with(r, "s", "a"));
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, READ_POD, pod_object(r, "a", "s"));
    assert_no_call(r, POD_A);
    assert_no_call(r, SANDBOX_STATUS);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    fake_advance(&r->ops, 10);
    assert_true(fake_find(&r->ops, PUT) || fake_find(&r->ops, "GET /v1/tasks"));
}

/* Two operators: the pod that the status names is another sandbox's second one, and is just being
 * deleted for that. */
static void test_pod_is_deleted_as_a_second_one(void **state)
{
    struct rig *r = *state;

    start(r, join(pod_object(r, "z", "other"), pod_object(r, "a", "other")), pool_object(r, 0),
          join(ready_with(r, "other", "z"), ready_with(r, "s", "a")), NULL);
    assert_call(r, DELETE_A);
    answer(r, DELETE_A, 200, "{\"kind\":\"Status\"}");
    assert_status(r, "PodTaken");
}

/* ---- a status that may take place after it was read back ---------------------------------------
 */

/* The next status of s is lost, and s is as before; the claim of pod a is refused. u waits, too. */
static char *lose_status(struct rig *r, const char *status)
{
    char *before;

    start(r, join(pod_object(r, "z", NULL), pod_object(r, "a", NULL)), pool_object(r, 1),
          sandbox_object(r, "first", ""), NULL);
    answer_object(r, POD_Z, pod_object(r, "z", "first"));
    answer_object(r, FIRST_STATUS, ready_with(r, "first", "z"));
    before = sandbox_object(r, "s", status);
    watch(r, "sandboxes", "ADDED", xstrdup(before));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    lose(r, SANDBOX_STATUS);
    answer_status(r, POD_A, 403, "Forbidden");
    answer(r, READ_SANDBOX, 200, before);
    return before;
}

static void test_status_comes_late(void **state)
{
    struct rig *r = *state;

    free(lose_status(r, ""));
    assert_no_call(r, POD_A);
    watch(r, "sandboxes", "MODIFIED", ready_with(r, "s", "a"));
    fake_advance(&r->ops, 2000);
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
}

/* It never comes: the sandbox itself takes the pod that is kept for it. */
static void test_status_never_comes(void **state)
{
    struct rig *r = *state;

    free(lose_status(r, ""));
    assert_no_call(r, POD_A);
    fake_advance(&r->ops, 2000);
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_status(r, "\"podUID\":\"uid-a\"");
}

/* Whatever else was written, the lost status can take place no more. */
static void test_sandbox_has_changed_since_its_status_was_lost(void **state)
{
    struct rig *r = *state;

    free(lose_status(r, ""));
    watch(r, "sandboxes", "MODIFIED", sandbox_object(r, "s", ""));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
}

static void test_sandbox_is_gone_since_its_status_was_lost(void **state)
{
    struct rig *r = *state;
    cleanup_free char *before = lose_status(r, "");

    watch(r, "sandboxes", "DELETED", xstrdup(before));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
}

/* The pod that was kept is gone: the sandbox takes another one. */
static void test_kept_pod_is_gone(void **state)
{
    struct rig *r = *state;

    free(lose_status(r, ""));
    watch(r, "pods", "DELETED", pod_object(r, "a", NULL));
    watch(r, "pods", "ADDED", pod_object(r, "b", NULL));
    fake_advance(&r->ops, 2000);
    assert_call(r, "PATCH /api/v1/namespaces/ns/pods/b");
}

#define PENDING                                                                                    \
    "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","              \
    "\"reason\":\"WaitingForPod\",\"message\":\"waiting for an idle pod of WarmPool p, 5m0s at "   \
    "most\",\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]"

/* The pod that is kept is not ready for a moment, and its sandbox says already that it waits. When
 * the pod is ready again, nobody else may take it: the sandbox has to be told. */
static void test_kept_pod_gets_ready_again(void **state)
{
    struct rig *r = *state;
    char *unready;

    free(lose_status(r, PENDING));
    unready = pod_object(r, "a", NULL);
    memcpy(strstr(unready, "True"), "None", 4);
    watch(r, "pods", "MODIFIED", unready);
    fake_advance(&r->ops, 2000);
    assert_no_call(r, POD_A);
    assert_no_call(r, SANDBOX_STATUS);
    watch(r, "pods", "MODIFIED", pod_object(r, "a", NULL));
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
}

/* The claim of the pod had a Conflict, and the pod is still being read: the sandbox takes another
 * one meanwhile. The status that was lost may take place as before. */
static void test_pod_is_kept_while_it_is_read(void **state)
{
    struct rig *r = *state;
    char *before;

    start(r, join(pod_object(r, "z", NULL), pod_object(r, "a", NULL)), pool_object(r, 1),
          sandbox_object(r, "first", ""), NULL);
    answer_object(r, POD_Z, pod_object(r, "z", "first"));
    answer_object(r, FIRST_STATUS, ready_with(r, "first", "z"));
    before = sandbox_object(r, "s", "");
    watch(r, "sandboxes", "ADDED", xstrdup(before));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    answer_status(r, POD_A, 409, "Conflict");
    lose(r, SANDBOX_STATUS);
    answer(r, READ_SANDBOX, 200, before);
    watch(r, "pods", "ADDED", pod_object(r, "b", NULL));
    assert_call(r, "PATCH /api/v1/namespaces/ns/pods/b");
    assert_status(r, "\"podUID\":\"uid-b\"");
    answer_object(r, READ_POD, pod_object(r, "a", NULL));
    assert_no_call(r, POD_A);
    answer_object(r, SANDBOX_STATUS, ready_with(r, "s", "b"));
    assert_claimed_for(r, "\"uid\":\"uid-u\"");
    free(before);
}

/* A pod is just being deleted when somebody begins to wait, and then it is not. */
static void test_pod_whose_delete_fails_goes_to_who_waits(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 0), NULL, NULL);
    assert_call(r, DELETE_A);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_no_call(r, POD_A);
    answer_status(r, DELETE_A, 500, "InternalError");
    assert_claimed_for(r, "\"uid\":\"uid-s\"");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_claim_is_refused_before_the_status_is_answered),
        T(test_claim_conflicts_before_the_status_is_answered),
        T(test_neither_is_done_and_the_next_one_gets_the_pod),
        T(test_pod_of_a_deleted_sandbox_goes_to_who_waits),
        T(test_pod_of_a_failed_sandbox_goes_to_who_waits),
        T(test_sandbox_is_deleted_before_the_claim_is_answered),
        T(test_sandbox_is_made_anew_before_the_claim_is_answered),
        T(test_pod_of_another_pool_is_not_claimed),
        T(test_many_name_one_pod),
        T(test_claim_that_is_lost_each_time_is_made_again_seldom),
        T(test_claim_that_fails_in_the_server_is_made_again_seldom),
        T(test_status_refused_each_time),
        T(test_deleted_with_finalizer_while_both_are_under_way),
        T(test_pool_is_deleted_while_promised),
        T(test_sandbox_is_gone_when_its_status_is_written),
        T(test_watch_is_quicker_than_both_answers),
        T(test_pod_is_deleted_as_a_second_one),
        T(test_status_comes_late),
        T(test_status_never_comes),
        T(test_sandbox_has_changed_since_its_status_was_lost),
        T(test_sandbox_is_gone_since_its_status_was_lost),
        T(test_kept_pod_is_gone),
        T(test_kept_pod_gets_ready_again),
        T(test_pod_is_kept_while_it_is_read),
        T(test_pod_whose_delete_fails_goes_to_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
