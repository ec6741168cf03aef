#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "common/base/backoff.h"
#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/write_all.h"

#include "tests/unit/unit.h"

static void test_err(void **state)
{
    struct err err;

    assert_int_equal(err_errno(&err, ENOENT, "open %s", "x"), -ENOENT);
    assert_string_equal(err.msg, "open x: No such file or directory");
    assert_int_equal(err_prefix(&err, "pool %s", "p"), -ENOENT);
    assert_string_equal(err.msg, "pool p: open x: No such file or directory");
    assert_int_equal(err_set(NULL, -EINVAL, "ignored"), -EINVAL);
    /* A chain that is too long is cut, never overrun. */
    for (int i = 0; i < 20; i++)
        err_prefix(&err, "%0100d", i);
    assert_true(strlen(err.msg) < sizeof(err.msg));
}

static void test_buf_limit(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(8);

    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_puts(&b, "12345678"), 0);
    assert_int_equal(buf_putc(&b, '9'), -ENOBUFS);
    assert_int_equal(buf_printf(&b, "%d", 9), -ENOBUFS);
    assert_string_equal(buf_str(&b), "12345678");
    buf_consume(&b, 3);
    assert_int_equal(buf_printf(&b, "%s", "abc"), 0);
    assert_string_equal(buf_str(&b), "45678abc");
    assert_int_equal(buf_append(&b, "x", SIZE_MAX), -ENOBUFS);
    buf_shorten(&b, 3);
    assert_string_equal(buf_str(&b), "456");
    buf_shorten(&b, 3);
    assert_int_equal(buf_puts(&b, "-12345"), -ENOBUFS);
    assert_int_equal(buf_puts(&b, "-1234"), 0);
    assert_string_equal(buf_str(&b), "456-1234");
    buf_done(&b);
    buf_shorten(&b, 0);
}

static int fail_with(int fd)
{
    cleanup_fd int held = fd;
    cleanup_fd int none = -1;

    errno = EXDEV;
    return MIN(none, held);
}

static void test_cleanup_fd(void **state)
{
    int fd = dup(STDERR_FILENO);

    assert_int_equal(fail_with(fd), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(fail_with(fd), -1); /* closed already */
    assert_int_equal(errno, EXDEV);
}

static void test_buf_steal(void **state)
{
    struct buf b = BUF_INIT(100);
    cleanup_free char *s = NULL;

    buf_puts(&b, "hello");
    s = buf_steal(&b);
    assert_string_equal(s, "hello");
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_puts(&b, "again"), 0);
    buf_done(&b);
    buf_done(NULL);
}

struct item {
    struct list link;
    int n;
};

static void test_list(void **state)
{
    struct list head;
    struct item items[3] = {{.n = 0}, {.n = 1}, {.n = 2}};
    int seen = 0;

    list_init(&head);
    assert_true(list_empty(&head));
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    list_for_each_safe (it, &head) {
        assert_int_equal(list_entry(it, struct item, link)->n, seen++);
        list_remove(it);
        list_remove(it);
    }
    assert_int_equal(seen, 3);
    assert_true(list_empty(&head));
}

/* Against a plain array: random puts and deletes of a few hundred keys. */
static void test_map_model(void **state)
{
    struct map m = MAP_INIT;
    static int values[300];
    bool there[300] = {false};
    unsigned rnd = 1;
    char key[16];
    size_t pos = 0, n = 0, expected = 0;

    for (int i = 0; i < 20000; i++) {
        rnd = rnd * 1103515245u + 12345u;
        size_t k = (rnd >> 16) % 300;

        snprintf(key, sizeof(key), "k%zu", k);
        assert_ptr_equal(map_get(&m, key), there[k] ? &values[k] : NULL);
        if (rnd & 0x400) {
            assert_ptr_equal(map_put(&m, key, &values[k]), there[k] ? &values[k] : NULL);
            there[k] = true;
        } else {
            assert_ptr_equal(map_del(&m, key), there[k] ? &values[k] : NULL);
            there[k] = false;
        }
    }
    for (size_t k = 0; k < 300; k++)
        expected += there[k];
    assert_int_equal(m.count, expected);
    while (map_next(&m, &pos, NULL))
        n++;
    assert_int_equal(n, expected);
    map_done(&m);
    assert_null(map_get(&m, "k1"));
    assert_null(map_del(&m, "k1"));
}

