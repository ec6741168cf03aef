/*
 * What each answer to each kind of write means: core/write.c alone, without requests. The rules
 * stand in write.h; the tables here are made from them, one line for each kind of write.
 */
#include "tests/unit/unit.h"

#include "operator/core/write.h"
#include "tests/unit/plan_objects.h"

static struct kube_result answer(enum kube_reason reason)
{
    return (struct kube_result){
        .reason = reason,
        .http_status = reason == KUBE_NO_ANSWER ? 0 : 400,
        .retry_after_ms = -1,
        .message = reason == KUBE_OK ? "" : "why",
    };
}

/* A pool with the idle pod a, the sandbox s that waits, and its task t. */
static void put_all(struct fixture *f)
{
    put_pool(f, 2, "busybox");
    put_pod(f, "a", true, NULL);
    put_sandbox(f, "s", "", "");
    put_task(f, "t", ONE_STEP, "");
    queue_clear(f->w->queue);
}

static const struct sort {
    const char *what;
    enum action_type type;
    const struct api_kind *kind;
    const char *name, *key;
    bool lost_matters; /* it is read back when no answer came */
} sorts[] = {
    {"create", ACTION_CREATE_POD, &api_pod, "p", POOL, true},
    {"claim", ACTION_CLAIM_POD, &api_pod, "a", SANDBOX, true},
    {"delete of a pod", ACTION_DELETE, &api_pod, "a", POOL, false},
    {"delete of a sandbox", ACTION_DELETE, &api_sandbox, "s", SANDBOX, false},
    {"delete of a task", ACTION_DELETE, &api_task, "t", TASK, false},
    {"status of a sandbox", ACTION_STATUS, &api_sandbox, "s", SANDBOX, true},
    {"status of a task", ACTION_STATUS, &api_task, "t", TASK, false},
    {"status of a pool", ACTION_STATUS, &api_warmpool, "p", POOL, false},
};

static struct write *begin(struct fixture *f, const struct sort *s, bool beside)
{
    struct action a = {
        .type = s->type,
        .kind = s->kind,
        .ns = xstrdup("ns"),
        .name = xstrdup(s->name),
        .uid = xasprintf("uid-%s", s->name),
        .reason = xstrdup("x"),
        .number = 1,
    };
    struct write *wr;

    if (s->type == ACTION_CLAIM_POD || s->type == ACTION_CREATE_POD)
        a.pool = xstrdup("p");
    if (s->type == ACTION_CLAIM_POD) {
        a.other_name = xstrdup("s");
        a.other_uid = xstrdup("uid-s");
        a.ready_body = beside ? xstrdup("{}") : NULL;
    }
    wr = write_begin(f->w, s->key, &a, s->type == ACTION_CREATE_POD ? "p-new" : NULL, f->now);
    if (beside)
        write_begin_beside(f->w, wr, &a, f->now);
    free(a.ns);
    free(a.name);
    free(a.uid);
    free(a.reason);
    free(a.pool);
    free(a.other_name);
    free(a.other_uid);
    free(a.ready_body);
    return wr;
}

static enum write_next tell(struct fixture *f, struct write *wr, struct kube_result res,
                            int64_t *ret_due)
{
    int64_t due = 0;
    enum write_next next = write_answered(f->w, wr, &res, f->now, ret_due ? ret_due : &due);

    world_check(f->w);
    return next;
}

/* Which plan follows: "ready", "delayed" or "idle". */
static const char *queue_state(struct fixture *f, const char *key)
{
    struct queue_view v;

    queue_look(f->w->queue, key, &v);
    return v.state;
}

static void assert_next(const struct sort *s, enum kube_reason r, enum write_next got,
                        enum write_next want)
{
    if (got != want)
        fail_msg("%s, %s: next is %d, expected %d", s->what, kube_reason_str(r), got, want);
}

/* The API server has answered, whatever it was: only a Conflict leaves something to be found out.
 */
static enum write_next want_of(enum kube_reason r)
{
    switch (r) {
    case KUBE_OK:
    case KUBE_NOT_FOUND:
        return WRITE_OVER;
    case KUBE_CONFLICT:
        return WRITE_READ;
    default:
        return WRITE_BACK_OFF;
    }
}

static void each(struct fixture *f, void (*fn)(struct fixture *, const struct sort *))
{
    for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
        fixture_done(f);
        fixture_init(f);
        put_all(f);
        fn(f, &sorts[i]);
    }
}

