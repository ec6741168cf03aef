/* Budgets that tasks share, and the rate of an agent's events. */
#include "tests/unit/unit.h"

#include "operator/core/bucket.h"
#include "operator/core/turns.h"

static struct turns turns;
static struct turn t[8];

static int setup(void **state)
{
    turns_init(&turns, 100);
    memset(t, 0, sizeof(t));
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        turns_end(&turns, &t[i]);
    assert_int_equal(turns.used + turns.waiting + turns.by_ns.count, 0);
    turns_done(&turns);
    return 0;
}

static void test_who_fits_has_it_at_once(void **state)
{
    assert_true(turns_ask(&turns, &t[0], "a/1", 60));
    assert_true(turns_ask(&turns, &t[0], "a/1", 60)); /* asking again changes nothing */
    assert_true(turns_ask(&turns, &t[1], "a/2", 40));
    assert_false(turns_ask(&turns, &t[2], "a/3", 1));
    assert_null(turns_next(&turns));
    assert_int_equal(turns_used_by(&turns, "a"), 100);
    turns_end(&turns, &t[1]);
    assert_ptr_equal(turns_next(&turns), &t[2]);
    assert_null(turns_next(&turns));
}

static void test_what_is_larger_than_all_goes_alone(void **state)
{
    assert_true(turns_ask(&turns, &t[0], "c/1", 10));
    assert_false(turns_ask(&turns, &t[1], "a/2", 500));
    /* Smaller ones do not pass it by for ever. */
    assert_false(turns_ask(&turns, &t[2], "b/1", 10));
    turns_end(&turns, &t[0]);
    assert_ptr_equal(turns_next(&turns), &t[1]);
    assert_null(turns_next(&turns));
    assert_true(turns_over(&turns));
}

static void test_half_while_another_waits(void **state)
{
    assert_true(turns_ask(&turns, &t[0], "a/1", 50));
    assert_true(turns_ask(&turns, &t[1], "a/2", 50));
    assert_false(turns_ask(&turns, &t[2], "a/3", 50));
    assert_false(turns_ask(&turns, &t[3], "b/1", 50));
    turns_end(&turns, &t[0]);
    assert_ptr_equal(turns_next(&turns), &t[3]); /* a has its half, though it asked first */
    turns_end(&turns, &t[1]);
    assert_ptr_equal(turns_next(&turns), &t[2]);
    turns_end(&turns, &t[3]);
    assert_true(turns_ask(&turns, &t[4], "a/4", 50)); /* nobody else waits */
}

static void test_who_leaves_the_line_holds_up_nobody(void **state)
{
    assert_true(turns_ask(&turns, &t[0], "c/1", 90));
    assert_false(turns_ask(&turns, &t[1], "a/2", 50));
    assert_false(turns_ask(&turns, &t[2], "b/1", 10));
    turns_end(&turns, &t[1]);
    assert_ptr_equal(turns_next(&turns), &t[2]);
}

static void test_what_is_taken_is_counted(void **state)
{
    turns_take(&turns, &t[0], "a/1", 150);
    assert_true(turns_over(&turns));
    /* Parts that were taken without asking keep nobody from one turn, but from a second one. */
    assert_true(turns_ask(&turns, &t[2], "b/2", 20));
    assert_false(turns_ask(&turns, &t[1], "b/1", 20));
    turns_end(&turns, &t[2]);
    turns_take(&turns, &t[0], "a/1", 70);
    assert_false(turns_over(&turns));
    assert_int_equal(turns_used_by(&turns, "a"), 70);
    assert_int_equal(turns_used_by(&turns, "c"), 0);
    turns_take(&turns, &t[1], "b/1", 30); /* out of the line */
    assert_int_equal(turns.waiting, 0);
    assert_int_equal(turns.used, 100);
}

/* ---- parts that can be taken away ------------------------------------------------------------ */

struct row {
    const char *has;   /* ten parts: whose each is */
    const char *waits; /* in line, the oldest first */
    const char *gives; /* NULL: nobody has to */
    const char *next;  /* who has it then */
};

static void ask(struct turns *ts, struct turn *turn, char ns, bool want)
{
    char key[] = {ns, '/', 'x', '\0'};

    assert_int_equal(turns_ask(ts, turn, key, 1), want);
}

static void check_row(const struct row *row)
{
    struct turn has[10] = {0}, waits[4] = {0}, *next;
    size_t gives = 0;
    struct turns ts;

    turns_init(&ts, 10);
    for (size_t i = 0; i < ARRAY_SIZE(has); i++)
        ask(&ts, &has[i], row->has[i], true);
    for (size_t i = 0; row->waits[i]; i++)
        ask(&ts, &waits[i], row->waits[i], false);
    if (!str_eq(turns_giver(&ts), row->gives))
        fail_msg("%s, and %s wait: %s gives way", row->has, row->waits,
                 str_or_empty(turns_giver(&ts)));
    while (row->gives && row->has[gives] != *row->gives)
        gives++;
    if (row->gives) {
        turns_end(&ts, &has[gives]);
        next = turns_next(&ts);
        assert_non_null(next);
        assert_string_equal(next->ns, row->next);
    }
    for (size_t i = 0; i < ARRAY_SIZE(has); i++)
        turns_end(&ts, &has[i]);
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
        turns_end(&ts, &waits[i]);
    turns_done(&ts);
}

/* The namespace that has most gives way. One that has its half takes turns with itself. */
static void test_who_gives_way(void **state)
{
    static const struct row rows[] = {
        {"aaaaaaaaaa", "", NULL, NULL},
        {"aaaaaaaaaa", "a", "a", "a"},
        {"aaaaaaaaaa", "b", "a", "b"},
        {"aaaaaaaaaa", "aab", "a", "b"}, /* a has its half, though it asked first */
        {"aaaaaabbbb", "b", "a", "b"},
        {"aaaaaabbbb", "a", "a", "a"},
        {"aaaaabbbbb", "ab", "a", "a"}, /* both have their half */
        {"aaaaabbbbb", "b", "b", "b"},
        {"aaaabbbccc", "b", "a", "b"},
        {"aaaaabbbcc", "acb", "a", "a"}, /* up to its half, in the order of the line */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_row(&rows[i]);
}

static void test_bucket(void **state)
{
    struct bucket b = {0};
    int64_t s = NSEC_PER_SEC, n = 0;

    while (bucket_take(&b, 1, 100, 10, s))
        n++;
    assert_int_equal(n, 100);
    assert_false(bucket_take(&b, 1, 100, 10, s + s / 20));
    assert_true(bucket_take(&b, 1, 100, 10, s + s / 10));
    assert_false(bucket_take(&b, 1, 100, 10, s + s / 10));
    assert_true(bucket_take(&b, 100, 100, 10, 100 * s)); /* never more than the burst */
    assert_false(bucket_take(&b, 1, 100, 10, 100 * s));
    /* Often and little: nothing is lost to rounding. */
    for (int64_t ms = 1; ms <= 10000; ms++)
        bucket_take(&b, 1, 100, 10, 100 * s + ms * NSEC_PER_MSEC);
    assert_in_range(b.spent, 99, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_fits_has_it_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_larger_than_all_goes_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_while_another_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_leaves_the_line_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_taken_is_counted, setup, teardown),
        cmocka_unit_test(test_who_gives_way),
        cmocka_unit_test(test_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
