#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "operator/kube/reflector.h"
#include "tests/unit/fake_kind.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

#define LIST "GET /apis/toys.example.com/v1/toys?limit=50"
#define WATCH "/toys?watch=1&allowWatchBookmarks=true&timeoutSeconds="

static struct fake_ops fake;
static struct store *store;
static struct reflector *refl;
static struct buf seen = BUF_INIT(1 << 20);
static char last_note[512];
static int synced;

static void on_change(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    const struct meta *m = new_obj ? new_obj : old_obj;

    buf_printf(&seen, "%s%s/%s ", !old_obj ? "+" : !new_obj ? "-" : "~", m->name, m->rv);
}

static void assert_seen(const char *want)
{
    assert_string_equal(buf_str(&seen), want);
    buf_clear(&seen);
}

static void on_synced(void *arg)
{
    synced++;
}

static void on_note(void *arg, int level, const char *kind, const char *msg)
{
    assert_string_equal(kind, "Toy");
    snprintf(last_note, sizeof(last_note), "%s", msg);
}

static void begin(const char *ns)
{
    refl = reflector_new(&fake.ops, &(struct reflector_opts){.kind = &fake_kind,
                                                             .ns = ns,
                                                             .store = store,
                                                             .on_synced = on_synced,
                                                             .on_note = on_note});
}

static int setup(void **state)
{
    fake_ops_init(&fake);
    store = store_new(&fake_kind, on_change, NULL);
    synced = 0;
    return 0;
}

static int teardown(void **state)
{
    reflector_free(refl);
    store_free(store);
    fake_ops_done(&fake);
    assert_int_equal(fake_toys_alive, 0);
    buf_done(&seen);
    return 0;
}

/* A list of toys named by the letters of names, resourceVersion 1 each. */
static void answer_list(const char *names, const char *rv, const char *cont)
{
    struct buf b = BUF_INIT(1 << 20);
    char name[2] = "";
    char uid[3] = "u";

    buf_printf(&b,
               "{\"kind\":\"ToyList\",\"metadata\":{\"resourceVersion\":\"%s\",\"continue\":"
               "\"%s\"},\"items\":[",
               rv, cont);
    for (const char *n = names; *n; n++) {
        cleanup_free char *toy = NULL;

        name[0] = uid[1] = *n;
        toy = fake_toy_json("ns", name, uid, "1", "red");
        buf_printf(&b, "%s%s", n > names ? "," : "", toy);
    }
    buf_puts(&b, "]}");
    fake_answer(fake_find(&fake, "GET"), 200, buf_str(&b));
    buf_done(&b);
}

static char *event(const char *type, const char *name, const char *rv)
{
    cleanup_free char *uid = xasprintf("u%s", name);
    cleanup_free char *toy = fake_toy_json("ns", name, uid, rv, "blue");

    return xasprintf("{\"type\":\"%s\",\"object\":%s}\n", type, toy);
}

static void send_event(const char *type, const char *name, const char *rv)
{
    cleanup_free char *text = event(type, name, rv);

    fake_data(&fake, fake_find(&fake, WATCH), text, strlen(text));
}

static void assert_watching(const char *rv)
{
    cleanup_free char *end = xasprintf("&resourceVersion=%s", rv);
    const struct ops_call *call = fake_find(&fake, WATCH);

    assert_non_null(call);
    assert_int_equal(fake_calls(&fake), 1);
    assert_string_equal(call->path + strlen(call->path) - strlen(end), end);
    assert_true(call->stream);
    /* Three bookmarks are late then, and the server would end the watch much later. */
    assert_true(call->idle_timeout_ms >= 150000 && call->idle_timeout_ms < 300000);
    assert_true(call->answer_timeout_ms > 0 && call->answer_timeout_ms <= 30000);
}

static void make_watching(void)
{
    begin(NULL);
    answer_list("ab", "10", "");
    assert_seen("+a/1 +b/1 ");
    assert_watching("10");
}

static void test_pages(void **state)
{
    begin(NULL);
    assert_int_equal(fake_calls(&fake), 1);
    assert_non_null(fake_find(&fake, LIST));
    answer_list("ab", "10", "t/+=");
    assert_non_null(fake_find(&fake, LIST "&continue=t%2F%2B%3D"));
    assert_false(reflector_synced(refl));
    answer_list("c", "10", "");
    assert_seen("+a/1 +b/1 +c/1 ");
    assert_true(reflector_synced(refl));
    assert_int_equal(synced, 1);
    assert_watching("10");
}

static void test_namespace(void **state)
{
    begin("team a");
    assert_non_null(
        fake_find(&fake, "/apis/toys.example.com/v1/namespaces/team%20a/toys?limit=50"));
}

