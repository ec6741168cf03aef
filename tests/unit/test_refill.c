/* When a pool's missing pods are made: alone, and beside claims. */
#include "operator/core/write.h"
#include "tests/unit/plan_objects.h"

#define POOL_KEY "ns/p"
#define MS(n) ((n)*NSEC_PER_MSEC)

/* ---- the width ------------------------------------------------------------------------------- */

static size_t width(const struct refill *r, int64_t now)
{
    const struct refill_need need = {.missing = 1000};
    int64_t again;

    return refill_room(r, &need, now, &again);
}

/* The quickest create takes 20 ms, so what is slow takes more than 80 for each under way. */
static void test_width_follows_the_answers(void **state)
{
    /* BEFORE the width was halved. */
    enum begun { NOW, BEFORE };
    static const struct {
        unsigned times;
        size_t at_once;
        int took_ms; /* 0: it failed */
        enum begun begun;
        size_t want;
        const char *why;
    } rows[] = {
        {0, 0, 0, NOW, 16, "nothing is known"},
        {16, 16, 900, NOW, 16, "nothing to compare with"},
        {1, 1, 20, NOW, 16, "alone"},
        {32, 16, 1280, NOW, 16, "they wait for each other"},
        {1, 16, 1300, NOW, 8, "slow"},
        {15, 16, 1300, BEFORE, 8, "slow, but of the same wave"},
        {15, 16, 320, BEFORE, 8, "quick, but of the same wave"},
        {1, 8, 700, NOW, 4, "slow again"},
        {9, 3, 20, NOW, 4, "quick, but nobody needed more"},
        {3, 4, 80, NOW, 4, "quick, but not yet all of them"},
        {1, 4, 80, NOW, 5, "all of them"},
        {5, 5, 100, NOW, 6, "one at a time"},
        {1, 6, 0, NOW, 3, "failed"},
        {5, 6, 0, BEFORE, 3, "failed, but of the same wave"},
        {1, 1, 90, NOW, 1, "slow, though alone"},
        {3, 1, 90, NOW, 1, "not less than one"},
        {1, 1, 20, NOW, 2, "quick"},
        {118, 16, 20, NOW, 15, "as many as the width, each time"},
        {500, 16, 320, NOW, 16, "and not more than that"},
    };
    struct refill r = {0};
    int64_t now = NSEC_PER_SEC;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (unsigned k = 0; k < rows[i].times; k++) {
            if (rows[i].begun == NOW)
                now += MS(rows[i].took_ms + 1);
            if (rows[i].took_ms == 0)
                refill_failed(&r, now - MS(1), now);
            else
                refill_made(&r, rows[i].at_once, now - MS(rows[i].took_ms), now);
        }
        if (width(&r, now) != rows[i].want)
            fail_msg("row %zu (%s): %zu, not %zu", i, rows[i].why, width(&r, now), rows[i].want);
    }
}

/* A server that has got slower for good is not slow for ever. */
static void test_best_answer_is_forgotten(void **state)
{
    struct refill r = {0};
    int64_t now = NSEC_PER_SEC;

    refill_made(&r, 1, now, now + MS(20));
    for (int i = 0; i < 400; i++) {
        now += NSEC_PER_SEC;
        refill_made(&r, 1, now - MS(500), now);
        if (i == 200)
            assert_int_equal(width(&r, now), 1);
    }
    assert_int_equal(width(&r, now), 2);
}

/* ---- a pool under load ----------------------------------------------------------------------- */

#define RUN_MS 30000
#define WRITES 2000

/* Claims are under way at once, each for its time; creates take theirs one after the other. */
struct load {
    struct fixture *f;
    int t; /* ms since it began */
    int claim_ms;
    int create_ms;
    int plan_at; /* the pool is planned after each answer, and when a plan has asked for it */
    int claims, claimed;
    int creates, made;
    struct {
        int due;
        size_t at_once;
        int64_t begun_mono_ns;
    } claim[WRITES], create[WRITES];
    /* In each ms: */
    int answered[RUN_MS]; /* claims */
    int begun[RUN_MS];    /* creates */
    int under_way[RUN_MS];
};

