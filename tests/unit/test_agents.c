/*
 * Agents that misbehave: what comes from a pod is not trusted, and must cost no more than the task
 * that runs there.
 */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "tests/unit/manager_rig.h"

static void begin(struct rig *r)
{
    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

/* Sends bytes of the stream, which must be dropped after them. */
static void drops(struct rig *r, const char *data, size_t len)
{
    assert_false(fake_data(&r->ops, fake_find(&r->ops, PUT), data, len));
    turn(r);
    assert_no_call(r, PUT);
}

/* Time passes. If the write that the task runs is due, it is answered. */
static void pass(struct rig *r, int64_t ms)
{
    fake_advance(&r->ops, ms);
    if (!fake_find(&r->ops, TASK_STATUS))
        return;
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Running\""));
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
}

static void test_a_malformed_event_ends_the_stream_and_not_the_task(void **state)
{
    static const char *const lines[] = {
        "nonsense\n",
        "{\"seq\":2}\n",
        "{\"seq\":2,\"type\":\"dance\"}\n",
        "{\"seq\":7,\"type\":\"step\",\"step\":0}\n",  /* others are missing */
        "{\"seq\":2,\"type\":\"step\",\"step\":99}\n", /* the task has one */
    };
    struct rig *r = *state;

    begin(r);
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        drops(r, lines[i], strlen(lines[i]));
        pass(r, 2000);
        assert_call(r, PUT "?after=1");
    }
    run_events(r, 2);
    pass(r, 0); /* the output so far */
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
}

static void test_a_line_without_end_is_not_kept(void **state)
{
    struct rig *r = *state;
    cleanup_free char *data = xmalloc(LIMIT_EVENT_LINE_BYTES);

    memset(data, 'x', LIMIT_EVENT_LINE_BYTES);
    begin(r);
    assert_true(fake_data(&r->ops, fake_find(&r->ops, PUT), data, LIMIT_EVENT_LINE_BYTES - 1));
    drops(r, data, 2);
    fake_advance(&r->ops, 50);
    run_events(r, 1); /* what was cut is not taken for the beginning of the next line */
    assert_call(r, TASK_STATUS);
}

static void test_malformed_for_a_minute_is_as_good_as_silent(void **state)
{
    struct rig *r = *state;
    unsigned tries = 0;

    begin(r);
    for (; tries < 200 && fake_find(&r->ops, PUT); tries++) {
        fake_line(&r->ops, fake_find(&r->ops, PUT), "nonsense");
        turn(r);
        if (!fake_find(&r->ops, TASK_STATUS))
            pass(r, 2000);
    }
    assert_in_range(tries, 20, 60);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentUnavailable"));
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "malformed event"));
}

static void test_a_stream_that_ends_early_is_attached_to_again(void **state)
{
    struct rig *r = *state;

    begin(r);
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    fake_answer(fake_find(&r->ops, PUT), 200, "");
    turn(r);
    assert_no_call(r, PUT);
    fake_advance(&r->ops, 50);
    assert_call(r, PUT "?after=1");
}

/* The kubelet made the pod's containers anew, and its network with them: what still runs at the
 * earlier address is not this pod. */
static void test_a_pod_is_followed_to_another_address(void **state)
{
    static const char md[] =
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"allocated\","
        "\"arl.infra.io/sandbox\":\"s\"},"
        "\"ownerReferences\":[{\"kind\":\"Sandbox\",\"uid\":\"uid-s\",\"controller\":true}]";
    struct rig *r = *state;

    begin(r);
    assert_string_equal(fake_find(&r->ops, PUT)->address, "10.0.0.1:8080");
    fake_fail(fake_find(&r->ops, PUT), -ECONNRESET, true);
    watch(r, "pods", "MODIFIED", object(r, "a", md, POD_STATUS("10.0.0.2")));
    fake_advance(&r->ops, 50);
    assert_string_equal(fake_find(&r->ops, PUT)->address, "10.0.0.2:8080");
}

