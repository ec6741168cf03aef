/* Lines: sandboxes that wait for a pod, and tasks of a sandbox. A tenant makes them as long as he
 * likes. Those who wait behind his keys must not pay for that. */
#include "tests/unit/unit.h"

#include "tests/unit/world_fixture.h"

#define FEW 250
#define MANY (16 * FEW)
/* How much more MANY may cost than FEW: a cost for each gives 16, a cost of each with each 256. */
#define RATIO 64

static void setup(struct fixture *f)
{
    fixture_init(f);
    f->unchecked = true;
    f->w->active_wall_ns = T0_WALL - 100 * NSEC_PER_SEC;
}

static void put_numbered(struct fixture *f, const struct api_kind *kind, char letter, int i,
                         const char *rest)
{
    char name[32];

    snprintf(name, sizeof(name), "%c-%d", letter, i);
    fixture_put(f, kind, name, "", rest);
}

static void put_task(struct fixture *f, int i, const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"a\",\"type\":\"Command\","
                  "\"command\":[\"true\"]}]},\"status\":{%s}",
                  status);

    put_numbered(f, &api_task, 't', i, rest);
}

static void put_sandbox(struct fixture *f, const char *metadata, const char *phase)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"poolRef\":\"p\"},\"status\":{\"phase\":\"%s\"}", phase);

    fixture_put(f, &api_sandbox, "s", metadata, rest);
}

static void put_pool(struct fixture *f, int replicas)
{
    cleanup_free char *rest = xasprintf("\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{"
                                        "\"containers\":[{\"name\":\"executor\",\"image\":\"x\"}]}}"
                                        "}",
                                        replicas);

    fixture_put(f, &api_warmpool, "p", "", rest);
}

/* ---- what it costs --------------------------------------------------------------------------- */

/* The cost of planning what has changed, which must be so many keys. Ends the fixture. */
static int64_t cost_of_planning(struct fixture *f, int keys)
{
    int64_t begun = fixture_cpu_ns();

    assert_int_equal(fixture_drain(f), keys);
    begun = fixture_cpu_ns() - begun;
    fixture_done(f);
    return begun;
}

static int64_t cost_of_tasks(int count)
{
    struct fixture f;

    setup(&f);
    for (int i = 0; i < count; i++)
        put_task(&f, i, "\"state\":\"Pending\"");
    fixture_drain(&f);
    put_sandbox(&f, "", "Pending");
    return cost_of_planning(&f, count + 1);
}

static int64_t cost_of_sandboxes(int count)
{
    struct fixture f;

    setup(&f);
    put_pool(&f, 1);
    for (int i = 0; i < count; i++)
        put_numbered(&f, &api_sandbox, 's', i,
                     "\"spec\":{\"poolRef\":\"p\"},\"status\":{\"phase\":\"Pending\"}");
    fixture_drain(&f);
    put_pool(&f, 0); /* all of them say so */
    return cost_of_planning(&f, count + 1);
}

static int64_t cost_of_scaling_down(int count)
{
    struct fixture f;

    setup(&f);
    for (int i = 0; i < count; i++) {
        cleanup_free char *name = xasprintf("a-%d", i);

        fixture_put(
            &f, &api_pod, name,
            ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"},"
            "\"ownerReferences\":[{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}]",
            "\"status\":{\"phase\":\"Running\"}");
    }
    put_pool(&f, count);
    fixture_drain(&f);
    put_pool(&f, 0);
    return cost_of_planning(&f, 1);
}

static void test_a_long_line_costs_each_of_it_the_same(void **state)
{
    int64_t (*const costs[])(int count) = {cost_of_tasks, cost_of_sandboxes, cost_of_scaling_down};

    for (size_t i = 0; i < ARRAY_SIZE(costs); i++)
        assert_in_range(fixture_least(costs[i], MANY) / fixture_least(costs[i], FEW), 0, RATIO);
}

