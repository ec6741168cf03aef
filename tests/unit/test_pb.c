/* Protobuf in: the wire, and trees by tables. */
#include <errno.h>

#include <json-c/json.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/pb.h"

#include "tests/unit/unit.h"

#define TREE_MAX 65536

static const struct pb_field inner[] = {
    {1, PB_TEXT, "word"},
    {2, PB_INT, "n"},
    {0},
};

static const struct pb_field outer[] = {
    {1, PB_TEXT, "text"},
    {2, PB_INT, "int"},
    {3, PB_INT_OR_NONE, "count"},
    {4, PB_BOOL, "bool"},
    {5, PB_MESSAGE, "one", inner},
    {6, PB_REPEATED, "all", inner},
    {7, PB_MAP, "map"},
    {8, PB_TIME, "time"},
    {0},
};

static struct pb_part part_of(const char *data, size_t len)
{
    return (struct pb_part){data, len};
}

/* What comes of a message: its tree as JSON, or the error. */
static char *outcome(const char *data, size_t len, int *ret)
{
    cleanup_free char *exact = xmalloc(len + (len == 0)); /* a read past its end is seen */
    cleanup_json struct json_object *tree = NULL;
    struct err err = {0};

    if (len)
        memcpy(exact, data, len);
    *ret = pb_tree(outer, part_of(exact, len), TREE_MAX, &tree, &err);
    assert_true((*ret == 0) == (tree != NULL));
    return xstrdup(tree ? json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN) : err.msg);
}

struct row {
    const char *data;
    size_t len;
    int code;
    const char *want;
};
#define ROW(bytes, code, want)                                                                     \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, code, want                                                       \
    }

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code;
        cleanup_free char *got = outcome(rows[i].data, rows[i].len, &code);

        if (code != rows[i].code || strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu: %d %s", i, code, got);
    }
}