static void test_rfc3339(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1: refused */
    } rows[] = {
        /* Seconds from `date -u -d TEXT +%s`. */
        {"2026-01-02T03:04:05Z", 1767323045LL * NSEC_PER_SEC},
        {"2026-01-02T03:04:05.5Z", 1767323045LL * NSEC_PER_SEC + 500000000},
        {"2026-01-02T03:04:05.123456789999Z", 1767323045LL * NSEC_PER_SEC + 123456789},
        {"2026-01-02T05:04:05+02:00", 1767323045LL * NSEC_PER_SEC},
        {"2026-01-01T19:34:05-07:30", 1767323045LL * NSEC_PER_SEC},
        {"1969-12-31T23:59:59.5Z", -500000000},
        {"2026-1-02T03:04:05Z", -1},
        {"2026-13-02T03:04:05Z", -1},
        {"2026-01-02 03:04:05Z", -1},
        {"2026-01-02T03:04:05", -1},
        {"2026-01-02T03:04:05.Z", -1},
        {"2026-01-02T03:04:05Zx", -1},
        {"9999-01-02T03:04:05Z", -1},
        {"", -1},
    };
    char buf[RFC3339_MAX];
    int64_t ns;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ns = -1;
        int r = rfc3339_parse(rows[i].text, &ns);

        assert_int_equal(r, rows[i].ns == -1 ? -EINVAL : 0);
        assert_int_equal(ns, rows[i].ns);
    }
    rfc3339_format(buf, 1767323045LL * NSEC_PER_SEC + 999999999);
    assert_string_equal(buf, "2026-01-02T03:04:05Z");
    rfc3339_format_micro(buf, 1767323045LL * NSEC_PER_SEC + 42000);
    assert_string_equal(buf, "2026-01-02T03:04:05.000042Z");
    rfc3339_format_micro(buf, -500000000);
    assert_string_equal(buf, "1969-12-31T23:59:59.500000Z");
}