static struct load *load_new(struct fixture *f, int replicas, int pods, int claim_ms, int create_ms)
{
    struct load *l = xcalloc(1, sizeof(*l));

    *l = (struct load){.f = f, .claim_ms = claim_ms, .create_ms = create_ms};
    f->unchecked = true; /* it would take as long as all the rest */
    put_pool(f, replicas, "x");
    for (int i = 0; i < pods; i++) {
        cleanup_free char *name = xasprintf("a%d", i);

        put_pod(f, name, true, NULL);
    }
    return l;
}

static struct refill *refill_of(const struct load *l)
{
    return &world_pool_state(l->f->w, POOL_KEY)->refill;
}

static void claim_pod(struct load *l)
{
    cleanup_free char *key = xasprintf("ns/a%d", l->claims);

    l->claim[l->claims++].due = l->t + l->claim_ms;
    ledger_begin(l->f->w->ledger, LEDGER_CLAIM, &api_pod, key, POOL_KEY);
}

static void answer_claim(struct load *l)
{
    cleanup_free char *name = xasprintf("a%d", l->claimed), *box = xasprintf("s%d", l->claimed);
    cleanup_free char *key = xasprintf("ns/%s", name);

    l->claimed++;
    l->answered[l->t]++;
    refill_claimed(refill_of(l), true, l->f->now.mono_ns);
    put_pod(l->f, name, true, box);
    ledger_end(l->f->w->ledger, &api_pod, key);
    l->plan_at = l->t;
}

static void create_pods(struct load *l, int count)
{
    int last = l->made < l->creates ? l->create[l->creates - 1].due : l->t;

    for (int i = 0; i < count; i++) {
        cleanup_free char *key = xasprintf("ns/new%d", l->creates);

        last += l->create_ms;
        l->create[l->creates].due = last;
        l->create[l->creates].at_once = (size_t)(l->creates - l->made + count - i);
        l->create[l->creates].begun_mono_ns = l->f->now.mono_ns;
        l->creates++;
        ledger_begin(l->f->w->ledger, LEDGER_CREATE, &api_pod, key, POOL_KEY);
    }
    l->begun[l->t] = count;
}

static void answer_create(struct load *l)
{
    cleanup_free char *name = xasprintf("new%d", l->made), *key = xasprintf("ns/%s", name);

    refill_made(refill_of(l), l->create[l->made].at_once, l->create[l->made].begun_mono_ns,
                l->f->now.mono_ns);
    l->made++;
    put_pod(l->f, name, true, NULL);
    ledger_end(l->f->w->ledger, &api_pod, key);
    l->plan_at = l->t;
}

static void plan_load(struct load *l)
{
    const char *text = fixture_plan(l->f, POOL, NULL), *after = strstr(text, "after ");
    int count = 0;

    l->plan_at = after ? l->t + MAX((int)strtol(after + strlen("after "), NULL, 10), 1) : RUN_MS;
    for (const char *p = text; (p = strstr(p, "create")); p++)
        count++;
    create_pods(l, count);
}

/* Until a time, with a claim every so many ms; 0: without claims. */
static void run_load(struct load *l, int until, int claim_every_ms)
{
    for (; l->t < until; l->t++) {
        if (claim_every_ms && l->t % claim_every_ms == 0)
            claim_pod(l);
        while (l->claimed < l->claims && l->claim[l->claimed].due <= l->t)
            answer_claim(l);
        while (l->made < l->creates && l->create[l->made].due <= l->t)
            answer_create(l);
        if (l->plan_at <= l->t)
            plan_load(l);
        l->under_way[l->t] = l->creates - l->made;
        fixture_pass(l->f, 1);
    }
}

static int sum(const int *each_ms, int from, int to)
{
    int n = 0;

    for (int t = MAX(from, 0); t < to; t++)
        n += each_ms[t];
    return n;
}

static int most(const int *each_ms, int from, int to)
{
    int n = 0;

    for (int t = from; t < to; t++)
        n = MAX(n, each_ms[t]);
    return n;
}

/* In any 100 ms no more creates begin than claims were answered, and so many more. */
static void assert_no_wave(const struct load *l, int until, int more)
{
    for (int t = 0; t + 100 <= until; t++)
        if (sum(l->begun, t, t + 100) > sum(l->answered, t, t + 100) + more)
            fail_msg("%d creates and %d claims in 100 ms from %d ms on", sum(l->begun, t, t + 100),
                     sum(l->answered, t, t + 100), t);
}

