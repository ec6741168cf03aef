/* What is noted when an action begins, and that planning alone notes none of it. */
#include "tests/unit/plan_objects.h"

static void begin(struct fixture *f, const char *key, struct action a)
{
    plan_begun(f->w, key, &a, f->now);
}

static struct pool_state *pool_state(struct fixture *f)
{
    return world_pool_state(f->w, "ns/p");
}

static struct sandbox_state *sandbox_state(struct fixture *f)
{
    return world_sandbox_state(f->w, "ns/s");
}

static struct run *put_run(struct fixture *f)
{
    struct run_target target = {
        .task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s"), .pod_uid = xstrdup("uid-a")};
    struct run *r = run_new(target, 1, 1, f->now);

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
    world_add_run(f->w, "ns/t", r);
    world_note_run_memory(f->w, "ns/t", r);
    return r;
}

/* Each lets one claim less be answered by a pod, and counts for a template that is not proven. */
static void test_create(void **state)
{
    struct fixture *f = *state;
    struct pool_state *st = pool_state(f);

    st->refill.owed = 2;
    begin(f, POOL, (struct action){.type = ACTION_CREATE_POD, .kind = &api_pod});
    assert_int_equal(st->created, 1);
    assert_int_equal(st->unproven_mono_ns, f->now.mono_ns);
    assert_int_equal(st->refill.owed, 1);
    st->proven = true;
    begin(f, POOL, (struct action){.type = ACTION_CREATE_POD, .kind = &api_pod});
    assert_int_equal(st->created, 1);
    assert_int_equal(st->refill.owed, 0);
    assert_int_equal(st->refill.more_mono_ns, 0);
    begin(f, POOL, (struct action){.type = ACTION_CREATE_POD, .kind = &api_pod});
    assert_int_equal(st->refill.more_mono_ns, f->now.mono_ns);
}

/* Only a pod that has ended, or is of no use, may be a failure. */
static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct pool_state *st = pool_state(f);
    struct action a = {.type = ACTION_DELETE, .kind = &api_pod};

    begin(f, POOL, a);
    assert_int_equal(st->failures, 0);
    a.ended = (char[]){"pod a ended by itself"};
    begin(f, POOL, a);
    assert_int_equal(st->failures, 0);
    assert_string_equal(st->ended, a.ended);
    a.failure = true;
    for (int i = 0; i < 3; i++) /* together they are one failure */
        begin(f, POOL, a);
    assert_int_equal(st->failures, 1);
    assert_int_equal(st->next_create_mono_ns, f->now.mono_ns + 2 * NSEC_PER_SEC);
}

static void test_status_of_a_pool(void **state)
{
    struct fixture *f = *state;

    pool_state(f)->refusals = 3;
    begin(f, POOL, (struct action){.type = ACTION_STATUS, .kind = &api_warmpool, .refusals = 2});
    assert_int_equal(pool_state(f)->status_mono_ns, f->now.mono_ns);
    assert_int_equal(pool_state(f)->refusals_told, 2);
}

static void test_status_of_a_sandbox(void **state)
{
    struct fixture *f = *state;
    struct sandbox_state *st = sandbox_state(f);
    struct action a = {.type = ACTION_STATUS, .kind = &api_sandbox};

    begin(f, SANDBOX, a);
    assert_int_equal(st->told_mono_ns, 0);
    assert_int_equal(st->pins, 0);
    a.note = NOTE_TELLING;
    begin(f, SANDBOX, a);
    assert_int_equal(st->told_mono_ns, f->now.mono_ns);
    assert_int_equal(st->pins, 0);
    fixture_pass(f, 1000);
    a.note = NOTE_PIN;
    begin(f, SANDBOX, a);
    assert_int_equal(st->pins, 1);
    assert_int_equal(st->pin_mono_ns, f->now.mono_ns);
    assert_int_not_equal(st->told_mono_ns, f->now.mono_ns);
}

/* The output was shown, so the run leaves the line of those that wait to show some. */
static void test_status_of_a_task(void **state)
{
    struct fixture *f = *state;
    struct run *r = put_run(f);
    struct action a = {.type = ACTION_STATUS, .kind = &api_task};
    int64_t due;

    assert_true(world_progress_turn(f->w, r, f->now, &due));
    begin(f, TASK, a);
    assert_int_equal(r->progress_mono_ns, 0);
    assert_ptr_equal(f->w->progress_next, r);
    a.note = NOTE_OUTPUT;
    a.output_events = 7;
    a.stored_bytes = 1000;
    begin(f, TASK, a);
    assert_int_equal(r->output_events_told, 7);
    assert_int_equal(r->progress_mono_ns, f->now.mono_ns);
    assert_null(f->w->progress_next);
    assert_true(f->w->progress_free_ns > f->now.mono_ns);
    begin(f, "task/ns/other", a); /* its run is gone: nothing to note */
}

