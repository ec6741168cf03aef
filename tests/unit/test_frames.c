#include <errno.h>

#include "sidecar/runner/frames.h"

#include "tests/unit/unit.h"

static void put_exec(struct frame_buf *b)
{
    size_t start = frame_begin(b, FRAME_EXEC);

    frame_put_u64(b, 0x1122334455667788);
    frame_put_text(b, "/w");
    frame_put_u32(b, 2);
    frame_put_text(b, "echo");
    frame_put_text(b, "");
    frame_put_u32(b, 0);
    frame_end(b, start);
}

static void test_round_trip(void **state)
{
    CLEANUP(frame_buf_done) struct frame_buf b = {0};
    CLEANUP(frame_list_free) char **argv = NULL, **env = NULL;
    cleanup_free char *dir = NULL;
    struct frame_reader r;
    enum frame_type type;
    size_t size, argc, envc;

    put_exec(&b);
    put_exec(&b);
    assert_int_equal(frame_next(&b, &type, &r, &size), 1);
    assert_int_equal(2 * size, b.len);
    assert_int_equal(type, FRAME_EXEC);
    assert_true(frame_get_u64(&r) == 0x1122334455667788);
    dir = frame_get_text(&r);
    assert_string_equal(dir, "/w");
    argv = frame_get_list(&r, &argc);
    assert_int_equal(argc, 2);
    assert_string_equal(argv[0], "echo");
    assert_string_equal(argv[1], "");
    assert_null(argv[2]);
    assert_false(frame_complete(&r));
    env = frame_get_list(&r, &envc);
    assert_int_equal(envc, 0);
    assert_true(frame_complete(&r));
    frame_buf_consume(&b, size);
    assert_int_equal(frame_next(&b, &type, &r, &size), 1);
    frame_buf_consume(&b, size);
    assert_null(b.data);
    assert_int_equal(frame_next(&b, &type, &r, &size), 0);
}

/* Every prefix is either not complete, or has fields that are missing: never more than is there. */
static void test_prefixes(void **state)
{
    CLEANUP(frame_buf_done) struct frame_buf b = {0};

    put_exec(&b);
    for (size_t i = 0; i < b.len; i++) {
        /* A copy of just that size, so that a sanitizer sees what is read behind it. */
        cleanup_free char *copy = malloc(i ? i : 1);
        struct frame_buf part = {.data = (unsigned char *)memcpy(copy, b.data, i), .len = i};
        struct frame_reader r;
        enum frame_type type;
        size_t size;

        assert_int_equal(frame_next(&part, &type, &r, &size), 0);
    }
}

static void read_all(const struct frame_buf *b)
{
    struct frame_reader r;
    enum frame_type type;
    size_t size, n;

    if (frame_next(b, &type, &r, &size) == 1) {
        cleanup_free char *dir = NULL;
        CLEANUP(frame_list_free) char **argv = NULL, **env = NULL;

        frame_get_u64(&r);
        dir = frame_get_text(&r);
        argv = frame_get_list(&r, &n);
        env = frame_get_list(&r, &n);
        frame_get_bytes(&r, &n);
        frame_complete(&r);
    }
}

static void test_mutations(void **state)
{
    CLEANUP(frame_buf_done) struct frame_buf b = {0};

    put_exec(&b);
    for (size_t i = 0; i < b.len; i++) {
        for (int v = 0; v < 256; v++) {
            unsigned char old = b.data[i];

            b.data[i] = (unsigned char)v;
            read_all(&b);
            b.data[i] = old;
        }
    }
}

static void test_kept_memory(void **state)
{
    struct frame_buf b = {0};

    for (size_t keep = 0; keep <= 1000; keep += 1000) {
        put_exec(&b);
        frame_buf_consume_keep(&b, 1, keep);
        assert_non_null(b.data);
        frame_buf_consume_keep(&b, b.len, keep);
        assert_true((b.data != NULL) == (keep > 0));
        assert_int_equal(b.len, 0);
        frame_buf_consume(&b, 0);
        assert_null(b.data);
    }
}

static void test_sizes(void **state)
{
    unsigned char zero[] = {0, 0, 0, 0, 1}, huge[] = {0xff, 0xff, 0xff, 0xff, 1};
    struct frame_buf b = {.data = zero, .len = sizeof(zero)};
    struct frame_reader r;
    enum frame_type type;
    size_t size;

    assert_int_equal(frame_next(&b, &type, &r, &size), -EPROTO);
    b.data = huge;
    assert_int_equal(frame_next(&b, &type, &r, &size), -EPROTO);
}

static void test_bad_fields(void **state)
{
    static const unsigned char nul[] = {3, 0, 0, 0, 'a', 0, 'b'};
    static const unsigned char many[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    struct frame_reader r = {.p = nul, .left = sizeof(nul)};
    cleanup_free char *text = frame_get_text(&r);
    CLEANUP(frame_list_free) char **list = NULL;
    size_t n;

    assert_true(r.bad);
    assert_string_equal(text, "");
    r = (struct frame_reader){.p = many, .left = sizeof(many)};
    list = frame_get_list(&r, &n);
    assert_true(r.bad);
    assert_int_equal(n, 0);
    assert_int_equal(frame_get_u32(&r), 0);
    assert_false(frame_complete(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_mutations),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_kept_memory), cmocka_unit_test(test_bad_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
