/*
 * Who is believed. Nothing counts that somebody else says in the place of a pod's agent, in
 * whatever way. A sandbox whose agent's place is taken says so until the agent is heard again.
 */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "tests/unit/manager_rig.h"

#define GET "GET /v1/tasks"
#define DELETE "DELETE /v1/tasks/uid-t/1"

static void begin(struct rig *r)
{
    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

#define BOUND                                                                                      \
    "\"phase\":\"Bound\",\"agentKey\":\"" AGENT_SIDE_KEY "\",\"podName\":\"a\",\"podUID\":\"uid-"  \
    "a\",\"workDir\":\"/w\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"  \
    "\"AgentNotBelieved\",\"message\":\"m\",\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]"

#define FAILED                                                                                     \
    "\"phase\":\"Failed\",\"agentKey\":\"" AGENT_SIDE_KEY "\",\"podName\":\"a\",\"podUID\":\"uid-" \
    "a\",\"workDir\":\"/w\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"  \
    "\"AgentNotBelieved\",\"message\":\"only others have answered in place of the agent\","        \
    "\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]"

static void assert_body(struct rig *r, const char *what, const char *part)
{
    assert_call(r, what);
    if (!strstr(fake_find(&r->ops, what)->body, part))
        fail_msg("%s is not in %s", part, fake_find(&r->ops, what)->body);
}

/* The sandbox's status says that somebody else answers, and that it is not Ready; the write is
 * answered. */
static void said_forged(struct rig *r)
{
    assert_body(r, SANDBOX_STATUS, "\"reason\":\"AgentNotBelieved\"");
    assert_body(r, SANDBOX_STATUS, "\"phase\":\"Bound\"");
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", BOUND));
}

static void said_ready(struct rig *r)
{
    assert_body(r, SANDBOX_STATUS, "\"phase\":\"Ready\"");
    assert_body(r, SANDBOX_STATUS, "\"agentKey\":\"" AGENT_SIDE_KEY "\"");
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", READY));
}

/* An answer that nobody has sealed. */
static void bare(struct rig *r, const char *what, int status, const char *body)
{
    const struct ops_response resp = {.status = status,
                                      .body = body,
                                      .body_len = strlen(body),
                                      .retry_after_ms = -1,
                                      .error_msg = ""};

    assert_call(r, what);
    fake_answer_full(fake_find(&r->ops, what), &resp);
    turn(r);
}

static double not_believed(struct rig *r)
{
    static const char name[] = "\narl_agent_not_believed_total ";
    cleanup_buf struct buf out = BUF_INIT(1 << 20);
    const char *at;

    manager_metrics(r->m, &out);
    at = strstr(buf_str(&out), name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

/* The task ends as its agent says, whatever came before. */
static void ends_well(struct rig *r)
{
    fake_advance(&r->ops, 2000);
    if (fake_find(&r->ops, TASK_STATUS))
        answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    run_events(r, 1);
    if (strstr(fake_find(&r->ops, TASK_STATUS)->body,
               "\"state\":\"Running\"")) /* the output so far */
        answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    assert_body(r, TASK_STATUS, "\"state\":\"Succeeded\"");
}

/* ---- answers to a task's stream -------------------------------------------------------------- */

static void test_refusals_that_are_not_sealed_are_none(void **state)
{
    static const struct {
        int status;
        bool doubted; /* false: the agent itself may answer so, while it starts, say */
    } rows[] = {{400, true}, {403, true},  {404, true},  {409, true},  {410, true}, {413, true},
                {307, true}, {401, false}, {426, false}, {500, false}, {503, false}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct rig *r = *state;

        begin(r);
        bare(r, PUT, rows[i].status, "{\"error\":\"because\"}");
        assert_no_call(r, TASK_STATUS);
        assert_no_call(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t");
        assert_true(not_believed(r) == rows[i].doubted);
        if (rows[i].doubted)
            said_forged(r);
        else
            assert_no_call(r, SANDBOX_STATUS);
        ends_well(r);
        teardown(state);
        setup(state);
    }
}

/* A line that would end the task, if the agent had sent it. */
static const char *end_line(void)
{
    static char text[256];
    cleanup_buf struct buf line = BUF_INIT(sizeof(text) - 1);
    const struct task_event ev = {
        .seq = 1, .type = TASK_EVENT_END, .reason = TASK_END_STEP_FAILED, .code = 3};

    assert_int_equal(task_event_encode(&ev, &line), 0);
    snprintf(text, sizeof(text), "%s", buf_str(&line));
    return text;
}

/* An answer that was sealed for this very request and changed on its way. */
static void test_answers_that_were_altered_are_none(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct rig *r = *state;
        cleanup_buf struct buf out = BUF_INIT(1 << 20);
        struct ops_call *c;

        begin(r);
        c = fake_find(&r->ops, PUT);
        fake_seal(c, 200, end_line(), &out);
        if (how == 0) /* a bit of the last frame */
            out.data[out.len - 1] ^= 1;
        else if (how == 1) /* of the status */
            out.data[CHANNEL_HEADER_BYTES + 6] ^= 1;
        else if (how == 2) /* of the header, so that nothing opens */
            out.data[0] ^= 1;
        else /* something behind the end */
            buf_putc(&out, 'x');
        fake_raw_data(&r->ops, c, out.data, out.len);
        turn(r);
        assert_no_call(r, PUT);
        if (how < 3)
            assert_no_call(r, TASK_STATUS);
        assert_true(not_believed(r) == 1);
        said_forged(r);
        teardown(state);
        setup(state);
    }
}

static void test_plain_lines_are_no_events(void **state)
{
    struct rig *r = *state;

    begin(r);
    for (int i = 0; i < 3 && fake_find(&r->ops, PUT); i++)
        fake_raw_data(&r->ops, fake_find(&r->ops, PUT), end_line(), strlen(end_line()));
    turn(r);
    assert_no_call(r, PUT);
    assert_no_call(r, TASK_STATUS);
    said_forged(r);
    ends_well(r);
}

/* The answer to one request is no answer to the next one, though everything else is the same. */
static void test_answers_are_not_believed_twice(void **state)
{
    cleanup_buf struct buf out = BUF_INIT(1 << 20);
    struct rig *r = *state;

    begin(r);
    fake_seal(fake_find(&r->ops, PUT), 200, end_line(), &out);
    lose(r, PUT);
    fake_advance(&r->ops, 50);
    assert_false(fake_raw_data(&r->ops, fake_find(&r->ops, PUT), out.data, out.len));
    turn(r);
    assert_no_call(r, TASK_STATUS);
    said_forged(r);
}

/* A stream that is cut is no sign of somebody else. A stream that ends cleanly without a seal is
 * one: the agent seals its ends. */
static void test_a_cut_is_no_end(void **state)
{
    for (int clean = 0; clean < 2; clean++) {
        struct rig *r = *state;

        begin(r);
        event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
        if (clean)
            bare(r, PUT, 200, "");
        else
            lose(r, PUT);
        assert_true(not_believed(r) == clean);
        if (clean)
            said_forged(r);
        else
            assert_no_call(r, SANDBOX_STATUS);
        fake_advance(&r->ops, 50);
        assert_call(r, PUT "?after=1");
        teardown(state);
        setup(state);
    }
}

/* Half of an answer is no answer, and neither is an empty one. */
static void test_a_part_of_an_answer_is_none(void **state)
{
    for (int half = 0; half < 2; half++) {
        struct rig *r = *state;
        cleanup_buf struct buf out = BUF_INIT(1 << 20);
        struct ops_response resp = {.status = 200, .retry_after_ms = -1, .error_msg = ""};

        begin(r);
        watch(r, "tasks", "DELETED", task_object(r, "t", ""));
        fake_advance(&r->ops, 0);
        fake_seal(fake_find(&r->ops, DELETE), 404, "", &out);
        resp.body = buf_str(&out);
        /* Half: the agent's own status, without the last frame. */
        resp.body_len = half ? CHANNEL_HEADER_BYTES + CHANNEL_FRAME_OVERHEAD + 2 : 0;
        fake_answer_full(fake_find(&r->ops, DELETE), &resp);
        turn(r);
        assert_true(not_believed(r) == 1);
        said_forged(r);
        fake_advance(&r->ops, 2000);
        answer(r, DELETE, 404, "");
        assert_no_call(r, DELETE);
        teardown(state);
        setup(state);
    }
}

static void test_a_frame_without_end_is_not_kept(void **state)
{
    struct rig *r = *state;
    char length[4] = {(char)0xff, (char)0xff, (char)0xff, 0x7f}, zeroes[CHANNEL_HEADER_BYTES] = "";

    begin(r);
    assert_true(fake_raw_data(&r->ops, fake_find(&r->ops, PUT), zeroes, sizeof(zeroes)));
    assert_false(fake_raw_data(&r->ops, fake_find(&r->ops, PUT), length, sizeof(length)));
    turn(r);
    said_forged(r);
}

/* ---- answers to errands ---------------------------------------------------------------------- */

static void test_an_audit_is_not_answered_by_others(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", ""));
    bare(r, GET, 200, "{\"running\":[]}");
    assert_no_call(r, "PUT");
    said_forged(r);
    fake_advance(&r->ops, 2000);
    turn(r);
    answer(r, GET, 200, "{\"running\":[]}");
    said_ready(r);
    assert_body(r, TASK_STATUS, "\"WaitingForSandbox\"");
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Pending\""));
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    assert_call(r, PUT);
}

static void test_a_long_answer_is_none(void **state)
{
    cleanup_free char *body = xmalloc(LIMIT_AGENT_ANSWER_BYTES + 100);
    struct rig *r = *state;

    memset(body, ' ', LIMIT_AGENT_ANSWER_BYTES + 99);
    body[LIMIT_AGENT_ANSWER_BYTES + 99] = '\0';
    memcpy(body, "{\"running\":[]}", 14);
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", ""));
    answer(r, GET, 200, body);
    assert_no_call(r, "PUT");
    assert_no_call(r, SANDBOX_STATUS); /* the agent itself has said it */
    fake_advance(&r->ops, 2000);
    turn(r);
    body[LIMIT_AGENT_ANSWER_BYTES] = '\0';
    answer(r, GET, 200, body);
    assert_call(r, PUT);
}

static void test_a_cancel_is_not_heard_by_others(void **state)
{
    static const int statuses[] = {404, 204, 200, 410, 403};
    struct rig *r = *state;

    begin(r);
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        bare(r, DELETE, statuses[i], "");
        fake_advance(&r->ops, 2000);
        assert_call(r, DELETE);
    }
    answer(r, DELETE, 204, "");
    assert_no_call(r, DELETE);
}