static void test_refills_go_as_fast_as_claims(void **state)
{
    struct load *l = load_new(*state, 400, 400, 25, 15);

    run_load(l, 10000, 50);
    assert_no_wave(l, 10000, 0);
    assert_int_equal(most(l->under_way, 0, 10000), 1);
    assert_in_range(l->claimed - l->made, 0, 1);
    run_load(l, 10100, 0);
    assert_int_equal(l->made, 200);
    free(l);
}

/* The server is slow for two seconds, and a backlog comes of it. */
static void test_backlog_is_no_wave(void **state)
{
    struct load *l = load_new(*state, 400, 400, 25, 15);
    int missing;

    run_load(l, 2000, 50);
    l->claim_ms = l->create_ms = 300;
    run_load(l, 4000, 50);
    l->claim_ms = 25;
    l->create_ms = 15;
    run_load(l, 4500, 50);
    missing = l->claimed - l->made;
    assert_in_range(missing, 20, 50);
    run_load(l, 14500, 50);
    assert_no_wave(l, 14500, AMONG_CLAIMS + 1);
    assert_in_range(most(l->under_way, 0, 14500), 1, AMONG_CLAIMS);
    assert_in_range(l->claimed - l->made, 0, 2); /* caught up, though claims have not ceased */
    free(l);
}

static void test_refills_of_a_burst_come_after_it(void **state)
{
    struct load *l = load_new(*state, 400, 300, 0, 15);
    int over;

    for (int i = 0; i < 300; i++) {
        l->claim_ms = 8 * (i + 1);
        claim_pod(l);
    }
    over = l->claim_ms;
    run_load(l, over + 1, 0);
    assert_int_equal(l->claimed, 300);
    assert_int_equal(l->creates, 0);
    run_load(l, over + 1000, 0);
    assert_in_range(most(l->under_way, 0, over + 400), 1, AMONG_CLAIMS + 3);
    run_load(l, over + 10000, 0);
    assert_int_equal(l->made, 400);
    assert_int_equal(most(l->under_way, 0, l->t), CREATES_AT_ONCE);
    free(l);
}

/* One at a time after three seconds: the pool would run empty. */
static void test_claims_without_end_do_not_empty_the_pool(void **state)
{
    struct load *l = load_new(*state, 1500, 1500, 500, 10);

    run_load(l, 10000, 10);
    assert_int_equal(sum(l->begun, 0, 3000), 0);
    assert_int_equal(most(l->under_way, 3000, 10000), 1);
    assert_in_range(sum(l->begun, 3000, 10000), 200, 700);
    free(l);
}

static void test_growth_alone_has_the_full_width(void **state)
{
    struct load *l = load_new(*state, 1020, 20, 0, 13);

    run_load(l, 13 * 1000 + 100, 0);
    assert_int_equal(l->made, 1000);
    assert_int_equal(most(l->under_way, 0, 1), CREATES_AT_ONCE);
    for (int t = 0; t < 12000; t++)
        assert_int_equal(l->under_way[t], CREATES_AT_ONCE);
    free(l);
}

static void test_slow_server_gets_fewer_creates(void **state)
{
    struct load *l = load_new(*state, 2020, 20, 0, 13);

    run_load(l, 2000, 0);
    l->create_ms = 100;
    run_load(l, 8000, 0);
    assert_int_equal(most(l->under_way, 7000, 8000), 1);
    l->create_ms = 13;
    run_load(l, 16000, 0);
    assert_int_equal(most(l->under_way, 15000, 16000), CREATES_AT_ONCE);
    free(l);
}

/* Whatever else is the case: here a burst, and a slow server. */
static void test_waiting_sandboxes_get_pods_at_once(void **state)
{
    struct fixture *f = *state;
    struct load *l = load_new(f, 40, 10, 1000, 15);

    for (int i = 0; i < 10; i++)
        claim_pod(l);
    for (int i = 0; i < 5; i++)
        refill_failed(refill_of(l), f->now.mono_ns + i, f->now.mono_ns + i);
    plan_load(l);
    assert_int_equal(l->creates, 0);
    put_sandbox(f, "s", "", "");
    plan_load(l);
    assert_int_equal(l->creates, CREATES_AT_ONCE);
    free(l);
}

