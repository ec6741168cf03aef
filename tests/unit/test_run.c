/* One attempt of a task: what the sidecar's events, which come from a pod and are not trusted, make
 * of it. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "operator/core/run.h"

static const struct now begun = {.mono_ns = 50 * NSEC_PER_SEC, .wall_ns = 1000 * NSEC_PER_SEC};

static int setup(void **state)
{
    *state = run_new((struct run_target){.task_uid = xstrdup("uid-t")}, 1, 2, begun);
    return 0;
}

static int teardown(void **state)
{
    run_free(*state);
    return 0;
}

static struct now later(int64_t ms)
{
    return (struct now){.mono_ns = begun.mono_ns + ms * NSEC_PER_MSEC,
                        .wall_ns = begun.wall_ns + ms * NSEC_PER_MSEC};
}

/* The next event in order. */
static void feed(struct run *r, struct task_event ev)
{
    struct err err = {0};

    ev.seq = r->last_seq + 1;
    if (run_event(r, &ev, later(10), &err) != 0)
        fail_msg("%s", err.msg);
}

static int refused(struct run *r, struct task_event ev, const char *why)
{
    uint64_t before = r->last_seq;
    struct err err = {0};
    int code = run_event(r, &ev, later(10), &err);

    assert_string_equal(err.msg, why);
    assert_int_equal(r->last_seq, before);
    return code;
}

static void test_events_count_once_and_in_order(void **state)
{
    struct run *r = *state;
    struct task_event out = {
        .seq = 2, .type = TASK_EVENT_OUT, .fd = 1, .data = "hi", .data_len = 2};

    feed(r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    assert_int_equal(run_event(r, &out, later(10), NULL), 0);
    assert_int_equal(run_event(r, &out, later(10), NULL), 0); /* told again after an attach */
    assert_int_equal(r->output_events, 1);
    assert_int_equal(r->result->output_bytes, 2);
    out.seq = 4;
    assert_int_equal(refused(r, out, "event 4 follows 2"), -EPROTO);
}

static void test_a_step_that_the_task_does_not_have_is_refused(void **state)
{
    static const enum task_event_type types[] = {TASK_EVENT_STEP, TASK_EVENT_OUT, TASK_EVENT_GAP,
                                                 TASK_EVENT_EXIT};
    struct run *r = *state;

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct task_event ev = {.seq = 1, .type = types[i], .step = 2};

        assert_int_equal(refused(r, ev, "an event of step 2 of 2"), -EPROTO);
    }
}

static void test_output_beyond_the_limit_is_counted_and_not_kept(void **state)
{
    static const size_t chunk = 1 << 20;
    struct run *r = *state;
    cleanup_free char *data = xcalloc(1, chunk);

    for (size_t sent = 0; sent <= 4u * RUN_OUTPUT_MAX; sent += chunk) {
        feed(r,
             (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = data, .data_len = chunk});
        assert_true(r->result->output_bytes <= 2u * RUN_OUTPUT_MAX);
    }
    assert_true(r->output_events * chunk > 4u * RUN_OUTPUT_MAX); /* all were taken note of */
    feed(r, (struct task_event){.type = TASK_EVENT_EXIT});
    assert_true(r->result->output_bytes <= RUN_OUTPUT_MAX);
}

/* A tail is shown and is no part of the result. It has no number among the events, and the stream's
 * own output takes its place. */