static void test_duration_parse(void **state)
{
    /* Results of Go's time.ParseDuration. */
    static const struct {
        const char *text;
        int64_t ns;
        int r;
    } rows[] = {
        {"300s", 300 * NSEC_PER_SEC, 0},
        {"1m30.5s", 90500 * NSEC_PER_MSEC, 0},
        {"250ms", 250 * NSEC_PER_MSEC, 0},
        {"0", 0, 0},
        {".5s", 500 * NSEC_PER_MSEC, 0},
        {"5.s", 5 * NSEC_PER_SEC, 0},
        {"1h2m3s4ms5us6ns", 3723004005006LL, 0},
        {"3\xc2\xb5s", 3000, 0},
        {"0.3333333333333333333h", 1200 * NSEC_PER_SEC, 0},
        {"9223372036854775807ns", INT64_MAX, 0},
        {"9223372036854775808ns", 0, -ERANGE},
        {"3000000h", 0, -ERANGE},
        {"banana", 0, -EINVAL},
        {"", 0, -EINVAL},
        {"3", 0, -EINVAL},
        {"-1s", 0, -EINVAL},
        {".s", 0, -EINVAL},
        {"1s ", 0, -EINVAL},
        {"1x", 0, -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t ns = 0;
        int r = duration_parse(rows[i].text, &ns);

        if (r != rows[i].r || ns != rows[i].ns)
            fail_msg("%s: %d %lld", rows[i].text, r, (long long)ns);
    }
}

static void test_duration_format(void **state)
{
    /* Results of Go's Duration.String. */
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1ns"},
        {1100, "1.1\xc2\xb5s"},
        {2200000, "2.2ms"},
        {3300 * NSEC_PER_MSEC, "3.3s"},
        {1001 * NSEC_PER_MSEC, "1.001s"},
        {(4 * 60 + 5) * NSEC_PER_SEC, "4m5s"},
        {(5 * 3600 + 6 * 60 + 7) * NSEC_PER_SEC + 1 * NSEC_PER_MSEC, "5h6m7.001s"},
        {3600 * NSEC_PER_SEC, "1h0m0s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
    };
    char buf[DURATION_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        duration_format(buf, rows[i].ns);
        assert_string_equal(buf, rows[i].text);
    }
}

struct person {
    char *name;
    int64_t age;
    bool happy;
};

static void test_json_decode(void **state)
{
    static const struct json_field fields[] = {
        {"meta.name", JSON_STRING, offsetof(struct person, name)},
        {"age", JSON_INT, offsetof(struct person, age)},
        {"happy", JSON_BOOL, offsetof(struct person, happy)},
        {NULL, 0, 0},
    };
    static const char good[] = "{\"meta\":{\"name\":\"a\\u0000b\"},\"age\":7,\"happy\":true}";
    static const char bad[] = "{\"meta\":{\"name\":\"x\"},\"age\":\"seven\"}";
    cleanup_json struct json_object *obj = NULL;
    struct person p = {.age = -1};
    struct err err;

    assert_int_equal(json_parse(good, strlen(good), &obj, &err), 0);
    assert_int_equal(json_decode(obj, fields, &p, &err), 0);
    assert_memory_equal(p.name, "a\0b", 4);
    assert_int_equal(p.age, 7);
    assert_true(p.happy);
    json_free(&obj);
    assert_int_equal(json_parse(bad, strlen(bad), &obj, &err), 0);
    assert_int_equal(json_decode(obj, fields, &p, &err), -EINVAL);
    assert_string_equal(err.msg, "age is not an integer");
    assert_memory_equal(p.name, "a\0b", 4); /* untouched on failure */
    free(p.name);
}

static void test_json_refuses(void **state)
{
    static const char *const rows[] = {
        "",
        "{",
        "{\"a\":1}x",
        "{\"a\":1}{",
        "[1,]",
        "\"\xff\"",
        "nul",
        "{\"a\":1,}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_object *obj = NULL;
        struct err err;

        if (json_parse(rows[i], strlen(rows[i]), &obj, &err) == 0)
            fail_msg("accepted: %s", rows[i]);
        assert_null(obj);
    }
}

static void test_json_scalar(void **state)
{
    cleanup_json struct json_object *obj = NULL;

    assert_int_equal(json_parse("12", 2, &obj, NULL), 0);
    assert_int_equal(json_object_get_int(obj), 12);
    assert_null(json_get_str(obj, "x"));
    assert_null(json_get_path(NULL, "a.b"));
}

static int collect(const char *data, size_t len, void *arg)
{
    buf_append(arg, data, len);
    buf_putc(arg, '|');
    return len == 4 && memcmp(data, "stop", 4) == 0 ? -ECANCELED : 0;
}

static void test_split_list(void **state)
{
    static const struct {
        const char *text, *items, *meta;
        int r;
    } rows[] = {
        {"{\"kind\":\"L\",\"metadata\":{\"rv\":\"1\"},\"items\":[{\"a\":\"]}\\\"\"}, [1,2] ,3]}",
         "{\"a\":\"]}\\\"\"}|[1,2]|3|", "{\"rv\":\"1\"}", 0},
        {"{\"items\":[],\"metadata\":{}}", "", "{}", 0},
        {" { \"items\" : null } ", "", "{}", 0},
        {"{}", "", "{}", 0},
        {"{\"x\":{\"items\":[1]},\"items\":[2]}", "2|", "{}", 0},
        {"{\"items\":[{\"a\":1}", "{\"a\":1}|", NULL, -EINVAL},
        {"{\"items\":[stop,1]}", "stop|", NULL, -ECANCELED},
        {"[]", "", NULL, -EINVAL},
        {"{\"items\":[\"abc", "", NULL, -EINVAL},
        {"{\"items\":[1,,2]}", "1|", NULL, -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf b = BUF_INIT(1000);
        cleanup_free char *meta = NULL;
        struct err err;

        assert_int_equal(
            json_split_list(rows[i].text, strlen(rows[i].text), collect, &b, &meta, &err),
            rows[i].r);
        assert_string_equal(buf_str(&b), rows[i].items);
        if (rows[i].meta)
            assert_string_equal(meta, rows[i].meta);
        else
            assert_null(meta);
    }
}

/* The estimate is never less than what json-c takes, nor a hundred times as much. */
static void test_json_tree_is_estimated(void **state)
{
    static const struct {
        const char *open, *unit, *close;
    } rows[] = {
        {"[", "{},", "{}]"},
        {"[", "[],", "[]]"},
        {"[", "1,", "1]"},
        {"[", "\"\",", "\"\"]"},
        {"{'\"':[", "{},", "{}]}"}, /* json-c takes it */
        {"[\"'\",", "{},", "{}]"},
        {"[\"\\\"\",", "{},", "{}]"},
        {"{\"k\":[", "{\"a\":1,\"b\":\"x\"},", "1]}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf b = BUF_INIT(1 << 20);
        struct json_object *obj = NULL;
        struct mallinfo2 before;
        size_t took, told;

        buf_puts(&b, rows[i].open);
        for (size_t k = 0; k < 2000; k++)
            buf_puts(&b, rows[i].unit);
        buf_puts(&b, rows[i].close);
        told = json_tree_bytes(b.data, b.len);
        before = mallinfo2();
        assert_int_equal(json_parse_max(b.data, b.len, told - 1, &obj, NULL), -EMSGSIZE);
        assert_null(obj);
        assert_int_equal(json_parse_max(b.data, b.len, told, &obj, NULL), 0);
        took = mallinfo2().uordblks - before.uordblks;
        /* (Nothing is counted where a sanitizer has an allocator of its own.) */
        if (took > told || (took > 0 && told > 100 * took))
            fail_msg("%s: %zu told, %zu taken", rows[i].unit, told, took);
        json_free(&obj);
    }
}

static void test_json_find(void **state)
{
    static const struct {
        const char *text, *found;
    } rows[] = {
        {"{\"m\":{\"a\":[1,\"}\"]},\"x\":1}", "{\"a\":[1,\"}\"]}"},
        {"{\"x\":{\"m\":1}, \"m\" : \"y\" }", "\"y\""},
        {"{\"x\":[{\"m\":1}]}", NULL},
        {"{\"m\":{\"a\":[1,", "{\"a\":[1,"}, /* it is cut here */
        {"{\"x\":[1,", NULL},
        {"[\"m\"]", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *at = NULL;
        size_t len = 0;

        assert_int_equal(json_find(rows[i].text, strlen(rows[i].text), "m", &at, &len),
                         rows[i].found != NULL);
        if (rows[i].found) {
            assert_int_equal(len, strlen(rows[i].found));
            assert_memory_equal(at, rows[i].found, len);
        }
    }
}

static void test_json_escape(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } rows[] = {
        {"a\"b\\c\n\t\r\x01\x7f", 10, "\"a\\\"b\\\\c\\n\\t\\r\\u0001\x7f\""},
        {"\0", 1, "\"\\u0000\""},
        {"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10, "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        /* As Python's bytes.decode(errors="replace") has them. */
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xe2\x82", 2, "\"\xef\xbf\xbd\""},
        {"\xe2\x82x", 3, "\"\xef\xbf\xbdx\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf0\x80\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"", 0, "\"\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf b = BUF_INIT(1000);

        assert_int_equal(json_escape(&b, rows[i].in, rows[i].len), 0);
        assert_string_equal(buf_str(&b), rows[i].out);
        assert_int_equal(json_escaped_len(rows[i].in, rows[i].len), b.len);
        assert_int_equal(json_stored_len(rows[i].in, rows[i].len), b.len);
    }
    assert_int_equal(json_stored_len("<a>&\xe2\x80\xa8\xe2\x80\xa9", 10), 2 + 1 + 5 * 6);
}

static void write_sample(struct json_writer *w)
{
    json_w_object(w, NULL);
    json_w_str(w, "s", "x");
    json_w_str(w, "none", NULL);
    json_w_array(w, "a");
    json_w_int(w, NULL, -1);
    json_w_bool(w, NULL, true);
    json_w_object(w, NULL);
    json_w_end_object(w);
    json_w_end_array(w);
    json_w_raw(w, "r", "{\"k\":1}");
    json_w_end_object(w);
}

static void test_json_writer(void **state)
{
    static const char want[] = "{\"s\":\"x\",\"none\":null,\"a\":[-1,true,{}],\"r\":{\"k\":1}}";

    /* Whatever the limit, the result is right or the error sticks. */
    for (size_t max = 0; max <= strlen(want) + 1; max++) {
        cleanup_buf struct buf b = BUF_INIT(max);
        struct json_writer w = JSON_WRITER_INIT(&b);

        write_sample(&w);
        assert_int_equal(w.error, max < strlen(want) ? -ENOBUFS : 0);
        if (w.error == 0)
            assert_string_equal(buf_str(&b), want);
    }
}

static int64_t fixed_clock(void)
{
    return 1767323045LL * NSEC_PER_SEC;
}

/* What a log call writes to stderr. */
static void capture(enum log_format fmt, const char *value, char *ret, size_t size)
{
    int p[2], old = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(p), 0);
    dup2(p[1], STDERR_FILENO);
    log_setup(LOG_INFO, fmt);
    log_debug("hidden", NULL);
    log_info("pod claimed", "pod", "p-1", "note", value, NULL);
    dup2(old, STDERR_FILENO);
    close(old);
    close(p[1]);
    n = read(p[0], ret, size - 1);
    ret[n > 0 ? n : 0] = '\0';
    close(p[0]);
}

static void test_log(void **state)
{
    char out[4 * LOG_LINE_MAX], big[3 * LOG_LINE_MAX];

    log_set_clock(fixed_clock);
    capture(LOG_TEXT, "two\nlines", out, sizeof(out));
    assert_string_equal(
        out, "2026-01-02T03:04:05.000000Z info  pod claimed pod=p-1 note=\"two\\nlines\"\n");
    capture(LOG_JSON, NULL, out, sizeof(out));
    assert_string_equal(
        out, "{\"time\":\"2026-01-02T03:04:05.000000Z\",\"level\":\"info\",\"msg\":\"pod "
             "claimed\",\"pod\":\"p-1\",\"note\":\"\"}\n");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    capture(LOG_TEXT, big, out, sizeof(out));
    assert_int_equal(strlen(out), LOG_LINE_MAX);
    assert_int_equal(out[LOG_LINE_MAX - 1], '\n');
}

static void test_foreign_text(void **state)
{
    static const struct {
        const char *in, *out;
        size_t max;
    } rows[] = {
        {"", "", 10},
        {"plain, \xc3\xa4 and \xe2\x82\xac", "plain, \xc3\xa4 and \xe2\x82\xac", 100},
        {"a\nb\r\tc", "a\\nb\\r\\tc", 100},
        {"\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f", 100},
        {"\xc2\x9b"
         "2J \xc2\xa0",
         "\\x9b2J \xc2\xa0", 100},
        {"\xc2", "\xc2", 100},
        {"0123456789", "01234", 5},
        {"\n\n\n\n\n\n", "\\n\\n", 5 - 1},
        {"abc\xc3\xa4", "abc", 4},
    };

    assert_null(xstrdup_foreign(NULL, 5));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *got = xstrdup_foreign(rows[i].in, rows[i].max);

        assert_string_equal(got, rows[i].out);
    }
}

static void test_backoff(void **state)
{
    const int64_t year_ms = 365LL * 24 * 3600 * 1000;
    static const struct {
        int64_t first_ms, max_ms;
        unsigned failures;
        int64_t ms;
    } rows[] = {
        {50, 2000, 0, 50},          {50, 2000, 1, 50},     {50, 2000, 2, 100},
        {50, 2000, 6, 1600},        {50, 2000, 7, 2000},   {50, 2000, 8, 2000},
        {50, 2000, UINT_MAX, 2000}, {1000, 8000, 4, 8000}, {7, 7, 3, 7},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(backoff_ns(rows[i].first_ms, rows[i].max_ms, rows[i].failures),
                         rows[i].ms * NSEC_PER_MSEC);
    /* The longest pause does not overflow. */
    assert_int_equal(backoff_ns(1, year_ms, UINT_MAX), year_ms * NSEC_PER_MSEC);
    assert_int_equal(backoff_ns(year_ms - 1, year_ms, 2), year_ms * NSEC_PER_MSEC);
}

/* The numbers are those of FNV's authors; labels of pods are made of them. */
static void test_hash(void **state)
{
    assert_true(hash_text(HASH_INIT, "") == 0xcbf29ce484222325ULL);
    assert_true(hash_text(HASH_INIT, "a") == 0xaf63dc4c8601ec8cULL);
    assert_true(hash_text(HASH_INIT, "foobar") == 0x85944171f73967e8ULL);
    assert_true(hash_text(hash_text(HASH_INIT, "foo"), "bar") == 0x85944171f73967e8ULL);
    assert_true(hash_bytes(HASH_INIT, "foobars", 6) == 0x85944171f73967e8ULL);
    assert_true(hash_text(HASH_INIT, "\xe4") == hash_add(HASH_INIT, 0xe4));
}

static void on_signal(int sig)
{
}

/* Reads the pipe to its end: 0 if there are so many bytes, each the low byte of its position. */
static int read_counted(int fd, size_t len)
{
    unsigned char data[4096];
    size_t done = 0;
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0)
        for (ssize_t i = 0; i < n; i++, done++)
            if (data[i] != (unsigned char)done)
                return 1;
    return done == len ? 0 : 2;
}

/* Signals cut writes short, and let others fail. */
static void test_write_all_interrupted(void **state)
{
    const struct sigaction no_restart = {.sa_handler = on_signal};
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    size_t len = 8u << 20;
    cleanup_free char *data = xmalloc(len);
    int ends[2], status;
    pid_t child;

    for (size_t i = 0; i < len; i++)
        data[i] = (char)i;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit(read_counted(ends[0], len));
    }
    close(ends[0]);
    sigaction(SIGALRM, &no_restart, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(write_all(ends[1], data, len), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_write_all(void **state)
{
    char path[] = "/tmp/arl-test-write-XXXXXX", got[16] = "";
    struct rlimit old, few = {.rlim_cur = 10};
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write_all(fd, "0123456789", 10), 0);
    assert_int_equal(write_all_at(fd, "abc", 3, 4), 0);
    assert_int_equal(write_all(fd, "x", 1), 0);
    assert_int_equal(write_all(fd, "", 0), 0);
    assert_int_equal(pread(fd, got, sizeof(got), 0), 11);
    assert_string_equal(got, "0123abc789x");
    /* A part fits, and the rest fails. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    few.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &few);
    assert_int_equal(write_all_at(fd, "ABCDEF", 6, 7), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(pread(fd, got, sizeof(got), 0), 11);
    assert_string_equal(got, "0123abcABCx");
    close(fd);
    assert_int_equal(write_all(-1, "x", 1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_text),
        cmocka_unit_test(test_err),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_write_all),
        cmocka_unit_test(test_write_all_interrupted),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_cleanup_fd),
        cmocka_unit_test(test_buf_limit),
        cmocka_unit_test(test_buf_steal),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_map_model),
        cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_duration_parse),
        cmocka_unit_test(test_duration_format),
        cmocka_unit_test(test_json_decode),
        cmocka_unit_test(test_json_refuses),
        cmocka_unit_test(test_json_scalar),
        cmocka_unit_test(test_split_list),
        cmocka_unit_test(test_json_tree_is_estimated),
        cmocka_unit_test(test_json_find),
        cmocka_unit_test(test_json_escape),
        cmocka_unit_test(test_json_writer),
        cmocka_unit_test(test_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
