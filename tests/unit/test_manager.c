/*
 * The whole operator above the seam: reflectors, planners, executor and sidecar client against
 * answers that the test makes, lost and refused ones among them.
 */
#include "tests/unit/unit.h"

#include "tests/unit/manager_rig.h"

#define TASKS_PATH "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/"

/* ---- tasks ----------------------------------------------------------------------------------- */

static void test_task_is_one_write(void **state)
{
    struct rig *r = *state;
    struct ops_call *put;
    unsigned before;

    start_with_sandbox(r);
    before = r->ops.started;
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    put = fake_find(&r->ops, PUT);
    assert_non_null(put);
    assert_string_equal(put->address, "10.0.0.1:8080");
    assert_non_null(strstr(put->headers, "Signature-Input: arl=("));
    assert_non_null(strstr(put->headers, "Arl-Pod-Uid: uid-a"));
    assert_non_null(strstr(put->headers, "Arl-Sandbox-Uid: uid-s"));
    run_events(r, 1);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"stdout\":\"hi\\n\""));
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_int_equal(r->ops.started - before, 2);
    fake_advance(&r->ops, 1000);
    assert_string_equal(fake_find(&r->ops, "POST /v1/acknowledged")->body,
                        "{\"attempts\":[\"uid-t/1\"]}");
    answer(r, "POST /v1/acknowledged", 204, "");
}

static void test_task_stream_that_breaks_is_attached_to_again(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    event(r, PUT, (struct task_event){.seq = 2, .type = TASK_EVENT_STEP});
    lose(r, PUT);
    assert_no_call(r, TASK_STATUS);
    fake_advance(&r->ops, 50);
    assert_call(r, PUT "?after=2");
    run_events(r, 3);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
}

static void test_task_write_is_repeated_the_task_is_not(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    for (int i = 0; i < 3; i++) {
        lose(r, TASK_STATUS);
        fake_advance(&r->ops, 30000);
    }
    assert_call(r, TASK_STATUS);
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_no_call(r, "after=");
    assert_no_call(r, TASK_STATUS);
}

static void test_task_status_that_is_refused_is_cut_down(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    answer_status(r, TASK_STATUS, 422, "Invalid");
    fake_advance(&r->ops, 1000);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "refused the full result"));
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"exitCode\":0"));
}

static void test_task_after_an_operator_restart_attaches(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", "\"state\":\"Running\",\"startTime\":\"2026-01-02T03:04:05Z\""));
    assert_no_call(r, PUT); /* before it is known what runs there */
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"}]}");
    assert_call(r, PUT);
    run_events(r, 1);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
}

/* An operator that did not know of the older task has begun the younger one. */
static void test_what_runs_goes_first_after_a_restart(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", ""));
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-u/1\",\"task\":\"ns/u\"}]}");
    assert_call(r, "PUT /v1/tasks/uid-u/1");
    assert_no_call(r, PUT);
}

/* The next task must not begin beside what may run there, so it is not sent. But no task waits for
 * ever, and the one behind it has a minute of its own. */
static void test_agent_that_does_not_tell_what_runs_is_given_up(void **state)
{
    struct rig *r = *state;
    int64_t from = r->ops.now.mono_ns;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          join(task_object(r, "t", "\"state\":\"Running\""),
               task_object(r, "u", "\"state\":\"Running\"")));
    for (int i = 0; i < 100 && !fake_find(&r->ops, TASK_STATUS); i++) {
        answer(r, "GET /v1/tasks", i % 2 ? 401 : 500, "");
        fake_advance(&r->ops, 2000);
        turn(r);
    }
    assert_in_range(r->ops.now.mono_ns - from, 60 * NSEC_PER_SEC, 64 * NSEC_PER_SEC);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentUnavailable"));
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"exitCode\":137"));
    watch(r, "tasks", "MODIFIED",
          task_object(r, "t", "\"state\":\"Failed\",\"completionTime\":\"2026-01-02T03:05:07Z\""));
    assert_no_call(r, "tasks/u/status");
    assert_no_call(r, "PUT /v1/tasks");
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, "PUT /v1/tasks/uid-u/1");
}

