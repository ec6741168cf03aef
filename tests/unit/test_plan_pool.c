/* Pools whose pods fail, and what is left of pools. */
#include "tests/unit/plan_objects.h"

/* Another pod each time. */
static void put_ended(struct fixture *f)
{
    cleanup_free char *name = xasprintf("ended-%llu", (unsigned long long)f->rv);

    fixture_put(
        f, &api_pod, name,
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"},"
        "\"ownerReferences\":[{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}]",
        "\"status\":{\"phase\":\"Failed\",\"reason\":\"NodeShutdown\"}");
}

static void remove_ended(struct fixture *f)
{
    const struct index_bucket *b = index_get(&f->w->pods_by_pool, "ns/p");

    for (size_t i = b->count; i > 0; i--) {
        cleanup_free char *name = xstrdup(b->items[i - 1]->name);

        if (strncmp(name, "ended-", 6) == 0)
            fixture_remove(f, &api_pod, name);
    }
}

/* Plans the pool and sees how long it waits before it makes a pod. */
static void assert_back_off(struct fixture *f, int64_t seconds)
{
    fixture_plan(f, POOL, NULL);
    assert_int_equal(world_pool_state(f->w, "ns/p")->next_create_mono_ns - f->now.mono_ns,
                     seconds * NSEC_PER_SEC);
}

/* A node that is shut down ends many pods: that is one failure. */
static void test_pods_that_end_together_are_one_failure(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 3, "x");
    for (int seconds = 2; seconds <= 16; seconds *= 2) {
        for (int i = 0; i < 3; i++)
            put_ended(f);
        assert_back_off(f, seconds);
        remove_ended(f);
        fixture_pass(f, 1000 * seconds);
        assert_in(fixture_plan(f, POOL, NULL), "create p\ncreate p\ncreate p\n");
    }
}

/* A pod that becomes ready ends the back-off; one that is ready all along does not. */
static void test_pod_that_becomes_ready_ends_the_back_off(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 3, "x");
    put_pod(f, "a", true, NULL);
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 1);
    for (int seconds = 2; seconds <= 16; seconds *= 2) {
        put_ended(f);
        assert_back_off(f, seconds);
        remove_ended(f);
        fixture_pass(f, seconds < 16 ? 1000 * seconds : 0);
    }
    put_pod(f, "c", true, NULL);
    assert_in(fixture_plan(f, POOL, NULL), "create p\n");
    fixture_pass(f, 1);
    put_ended(f);
    assert_back_off(f, 2);
}

/* Nobody knows which of both came first, when one pod is ready and another one has ended. */
static void test_pod_that_ends_while_another_becomes_ready_is_no_failure(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 3, "x");
    fixture_plan(f, POOL, NULL);
    put_pod(f, "c", true, NULL);
    put_ended(f);
    assert_in(fixture_plan(f, POOL, NULL), " PodEnded\ncreate p\n");
    assert_int_equal(world_pool_state(f->w, "ns/p")->failures, 0);
    assert_null(world_pool_state(f->w, "ns/p")->ended);
}

/* But a ready pod says nothing of a quota. */
static void test_pod_that_becomes_ready_does_not_lift_a_quota(void **state)
{
    struct fixture *f = *state;
    struct pool_state *st = world_pool_state(f->w, "ns/p");

    put_pool(f, 3, "x");
    fixture_plan(f, POOL, NULL);
    st->create_error = xstrdup("exceeded quota"); /* as executor.c notes it */
    st->create_error_reason = xstrdup("QuotaExceeded");
    st->failures = 1;
    st->next_create_mono_ns = f->now.mono_ns + NSEC_PER_SEC;
    put_pod(f, "a", true, NULL);
    assert_back_off(f, 1);
    assert_int_equal(st->failures, 1);
}

/* Such a pool wants no further pod any more. */
static void test_pool_that_is_scaled_to_what_it_has_does_not_fail(void **state)
{
    struct fixture *f = *state;
    struct pool_state *st = world_pool_state(f->w, "ns/p");
    cleanup_free char *refused = NULL, *scaled = NULL;

    put_pool(f, 2, "x");
    put_pod(f, "a", true, NULL);
    fixture_plan(f, POOL, NULL);
    st->create_error = xstrdup("exceeded quota"); /* as executor.c notes it */
    st->create_error_reason = xstrdup("QuotaExceeded");
    st->next_create_mono_ns = f->now.mono_ns + 300 * NSEC_PER_SEC;
    fixture_pass(f, 2000);
    refused = plan_body(f, POOL);
    assert_in(refused, "exceeded quota");
    put_pool(f, 1, "x");
    fixture_pass(f, 2000);
    scaled = plan_body(f, POOL);
    assert_in(scaled, "\"phase\":\"Ready\"");
    assert_null(strstr(scaled, "exceeded quota"));
    put_pool(f, 2, "x");
    assert_in(fixture_plan(f, POOL, NULL), "create p\n");
}

/* Each pod is bound as soon as it is ready, so no plan sees it ready and idle. */
static void test_pods_that_are_bound_at_once_prove_the_template(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    for (int i = 0; i < 30; i++) {
        cleanup_free char *name = xasprintf("p%d", i), *box = xasprintf("s%d", i);

        assert_in(fixture_plan(f, POOL, NULL), "create p\n");
        put_pod(f, name, true, box);
    }
}

static void test_pod_that_is_being_bound_proves_the_template(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, NULL);
    ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_pod, "ns/a", "ns/p");
    fixture_plan(f, POOL, NULL);
    assert_true(world_pool_state(f->w, "ns/p")->proven);
}

