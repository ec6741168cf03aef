#include <errno.h>

#include "sidecar/follow/follow_request.h"

#include "tests/unit/unit.h"

#define UID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static int parse(const char *line, struct follow_request *ret)
{
    return follow_request_parse(line, strlen(line), ret);
}

static void test_round_trip(void **state)
{
    struct follow_request r = {.step = LIMIT_STEPS - 1,
                               .attempt = FOLLOW_ATTEMPTS,
                               .wait_s = FOLLOW_WAIT_MAX_S,
                               .streams = 2,
                               .follow = true},
                          got;
    char line[FOLLOW_LINE_BYTES];
    size_t len;

    memset(r.uid, 'a', LIMIT_UID_BYTES);
    len = follow_request_format(&r, line);
    assert_int_equal(line[len - 1], '\n');
    assert_int_equal(follow_request_parse(line, len - 1, &got), 0);
    assert_string_equal(got.uid, r.uid);
    assert_int_equal(got.step, r.step);
    assert_int_equal(got.attempt, r.attempt);
    assert_int_equal(got.wait_s, r.wait_s);
    assert_int_equal(got.streams, 2);
    assert_true(got.follow);
    assert_int_equal(parse("tail1 " UID " 0 0 0 3 0", &got), 0);
    assert_string_equal(got.uid, UID);
    assert_int_equal(got.step + got.attempt + got.wait_s, 0);
    assert_int_equal(got.streams, 3);
    assert_false(got.follow);
}

static void test_wrong_lines(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "tail1",
        "tail1 x 0 0 0 3",
        "tail1 x 0 0 0 3 1 ",
        "tail1 x 0 0 0 3 1 1",
        " tail1 x 0 0 0 3 1",
        "tail1  x 0 0 0 3 1",
        "tail2 x 0 0 0 3 1",
        "tail11 x 0 0 0 3 1",
        "tail1 . 0 0 0 3 1",
        "tail1 ../x 0 0 0 3 1",
        "tail1 x/1 0 0 0 3 1",
        "tail1 \xc3\xbc 0 0 0 3 1",
        "tail1 x 256 0 0 3 1",
        "tail1 x -1 0 0 3 1",
        "tail1 x +1 0 0 3 1",
        "tail1 x 01 0 0 3 1",
        "tail1 x 0 12 0 3 1",
        "tail1 x 0 0 601 3 1",
        "tail1 x 0 0 4294967296 3 1",
        "tail1 x 0 0 99999999999999999999 3 1",
        "tail1 x 0 0 0 0 1",
        "tail1 x 0 0 0 4 1",
        "tail1 x 0 0 0 3 2",
        "tail1 x 0 0 0 3 1\r",
        "tail1\tx 0 0 0 3 1",
    };
    struct follow_request r;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (parse(lines[i], &r) != -EINVAL)
            fail_msg("taken: \"%s\"", lines[i]);
    assert_int_equal(follow_request_parse("tail1 x\0y 0 0 0 3 1", 20, &r), -EINVAL);
    assert_int_equal(follow_request_parse("tail1 x 0 0 0 3 1\0", 18, &r), -EINVAL);
}

/* Each beginning of a good line that is not all of it, in memory that ends there. */
static void test_cut_lines(void **state)
{
    static const char line[] = "tail1 x 10 11 600 3 1";
    struct follow_request r;

    for (size_t len = 0; len < sizeof(line) - 1; len++) {
        cleanup_free char *copy = xmalloc(MAX(len, (size_t)1));

        memcpy(copy, line, len);
        assert_int_equal(follow_request_parse(copy, len, &r), -EINVAL);
    }
    assert_int_equal(parse(line, &r), 0);
}

static void test_targets(void **state)
{
    static const char *const wrong[] = {"",     "/",    "x",     "x/",    "/0",     "..",
                                        "../0", "x/..", "x/0/0", "x/256", "x/1000", "x/ 0",
                                        "x /0", "x/0 ", "x/00",  "x.y/0", "x/0\n"};
    cleanup_free char *longest = xasprintf("%064d/255", 0), *longer = xasprintf("%065d/0", 0);
    struct follow_request r = {.wait_s = 7};
    struct err err;

    assert_int_equal(follow_target_parse(UID "/12", &r, &err), 0);
    assert_string_equal(r.uid, UID);
    assert_int_equal(r.step, 12);
    assert_int_equal(r.wait_s, 7);
    assert_int_equal(follow_target_parse(longest, &r, &err), 0);
    assert_int_equal(r.step, 255);
    assert_int_equal(follow_target_parse(longer, &r, &err), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        if (follow_target_parse(wrong[i], &r, &err) != -EINVAL)
            fail_msg("taken: \"%s\"", wrong[i]);
    assert_non_null(strstr(err.msg, "is not TASKUID/STEP"));
}

static void test_head(void **state)
{
    unsigned char head[FOLLOW_HEAD_BYTES];
    static const unsigned char want[] = {3, 0x01, 0x02, 0x03, 0x04};

    follow_head(head, FOLLOW_GAP, 0x01020304);
    assert_memory_equal(head, want, sizeof(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_cut_lines),  cmocka_unit_test(test_targets),
        cmocka_unit_test(test_head),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