/* ---- the sandbox ----------------------------------------------------------------------------- */

/* Somebody has the place of the agent for so many seconds. */
static void taken_for(struct rig *r, int seconds)
{
    int64_t from = r->ops.now.mono_ns;

    while (r->ops.now.mono_ns - from < seconds * NSEC_PER_SEC) {
        if (fake_find(&r->ops, GET))
            bare(r, GET, 200, "{\"running\":[]}");
        if (fake_find(&r->ops, PUT))
            bare(r, PUT, 410, "{}");
        if (fake_find(&r->ops, TASK_STATUS)) {
            assert_body(r, TASK_STATUS, "\"state\":\"Running\"");
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
        }
        assert_no_call(r, SANDBOX_STATUS);
        fake_advance(&r->ops, 1000);
        turn(r);
    }
}

/* Somebody takes the place of the agent and keeps it. The task goes on as long as the sandbox
 * waits, whatever its own time limits are, and then fails with the sandbox. */
static void test_a_place_that_stays_taken_fails_the_sandbox(void **state)
{
    struct rig *r = *state;

    begin(r);
    bare(r, PUT, 404, "");
    said_forged(r);
    taken_for(r, 299);
    fake_advance(&r->ops, 2000);
    turn(r);
    assert_body(r, SANDBOX_STATUS, "\"phase\":\"Failed\"");
    assert_body(r, SANDBOX_STATUS, "\"reason\":\"AgentNotBelieved\"");
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", FAILED));
    assert_body(r, TASK_STATUS, "\"AgentUnavailable\"");
    assert_body(r, TASK_STATUS, "only others have answered in place of the agent");
}