/* The kill takes its time, as the agent's answers say. What the audit finds is stopped before
 * anything begins. */
static void test_next_task_waits_until_a_deleted_one_is_over(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
    for (int i = 0; i < 40; i++) {
        if (i % 2)
            lose(r, "DELETE /v1/tasks/uid-t/1");
        else
            answer(r, "DELETE /v1/tasks/uid-t/1", 202, "");
        fake_advance(&r->ops, 2000);
        turn(r);
        assert_no_call(r, "GET /v1/tasks");
        if (fake_find(&r->ops, "tasks/u/status"))
            break;
    }
    /* But not for ever: see the test above. */
    assert_non_null(strstr(fake_find(&r->ops, "tasks/u/status")->body, "AgentUnavailable"));
    answer(r, "DELETE /v1/tasks/uid-t/1", 204, "");
    answer_object(
        r, "tasks/u/status",
        task_object(r, "u", "\"state\":\"Failed\",\"completionTime\":\"2026-01-02T03:05:07Z\""));
    watch(r, "tasks", "ADDED", task_object(r, "v", ""));
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"ns/x\"}]}");
    answer(r, TASKS_PATH "x", 404, "{\"reason\":\"NotFound\"}");
    assert_no_call(r, "PUT");
    answer(r, "DELETE /v1/tasks/uid-x/1", 404, "");
    fake_advance(&r->ops, 50);
    turn(r);
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, "PUT /v1/tasks/uid-v/1");
}

/* A cancel and one audit: more than that a deletion does not cost when nothing is slow. */
static void test_next_task_begins_at_once_behind_what_is_over(void **state)
{
    struct rig *r = *state;
    unsigned before;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    before = r->ops.started;
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    answer(r, "DELETE /v1/tasks/uid-t/1", 204, "");
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, "PUT /v1/tasks/uid-u/1");
    assert_int_equal(r->ops.started - before, 3);
}

/* Sandbox and pod are deleted together: whichever watch is first, the reason is the same. */
static void test_task_whose_sandbox_goes_with_its_pod(void **state)
{
    for (int order = 0; order < 3; order++) {
        struct rig *r = *state;

        start_with_sandbox(r);
        watch(r, "tasks", "ADDED", task_object(r, "t", ""));
        assert_call(r, PUT);
        if (order == 0) {
            watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
        } else if (order == 1) {
            watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
            answer_status(r, "GET /api/v1/namespaces/ns/pods/a", 404, "NotFound");
            answer_status(r, SANDBOX_STATUS, 404, "NotFound");
        } else {
            watch(r, "pods", "MODIFIED",
                  object(r, "a",
                         ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/sandbox\":\"s\"},"
                         "\"deletionTimestamp\":\"2026-01-02T03:04:05Z\",\"ownerReferences\":[{"
                         "\"kind\":\"Sandbox\",\"uid\":\"uid-s\",\"controller\":true}]",
                         POD_STATUS("10.0.0.1")));
            answer_status(r, SANDBOX_STATUS, 404, "NotFound");
        }
        assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "SandboxDeleted"));
        teardown(state);
        setup(state);
    }
}

static void test_task_refused_by_the_agent_fails(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 403, "{\"error\":\"another sandbox\"}");
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentRefused"));
}

static void test_task_begun_under_other_flags_is_attached_to(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 409, "{\"error\":\"another body\"}");
    assert_no_call(r, TASK_STATUS);
    assert_string_equal(fake_find(&r->ops, "GET /v1/tasks/uid-t/1")->body, "");
    event(r, "GET /v1/tasks/uid-t/1", (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    lose(r, "GET /v1/tasks/uid-t/1");
    fake_advance(&r->ops, 50);
    assert_call(r, "GET /v1/tasks/uid-t/1?after=1");
}

static void test_task_whose_result_was_dropped_fails(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 410, "{}");
    answer_object(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t",
                  task_object(r, "t", "\"state\":\"Running\""));
    assert_no_call(r, PUT);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "ResultLost"));
}

