#include "operator/kube/queue.h"
#include <stdio.h>

#include "tests/unit/unit.h"

#define MS NSEC_PER_MSEC

static void assert_takes(struct queue *q, int64_t now_ns, const char *want)
{
    cleanup_free char *key = queue_take(q, now_ns);

    if (want) {
        assert_non_null(key);
        assert_string_equal(key, want);
    } else {
        assert_null(key);
    }
}

static void test_order(void **state)
{
    struct queue *q = queue_new();

    queue_add(q, "a", QUEUE_NORMAL);
    queue_add(q, "b", QUEUE_NORMAL);
    queue_add(q, "a", QUEUE_NORMAL); /* there already: keeps its place */
    queue_add(q, "c", QUEUE_URGENT);
    queue_add(q, "b", QUEUE_URGENT); /* becomes urgent, behind those that were */
    queue_add(q, "c", QUEUE_NORMAL); /* stays urgent */
    assert_int_equal(queue_len(q), 3);
    assert_takes(q, 0, "c");
    assert_takes(q, 0, "b");
    assert_takes(q, 0, "a");
    assert_takes(q, 0, NULL);
    assert_int_equal(queue_len(q), 0);
    queue_free(q);
}

static void test_after(void **state)
{
    struct queue *q = queue_new();

    assert_int_equal(queue_next_due(q), 0);
    queue_after(q, "late", QUEUE_NORMAL, 30);
    queue_after(q, "same1", QUEUE_NORMAL, 20);
    queue_after(q, "same2", QUEUE_NORMAL, 20);
    queue_after(q, "moved", QUEUE_NORMAL, 50);
    queue_after(q, "moved", QUEUE_NORMAL, 10); /* earlier wins */
    queue_after(q, "late", QUEUE_URGENT, 40);  /* the later time does not win, the lane does */
    assert_int_equal(queue_next_due(q), 10);
    assert_takes(q, 9, NULL);
    assert_takes(q, 10, "moved");
    assert_int_equal(queue_next_due(q), 20);
    assert_takes(q, 30, "late");
    assert_takes(q, 30, "same1");
    assert_takes(q, 30, "same2");
    assert_int_equal(queue_next_due(q), 0);

    queue_after(q, "x", QUEUE_NORMAL, 1000);
    queue_add(q, "x", QUEUE_NORMAL);
    assert_int_equal(queue_next_due(q), 0);
    queue_after(q, "x", QUEUE_NORMAL, 2000); /* it is ready, so it does not wait */
    assert_takes(q, 0, "x");
    assert_takes(q, 5000, NULL);
    queue_free(q);
}

/* When the only delayed key is due after one more failure; takes it out again. */
static int64_t fail_once(struct queue *q, uint64_t jitter)
{
    int64_t due;

    queue_failed(q, "k", QUEUE_NORMAL, 0, jitter);
    due = queue_next_due(q);
    assert_takes(q, due - 1, NULL);
    assert_takes(q, due, "k");
    return due;
}

static void test_backoff(void **state)
{
    static const int64_t want_ms[] = {100,  200,   400,   800,   1600, 3200,
                                      6400, 12800, 25600, 30000, 30000};
    struct queue *q = queue_new();

    for (size_t i = 0; i < ARRAY_SIZE(want_ms); i++)
        assert_int_equal(fail_once(q, 0), want_ms[i] * MS);
    for (uint64_t j = 0; j < 50; j++) {
        int64_t due = fail_once(q, j * 0x9e3779b97f4a7c15ULL);

        assert_true(due > 22500 * MS - 1 && due <= 30000 * MS);
    }
    queue_ok(q, "k");
    assert_int_equal(fail_once(q, 0), 100 * MS);
    queue_forget(q, "k");
    assert_int_equal(fail_once(q, 0), 100 * MS);
    queue_free(q);
}

static void test_failed_while_ready(void **state)
{
    struct queue *q = queue_new();

    queue_add(q, "k", QUEUE_NORMAL); /* a change came in while it was being worked on */
    queue_failed(q, "k", QUEUE_NORMAL, 0, 0);
    assert_takes(q, 0, "k");
    assert_int_equal(queue_next_due(q), 0);
    assert_int_equal(fail_once(q, 0), 200 * MS);
    queue_free(q);
}