/* The agent has its place back: it is asked again, and answers. */
static void given_back(struct rig *r)
{
    fake_advance(&r->ops, 2000);
    turn(r);
    answer(r, GET, 200, "{\"running\":[]}");
    said_ready(r);
}

/* The agent tells how the task ended long after the time for its steps, which is 318 s and 10 s
 * more. */
static void test_an_end_is_believed_however_late(void **state)
{
    struct rig *r = *state;

    begin(r);
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    bare(r, PUT, 404, "");
    said_forged(r);
    taken_for(r, 200);
    given_back(r);
    bare(r, PUT, 404, "");
    said_forged(r);
    taken_for(r, 200);
    fake_advance(&r->ops, 2000);
    run_events(r, 2);
    answer_object(r, TASK_STATUS,
                  task_object(r, "t", "\"state\":\"Running\"")); /* the output so far */
    assert_body(r, TASK_STATUS, "\"state\":\"Succeeded\"");
}

/* But an agent that is heard now and then, and never about the task, is not waited for without
 * end. */
static void test_a_place_taken_again_and_again(void **state)
{
    struct rig *r = *state;
    int spells = 0;

    begin(r);
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    bare(r, PUT, 404, "");
    said_forged(r);
    for (;;) {
        for (int i = 0; i < 30; i++) {
            if (fake_find(&r->ops, GET))
                bare(r, GET, 200, "{\"running\":[]}");
            if (fake_find(&r->ops, PUT))
                bare(r, PUT, 410, "{}");
            if (fake_find(&r->ops, TASK_STATUS) &&
                strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"AgentUnavailable\""))
                break;
            if (fake_find(&r->ops, TASK_STATUS))
                answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
            fake_advance(&r->ops, 1000);
            turn(r);
        }
        if (fake_find(&r->ops, TASK_STATUS))
            break;
        assert_true(++spells < 30);
        given_back(r);
        bare(r, PUT, 404, "");
        said_forged(r);
    }
    assert_true(spells > 8);
}

