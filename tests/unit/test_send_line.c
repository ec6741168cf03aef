/* Who goes next of those that wait to be sent. */
#include "tests/unit/unit.h"

#include "common/io/send_line.h"

#define ENTRIES 40

static struct send_line line;
static struct send_entry e[ENTRIES];

static int setup(void **state)
{
    send_line_init(&line);
    for (size_t i = 0; i < ENTRIES; i++)
        send_entry_init(&e[i]);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < ENTRIES; i++)
        send_line_remove(&line, &e[i]);
    send_line_done(&line);
    return 0;
}

static void assert_next(size_t i)
{
    assert_ptr_equal(send_line_take(&line), &e[i]);
}

static void test_the_most_urgent_goes_first(void **state)
{
    static const unsigned urgencies[] = {2, 1, 2, 0, 1, 0};
    static const size_t order[] = {3, 5, 1, 4, 0, 2};

    for (size_t i = 0; i < ARRAY_SIZE(urgencies); i++)
        send_line_add(&line, &e[i], urgencies[i], "a");
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        assert_next(order[i]);
    assert_null(send_line_take(&line));
}

static void test_groups_go_in_turn(void **state)
{
    for (size_t i = 0; i < 4; i++)
        send_line_add(&line, &e[i], 1, "a");
    send_line_add(&line, &e[4], 1, "b");
    send_line_add(&line, &e[5], 1, "b");
    send_line_add(&line, &e[6], 1, NULL);
    assert_next(0);
    assert_next(4);
    assert_next(6);
    assert_next(1);
    assert_next(5);
    /* A group whose entries have all gone is forgotten. */
    send_line_add(&line, &e[7], 1, "b");
    assert_next(7);
    assert_next(2);
    assert_next(3); /* the eighth */
}

static void test_nobody_waits_for_ever(void **state)
{
    send_line_add(&line, &e[0], 9, "slow");
    for (size_t i = 1; i < ENTRIES; i++)
        send_line_add(&line, &e[i], 0, "busy");
    for (size_t i = 1; i < SEND_LINE_OLDEST; i++)
        assert_next(i);
    assert_next(0);
}

static void test_who_leaves_is_not_taken(void **state)
{
    send_line_add(&line, &e[0], 0, "a");
    send_line_add(&line, &e[1], 1, "b");
    send_line_remove(&line, &e[0]);
    send_line_remove(&line, &e[0]);
    assert_int_equal(line.groups.count, 1);
    assert_next(1);
    assert_int_equal(line.groups.count, 0);
    send_line_add(&line, &e[1], 1, "b");
    assert_next(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_most_urgent_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups_go_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_leaves_is_not_taken, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
