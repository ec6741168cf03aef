#include <errno.h>

#include "common/base/flags.h"
#include "common/base/metrics.h"

#include "tests/unit/unit.h"

static const char *file;
static bool quick, help;
static int64_t limit_ms, number;
static size_t size;
static struct flag_strings names;

static const struct flag table[] = {
    {"file", FLAG_STRING, &file, "FILE", "a file"},
    {"quick", FLAG_BOOL, &quick, "", "be quick"},
    {"limit", FLAG_DURATION, &limit_ms, "DURATION", "a limit"},
    {"number", FLAG_INT, &number, "N", "a number"},
    {"size", FLAG_SIZE, &size, "BYTES", "a size"},
    {"name", FLAG_STRINGS, &names, "NAME", "names"},
    {"help", FLAG_BOOL, &help, "", "print this"},
    {NULL, 0, NULL, NULL, NULL},
};

static int parse(const char *a, const char *b, const char *c, int *ret_rest, struct err *err)
{
    const char *const args[] = {"prog", a, b, c, NULL};
    char *argv[ARRAY_SIZE(args)];
    int argc = 1;

    memcpy(argv, args, sizeof(argv));
    while (argc < 4 && argv[argc])
        argc++;
    return flags_parse(table, argc, argv, ret_rest, err);
}

static void test_good(void **state)
{
    int rest;

    assert_int_equal(parse("--file", "x", "--quick", &rest, NULL), 0);
    assert_string_equal(file, "x");
    assert_true(quick);
    assert_int_equal(rest, 4);
    assert_int_equal(parse("--quick=false", "--limit=1m0.5s", "verb", &rest, NULL), 0);
    assert_false(quick);
    assert_int_equal(limit_ms, 60500);
    assert_int_equal(rest, 3);
    assert_int_equal(parse("--size=256Ki", "--number", "7", &rest, NULL), 0);
    assert_int_equal(size, 262144);
    assert_int_equal(number, 7);
    assert_int_equal(parse("--name=a", "--name=b", "--", &rest, NULL), 0);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.values[1], "b");
    assert_int_equal(rest, 4);
}

static void test_short_help(void **state)
{
    const struct flag none[] = {{NULL, 0, NULL, NULL, NULL}};
    char prog[] = "prog", h[] = "-h", *argv[] = {prog, h, NULL};
    struct err err;
    int rest;

    assert_int_equal(parse("--quick", "-h", "verb", &rest, NULL), 0);
    assert_true(help);
    assert_int_equal(rest, 3);
    /* -h behind a flag that takes a value is that value. */
    help = false;
    assert_int_equal(parse("--file", "-h", NULL, &rest, NULL), 0);
    assert_false(help);
    assert_string_equal(file, "-h");
    assert_int_equal(flags_parse(none, 2, argv, &rest, &err), -EINVAL);
    assert_string_equal(err.msg, "there is no flag -h (see --help)");
}