/* An agent may be silent for a minute. That minute begins when nobody else answers in its place any
 * more. */
static void test_silence_is_counted_from_the_last_doubt(void **state)
{
    struct rig *r = *state;

    begin(r);
    bare(r, PUT, 404, "");
    said_forged(r);
    taken_for(r, 200);
    given_back(r);
    for (int i = 0; i < 64; i++) {
        if (i < 58)
            assert_no_call(r, TASK_STATUS);
        if (fake_find(&r->ops, PUT))
            lose(r, PUT);
        fake_advance(&r->ops, 1000);
        turn(r);
    }
    assert_body(r, TASK_STATUS, "\"AgentUnavailable\"");
}

static bool says(struct rig *r, const char *part)
{
    const struct ops_call *c = fake_find(&r->ops, SANDBOX_STATUS);

    return c && strstr(c->body, part);
}

/* Somebody answers every other request in the agent's place. The status tells of it once in ten
 * seconds at most. */
static void test_doubts_are_not_written_without_end(void **state)
{
    struct rig *r = *state;
    unsigned writes = 0;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (int i = 0; i < 100; i++) {
        if (fake_find(&r->ops, PUT))
            bare(r, PUT, 404, "");
        if (says(r, "\"Bound\"")) {
            writes++;
            said_forged(r);
        }
        fake_advance(&r->ops, 2000);
        turn(r);
        if (fake_find(&r->ops, GET))
            answer(r, GET, 200, "{\"running\":[]}");
        if (says(r, "\"phase\":\"Ready\""))
            said_ready(r);
        if (fake_find(&r->ops, TASK_STATUS))
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
        if (r->ops.now.mono_ns > 1050 * NSEC_PER_SEC)
            break;
    }
    assert_in_range(writes, 2, 6);
}