/* Whoever may use a sandbox may change it, as often as he likes. */
static void test_tasks_in_line_do_not_mind_what_changes_before_them(void **state)
{
    struct fixture f;

    setup(&f);
    put_sandbox(&f, "", "Pending");
    for (int i = 0; i < FEW; i++)
        put_task(&f, i, "\"state\":\"Pending\"");
    fixture_drain(&f);
    put_sandbox(&f, ",\"annotations\":{\"arl.infra.io/used-at\":\"" T0_TEXT "\"}", "Pending");
    assert_int_equal(fixture_drain(&f), 2); /* the sandbox, and the first task */
    fixture_put(&f, &api_pod, "a", ",\"labels\":{\"arl.infra.io/sandbox\":\"s\"}",
                "\"status\":{\"phase\":\"Running\"}");
    assert_int_equal(fixture_drain(&f), 3); /* these, and a pool */
    world_sandbox_state(f.w, "ns/s")->agent.state = AGENT_ASKING;
    world_audit(f.w, "ns", "s", "uid-s", AGENT_EV_SILENT, f.now.mono_ns);
    assert_int_equal(fixture_drain(&f), 1);
    world_audit_over(f.w, "ns", "s", "uid-s", AGENT_EV_CLEAN, "uid-t-7");
    assert_int_equal(fixture_drain(&f), 3); /* the sandbox, the old first task, the new one */
    put_sandbox(&f, "", "Failed");
    assert_int_equal(fixture_drain(&f), FEW + 1); /* that concerns all of them */
    fixture_done(&f);
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

/* The head of the line by its rule, computed from scratch. */
static const struct meta *head_of(struct fixture *f)
{
    const struct index_bucket *b = index_get(&f->w->tasks_by_sandbox, "ns/s");

    for (size_t i = 0; i < b->count; i++)
        if (world_task_runs(f->w, "ns/s", b->items[i]))
            return b->items[i];
    for (size_t i = 0; i < b->count; i++)
        if (container_of(b->items[i], struct task, meta)->sandbox_uid)
            return b->items[i];
    return b->count > 0 ? b->items[0] : NULL;
}

static void run_or_stop(struct fixture *f, int i)
{
    cleanup_free char *key = xasprintf("ns/t-%d", i);
    const struct task *t = world_task(f->w, key);
    struct run *r = world_take_run(f->w, key);
    struct run_target target = {0};

    if (r) {
        world_free_run(f->w, r);
    } else if (t) {
        target.task_uid = xstrdup(t->meta.uid);
        world_add_run(f->w, key, run_new(target, 1, 1, f->now));
    }
}

static void change(struct fixture *f, unsigned what, int i)
{
    static const char *const statuses[] = {"", "\"state\":\"Pending\"",
                                           "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"",
                                           "\"state\":\"Succeeded\",\"sandboxUID\":\"uid-s\""};
    char name[32], uid[32];

    snprintf(name, sizeof(name), "t-%d", i);
    snprintf(uid, sizeof(uid), "uid-t-%d", i);
    if (what < ARRAY_SIZE(statuses))
        put_task(f, i, statuses[what]);
    else if (what == 4)
        fixture_remove(f, &api_task, name);
    else if (what == 5)
        run_or_stop(f, i);
    else if (what == 6)
        world_audit_over(f->w, "ns", "s", "uid-s", AGENT_EV_CLEAN, i % 3 ? uid : NULL);
    else if (what == 7 && i == 0)
        fixture_remove(f, &api_sandbox, "s");
    else
        put_sandbox(f, "", "Ready");
}

static void test_the_first_of_a_line_is_who_it_would_be_from_scratch(void **state)
{
    struct fixture f;
    uint32_t seed = 1;

    setup(&f);
    for (int n = 0; n < 20000; n++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes, 2nd edition, 7.1 */
        change(&f, (seed >> 16) % 9, (int)((seed >> 24) % 8));
        assert_ptr_equal(world_task_head(f.w, "ns/s"), head_of(&f));
    }
    fixture_drain(&f);
    fixture_done(&f);
}

/* Two operators that acted at once have begun one task each. When the run of our task is taken
 * away, the older task is the first of the line, and has to be queued. asked: somebody has asked
 * who is the first since the line has changed. */
static void check_first_is_planned(bool asked)
{
    static const char running[] = "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"";
    struct queue_view v;
    struct fixture f;

    setup(&f);
    put_sandbox(&f, "", "Ready");
    put_task(&f, 0, "\"state\":\"Pending\"");
    put_task(&f, 1, running);
    run_or_stop(&f, 1);
    put_task(&f, 0, running);
    put_task(&f, 1, "\"state\":\"Running\",\"attempt\":2,\"sandboxUID\":\"uid-s\"");
    fixture_drain(&f);
    world_task_head_may_differ(f.w, "ns/s");
    if (asked)
        assert_string_equal(world_task_head(f.w, "ns/s")->name, "t-1");
    run_or_stop(&f, 1);
    assert_string_equal(world_task_head(f.w, "ns/s")->name, "t-0");
    queue_look(f.w->queue, "task/ns/t-0", &v);
    assert_string_equal(v.state, "ready");
    fixture_done(&f);
}

static void test_whoever_is_the_first_without_a_run_is_planned(void **state)
{
    check_first_is_planned(true);
    check_first_is_planned(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_line_costs_each_of_it_the_same),
        cmocka_unit_test(test_tasks_in_line_do_not_mind_what_changes_before_them),
        cmocka_unit_test(test_the_first_of_a_line_is_who_it_would_be_from_scratch),
        cmocka_unit_test(test_whoever_is_the_first_without_a_run_is_planned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