static void answers_of(struct fixture *f, const struct sort *s)
{
    for (enum kube_reason r = KUBE_OK; r < KUBE_NO_ANSWER; r++) {
        struct write *wr = begin(f, s, false);
        enum write_next next;

        put_all(f); /* what the write before has removed */
        assert_true(ledger_size(f->w->ledger) > 0);
        next = tell(f, wr, answer(r), NULL);
        assert_next(s, r, next, want_of(r));
        if (next == WRITE_READ) {
            assert_true(ledger_size(f->w->ledger) > 0);
            write_reads(wr);
            next = tell(f, wr, answer(KUBE_NOT_FOUND), NULL);
            assert_next(s, r, next, WRITE_OVER);
        }
        assert_int_equal(ledger_size(f->w->ledger), 0);
        write_free(wr);
    }
}

static void test_each_answer_to_each_write(void **state)
{
    each(*state, answers_of);
}

static void lost_answer_of(struct fixture *f, const struct sort *s)
{
    struct write *wr = begin(f, s, false);
    struct kube_result lost = answer(KUBE_NO_ANSWER);

    lost.maybe_applied = true;
    assert_next(s, KUBE_NO_ANSWER, tell(f, wr, lost, NULL),
                s->lost_matters ? WRITE_READ : WRITE_BACK_OFF);
    assert_int_equal(ledger_size(f->w->ledger) > 0, s->lost_matters);
    write_free(wr);
}

static void test_lost_answer_is_read_back_where_it_matters(void **state)
{
    each(*state, lost_answer_of);
}

static void wait_asked_of(struct fixture *f, const struct sort *s)
{
    struct write *wr = begin(f, s, false);
    struct kube_result busy = answer(KUBE_TOO_MANY_REQUESTS);

    busy.retry_after_ms = 2000;
    queue_clear(f->w->queue);
    assert_next(s, busy.reason, tell(f, wr, busy, NULL), WRITE_OVER);
    /* A claim and a create have their sandbox or pool planned at their end, too. */
    if (s->type != ACTION_CREATE_POD && s->type != ACTION_CLAIM_POD)
        assert_string_equal(queue_state(f, s->key), "delayed");
    write_free(wr);
}

static void test_server_that_asks_to_wait_is_waited_for(void **state)
{
    each(*state, wait_asked_of);
}

/* The API server does not answer the reads either: each one waits longer, up to a limit, and the
 * object stays busy. */
static void test_reads_pause_until_one_is_answered(void **state)
{
    struct fixture *f = *state;
    struct kube_result lost = answer(KUBE_NO_ANSWER);
    int64_t due = 0, waited = 0, longest = 0;
    struct write *wr;

    put_all(f);
    wr = begin(f, &sorts[1], false);
    lost.maybe_applied = true;
    assert_int_equal(tell(f, wr, lost, NULL), WRITE_READ);
    for (int i = 0; i < 12; i++) {
        write_reads(wr);
        assert_int_equal(tell(f, wr, answer(KUBE_NO_ANSWER), &due), WRITE_PAUSE);
        assert_true(due - f->now.mono_ns >= waited);
        waited = due - f->now.mono_ns;
        longest = MAX(longest, waited);
        assert_true(ledger_busy(f->w->ledger, &api_pod, "ns/a"));
        fixture_pass(f, waited / NSEC_PER_MSEC);
    }
    assert_int_equal(longest, 5000 * NSEC_PER_MSEC);
    write_reads(wr);
    assert_int_equal(tell(f, wr, answer(KUBE_NOT_FOUND), NULL), WRITE_OVER);
    assert_int_equal(ledger_size(f->w->ledger), 0);
    write_free(wr);
}

/* It did not take place: that is a failure of its key. It did: the key is planned at once. */
static void test_read_tells_whether_the_status_took_place(void **state)
{
    struct fixture *f = *state;
    struct kube_result lost = answer(KUBE_NO_ANSWER);

    lost.maybe_applied = true;
    for (int changed = 0; changed < 2; changed++) {
        struct write *wr;

        put_all(f);
        wr = begin(f, &sorts[5], false);
        assert_int_equal(tell(f, wr, lost, NULL), WRITE_READ);
        write_reads(wr);
        if (changed)
            put_sandbox(f, "s", "", "\"phase\":\"Pending\"");
        assert_int_equal(tell(f, wr, answer(KUBE_OK), NULL), changed ? WRITE_OVER : WRITE_BACK_OFF);
        write_free(wr);
    }
    assert_string_equal(queue_state(f, SANDBOX), "ready");
}