static void test_orphan_is_cancelled(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", "\"state\":\"Running\""));
    answer(r, "GET /v1/tasks", 200,
           "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"},"
           "{\"attempt\":\"uid-gone/3\",\"task\":\"ns/gone\"},"
           "{\"attempt\":\"uid-old/1\",\"task\":\"ns/old\"},"
           "{\"attempt\":\"uid-new/1\",\"task\":\"ns/new\"}]}");
    assert_no_call(r, "DELETE /v1/tasks");
    answer(r, TASKS_PATH "gone", 404, "{\"reason\":\"NotFound\"}");
    answer(r, "DELETE /v1/tasks/uid-gone/3", 202, "");
    answer_object(r, TASKS_PATH "old", task_object(r, "t", "")); /* made anew, with another uid */
    answer(r, "DELETE /v1/tasks/uid-old/1", 202, "");
    /* The watch has yet to tell of this one. */
    answer_object(r, TASKS_PATH "new", task_object(r, "new", ""));
    assert_no_call(r, "DELETE /v1/tasks");
}

/* The cache knows that these attempts are not wanted any more: the API server is not asked. */
static void test_attempts_of_ended_tasks_are_cancelled(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          join(task_object(r, "t", "\"state\":\"Failed\""),
               task_object(r, "u", "\"state\":\"Running\",\"attempt\":2")));
    answer(r, "GET /v1/tasks", 200,
           "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"},"
           "{\"attempt\":\"uid-u/1\",\"task\":\"ns/u\"}]}");
    assert_no_call(r, TASKS_PATH);
    assert_call(r, "DELETE /v1/tasks/uid-t/1");
    assert_call(r, "DELETE /v1/tasks/uid-u/1");
}

static void test_task_acknowledged_elsewhere_is_read(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 410, "{}");
    assert_no_call(r, TASK_STATUS);
    answer_object(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t",
                  task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_no_call(r, PUT);
    assert_no_call(r, TASK_STATUS);
}

static void test_task_of_a_silent_agent_fails_in_the_end(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (int i = 0; i < 100 && fake_find(&r->ops, PUT); i++) {
        fake_fail(fake_find(&r->ops, PUT), -ECONNREFUSED, false);
        turn(r);
        if (fake_find(&r->ops, TASK_STATUS))
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
        fake_advance(&r->ops, 2000);
    }
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentUnavailable"));
    /* The task may run there all the same. */
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Failed\""));
    assert_call(r, "DELETE /v1/tasks/uid-t/1");
}

static void test_task_of_an_agent_that_only_beats_goes_on(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (int i = 0; i < 10; i++) {
        lose(r, PUT);
        fake_advance(&r->ops, 2000);
        assert_true(fake_data(&r->ops, fake_find(&r->ops, PUT), "\n", 1));
        fake_advance(&r->ops, 30000);
        if (fake_find(&r->ops, TASK_STATUS))
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    }
    assert_call(r, PUT);
}

/* An operator that starts among so many Ready sandboxes. */
static void start_with_boxes(struct rig *r, int count)
{
    char *pods = NULL, *sandboxes = NULL;

    for (int i = 0; i < count; i++) {
        cleanup_free char *pod = xasprintf("pod%d", i), *box = xasprintf("box%d", i);
        cleanup_free char *status = xasprintf("\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY
                                              "\",\"podName\":\"%s\",\"podUID\":\"uid-%s\"",
                                              pod, pod);
        char *p = pod_object(r, pod, box), *s = sandbox_object(r, box, status);

        pods = pods ? join(pods, p) : p;
        sandboxes = sandboxes ? join(sandboxes, s) : s;
    }
    start(r, pods, pool_object(r, 0), sandboxes, NULL);
}