/* The operator that wrote the doubt is no more. The next one asks the agent, and asks again. */
static void test_doubts_outlive_the_operator(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", BOUND),
          task_object(r, "t", ""));
    assert_no_call(r, SANDBOX_STATUS);
    lose(r, GET);
    fake_advance(&r->ops, 2000);
    turn(r);
    assert_no_call(r, SANDBOX_STATUS);
    answer(r, GET, 200, "{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"ns/x\"}]}");
    said_ready(r);
    assert_no_call(r, "PUT"); /* something ran before: that is not forgotten */
}

static void test_the_key_is_pinned_with_ready(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", ""), NULL);
    said_ready(r);
    assert_no_call(r, SANDBOX_STATUS);
}

/* While the init container runs again, no key is told, and the sandbox stays as it is. Then it ends
 * and tells another key: the sandbox fails. */
static void test_the_pinned_key_holds(void **state)
{
    static const char md[] =
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"allocated\","
        "\"arl.infra.io/sandbox\":\"s\"},\"annotations\":{\"arl.infra.io/agent-key\":"
        "\"" AGENT_SIDE_OTHER_KEY "\"},"
        "\"ownerReferences\":[{\"kind\":\"Sandbox\",\"uid\":\"uid-s\",\"controller\":true}]";
    static const char silent[] = "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\","
                                 "\"initContainerStatuses\":[{\"name\":\"arl-init\",\"state\":{"
                                 "\"running\":{}}}]}";
    static const char other[] =
        "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\"," AGENT_SIDE_TOLD(
            AGENT_SIDE_OTHER_KEY) "}";
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "pods", "MODIFIED", object(r, "a", md, silent));
    assert_no_call(r, SANDBOX_STATUS);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    watch(r, "pods", "MODIFIED", object(r, "a", md, other));
    assert_body(r, SANDBOX_STATUS, "\"reason\":\"AgentKeyChanged\"");
    assert_body(r, SANDBOX_STATUS, "\"phase\":\"Failed\"");
}

static void test_a_pod_without_a_key_is_not_taken(void **state)
{
    struct rig *r = *state;
    cleanup_free char *md = xasprintf(
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"},"
        "\"annotations\":{\"arl.infra.io/wire-version\":\"2\",\"arl.infra.io/agent-key\":"
        "\"" AGENT_SIDE_KEY "\",\"arl.infra.io/template-hash\":\"%s\"},"
        "\"ownerReferences\":[{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}]",
        r->hash);

    start(r,
          object(r, "a", md,
                 "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{"
                 "\"type\":\"Ready\",\"status\":\"True\"}]}"),
          pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    assert_no_call(r, POD_A);
    assert_call(r, "DELETE /api/v1/namespaces/ns/pods/a"); /* nor of use to anybody else */
}

/* ---- secrets --------------------------------------------------------------------------------- */

static unsigned secrets(struct rig *r)
{
    static const char name[] = "\narl_agent_secrets ";
    cleanup_buf struct buf out = BUF_INIT(1 << 20);

    manager_metrics(r->m, &out);
    return (unsigned)strtoul(strstr(buf_str(&out), name) + strlen(name), NULL, 10);
}

static void test_secrets_go_with_their_pods(void **state)
{
    struct rig *r = *state;

    begin(r);
    assert_int_equal(secrets(r), 1);
    watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
    assert_int_equal(secrets(r), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_refusals_that_are_not_sealed_are_none),
        T(test_answers_that_were_altered_are_none),
        T(test_plain_lines_are_no_events),
        T(test_answers_are_not_believed_twice),
        T(test_a_cut_is_no_end),
        T(test_a_part_of_an_answer_is_none),
        T(test_a_frame_without_end_is_not_kept),
        T(test_an_audit_is_not_answered_by_others),
        T(test_a_long_answer_is_none),
        T(test_a_cancel_is_not_heard_by_others),
        T(test_a_place_that_stays_taken_fails_the_sandbox),
        T(test_an_end_is_believed_however_late),
        T(test_a_place_taken_again_and_again),
        T(test_silence_is_counted_from_the_last_doubt),
        T(test_doubts_are_not_written_without_end),
        T(test_doubts_outlive_the_operator),
        T(test_the_key_is_pinned_with_ready),
        T(test_the_pinned_key_holds),
        T(test_a_pod_without_a_key_is_not_taken),
        T(test_secrets_go_with_their_pods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
