/* Shelves: they tell what a pool's pods are, whatever changes, and nobody walks over the pods. */
#include "tests/unit/plan_objects.h"

#define FEW 250
#define MANY (16 * FEW)
#define CHANGES 200
/* How much more MANY may cost than FEW: a cost of the change alone gives 1, one of all the pool's
 * pods 16. */
#define RATIO 4

static void put_numbered_pod(struct fixture *f, int i, bool ready)
{
    char name[32];

    snprintf(name, sizeof(name), "a-%d", i);
    put_pod(f, name, ready, NULL);
}

static int64_t cost_of_changes(int count)
{
    struct fixture f;
    int64_t begun;

    fixture_init(&f);
    f.unchecked = true;
    put_pool(&f, count, "x");
    for (int i = 0; i < count; i++)
        put_numbered_pod(&f, i, true);
    fixture_drain(&f);
    begun = fixture_cpu_ns();
    for (int i = 0; i < CHANGES; i++) {
        put_numbered_pod(&f, i, i % 2);
        fixture_drain(&f);
    }
    begun = fixture_cpu_ns() - begun;
    fixture_done(&f);
    return begun;
}

static void test_a_change_in_a_large_pool_costs_as_much_as_in_a_small_one(void **state)
{
    assert_in_range(fixture_least(cost_of_changes, MANY) / fixture_least(cost_of_changes, FEW), 0,
                    RATIO - 1);
}

/* ---- any change ------------------------------------------------------------------------------ */

static void write_or_answer(struct fixture *f, const struct api_kind *kind, const char *name)
{
    cleanup_free char *key = xasprintf("ns/%s", name);

    if (ledger_busy(f->w->ledger, kind, key))
        ledger_end(f->w->ledger, kind, key);
    else
        ledger_begin(f->w->ledger, LEDGER_CLAIM, kind, key, NULL);
}

static void change_pod(struct fixture *f, unsigned what, const char *name, const char *sandbox)
{
    switch (what % 6) {
    case 0:
        fixture_remove(f, &api_pod, name);
        break;
    case 1:
        put_pod_at(f, name, T0_TEXT, what % 2, NULL, "older");
        break;
    case 2:
        put_pod_at(f, name, "2025-06-15T15:06:30Z", true, NULL, "older"); /* another one */
        break;
    case 3:
        put_pod(f, name, true, sandbox);
        break;
    case 4:
        write_or_answer(f, &api_pod, name);
        break;
    default:
        put_pod(f, name, what % 3, NULL);
    }
}

static void change(struct fixture *f, unsigned what, unsigned i)
{
    char pod[32], sandbox[32];

    snprintf(pod, sizeof(pod), "a-%u", i % 5);
    snprintf(sandbox, sizeof(sandbox), "s-%u", i % 3);
    if (what == 0)
        put_pool(f, 2, i % 2 ? "x" : "y");
    else if (what == 1 && i % 4 == 0)
        fixture_remove(f, &api_warmpool, "p");
    else if (what == 2)
        put_sandbox(f, sandbox, "", i % 2 ? "\"phase\":\"Pending\"" : "\"phase\":\"Failed\"");
    else if (what == 3)
        fixture_remove(f, &api_sandbox, sandbox);
    else if (what == 4)
        write_or_answer(f, &api_sandbox, sandbox);
    else if (what == 5 && world_pool(f->w, "ns/p"))
        fixture_plan(f, POOL, NULL);
    else
        change_pod(f, what + i, pod, sandbox);
}

static void test_the_shelves_are_what_a_count_from_scratch_gives(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 1;

    for (int n = 0; n < 4000; n++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes, 2nd edition, 7.1 */
        change(f, (seed >> 16) % 16, seed >> 24);
        world_check(f->w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_in_a_large_pool_costs_as_much_as_in_a_small_one),
        cmocka_unit_test_setup_teardown(test_the_shelves_are_what_a_count_from_scratch_gives, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