static void test_a_tail_is_no_output(void **state)
{
    struct run *r = *state;
    struct task_event tail = {
        .type = TASK_EVENT_TAIL, .fd = 1, .gap_bytes = 7, .data = "end", .data_len = 3};
    struct task_stream *out = &r->result->steps[0].streams[0];
    size_t memory = r->result->memory;

    assert_int_equal(run_event(r, &tail, later(1), NULL), 0); /* of a step that has not begun */
    assert_null(out->tail);
    feed(r, (struct task_event){.type = TASK_EVENT_STEP});
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_event(r, &tail, later(1), NULL), 0);
    assert_int_equal(r->last_seq, 1);
    assert_int_equal(r->output_events, 3); /* there is something to show */
    assert_int_equal(r->result->output_bytes, 0);
    assert_int_equal(r->result->memory, memory + sizeof(*out->tail));
    assert_int_equal(out->tail->before, 7);
    assert_memory_equal(out->tail->text, "end", out->tail->len);
    feed(r, (struct task_event){.type = TASK_EVENT_GAP, .fd = 1, .gap_bytes = 7});
    assert_null(out->tail);
    assert_int_equal(r->result->memory, memory);
    assert_int_equal(run_event(r, &tail, later(1), NULL), 0);
    feed(r, (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = "end", .data_len = 3});
    assert_null(out->tail);
    tail.step = 9; /* there is none */
    assert_int_equal(run_event(r, &tail, later(1), NULL), 0);
    tail.step = 0;
    feed(r, (struct task_event){.type = TASK_EVENT_EXIT});
    assert_int_equal(run_event(r, &tail, later(1), NULL), 0);
    assert_null(out->tail);
    assert_memory_equal(out->data.data, "end", out->data.len);
}

/* What an agent calls a tail may be longer: its end is kept. */
static void test_a_long_tail_is_cut(void **state)
{
    static char text[LIMIT_TAIL_BYTES + 10];
    struct run *r = *state;
    const struct task_event tail = {
        .type = TASK_EVENT_TAIL, .fd = 2, .data = text, .data_len = sizeof(text)};

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 'y';
    feed(r, (struct task_event){.type = TASK_EVENT_STEP});
    assert_int_equal(run_event(r, &tail, later(1), NULL), 0);
    assert_int_equal(r->result->steps[0].streams[1].tail->before, 10);
    assert_int_equal(r->result->steps[0].streams[1].tail->len, LIMIT_TAIL_BYTES);
    assert_int_equal(r->result->steps[0].streams[1].tail->text[LIMIT_TAIL_BYTES - 1], 'y');
}

static void test_ends(void **state)
{
    static const struct {
        enum task_end_reason from;
        bool steps_ended;
        const char *reason;
        bool retryable;
    } rows[] = {
        {TASK_END_COMPLETED, true, "Completed", false},
        {TASK_END_COMPLETED, false, "StepFailed", false}, /* a pod's word against its own events */
        {TASK_END_STEP_FAILED, false, "StepFailed", true},
        {TASK_END_CANCELED, false, "Canceled", false},
        {TASK_END_AGENT_LOST, false, "AgentRestarted", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct run *r = run_new((struct run_target){0}, 1, 1, begun);

        if (rows[i].steps_ended)
            feed(r, (struct task_event){.type = TASK_EVENT_EXIT});
        feed(r, (struct task_event){.type = TASK_EVENT_END, .reason = rows[i].from, .code = 3});
        assert_true(r->over);
        assert_string_equal(r->reason, rows[i].reason);
        assert_int_equal(r->retryable, rows[i].retryable);
        assert_int_equal(r->result->code, 3);
        assert_int_equal(r->message != NULL, rows[i].from == TASK_END_AGENT_LOST);
        /* No step has said when it began: the attempt's own time is the best that is known. */
        assert_int_equal(r->result->start_wall_ns, begun.wall_ns);
        run_free(r);
    }
}

static void test_an_end_is_final(void **state)
{
    struct run *r = *state;
    struct task_event end = {.seq = 1, .type = TASK_EVENT_END, .reason = TASK_END_STEP_FAILED};

    run_fail(r, "PodLost", "pod a is gone", false, later(250));
    assert_int_equal(r->result->code, 137);
    assert_int_equal(r->result->duration_ns, 250 * NSEC_PER_MSEC);
    run_fail(r, "ResultLost", "again", false, later(500));
    assert_int_equal(run_event(r, &end, later(500), NULL), 0);
    assert_string_equal(r->reason, "PodLost");
    assert_string_equal(r->message, "pod a is gone");
    assert_false(r->retryable);
    assert_int_equal(r->result->completion_wall_ns, later(250).wall_ns);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_events_count_once_and_in_order),
        T(test_a_step_that_the_task_does_not_have_is_refused),
        T(test_output_beyond_the_limit_is_counted_and_not_kept),
        T(test_a_tail_is_no_output),
        T(test_a_long_tail_is_cut),
        T(test_ends),
        T(test_an_end_is_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