static void test_values(void **state)
{
    static const struct row rows[] = {
        ROW("", 0, "{}"),
        ROW("\x0a\x02hi", 0, "{\"text\":\"hi\"}"),
        ROW("\x0a\x00", 0, "{}"),
        ROW("\x10\x00", 0, "{\"int\":0}"),
        ROW("\x10\xac\x02", 0, "{\"int\":300}"),
        ROW("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, "{\"int\":-1}"),
        ROW("\x18\x00", 0, "{}"),
        ROW("\x18\x07", 0, "{\"count\":7}"),
        ROW("\x20\x01", 0, "{\"bool\":true}"),
        ROW("\x20\x00", 0, "{\"bool\":false}"),
        ROW("\x2a\x00", 0, "{\"one\":{}}"),
        ROW("\x2a\x04\x0a\x02hi", 0, "{\"one\":{\"word\":\"hi\"}}"),
        ROW("\x32\x02\x10\x01\x32\x00", 0, "{\"all\":[{\"n\":1},{}]}"),
        ROW("\x3a\x06\x0a\x01"
            "a\x12\x01"
            "b\x3a\x03\x0a\x01"
            "c",
            0, "{\"map\":{\"a\":\"b\",\"c\":\"\"}}"),
        ROW("\x3a\x06\x0a\x01"
            "a\x12\x01"
            "b\x3a\x06\x0a\x01"
            "a\x12\x01"
            "c",
            0, "{\"map\":{\"a\":\"c\"}}"),
        ROW("\x42\x00", 0, "{}"),
        ROW("\x42\x02\x08\x05", 0, "{\"time\":\"1970-01-01T00:00:05Z\"}"),
        ROW("\x42\x04\x08\x05\x10\x01", 0, "{\"time\":\"1970-01-01T00:00:05Z\"}"),
        ROW("\x42\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0,
            "{\"time\":\"1970-01-01T00:00:00Z\"}"),
        ROW("\x42\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 0,
            "{\"time\":\"2262-04-11T23:47:16Z\"}"),
        /* Fields that no table names, one of each wire type. */
        ROW("\x78\x01\x79"
            "12345678\x7a\x02hi\x7d"
            "1234\x10\x01",
            0, "{\"int\":1}"),
        /* Bytes that are not UTF-8: the API server's JSON has the same for them. */
        ROW("\x0a\x03"
            "a\xff"
            "b",
            0,
            "{\"text\":\"a\xef\xbf\xbd"
            "b\"}"),
        ROW("\x0a\x03"
            "a\0b",
            0, "{\"text\":\"a\\u0000b\"}"),
    };

    check_rows(rows, ARRAY_SIZE(rows));
}

static void test_refused(void **state)
{
    static const struct row rows[] = {
        ROW("\x0a", -EINVAL, "a message ends within a number"),
        ROW("\x0a\x05hi", -EINVAL, "field 1 ends behind its message"),
        ROW("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -EINVAL,
            "field 1 ends behind its message"),
        ROW("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", -EINVAL,
            "a number has more than 64 bits"),
        ROW("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -EINVAL,
            "a number has more than 64 bits"),
        ROW("\x02\x00", -EINVAL, "a field without a number"),
        ROW("\xfa\xff\xff\xff\xff\x7f\x00", -EINVAL, "a field without a number"),
        ROW("\x0b", -EINVAL, "field 1 is of wire type 3"),
        ROW("\x7e", -EINVAL, "field 15 is of wire type 6"),
        ROW("\x79"
            "1234",
            -EINVAL, "field 15 ends behind its message"),
        ROW("\x08\x01", -EINVAL, "text: wire type 0 in place of 2"),
        ROW("\x12\x00", -EINVAL, "int: wire type 2 in place of 0"),
        ROW("\x22\x00", -EINVAL, "bool: wire type 2 in place of 0"),
        ROW("\x28\x00", -EINVAL, "one: wire type 0 in place of 2"),
        ROW("\x30\x00", -EINVAL, "all: wire type 0 in place of 2"),
        ROW("\x38\x00", -EINVAL, "map: wire type 0 in place of 2"),
        ROW("\x3a\x02\x08\x01", -EINVAL, "map: wire type 0 in place of 2"),
        ROW("\x42\x02\x0a\x00", -EINVAL, "time: wire type 2 in place of 0"),
        ROW("\x42\x04\x08\x01\x08\x01", -EINVAL, "time: it is there twice"),
        ROW("\x2a\x02\x08\x01", -EINVAL, "word: wire type 0 in place of 2"),
        ROW("\x0a\x01"
            "a\x0a\x01"
            "b",
            -EINVAL, "text: it is there twice"),
        ROW("\x2a\x00\x2a\x00", -EINVAL, "one: it is there twice"),
    };

    check_rows(rows, ARRAY_SIZE(rows));
}

/* No tree becomes larger than allowed, whatever it is made of. */
static void test_too_large(void **state)
{
    static const struct {
        const char *field; /* its tag and its length */
        size_t field_len, times, len;
        const char *want;
    } rows[] = {
        {"\x32\x00", 2, TREE_MAX / 900, 0, "all: the object has too many values"},
        {"\x3a\x00", 2, TREE_MAX / 170, 0, "map: the object has too many values"},
        {"\x0a\x80\x80\x04", 4, 1, TREE_MAX, "text: the object has too many values"},
    };
    static char text[TREE_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf b = BUF_INIT(1u << 20);
        cleanup_free char *got = NULL;
        int code;

        for (size_t j = 0; j < rows[i].times; j++) {
            buf_append(&b, rows[i].field, rows[i].field_len);
            buf_append(&b, text, rows[i].len);
        }
        got = outcome(b.data, b.len, &code);
        if (code != -EMSGSIZE || strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu: %d %s", i, code, got);
    }
}

/* The end of the message is not there: what is in front of the cut is read. */
static void test_cut(void **state)
{
    static const char message[] = "\x0a\x02hi\x12\x06world!";
    struct pb_part part = {NULL, 0};
    struct err err = {0};

    for (size_t len = 4; len < sizeof(message) - 1; len++) {
        cleanup_free char *exact = xmemdup0(message, len);

        assert_int_equal(pb_bytes(part_of(exact, len), true, 1, "one", &part, &err), 0);
        assert_memory_equal(part.data, "hi", 2);
        assert_int_equal(pb_bytes(part_of(exact, len), true, 2, "two", &part, &err), 0);
        assert_int_equal(part.len, len > 6 ? len - 6 : 0);
        if (len > 4)
            assert_int_equal(pb_bytes(part_of(exact, len), false, 1, "one", &part, &err), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