static void test_events(void **state)
{
    make_watching();
    send_event("ADDED", "c", "11");
    send_event("MODIFIED", "a", "12");
    send_event("DELETED", "b", "13");
    assert_seen("+c/11 ~a/12 -b/1 ");
    fake_line(&fake, fake_find(&fake, WATCH),
              "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"20\"}}}");
    assert_seen("");
    fake_advance(&fake, 60000);
    fake_answer(fake_find(&fake, WATCH), 200, "");
    assert_watching("20");
    send_event("DELETED", "x", "21"); /* never heard of */
    assert_seen("");
}

/* The same stream cut at every byte, and byte by byte. */
static void test_split_anywhere(void **state)
{
    cleanup_free char *one = event("ADDED", "c", "11");
    cleanup_free char *two = event("MODIFIED", "c", "12");
    cleanup_free char *three = event("DELETED", "c", "13");
    cleanup_free char *all = xasprintf("%s%s\n%s", one, two, three);
    size_t len = strlen(all);

    make_watching();
    for (size_t cut = 0; cut <= len; cut++) {
        struct ops_call *call = fake_find(&fake, WATCH);

        assert_true(fake_data(&fake, call, all, cut));
        assert_true(fake_data(&fake, call, all + cut, len - cut));
        /* Only the first round is news: the object is known to be gone after that. */
        assert_seen(cut == 0 ? "+c/11 ~c/12 -c/12 " : "");
    }
    reflector_free(refl);
    store_free(store);
    setup(state);
    make_watching();
    for (size_t i = 0; i < len; i++)
        assert_true(fake_data(&fake, fake_find(&fake, WATCH), all + i, 1));
    assert_seen("+c/11 ~c/12 -c/12 ");
}

static void test_too_old(void **state)
{
    make_watching();
    fake_line(&fake, fake_find(&fake, WATCH),
              "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":"
              "\"Expired\",\"message\":\"too old\"}}\n{\"type\":\"ADDED\",\"object\":{}}");
    assert_string_equal(last_note, "watching -> listing");
    answer_list("bc", "30", ""); /* a is gone, c is new */
    assert_seen("+c/1 -a/1 ");
    assert_watching("30");
    assert_int_equal(synced, 1);
    fake_advance(&fake, 2000);
    fake_answer(fake_find(&fake, WATCH), 410, "{\"reason\":\"Expired\",\"message\":\"too old\"}");
    assert_non_null(fake_find(&fake, LIST));
    answer_list("bc", "31", "");
    assert_watching("31");
}

static void test_cut_and_refused(void **state)
{
    make_watching();
    send_event("ADDED", "c", "11");
    fake_data(&fake, fake_find(&fake, WATCH), "{\"type\":", 8);
    fake_answer_full(fake_find(&fake, WATCH), &(struct ops_response){.status = 200,
                                                                     .body = "",
                                                                     .retry_after_ms = -1,
                                                                     .error = -ECONNRESET,
                                                                     .error_msg = "reset",
                                                                     .maybe_sent = true});
    assert_watching("11"); /* goes on where it was, and the torn line is forgotten */
    send_event("ADDED", "d", "12");
    assert_seen("+c/11 +d/12 ");
    fake_fail(fake_find(&fake, WATCH), -ECONNREFUSED, false);
    assert_int_equal(fake_calls(&fake), 0);
    assert_in_range(fake_next_timer_ms(&fake), 800, 1200);
    fake_advance(&fake, 1200);
    assert_watching("12");
    fake_answer(fake_find(&fake, WATCH), 429, "{\"details\":{\"retryAfterSeconds\":9}}");
    assert_int_equal(fake_next_timer_ms(&fake), 9000);
    fake_advance(&fake, 9000);
    assert_watching("12");
}

static void test_list_fails(void **state)
{
    begin(NULL);
    answer_list("a", "10", "more");
    fake_answer(fake_find(&fake, "continue="), 500, "");
    assert_seen("+a/1 ");
    fake_advance(&fake, 1200);
    fake_answer(fake_find(&fake, LIST), 200, "{\"items\":");
    fake_advance(&fake, 2400);
    answer_list("b", "11", "more");
    fake_answer(fake_find(&fake, "continue="), 410, "{\"reason\":\"Expired\"}");
    assert_non_null(fake_find(&fake, "GET /apis/toys.example.com/v1/toys?"));
    assert_null(fake_find(&fake, "limit="));
    assert_false(reflector_synced(refl));
    answer_list("bc", "12", "");
    assert_seen("+b/1 +c/1 -a/1 ");
    assert_watching("12");
}

static void test_page_too_large(void **state)
{
    begin(NULL);
    fake_fail(fake_find(&fake, LIST), -EMSGSIZE, true);
    assert_non_null(fake_find(&fake, "limit=10"));
}

/* One object that can not be read keeps no other away. */
static void test_bad_objects(void **state)
{
    begin(NULL);
    fake_answer(fake_find(&fake, LIST), 200,
                "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[{},{\"metadata\":{"
                "\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"ua\",\"resourceVersion\":\"1\"}},"
                "7,\"x\"]}");
    assert_seen("+a/1 ");
    assert_watching("10");
    fake_line(&fake, fake_find(&fake, WATCH), "{\"type\":\"ADDED\",\"object\":{}}");
    fake_line(&fake, fake_find(&fake, WATCH), "{\"type\":\"ADDED\"}");
    send_event("ADDED", "b", "11");
    assert_seen("+b/11 ");
}

