/*
 * Claims, and the creates and deletes of pods, by the whole operator above the seam: answers that
 * are lost, refused, or come from somebody who was faster.
 */
#include "tests/unit/unit.h"

#include "tests/unit/manager_rig.h"

#define READ_SANDBOX "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/sandboxes/s"

static void start_with_two_pods(struct rig *r)
{
    start(r, join(pod_object(r, "a", NULL), pod_object(r, "b", NULL)), pool_object(r, 2), NULL,
          NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 2));
}

static void test_claim_is_two_writes(void **state)
{
    struct rig *r = *state;
    unsigned before;

    start_with_two_pods(r);
    fake_advance(&r->ops, 1000);
    answer_object(r, POOL_STATUS, pool_object(r, 2)); /* the next one is due in a second */
    fake_advance(&r->ops, 900);
    before = r->ops.started;
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_call(r, POD_A);
    assert_no_call(r, SANDBOX_STATUS);
    assert_no_call(r, CREATE_POD);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, SANDBOX_STATUS);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"phase\":\"Ready\""));
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", READY));
    assert_call(r, CREATE_POD); /* the refill */
    assert_int_equal(r->ops.started - before, 3);
    fake_advance(&r->ops, 299);
    assert_no_call(r, POOL_STATUS); /* claims may follow */
    fake_advance(&r->ops, 1);
    assert_call(r, POOL_STATUS);
}

static void test_claim_conflict_takes_the_next_pod(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    answer_status(r, POD_A, 409, "Conflict");
    assert_call(r, POD_B);
    assert_no_call(r, POD_A);
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", "other"));
    answer_object(r, POD_B, pod_object(r, "b", "s"));
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"b\""));
}

static void test_claim_whose_answer_is_lost_takes_no_second_pod(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    lose(r, POD_A);
    assert_no_call(r, POD_B);
    lose(r, "GET /api/v1/namespaces/ns/pods/a");
    assert_no_call(r, POD_B);
    fake_advance(&r->ops, 5000);
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", "s"));
    assert_no_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"a\""));
}

/* teardown() finds calls and timers that are left. */
static void test_operator_ends_while_a_claim_is_read_again(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    lose(r, POD_A);
    lose(r, "GET /api/v1/namespaces/ns/pods/a");
    assert_no_call(r, "GET /api/v1/namespaces/ns/pods/a");
}

/* The write of the status took place, but its answer was lost, and the pod is gone before the watch
 * tells of the status. */
static void test_status_whose_answer_is_lost_takes_no_second_pod(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    lose(r, SANDBOX_STATUS);
    watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
    fake_advance(&r->ops, 5000);
    assert_no_call(r, POD_B);
    lose(r, READ_SANDBOX);
    fake_advance(&r->ops, 5000);
    assert_no_call(r, POD_B);
    answer_object(r, READ_SANDBOX, sandbox_object(r, "s", READY));
    assert_no_call(r, POD_B);
    answer_status(r, "GET /api/v1/namespaces/ns/pods/a", 404, "NotFound");
    assert_no_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "PodLost"));
}

/* By a policy of the cluster, say. */
static void test_claim_that_is_refused_says_so(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    for (int i = 0; i < 3; i++) {
        assert_no_call(r, SANDBOX_STATUS);
        answer_status(r, POD_A, 403, "Forbidden");
        assert_no_call(r, POD_A); /* not at once */
        fake_advance(&r->ops, 1000 << i);
    }
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "ClaimRefused"));
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "Forbidden happened"));
    answer_object(
        r, SANDBOX_STATUS,
        sandbox_object(r, "s",
                       "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
                       "\"False\",\"reason\":\"ClaimRefused\",\"message\":\"a pod of "
                       "WarmPool p cannot be taken: Forbidden happened\"}]"));
    assert_call(r, POD_A);
}

/* A conflict although the pod is as it was counts as a refusal; any other conflict does not. */
static void test_claim_that_conflicts_with_nothing_waits(void **state)
{
    struct rig *r = *state;
    cleanup_free char *changed = NULL;

    start(r, pod_object(r, "a", NULL), pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    changed = pod_object(r, "a", NULL);
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", xstrdup(changed));
    answer_status(r, POD_A, 409, "Conflict");
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", xstrdup(changed));
    assert_no_call(r, POD_A);
    fake_advance(&r->ops, 1000);
    assert_call(r, POD_A);
}

/* The answer leaves open what became of the claim, each time. */
static void test_claim_that_never_takes_place_waits_between_tries(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    answer_status(r, POD_A, 500, "InternalError");
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", NULL));
    assert_no_call(r, POD_A);
    fake_advance(&r->ops, 1000);
    assert_call(r, POD_A);
}

static void test_status_that_never_takes_place_waits_between_tries(void **state)
{
    struct rig *r = *state;
    cleanup_free char *unchanged = sandbox_object(r, "s", "");

    start(r, pod_object(r, "a", NULL), pool_object(r, 1), xstrdup(unchanged), NULL);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    lose(r, SANDBOX_STATUS);
    answer_object(r, READ_SANDBOX, xstrdup(unchanged));
    assert_no_call(r, SANDBOX_STATUS);
    fake_advance(&r->ops, 1000);
    assert_call(r, SANDBOX_STATUS);
}

static void test_claim_after_a_crash_is_finished(void **state)
{
    struct rig *r = *state;

    start(r, join(pod_object(r, "a", "s"), pod_object(r, "b", NULL)), pool_object(r, 1),
          sandbox_object(r, "s", ""), NULL);
    assert_no_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"a\""));
}