/* ---- deletes --------------------------------------------------------------------------------- */

static void test_deletes_among_claims_come_one_by_one(void **state)
{
    struct refill r = {0};
    int64_t now = NSEC_PER_SEC, calm = now + MS(300), again;

    assert_true(refill_delete_room(&r, 0, 0, now, &again) > 1000);
    assert_true(refill_delete_room(&r, 500, 0, now, &again) > 1000);
    assert_int_equal(refill_delete_room(&r, 1, calm, now, &again), 0);
    assert_int_equal(again, 0);
    assert_int_equal(refill_delete_room(&r, 0, calm, now, &again), 1);
    refill_delete_begun(&r, now); /* how long it takes is not known yet */
    refill_deleted(&r, false, MS(10));
    now += MS(10);
    assert_int_equal(refill_delete_room(&r, 0, calm, now, &again), 1);
    refill_delete_begun(&r, now);
    refill_deleted(&r, false, MS(20));
    now += MS(20);
    assert_int_equal(refill_delete_room(&r, 0, calm, now, &again), 0);
    assert_int_equal(again, now + MS(60)); /* eight times what the first one took */
    assert_int_equal(refill_delete_room(&r, 0, now + MS(1), now, &again), 0);
    assert_int_equal(again, now + MS(1)); /* no claim is near any more */
    assert_int_equal(refill_delete_room(&r, 0, calm, now + MS(60), &again), 1);
}

/* One that was not answered in 30 s does not stop the others for minutes, while others claim
 * without end. */
static void test_deletes_among_claims_rest_for_seconds_at_most(void **state)
{
    struct refill r = {0};
    int64_t now = NSEC_PER_SEC, again;

    refill_delete_begun(&r, now);
    refill_deleted(&r, false, 30 * NSEC_PER_SEC);
    now += 30 * NSEC_PER_SEC;
    refill_delete_begun(&r, now);
    refill_deleted(&r, false, MS(10));
    assert_int_equal(refill_delete_room(&r, 0, now + MS(60000), now + MS(10), &again), 0);
    assert_int_equal(again, now + MS(3000));
    assert_int_equal(refill_delete_room(&r, 0, now + MS(60000), again, &again), 1);
}

static size_t deletes_of(struct fixture *f)
{
    const char *at = fixture_plan(f, POOL, NULL);
    size_t n = 0;

    for (; (at = strstr(at, "delete ")); at++)
        n++;
    return n;
}

/* Whether they are outdated, too many, or of a pool that is gone. */
static void test_claims_of_any_pool_hold_up_deletes(void **state)
{
    struct fixture *f = *state;

    for (int why = 0; why < 3; why++) {
        fixture_done(f);
        fixture_init(f);
        put_pool(f, why == 1 ? 2 : 100, "busybox");
        for (int i = 0; i < 100; i++) {
            cleanup_free char *name = xasprintf("p-%d", i);

            if (why == 0)
                put_pod_at(f, name, T0_TEXT, true, NULL, "old");
            else
                put_pod(f, name, true, NULL);
        }
        if (why == 2)
            fixture_remove(f, &api_warmpool, "p");
        assert_true(deletes_of(f) > 10);
        f->w->claim_mono_ns = f->now.mono_ns; /* of a claim of another pool */
        assert_int_equal(deletes_of(f), 1);
        ledger_begin(f->w->ledger, LEDGER_DELETE, &api_pod, "ns/p-0", POOL_KEY);
        assert_int_equal(deletes_of(f), 0);
        ledger_end(f->w->ledger, &api_pod, "ns/p-0");
        fixture_pass(f, 301);
        assert_true(deletes_of(f) > 10);
        ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_pod, "ns/x", "ns/other");
        assert_int_equal(deletes_of(f), 1);
        ledger_end(f->w->ledger, &api_pod, "ns/x");
    }
}