/* Whichever of the two ends first: the sandbox stays busy until both have ended, and the pod stays
 * promised until the status has. */
static void test_claim_and_status_end_in_either_order(void **state)
{
    struct fixture *f = *state;

    for (int status_first = 0; status_first < 2; status_first++) {
        struct write *claim, *status, *first, *second;

        put_all(f);
        claim = begin(f, &sorts[1], true);
        status = claim->beside;
        first = status_first ? status : claim;
        second = status_first ? claim : status;
        assert_true(world_pod_promised(f->w, world_pod(f->w, "ns/a")));
        assert_int_equal(tell(f, first, answer(KUBE_FORBIDDEN), NULL), WRITE_BACK_OFF);
        write_free(first);
        assert_int_equal(world_pod_promised(f->w, world_pod(f->w, "ns/a")), !status_first);
        assert_true(ledger_busy(f->w->ledger, &api_sandbox, "ns/s"));
        assert_int_equal(tell(f, second, answer(KUBE_FORBIDDEN), NULL), WRITE_BACK_OFF);
        write_free(second);
        assert_false(world_pod_promised(f->w, world_pod(f->w, "ns/a")));
        assert_int_equal(ledger_size(f->w->ledger), 0);
    }
}

/* A pod that somebody else has changed is read, and the sandbox goes on without it. */
static void test_conflict_of_a_claim_frees_the_sandbox_at_once(void **state)
{
    struct fixture *f = *state;
    struct write *wr;

    put_all(f);
    wr = begin(f, &sorts[1], false);
    queue_clear(f->w->queue);
    assert_int_equal(tell(f, wr, answer(KUBE_CONFLICT), NULL), WRITE_READ);
    assert_false(ledger_busy(f->w->ledger, &api_sandbox, "ns/s"));
    assert_true(ledger_busy(f->w->ledger, &api_pod, "ns/a"));
    assert_string_equal(queue_state(f, SANDBOX), "ready");
    assert_int_equal(world_sandbox_state(f->w, "ns/s")->claims_refused, 0);
    write_reads(wr);
    /* Nobody has changed it: the API server refuses the claim. */
    assert_int_equal(tell(f, wr, answer(KUBE_OK), NULL), WRITE_OVER);
    assert_int_equal(world_sandbox_state(f->w, "ns/s")->claims_refused, 1);
    assert_int_equal(ledger_size(f->w->ledger), 0);
    write_free(wr);
}

/* The object came, or was made anew, when the read had been answered already. */
static void test_answer_that_there_is_none_is_older_than_the_object(void **state)
{
    struct fixture *f = *state;
    struct kube_result lost = answer(KUBE_NO_ANSWER);
    struct action read = {.type = ACTION_READ, .kind = &api_task};
    struct write *wr;

    put_all(f);
    lost.maybe_applied = true;
    wr = begin(f, &sorts[0], false);
    assert_int_equal(tell(f, wr, lost, NULL), WRITE_READ);
    write_reads(wr);
    put_pod(f, "p-new", false, NULL);
    tell(f, wr, answer(KUBE_NOT_FOUND), NULL);
    write_free(wr);
    assert_non_null(world_pod(f->w, "ns/p-new"));

    read.ns = xstrdup("ns");
    read.name = xstrdup("t");
    wr = write_begin(f->w, TASK, &read, NULL, f->now);
    write_reads(wr);
    put_task(f, "t", ONE_STEP, "");
    tell(f, wr, answer(KUBE_NOT_FOUND), NULL);
    write_free(wr);
    assert_non_null(world_task(f->w, "ns/t"));

    wr = write_begin(f->w, TASK, &read, NULL, f->now);
    write_reads(wr);
    tell(f, wr, answer(KUBE_NOT_FOUND), NULL);
    write_free(wr);
    assert_null(world_task(f->w, "ns/t"));
    free(read.ns);
    free(read.name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_answer_to_each_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_answer_is_read_back_where_it_matters, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_server_that_asks_to_wait_is_waited_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_reads_pause_until_one_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_tells_whether_the_status_took_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_claim_and_status_end_in_either_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_that_there_is_none_is_older_than_the_object,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict_of_a_claim_frees_the_sandbox_at_once, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