/* The pod of sandbox s with other labels, as somebody gives it who takes it out of service. */
static char *relabelled(struct rig *r, const char *labels)
{
    cleanup_free char *md = xasprintf(",\"labels\":{%s},\"ownerReferences\":[{\"kind\":\"Sandbox\","
                                      "\"name\":\"s\",\"uid\":\"uid-s\",\"controller\":true}]",
                                      labels);

    return object(r, "a", md, "\"status\":{\"phase\":\"Running\"}");
}

/* found: what the API server has under the name of the pod; takes it over. */
static void expect_lost(struct rig *r, char *found)
{
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", found);
    assert_no_call(r, "GET /api/v1/namespaces/ns/pods/a");
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "PodLost"));
    assert_non_null(
        strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "pod a is not the sandbox's any more"));
}

/* The owner reference says whose a pod is, not the label. */
static void test_pod_that_loses_the_label_of_its_sandbox_stays_its(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "pods", "MODIFIED", relabelled(r, "\"arl.infra.io/pool\":\"p\""));
    assert_no_call(r, "GET /api/v1/namespaces/ns/pods/a");
    assert_no_call(r, SANDBOX_STATUS);
}

static void test_pod_that_loses_the_label_of_its_pool_is_lost(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "pods", "DELETED", relabelled(r, "\"arl.infra.io/sandbox\":\"s\""));
    expect_lost(r, relabelled(r, "\"arl.infra.io/sandbox\":\"s\""));
}

static void test_pod_that_is_replaced_by_one_of_its_name_is_lost(void **state)
{
    struct rig *r = *state;
    char *other = relabelled(r, "\"arl.infra.io/pool\":\"p\"");

    start(r, NULL, pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    memcpy(strstr(other, "uid-a"), "uid-z", strlen("uid-z"));
    expect_lost(r, other);
}

static void test_two_sandboxes_two_pods(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s2", ""));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s3", ""));
    assert_call(r, POD_A);
    assert_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, POD_B)->body, "\"uid\":\"uid-s2\""));
}

static void test_sandbox_deleted_takes_its_pod(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
    assert_call(r, "DELETE /api/v1/namespaces/ns/pods/a");
    assert_non_null(
        strstr(fake_find(&r->ops, "DELETE /api/v1/namespaces/ns/pods/a")->body, "uid-a"));
    answer(r, "DELETE /api/v1/namespaces/ns/pods/a", 200, "{\"kind\":\"Status\"}");
    assert_no_call(r, "DELETE");
}

/* By a policy of the cluster, say. */
static void test_delete_that_is_refused_waits_between_tries(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
    for (int i = 0; i < 3; i++) {
        answer_status(r, "DELETE /api/v1/namespaces/ns/pods/a", 403, "Forbidden");
        assert_no_call(r, "DELETE"); /* not at once */
        fake_advance(&r->ops, 1000 << i);
        assert_call(r, "DELETE /api/v1/namespaces/ns/pods/a");
    }
}

static void test_create_whose_answer_is_lost_is_not_repeated(void **state)
{
    struct rig *r = *state;
    cleanup_free char *path = NULL;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    assert_call(r, CREATE_POD);
    lose(r, CREATE_POD);
    assert_no_call(r, CREATE_POD);
    path = xstrdup(fake_find(&r->ops, "GET /api/v1/namespaces/ns/pods/p-")->path);
    answer_object(r, path, pod_object(r, strrchr(path, '/') + 1, NULL));
    fake_advance(&r->ops, 60000);
    assert_no_call(r, CREATE_POD);
}

static void test_create_refused_backs_off_and_says_why(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 1));
    answer_status(r, CREATE_POD, 403, "Forbidden");
    assert_no_call(r, CREATE_POD);
    fake_advance(&r->ops, 1000);
    assert_call(r, CREATE_POD);
    assert_non_null(strstr(fake_find(&r->ops, POOL_STATUS)->body, "Forbidden happened"));
}

/* The pod is there, so nothing is wrong, though it is not ready yet. */
static void test_create_that_was_done_in_spite_of_its_answer_is_no_failure(void **state)
{
    struct rig *r = *state;
    cleanup_free char *path = NULL, *pod = NULL;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 1));
    answer_status(r, CREATE_POD, 504, "Timeout");
    path = xstrdup(fake_find(&r->ops, "GET /api/v1/namespaces/ns/pods/p-")->path);
    pod = pod_object(r, strrchr(path, '/') + 1, NULL);
    memcpy(strstr(pod, "\"True\""), "\"Nope\"", 6);
    answer(r, path, 200, pod);
    fake_advance(&r->ops, 2000);
    assert_non_null(strstr(fake_find(&r->ops, POOL_STATUS)->body, "\"replicas\":1"));
    assert_null(strstr(fake_find(&r->ops, POOL_STATUS)->body, "PodsFailing"));
}