static void test_audits_after_a_start_are_bounded(void **state)
{
    struct rig *r = *state;
    unsigned audits = 0;

    start_with_boxes(r, 40);
    for (; fake_find(&r->ops, "GET /v1/tasks"); audits++) {
        assert_true(fake_calls(&r->ops) <= 4 + 16 + 2); /* watches, audits, the pool's status */
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    }
    assert_int_equal(audits, 40);
}

/* An agent that does not answer costs the audits of the others one try, and no more. */
static void test_silent_agents_do_not_hold_up_the_audits_of_others(void **state)
{
    struct rig *r = *state;
    unsigned first = 0, again = 0;

    start_with_boxes(r, 40);
    for (; fake_find(&r->ops, "GET /v1/tasks"); first++)
        lose(r, "GET /v1/tasks");
    assert_int_equal(first, 40); /* no time has passed */
    fake_advance(&r->ops, 2000);
    turn(r);
    assert_int_equal(fake_calls(&r->ops), 4 + 1 + 16);
    watch(r, "pods", "ADDED", pod_object(r, "a", "s"));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", READY));
    assert_int_equal(fake_calls(&r->ops), 4 + 1 + 16 + 1);
    for (; fake_find(&r->ops, "GET /v1/tasks"); again++)
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_int_equal(again, 41);
}

static void test_task_deleted_is_cancelled_until_heard(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
    assert_no_call(r, PUT);
    lose(r, "DELETE /v1/tasks/uid-t/1");
    fake_advance(&r->ops, 50);
    answer(r, "DELETE /v1/tasks/uid-t/1", 202, "");
    assert_no_call(r, "DELETE");
}

static void test_inactive_operator_does_nothing(void **state)
{
    struct rig *r = *state;

    manager_set_active(r->m, false);
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_no_call(r, PUT);
    manager_set_active(r->m, true);
    turn(r);
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, PUT);
}

/* Watches that wait to try again do so in the turn after an outage. */
static void test_watches_go_on_when_the_server_is_back(void **state)
{
    struct rig *r = *state;

    start(r, NULL, NULL, NULL, NULL);
    lose(r, "/tasks?watch");
    assert_no_call(r, "/tasks?watch");
    manager_gate_turned(r->m);
    assert_no_call(r, "/tasks?watch");
    turn(r);
    assert_call(r, "/tasks?watch");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_task_is_one_write),
        T(test_task_stream_that_breaks_is_attached_to_again),
        T(test_task_write_is_repeated_the_task_is_not),
        T(test_task_status_that_is_refused_is_cut_down),
        T(test_task_after_an_operator_restart_attaches),
        T(test_what_runs_goes_first_after_a_restart),
        T(test_agent_that_does_not_tell_what_runs_is_given_up),
        T(test_next_task_waits_until_a_deleted_one_is_over),
        T(test_next_task_begins_at_once_behind_what_is_over),
        T(test_task_whose_sandbox_goes_with_its_pod),
        T(test_task_refused_by_the_agent_fails),
        T(test_task_begun_under_other_flags_is_attached_to),
        T(test_task_whose_result_was_dropped_fails),
        T(test_orphan_is_cancelled),
        T(test_attempts_of_ended_tasks_are_cancelled),
        T(test_task_acknowledged_elsewhere_is_read),
        T(test_task_of_a_silent_agent_fails_in_the_end),
        T(test_task_of_an_agent_that_only_beats_goes_on),
        T(test_audits_after_a_start_are_bounded),
        T(test_silent_agents_do_not_hold_up_the_audits_of_others),
        T(test_task_deleted_is_cancelled_until_heard),
        T(test_inactive_operator_does_nothing),
        T(test_watches_go_on_when_the_server_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