static void test_broken_stream(void **state)
{
    static const char *const lines[] = {"{\"type\":\"ADDED\",", "[]", "{\"object\":{}}"};
    char expect[8];

    make_watching();
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        assert_false(fake_line(&fake, fake_find(&fake, WATCH), lines[i]));
        fake_advance(&fake, 60000);
        snprintf(expect, sizeof(expect), "%zu", 20 + i);
        answer_list("ab", expect, "");
        assert_watching(expect);
        fake_advance(&fake, 60000);
    }
}

static void test_endless_line(void **state)
{
    struct ops_call *call;
    char *chunk = xmalloc(65536);
    size_t sent = 0;

    make_watching();
    call = fake_find(&fake, WATCH);
    memset(chunk, 'x', 65536);
    while (fake_data(&fake, call, chunk, 65536))
        sent += 65536;
    free(chunk);
    assert_int_equal(sent, LIMIT_OBJECT_BYTES);
    answer_list("ab", "20", "");
    assert_watching("20");
}

/* Objects that are too large for a tree, or for a line, are known by their metadata alone. */
static void test_objects_that_are_too_large(void **state)
{
    static const char *const fills[] = {"{},", "x"};
    static const size_t counts[] = {LIMIT_JSON_TREE_BYTES / 800, LIMIT_OBJECT_BYTES};

    make_watching();
    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        struct buf line = BUF_INIT(2 * LIMIT_OBJECT_BYTES);

        buf_printf(&line,
                   "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"namespace\":\"ns\",\"name\":"
                   "\"big%zu\",\"uid\":\"u%zu\",\"resourceVersion\":\"%zu\"},\"spec\":{\"color\":"
                   "\"red\",\"x\":%s",
                   i, i, 30 + 2 * i, i ? "\"" : "[");
        for (size_t k = 0; k < counts[i]; k++)
            buf_puts(&line, fills[i]);
        buf_puts(&line, i ? "\"}}}\n" : "{}]}}}\n");
        buf_clear(&seen);
        /* In pieces, as it comes over a connection. */
        for (size_t at = 0; at < line.len; at += 65536)
            assert_true(fake_data(&fake, fake_find(&fake, WATCH), line.data + at,
                                  MIN(line.len - at, 65536)));
        buf_done(&line);
        assert_seen(i ? "+big1/32 " : "+big0/30 ");
        assert_true(store_get(store, i ? "ns/big1" : "ns/big0")->cut);
        send_event("ADDED", "c", "31");
    }
}

static void test_kick_and_stats(void **state)
{
    struct reflector_stats st;

    make_watching();
    reflector_kick(refl);
    assert_int_equal(fake.cancelled, 1);
    assert_watching("10");
    send_event("ADDED", "c", "11");
    reflector_stats(refl, &st);
    assert_int_equal(st.lists, 1);
    assert_int_equal(st.watches, 2);
    assert_int_equal(st.events, 1);
    assert_int_equal(st.errors, 0);
    assert_string_equal(st.state, "watching");
}

/* The list after a watch finds what the watch has kept back, and counts it. */
static void test_relist_repairs(void **state)
{
    struct reflector_stats stats;

    begin(NULL);
    answer_list("ab", "5", "");
    assert_seen("+a/1 +b/1 ");
    fake_advance(&fake, 600000);
    fake_answer(fake_find(&fake, WATCH), 200, "");
    assert_non_null(fake_find(&fake, LIST));
    answer_list("ac", "7", "");
    assert_seen("+c/1 -b/1 ");
    assert_watching("7");
    reflector_stats(refl, &stats);
    assert_int_equal(stats.repairs, 2);
    assert_string_equal(last_note, "listing -> watching");

    /* A change that is newer than the last event of the watch is no repair; nor is anything after a
     * failure. */
    fake_advance(&fake, 600000);
    send_event("MODIFIED", "a", "9");
    assert_seen("~a/9 ");
    fake_answer(fake_find(&fake, WATCH), 200, "");
    answer_list("ac", "9", "");
    assert_seen("");
    reflector_stats(refl, &stats);
    assert_int_equal(stats.repairs, 2);
    fake_answer(fake_find(&fake, WATCH), 410, "{}");
    answer_list("a", "12", "");
    assert_seen("-c/1 ");
    reflector_stats(refl, &stats);
    assert_int_equal(stats.repairs, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages),          TEST(test_namespace),      TEST(test_events),
        TEST(test_split_anywhere), TEST(test_too_old),        TEST(test_cut_and_refused),
        TEST(test_list_fails),     TEST(test_page_too_large), TEST(test_bad_objects),
        TEST(test_broken_stream),  TEST(test_endless_line),   TEST(test_objects_that_are_too_large),
        TEST(test_kick_and_stats), TEST(test_relist_repairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