static unsigned creates(struct rig *r)
{
    unsigned n = 0;

    for (struct list *it = r->ops.calls.next; it != &r->ops.calls; it = it->next) {
        struct ops_call *c = list_entry(it, struct ops_call, link);

        n += strcmp(c->method, "POST") == 0 && strstr(c->path, "/namespaces/ns/pods?");
    }
    return n;
}

static void refuse_creates(struct rig *r)
{
    while (fake_find(&r->ops, CREATE_POD))
        answer_status(r, CREATE_POD, 403, "Forbidden");
}

/* An outage or a quota meets all creates of a wave: that is one failure. */
static void test_creates_refused_together_are_one_failure(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 20), NULL, NULL);
    assert_int_equal(creates(r), 16);
    for (int seconds = 1; seconds <= 8; seconds *= 2) {
        refuse_creates(r);
        fake_advance(&r->ops, 1000 * seconds - 1);
        assert_no_call(r, CREATE_POD);
        fake_advance(&r->ops, 1);
        assert_int_equal(creates(r), 16);
    }
}

/* Creates of the same wave that fail after one has succeeded are no further failure. */
static void test_create_that_succeeds_ends_the_back_off(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 6), NULL, NULL);
    fake_advance(&r->ops, 10);
    answer_status(r, CREATE_POD, 403, "Forbidden");
    assert_int_equal(creates(r), 5);
    for (int i = 0; i < 2; i++) {
        answer_status(r, CREATE_POD, 409, "AlreadyExists");
        assert_int_equal(creates(r), 6);
        answer_status(r, CREATE_POD, 403, "Forbidden");
        assert_int_equal(creates(r), 6);
    }
    refuse_creates(r);
    fake_advance(&r->ops, 1999);
    assert_no_call(r, CREATE_POD);
    fake_advance(&r->ops, 1);
    assert_int_equal(creates(r), 6);
}

/* The names are the answers' own. */
static void make_pods(struct rig *r, int count)
{
    for (int i = 0; i < count; i++) {
        cleanup_free char *name = xasprintf("made%u", r->rv);

        answer_object(r, CREATE_POD, pod_object(r, name, NULL));
    }
}

static void test_slow_and_failed_creates_halve_their_number(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 60), NULL, NULL);
    fake_advance(&r->ops, 20);
    make_pods(r, 1);
    assert_int_equal(creates(r), 16);
    fake_advance(&r->ops, 2000);
    make_pods(r, 9);
    assert_int_equal(creates(r), 8);
    fake_advance(&r->ops, 20);
    make_pods(r, 8);
    assert_int_equal(creates(r), 8);
    fake_advance(&r->ops, 20);
    answer_status(r, CREATE_POD, 429, "TooManyRequests");
    assert_int_equal(creates(r), 7);
    make_pods(r, 4);
    assert_int_equal(creates(r), 4);
}

/* The server's return ends the back-off of creates that it did not answer, not of those that it
 * refused. */
static void test_creates_go_on_when_the_server_is_back(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    for (int seconds = 1; seconds <= 4; seconds *= 2) {
        fake_fail(fake_find(&r->ops, CREATE_POD), -ECONNREFUSED, false);
        turn(r);
        fake_advance(&r->ops, seconds < 4 ? 1000 * seconds : 0);
    }
    assert_no_call(r, CREATE_POD);
    manager_gate_turned(r->m);
    turn(r);
    assert_call(r, CREATE_POD);
    answer_status(r, CREATE_POD, 403, "Forbidden");
    manager_gate_turned(r->m);
    turn(r);
    assert_no_call(r, CREATE_POD);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_claim_is_two_writes),
        T(test_claim_conflict_takes_the_next_pod),
        T(test_claim_whose_answer_is_lost_takes_no_second_pod),
        T(test_operator_ends_while_a_claim_is_read_again),
        T(test_status_whose_answer_is_lost_takes_no_second_pod),
        T(test_claim_that_is_refused_says_so),
        T(test_claim_that_conflicts_with_nothing_waits),
        T(test_claim_that_never_takes_place_waits_between_tries),
        T(test_status_that_never_takes_place_waits_between_tries),
        T(test_claim_after_a_crash_is_finished),
        T(test_pod_that_loses_the_label_of_its_sandbox_stays_its),
        T(test_pod_that_loses_the_label_of_its_pool_is_lost),
        T(test_pod_that_is_replaced_by_one_of_its_name_is_lost),
        T(test_two_sandboxes_two_pods),
        T(test_sandbox_deleted_takes_its_pod),
        T(test_delete_that_is_refused_waits_between_tries),
        T(test_create_whose_answer_is_lost_is_not_repeated),
        T(test_create_refused_backs_off_and_says_why),
        T(test_create_that_was_done_in_spite_of_its_answer_is_no_failure),
        T(test_creates_refused_together_are_one_failure),
        T(test_create_that_succeeds_ends_the_back_off),
        T(test_slow_and_failed_creates_halve_their_number),
        T(test_creates_go_on_when_the_server_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