static size_t creates(struct fixture *f)
{
    size_t n = 0;

    for (const char *p = fixture_plan(f, POOL, NULL); (p = strstr(p, "create")); p++)
        n++;
    return n;
}

static void put_unready(struct fixture *f, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        cleanup_free char *name = xasprintf("unready%d", i);

        put_pod(f, name, false, NULL);
    }
}

/* An operator that has just begun counts what others have made. */
static void test_unproven_pods_are_bounded_for_all_operators(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 100, "wrong");
    put_unready(f, 0, 15);
    assert_int_equal(creates(f), 3);
    ledger_begin(f->w->ledger, LEDGER_CREATE, &api_pod, "ns/x", "ns/p");
    ledger_begin(f->w->ledger, LEDGER_CREATE, &api_pod, "ns/y", "ns/p");
    put_unready(f, 15, 1); /* the first of the three is there, the others are on their way */
    assert_int_equal(creates(f), 0);
    fixture_done(f);
    fixture_init(f); /* another operator */
    put_pool(f, 100, "wrong");
    put_unready(f, 0, 18);
    assert_int_equal(creates(f), 0);
    fixture_pass(f, 299000);
    assert_int_equal(creates(f), 0);
    fixture_pass(f, 1000);
    assert_int_equal(creates(f), 1);
    put_pod(f, "ready", true, NULL);
    assert_int_equal(creates(f), 16);
    fixture_done(f);
    fixture_init(f);
    put_pool(f, 100, "wrong");
    put_unready(f, 0, 18);
    put_pool(f, 100, "right"); /* pods of the wrong template say nothing of this one */
    assert_int_equal(creates(f), 16);
}

#define OURS                                                                                       \
    "\"annotations\":{\"arl.infra.io/template-hash\":\"h\",\"arl.infra.io/signing-key\":\"k\"}"
#define LABELS(more) ",\"labels\":{\"arl.infra.io/pool\":\"p\"" more "},"

/* Pods that stayed when their pool or sandbox was deleted without them are deleted. A pod that a
 * person has made stays, and so does one that has an owner. */
static void test_orphans_are_removed(void **state)
{
    static const struct {
        const char *name;
        const char *metadata;
    } pods[] = {
        {"left", LABELS("") OURS},
        {"by-hand", LABELS("") "\"annotations\":{\"arl.infra.io/template-hash\":\"h\"}"},
        {"by-hand-too", LABELS("") "\"annotations\":{\"arl.infra.io/signing-key\":\"k\"}"},
        {"used",
         LABELS(",\"arl.infra.io/status\":\"allocated\",\"arl.infra.io/sandbox\":\"s\"") OURS},
        {"bound", LABELS(",\"arl.infra.io/status\":\"allocated\",\"arl.infra.io/sandbox\":\"s\"")
                      OURS ",\"ownerReferences\":[{\"kind\":\"Sandbox\",\"name\":\"s\",\"uid\":"
                           "\"u\",\"controller\":true}]"},
        {"owned", LABELS("") OURS ",\"ownerReferences\":[{\"kind\":\"Job\",\"uid\":\"u\"}]"},
        {"ending", LABELS("") OURS ",\"deletionTimestamp\":\"" T0_TEXT "\""},
        {"busy", LABELS("") OURS},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
        fixture_put(f, &api_pod, pods[i].name, pods[i].metadata, "\"status\":{}");
    ledger_begin(f->w->ledger, LEDGER_DELETE, &api_pod, "ns/busy", NULL);
    assert_plan(f, POOL, "delete left Orphaned\ndelete used Orphaned\n");
    put_pool(f, 0, "x");
    assert_plan(f, POOL, "delete left Orphaned\ndelete used Orphaned\nstatus p Ready\n");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Templates are kept in memory, and anybody who may make pools makes as many as he likes. */
static void test_a_template_that_is_too_large_is_refused(void **state)
{
    const struct {
        int bytes;
        bool refused;
    } rows[] = {{65000, false}, {65536, true}, {1000000, true}};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *rest =
            xasprintf("\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                      "\"executor\",\"image\":\"x\",\"args\":[\"%0*d\"],\"command\":[\"a\"]}]}}}",
                      rows[i].bytes, 0);
        cleanup_free char *body = NULL;
        const struct warmpool *p;

        fixture_put(f, &api_warmpool, "p", "", rest);
        p = world_pool(f->w, "ns/p");
        assert_int_equal(p->template_json == NULL, rows[i].refused);
        world_pool_state(f->w, "ns/p")->status_mono_ns = 0;
        fixture_plan(f, POOL, &body);
        assert_int_equal(strstr(body, "InvalidTemplate") && strstr(body, "spec.template takes ") &&
                             strstr(body, " bytes, 65536 are the limit: "),
                         rows[i].refused);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_template_that_is_too_large_is_refused),
        T(test_pods_that_end_together_are_one_failure),
        T(test_pod_that_becomes_ready_ends_the_back_off),
        T(test_pod_that_ends_while_another_becomes_ready_is_no_failure),
        T(test_pod_that_becomes_ready_does_not_lift_a_quota),
        T(test_pool_that_is_scaled_to_what_it_has_does_not_fail),
        T(test_pods_that_are_bound_at_once_prove_the_template),
        T(test_pod_that_is_being_bound_proves_the_template),
        T(test_unproven_pods_are_bounded_for_all_operators),
        T(test_orphans_are_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