static void test_look(void **state)
{
    struct queue *q = queue_new();
    struct queue_view v;
    size_t pos = 0, n = 0;

    queue_look(q, "nosuch", &v);
    assert_string_equal(v.state, "idle");
    queue_add(q, "ready", QUEUE_NORMAL);
    queue_after(q, "later", QUEUE_NORMAL, 7);
    queue_failed(q, "failed", QUEUE_NORMAL, 0, 0);
    assert_int_equal(queue_delayed(q), 2);
    queue_look(q, "ready", &v);
    assert_string_equal(v.state, "ready");
    assert_int_equal(v.due_ns, 0);
    queue_look(q, "later", &v);
    assert_string_equal(v.state, "delayed");
    assert_int_equal(v.due_ns, 7);
    assert_int_equal(v.failures, 0);
    queue_look(q, "failed", &v);
    assert_int_equal(v.due_ns, QUEUE_BACKOFF_BASE_MS * NSEC_PER_MSEC);
    assert_int_equal(v.failures, 1);
    while (queue_next(q, &pos, &v))
        n += v.key[0] == 'r' || v.key[0] == 'l' || v.key[0] == 'f';
    assert_int_equal(n, 3);
    queue_free(q);
}

static void test_forget(void **state)
{
    struct queue *q = queue_new();

    queue_add(q, "ready", QUEUE_URGENT);
    queue_after(q, "delayed", QUEUE_URGENT, 10);
    queue_failed(q, "failed", QUEUE_URGENT, 0, 0);
    queue_forget(q, "ready");
    queue_forget(q, "delayed");
    queue_forget(q, "failed");
    queue_forget(q, "unknown");
    queue_ok(q, "unknown");
    assert_int_equal(queue_len(q), 0);
    assert_int_equal(queue_next_due(q), 0);
    assert_takes(q, INT64_MAX, NULL);
    queue_free(q);
    queue_free(NULL);
}

static void test_clear(void **state)
{
    struct queue *q = queue_new();
    struct queue_view v;
    size_t pos = 0;

    queue_add(q, "ready", QUEUE_URGENT);
    queue_after(q, "delayed", QUEUE_URGENT, 10);
    queue_failed(q, "failed", QUEUE_URGENT, 0, 0);
    queue_clear(q);
    assert_int_equal(queue_len(q) + queue_delayed(q), 0);
    assert_false(queue_next(q, &pos, &v));
    assert_takes(q, INT64_MAX, NULL);
    queue_add(q, "again", QUEUE_NORMAL);
    assert_takes(q, 0, "again");
    queue_free(q);
}

/* Many keys at random times against a plain model: they come out in order of their times. */
static void test_heap(void **state)
{
    enum { KEYS = 300 };
    struct queue *q = queue_new();
    int64_t due[KEYS];
    uint64_t x = 88172645463325252ULL;
    int64_t last = 0;
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        due[i] = 1 + (int64_t)(x % 1000);
        snprintf(key, sizeof(key), "%d", i);
        queue_after(q, key, QUEUE_NORMAL, due[i]);
        if (i % 3 == 2) {
            snprintf(key, sizeof(key), "%d", i / 2);
            queue_forget(q, key);
            due[i / 2] = 0;
        }
    }
    for (int left = KEYS - KEYS / 3; left > 0; left--) {
        int64_t now = queue_len(q) > 0 ? last : queue_next_due(q);
        cleanup_free char *got = queue_take(q, now);

        assert_non_null(got);
        assert_true(now >= last);
        assert_int_equal(due[strtol(got, NULL, 10)], now);
        last = now;
    }
    assert_takes(q, INT64_MAX, NULL);
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),   cmocka_unit_test(test_after),
        cmocka_unit_test(test_backoff), cmocka_unit_test(test_failed_while_ready),
        cmocka_unit_test(test_look),    cmocka_unit_test(test_forget),
        cmocka_unit_test(test_clear),   cmocka_unit_test(test_heap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
