/*
 * Which phase of a Sandbox, and which state of a Task, is written after which: in each situation,
 * after each status that the API server may tell.
 */
#include "tests/unit/plan_objects.h"

#define DELETED ",\"deletionTimestamp\":\"" T0_TEXT "\",\"finalizers\":[\"x/y\"]"

/* A letter for each phase or state, in the order of its enum. */
#define BOX_LETTERS "NPBRF"
#define TASK_LETTERS "NPRSF"

static const char *const box_statuses[SANDBOX_PHASES] = {
    [SANDBOX_PHASE_NONE] = "",
    [SANDBOX_PENDING] = "\"phase\":\"Pending\"",
    [SANDBOX_BOUND] = "\"phase\":\"Bound\",\"podName\":\"a\",\"podUID\":\"uid-a\"",
    [SANDBOX_READY] = READY_STATUS,
    [SANDBOX_FAILED] = "\"phase\":\"Failed\",\"podName\":\"a\",\"podUID\":\"uid-a\"",
};

static const char *const task_statuses[TASK_STATES] = {
    [TASK_STATE_NONE] = "",
    [TASK_PENDING] = "\"state\":\"Pending\"",
    [TASK_RUNNING] = "\"state\":\"Running\"",
    [TASK_SUCCEEDED] = "\"state\":\"Succeeded\",\"completionTime\":\"" T0_TEXT "\"",
    [TASK_FAILED] = "\"state\":\"Failed\",\"completionTime\":\"" T0_TEXT "\"",
};

/* What the patch writes to `member`, as a letter; it writes nothing: the letter of what is there.
 */
static char letter_written(const char *body, const char *member, char is)
{
    cleanup_free char *start = xasprintf("\"%s\":\"", member);
    const char *at = body ? strstr(body, start) : NULL;

    return at ? at[strlen(start)] : is;
}

/* Plans the key, once more when wait_ms are over. */
static char letter_after(struct fixture *f, const char *key, int64_t wait_ms, const char *member,
                         char is)
{
    cleanup_free char *body = NULL;

    fixture_plan(f, key, &body);
    if (wait_ms > 0) {
        fixture_pass(f, wait_ms);
        fixture_plan(f, key, &body);
    }
    return letter_written(body, member, is);
}

/* ---- sandboxes ------------------------------------------------------------------------------- */

static void no_pod(struct fixture *f)
{
    put_pool(f, 1, "x");
}

static void pod_lost(struct fixture *f)
{
    put_pool(f, 1, "x");
    world_sandbox_state(f->w, "ns/s")->lost_pod_uid = xstrdup("uid-a");
    world_sandbox_state(f->w, "ns/s")->lost_pod_why = "is gone";
}

static void pod_ready(struct fixture *f)
{
    put_pool(f, 1, "x");
    put_pod(f, "a", true, "s");
}

static void pod_not_claimed(struct fixture *f)
{
    put_pool(f, 1, "x");
    put_pod(f, "a", true, NULL);
}

static void claim_refused(struct fixture *f)
{
    pod_not_claimed(f);
    world_sandbox_state(f->w, "ns/s")->claims_refused = 3;
    world_sandbox_state(f->w, "ns/s")->claim_error = xstrdup("no");
}

static void pod_unready(struct fixture *f)
{
    pod_ready(f);
    put_pod(f, "a", false, "s");
}

static const struct {
    const char *name;
    void (*put)(struct fixture *f);
    const char *metadata, *more_spec;
    const char *written; /* after each phase */
} boxes[] = {
    {"no pod", no_pod, "", "", "PPBRF"},
    {"pod lost", pod_lost, "", "", "PPFFF"},
    {"pod not claimed yet", pod_not_claimed, "", "", "NPBRF"},
    {"claim refused", claim_refused, "", "", "PPBBF"},
    {"pod not ready", pod_unready, "", "", "BBBBF"},
    {"pod ready", pod_ready, "", "", "RRRRF"},
    {"invalid", pod_ready, "", ",\"idleTimeoutSeconds\":-5", "FFFFF"},
    {"deleted", pod_ready, DELETED, "", "FFFFF"},
};

static void put_box(struct fixture *f, const char *metadata, const char *more_spec,
                    const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"poolRef\":\"p\"%s},\"status\":{%s}", more_spec, status);

    fixture_put(f, &api_sandbox, "s", metadata, rest);
}

static void test_sandbox_after_each_phase(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(boxes); i++)
        for (size_t is = 0; is < SANDBOX_PHASES; is++) {
            char to;

            boxes[i].put(f);
            put_box(f, boxes[i].metadata, boxes[i].more_spec, box_statuses[is]);
            to = letter_after(f, SANDBOX, 121000, "phase", BOX_LETTERS[is]);
            if (to != boxes[i].written[is])
                fail_msg("%s: %c leads to %c", boxes[i].name, BOX_LETTERS[is], to);
            fixture_done(f);
            fixture_init(f);
        }
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void no_sandbox(struct fixture *f)
{
}