static void test_stop(void **state)
{
    struct fixture *f = *state;
    struct run *r = put_run(f);

    begin(f, TASK, (struct action){.type = ACTION_RUN_STOP, .kind = &api_task});
    assert_int_equal(r->stop_mono_ns, f->now.mono_ns);
    begin(f, "task/ns/other", (struct action){.type = ACTION_RUN_STOP, .kind = &api_task});
}

static void test_audit(void **state)
{
    struct fixture *f = *state;

    begin(f, SANDBOX, (struct action){.type = ACTION_AUDIT, .kind = &api_sandbox});
    assert_int_equal(sandbox_state(f)->agent.state, AGENT_QUEUED);
}

static void test_event_of_a_task(void **state)
{
    struct fixture *f = *state;
    struct run *r = put_run(f);
    struct action a = {.type = ACTION_EVENT, .kind = &api_task};

    begin(f, TASK, a);
    assert_false(r->refusal_told);
    a.note = NOTE_REFUSAL;
    begin(f, TASK, a);
    assert_true(r->refusal_told);
}

/* The Event of one pod is for all pods of the pool that are not ours. */
static void test_event_of_a_pool(void **state)
{
    struct fixture *f = *state;
    struct pool_state *st = pool_state(f);
    struct action a = {.type = ACTION_EVENT, .kind = &api_warmpool};

    st->refusals = 4;
    begin(f, POOL, a);
    assert_int_equal(st->foreign_mono_ns, 0);
    assert_int_equal(st->refusals_told, 0);
    a.refusals = 4;
    begin(f, POOL, a);
    assert_int_equal(st->refusals_told, 4);
    assert_int_equal(st->foreign_mono_ns, 0);
    a.note = NOTE_FOREIGN; /* the pool may be gone */
    begin(f, POOL, a);
    assert_int_equal(st->foreign_mono_ns, f->now.mono_ns);
}

/* Of these the ledger and the sidecar client note what is under way. */
static void test_nothing_of_the_others(void **state)
{
    static const enum action_type types[] = {ACTION_CLAIM_POD,  ACTION_READ,       ACTION_RUN_START,
                                             ACTION_RUN_CANCEL, ACTION_RUN_FORGET, ACTION_AFTER};
    struct fixture *f = *state;
    struct run *r = put_run(f), run;
    struct pool_state pool;
    struct sandbox_state sandbox;

    memcpy(&pool, pool_state(f), sizeof(pool));
    memcpy(&sandbox, sandbox_state(f), sizeof(sandbox));
    memcpy(&run, r, sizeof(run));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        begin(f, POOL, (struct action){.type = types[i]});
        begin(f, SANDBOX, (struct action){.type = types[i]});
        begin(f, TASK, (struct action){.type = types[i]});
    }
    assert_memory_equal(pool_state(f), &pool, sizeof(pool));
    assert_memory_equal(sandbox_state(f), &sandbox, sizeof(sandbox));
    assert_memory_equal(r, &run, sizeof(run));
}

/* ---- lists that are equal -------------------------------------------------------------------- */

static void assert_differ(const struct action *x, const struct action *y)
{
    struct actions a = {.first = (struct action *)(uintptr_t)x};
    struct actions b = {.first = (struct action *)(uintptr_t)y};

    assert_true(actions_eq(&a, &a));
    assert_false(actions_eq(&a, &b));
    assert_false(actions_eq(&b, &a));
}

/* Each value that an action has counts. */
static void test_each_value_counts(void **state)
{
    static char x[] = "x";
    const struct action none = {0};
    const struct action rows[] = {
        {.type = ACTION_AFTER},
        {.kind = &api_pod},
        {.ns = x},
        {.name = x},
        {.uid = x},
        {.rv = x},
        {.other_name = x},
        {.other_uid = x},
        {.pool = x},
        {.body = x},
        {.ready_body = x},
        {.reason = x},
        {.message = x},
        {.trace = x},
        {.warning = true},
        {.number = 1},
        {.failure = true},
        {.note = NOTE_PIN},
        {.ended = x},
        {.refusals = 1},
        {.output_events = 1},
        {.stored_bytes = 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_differ(&none, &rows[i]);
}

static void test_number_and_order_count(void **state)
{
    struct action a = {.number = 1}, b = {.number = 2}, c = {.number = 1, .next = &b},
                  d = {.number = 2, .next = &a};

    assert_differ(&a, NULL);
    assert_differ(&a, &c);
    assert_differ(&c, &d);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create),
        T(test_delete),
        T(test_status_of_a_pool),
        T(test_status_of_a_sandbox),
        T(test_status_of_a_task),
        T(test_stop),
        T(test_audit),
        T(test_event_of_a_task),
        T(test_event_of_a_pool),
        T(test_nothing_of_the_others),
        cmocka_unit_test(test_each_value_counts),
        cmocka_unit_test(test_number_and_order_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