/* The plan of the pool is done: the API server deletes each pod but p-3. */
static void do_deletes(struct fixture *f)
{
    cleanup_actions struct actions actions;
    int64_t due;

    actions_init(&actions);
    plan(f->w, POOL, f->now, &actions);
    for (const struct action *a = actions.first; a; a = a->next) {
        bool refused = a->type == ACTION_DELETE && strcmp(a->name, "p-3") == 0;
        struct kube_result res = {.reason = refused ? KUBE_FORBIDDEN : KUBE_OK,
                                  .http_status = refused ? 403 : 200,
                                  .retry_after_ms = -1,
                                  .message = "no"};
        struct write *wr;

        plan_begun(f->w, POOL, a, f->now);
        if (a->type != ACTION_DELETE)
            continue;
        wr = write_begin(f->w, POOL, a, NULL, f->now);
        write_answered(f->w, wr, &res, f->now, &due);
        write_free(wr);
    }
}

/* Others claim without end, and a policy keeps a pod, which is the first to go. */
static void test_pod_that_cannot_be_deleted_holds_up_no_others(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 0, "busybox");
    for (int i = 0; i < 4; i++) {
        cleanup_free char *name = xasprintf("p-%d", i);

        put_pod(f, name, true, NULL);
    }
    for (int i = 0; i < 10; i++) {
        f->w->claim_mono_ns = f->now.mono_ns;
        do_deletes(f);
        fixture_pass(f, 100);
    }
    assert_int_equal(shelf_count(world_shelf(f->w, POOL_KEY), MARK_FRESH_READY), 1);
}

/* Growth is for later, claims are waited for. But each of its creates that is answered lets the
 * next one go: growth does not stop. */
static void test_claims_of_other_pools_narrow_growth(void **state)
{
    struct refill r = {0};
    struct refill_need need = {.missing = 1000, .elsewhere = true};
    int64_t again;

    assert_int_equal(refill_room(&r, &need, NSEC_PER_SEC, &again), AMONG_CLAIMS);
    need.creating = AMONG_CLAIMS - 1;
    assert_int_equal(refill_room(&r, &need, NSEC_PER_SEC, &again), 1);
    need.waited_for = true;
    assert_int_equal(refill_room(&r, &need, NSEC_PER_SEC, &again),
                     CREATES_AT_ONCE - AMONG_CLAIMS + 1);
    need = (struct refill_need){.missing = 1000};
    assert_int_equal(refill_room(&r, &need, NSEC_PER_SEC, &again), CREATES_AT_ONCE);
}

/* Nor does a slow create hold up the next one for longer, while claims come. */
static void test_creates_among_claims_rest_for_seconds_at_most(void **state)
{
    struct refill r = {0};
    struct refill_need need = {.missing = 1000};
    int64_t now = 100 * NSEC_PER_SEC, again;

    refill_made(&r, 1, now - 30 * NSEC_PER_SEC, now);
    refill_claimed(&r, false, now);
    refill_see_claims(&r, 0, now);
    assert_int_equal(refill_room(&r, &need, now, &again), 1);
    refill_begun(&r, now);
    for (int ms = 0; ms < 3000; ms += 100) { /* claims go on */
        refill_claimed(&r, false, now + MS(ms));
        refill_see_claims(&r, 0, now + MS(ms));
        assert_int_equal(refill_room(&r, &need, now + MS(ms), &again), 0);
    }
    assert_int_equal(refill_room(&r, &need, now + MS(3000), &again), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_width_follows_the_answers),
        T(test_best_answer_is_forgotten),
        T(test_refills_go_as_fast_as_claims),
        T(test_backlog_is_no_wave),
        T(test_refills_of_a_burst_come_after_it),
        T(test_claims_without_end_do_not_empty_the_pool),
        T(test_growth_alone_has_the_full_width),
        T(test_slow_server_gets_fewer_creates),
        T(test_waiting_sandboxes_get_pods_at_once),
        T(test_deletes_among_claims_come_one_by_one),
        T(test_deletes_among_claims_rest_for_seconds_at_most),
        T(test_claims_of_any_pool_hold_up_deletes),
        T(test_pod_that_cannot_be_deleted_holds_up_no_others),
        T(test_claims_of_other_pools_narrow_growth),
        T(test_creates_among_claims_rest_for_seconds_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