static void sandbox_ready(struct fixture *f)
{
    put_pool(f, 1, "x");
    put_ready_sandbox(f);
}

static struct run *add_run(struct fixture *f)
{
    struct run_target target = {.task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s")};
    struct run *r;

    sandbox_ready(f);
    r = run_new(target, 1, 1, f->now);
    world_add_run(f->w, "ns/t", r);
    return r;
}

static void runs(struct fixture *f)
{
    add_run(f);
}

static void end_with(struct fixture *f, int code, enum task_end_reason reason)
{
    const struct task_event events[] = {
        {.seq = 1, .type = TASK_EVENT_ACCEPTED},
        {.seq = 2, .type = TASK_EVENT_STEP},
        {.seq = 3, .type = TASK_EVENT_EXIT, .code = code},
        {.seq = 4, .type = TASK_EVENT_END, .code = code, .reason = reason},
    };
    struct run *r = add_run(f);

    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        assert_int_equal(run_event(r, &events[i], f->now, NULL), 0);
}

static void ended_well(struct fixture *f)
{
    end_with(f, 0, TASK_END_COMPLETED);
}

static void step_failed(struct fixture *f)
{
    end_with(f, 3, TASK_END_STEP_FAILED);
}

static const struct {
    const char *name;
    void (*put)(struct fixture *f);
    int64_t wait_ms;
    const char *metadata, *more_spec;
    const char *written; /* after each state */
} tasks[] = {
    {"no sandbox", no_sandbox, 0, "", "", "PPRSF"},
    {"no sandbox for long", no_sandbox, 10000, "", "", "FFFSF"},
    {"its turn", sandbox_ready, 0, "", "", "NRRSF"},
    {"runs", runs, 400, "", "", "RRRSF"},
    {"ended well", ended_well, 0, "", "", "SSSSF"},
    {"step failed", step_failed, 0, "", "", "FFFSF"},
    {"tried again", step_failed, 1000, "", ",\"retries\":1", "RRRSF"},
    {"invalid", sandbox_ready, 0, "", ",\"retries\":99", "FFFSF"},
    {"canceled", sandbox_ready, 0, "", ",\"cancel\":true", "FFFSF"},
    {"deleted", sandbox_ready, 0, DELETED, "", "FFFSF"},
    {"deleted while it runs", runs, 0, DELETED, "", "FFFSF"},
};

static void put_task_with(struct fixture *f, const char *metadata, const char *more_spec,
                          const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{" ONE_STEP "%s},\"status\":{%s}", more_spec, status);

    fixture_put(f, &api_task, "t", metadata, rest);
}

static void test_task_after_each_state(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
        for (size_t is = 0; is < TASK_STATES; is++) {
            char to;

            tasks[i].put(f);
            put_task_with(f, tasks[i].metadata, tasks[i].more_spec, task_statuses[is]);
            to = letter_after(f, TASK, tasks[i].wait_ms, "state", TASK_LETTERS[is]);
            if (to != tasks[i].written[is])
                fail_msg("%s: %c leads to %c", tasks[i].name, TASK_LETTERS[is], to);
            fixture_done(f);
            fixture_init(f);
        }
}

/* ---- others write, too ----------------------------------------------------------------------- */

/* Somebody who may write statuses writes any after any other. Plans go on from there. */
static void test_status_of_somebody_else_may_jump(void **state)
{
    struct fixture *f = *state;

    for (size_t from = 0; from < SANDBOX_PHASES; from++)
        for (size_t to = 0; to < SANDBOX_PHASES; to++) {
            ended_well(f);
            put_box(f, "", "", box_statuses[from]);
            put_task_with(f, "", "", task_statuses[from]);
            fixture_plan(f, SANDBOX, NULL);
            fixture_plan(f, TASK, NULL);
            put_box(f, "", "", box_statuses[to]);
            put_task_with(f, "", "", task_statuses[to]);
            fixture_plan(f, SANDBOX, NULL);
            fixture_plan(f, TASK, NULL);
            fixture_done(f);
            fixture_init(f);
        }
}

static void test_names_are_those_of_the_api(void **state)
{
    for (size_t i = 1; i < SANDBOX_PHASES; i++)
        assert_string_equal(sm_state_str(&sandbox_table, i),
                            sandbox_phase_str((enum sandbox_phase)i));
    for (size_t i = 1; i < TASK_STATES; i++)
        assert_string_equal(sm_state_str(&task_table, i), task_state_str((enum task_state)i));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sandbox_after_each_phase),
        T(test_task_after_each_state),
        T(test_status_of_somebody_else_may_jump),
        T(test_names_are_those_of_the_api),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
