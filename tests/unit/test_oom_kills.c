/* The counter of kills as the two kinds of control groups write it. */
#include "tests/unit/unit.h"

#include "sidecar/runner/oom_kills.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {
        {"low 0\nhigh 0\nmax 4\noom 3\noom_kill 2\noom_group_kill 0\n", 2},
        {"oom_kill_disable 0\nunder_oom 0\noom_kill 17\n", 17},
        {"oom_kill_disable 0\nunder_oom 0\n", 0}, /* Linux before 4.13 */
        {"", 0},
        {"oom_kill", 0},
        {"oom_kill \n", 0},
        {"oom_kill 99999999999999999999999", 999999999999999999},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(oom_kills_parse(rows[i].text), rows[i].want);
}

static void test_no_file(void **state)
{
    assert_int_equal(oom_kills_count(-1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse),
                                       cmocka_unit_test(test_no_file)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