static void test_bad(void **state)
{
    static const struct {
        const char *a, *b, *msg;
    } rows[] = {
        {"--fiel", "x", "there is no flag --fiel (see --help)"},
        {"--limit", "banana", "--limit wants a duration such as 300s or 1m30s, not \"banana\""},
        {"--size", "12Kb", "--size wants a size such as 65536, 256Ki or 1Mi, not \"12Kb\""},
        {"--size", "99999999999999999999",
         "--size wants a size such as 65536, 256Ki or 1Mi, not "
         "\"99999999999999999999\""},
        {"--number", "-1", "--number wants a number, not \"-1\""},
        {"--quick=maybe", NULL, "--quick wants true or false, not \"maybe\""},
        {"--file", NULL, "--file wants a value"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err;
        int rest = -1;

        assert_int_equal(parse(rows[i].a, rows[i].b, NULL, &rest, &err), -EINVAL);
        assert_string_equal(err.msg, rows[i].msg);
        assert_int_equal(rest, -1);
    }
}

static void test_histogram(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(10000);
    struct metrics_histogram h = {0};

    metrics_observe(&h, 1000000);       /* exactly on the bound of 1 ms: inside */
    metrics_observe(&h, 1000001);       /* the next one */
    metrics_observe(&h, 61000000000LL); /* above all */
    metrics_head(&b, "x_seconds", "histogram", "Time.");
    metrics_histogram(&b, "x_seconds", &h, NULL);
    assert_non_null(strstr(buf_str(&b), "# TYPE x_seconds histogram\n"));
    assert_non_null(strstr(buf_str(&b), "x_seconds_bucket{le=\"0.001\"} 1\n"));
    assert_non_null(strstr(buf_str(&b), "x_seconds_bucket{le=\"0.0025\"} 2\n"));
    assert_non_null(strstr(buf_str(&b), "x_seconds_bucket{le=\"60\"} 2\n"));
    assert_non_null(strstr(buf_str(&b), "x_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(buf_str(&b), "x_seconds_sum 61.002000001\n"));
    buf_clear(&b);
    metrics_value(&b, "y", "state=\"ok\"", 12);
    assert_string_equal(buf_str(&b), "y{state=\"ok\"} 12\n");
}

static void add_traced(struct metrics_histogram *h, struct metrics_exemplars *ex, int64_t ns,
                       const char *trace)
{
    metrics_observe_traced(h, ex, ns, trace, 1500 * NSEC_PER_MSEC);
}

static void test_exemplars(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(10000), page = BUF_INIT(10000);
    struct metrics_histogram h = {0};
    struct metrics_exemplars ex = {0};
    char long_trace[METRICS_TRACE_MAX + 2];

    memset(long_trace, 'x', sizeof(long_trace) - 1);
    long_trace[sizeof(long_trace) - 1] = '\0';
    add_traced(&h, &ex, 900000, "first");
    add_traced(&h, &ex, 500000, "second");
    add_traced(&h, &ex, 600000, NULL);
    add_traced(&h, &ex, 2000000, long_trace);
    add_traced(&h, &ex, 4000000, "a \"quote\"");
    add_traced(&h, &ex, 61000000000LL, "slow");
    metrics_head(&b, "y_total", "counter", "Things in _total they say.");
    metrics_value(&b, "y_total", NULL, 3);
    metrics_histogram(&b, "x_seconds", &h, &ex);

    metrics_page(&b, METRICS_OPENMETRICS, &page);
    assert_non_null(strstr(buf_str(&page), "# HELP y Things in _total they say.\n# TYPE y counter\n"
                                           "y_total 3\n"));
    assert_non_null(strstr(buf_str(&page), "x_seconds_bucket{le=\"0.001\"} 3 # {trace_id="
                                           "\"second\"} 0.0005 1.500\n"));
    assert_non_null(strstr(buf_str(&page), "x_seconds_bucket{le=\"0.0025\"} 4\n"));
    assert_non_null(strstr(buf_str(&page), "x_seconds_bucket{le=\"0.005\"} 5\n"));
    assert_non_null(strstr(buf_str(&page), "{le=\"+Inf\"} 6 # {trace_id=\"slow\"} 61 1.500\n"));
    assert_string_equal(buf_str(&page) + page.len - strlen("_count 6\n# EOF\n"),
                        "_count 6\n# EOF\n");

    buf_clear(&page);
    metrics_page(&b, METRICS_PROMETHEUS, &page);
    assert_non_null(strstr(buf_str(&page), "# TYPE y_total counter\ny_total 3\n"));
    assert_non_null(strstr(buf_str(&page), "x_seconds_bucket{le=\"0.001\"} 3\n"));
    assert_null(strstr(buf_str(&page), "trace"));
    assert_null(strstr(buf_str(&page), "EOF"));
}

static void test_formats(void **state)
{
    assert_int_equal(metrics_format_of(NULL), METRICS_PROMETHEUS);
    assert_int_equal(metrics_format_of("*/*"), METRICS_PROMETHEUS);
    assert_int_equal(
        metrics_format_of("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"),
        METRICS_OPENMETRICS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_short_help),
        cmocka_unit_test(test_bad),       cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_exemplars), cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