/* To the first 409 the operator attaches. To the next one it makes a pause, or the two would ask
 * and answer without end. */
static void test_conflicts_are_not_answered_at_once_twice(void **state)
{
    struct rig *r = *state;

    begin(r);
    answer(r, PUT, 409, "{\"error\":\"another body\"}");
    answer(r, "GET /v1/tasks/uid-t/1", 409, "{}");
    assert_no_call(r, "GET /v1/tasks/uid-t/1");
    fake_advance(&r->ops, 50);
    assert_call(r, "GET /v1/tasks/uid-t/1");
}

static void test_answers_that_are_no_stream(void **state)
{
    static const struct {
        int status;
        bool refused;
    } rows[] = {{400, true}, {403, true}, {413, true}, {429, false}, {503, false}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct rig *r = *state;

        begin(r);
        answer(r, PUT, rows[i].status, "{\"error\":\"because\"}");
        if (rows[i].refused) {
            assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentRefused"));
            assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "because"));
        } else {
            assert_no_call(r, TASK_STATUS);
            fake_advance(&r->ops, 50);
            assert_call(r, PUT);
        }
        teardown(state);
        setup(state);
    }
}

static void test_a_pod_that_knows_another_key_cannot_be_asked(void **state)
{
    static const char md[] =
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"allocated\","
        "\"arl.infra.io/sandbox\":\"s\"},\"annotations\":{\"arl.infra.io/signing-key\":\"gone\"},"
        "\"ownerReferences\":[{\"kind\":\"Sandbox\",\"uid\":\"uid-s\",\"controller\":true}]";
    struct rig *r = *state;

    start(
        r,
        object(r, "a", md,
               "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":"
               "\"Ready\",\"status\":\"True\"}]}"),
        pool_object(r, 0), sandbox_object(r, "s", READY), task_object(r, "t", ""));
    assert_no_call(r, "/v1/tasks");
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentUnavailable"));
    assert_non_null(
        strstr(fake_find(&r->ops, TASK_STATUS)->body,
               "the pod knows the signing key gone, and this operator does not have it"));
}

static void cancel(struct rig *r)
{
    begin(r);
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
}

#define DELETE "DELETE /v1/tasks/uid-t/1"

static void test_a_cancel_that_is_refused_is_tried_again_for_a_while(void **state)
{
    static const int statuses[] = {500, 403, 429, 507};
    struct rig *r = *state;
    unsigned tries = 0;

    cancel(r);
    for (; fake_find(&r->ops, DELETE) && tries < 100; tries++) {
        answer(r, DELETE, statuses[tries % ARRAY_SIZE(statuses)], "");
        fake_advance(&r->ops, 2000);
    }
    assert_int_equal(tries, 20);
    /* What it left running is found, and cancelled anew. */
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"}]}");
    answer(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t", 404,
           "{\"reason\":\"NotFound\"}");
    assert_call(r, DELETE);
}

static void test_a_cancel_goes_on_while_the_agent_is_silent(void **state)
{
    struct rig *r = *state;

    cancel(r);
    for (unsigned tries = 0; tries < 100; tries++) {
        lose(r, DELETE);
        fake_advance(&r->ops, 2000);
    }
    watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
    lose(r, DELETE);
    fake_advance(&r->ops, 2000);
    assert_no_call(r, DELETE);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_malformed_event_ends_the_stream_and_not_the_task),
        T(test_a_line_without_end_is_not_kept),
        T(test_malformed_for_a_minute_is_as_good_as_silent),
        T(test_a_stream_that_ends_early_is_attached_to_again),
        T(test_a_pod_is_followed_to_another_address),
        T(test_conflicts_are_not_answered_at_once_twice),
        T(test_answers_that_are_no_stream),
        T(test_a_pod_that_knows_another_key_cannot_be_asked),
        T(test_a_cancel_that_is_refused_is_tried_again_for_a_while),
        T(test_a_cancel_goes_on_while_the_agent_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
