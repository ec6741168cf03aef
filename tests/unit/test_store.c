#include <stdio.h>

#include "common/base/buf.h"
#include "operator/kube/store.h"
#include "tests/unit/fake_kind.h"

#include "tests/unit/unit.h"

/* What on_change told, one word a change: "+name/uid@rv", "~name/uid@old>new", "-name/uid@rv". */
static struct buf seen = BUF_INIT(1 << 20);

static void on_change(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    const struct meta *m = new_obj ? new_obj : old_obj;

    assert_ptr_equal(arg, &seen);
    if (old_obj && new_obj)
        buf_printf(&seen, "~%s/%s@%s>%s ", m->name, m->uid, old_obj->rv, new_obj->rv);
    else
        buf_printf(&seen, "%c%s/%s@%s ", new_obj ? '+' : '-', m->name, m->uid, m->rv);
}

static void assert_seen(const char *want)
{
    assert_string_equal(buf_str(&seen), want);
    buf_clear(&seen);
}

static struct store *new_store(void)
{
    buf_clear(&seen);
    return store_new(&fake_kind, on_change, &seen);
}

static void end_store(struct store *s)
{
    store_free(s);
    assert_seen("");
    assert_int_equal(fake_toys_alive, 0);
    buf_done(&seen);
}

static bool put(struct store *s, const char *name, const char *uid, const char *rv)
{
    return store_put(s, fake_toy("ns", name, uid, rv));
}

static void test_put_and_remove(void **state)
{
    struct store *s = new_store();
    size_t pos = 0;

    assert_null(store_get(s, "ns/a"));
    assert_true(put(s, "a", "u1", "5"));
    assert_true(put(s, "b", "u2", "6"));
    assert_string_equal(store_get(s, "ns/a")->rv, "5");
    assert_int_equal(store_count(s), 2);
    assert_non_null(store_next(s, &pos));
    assert_non_null(store_next(s, &pos));
    assert_null(store_next(s, &pos));
    assert_seen("+a/u1@5 +b/u2@6 ");

    assert_false(store_remove(s, "ns/a", "u2", NULL)); /* another uid */
    assert_false(store_remove(s, "ns/c", NULL, NULL));
    assert_seen("");
    assert_true(store_remove(s, "ns/a", "u1", NULL));
    assert_true(put(s, "b", "u3", "7"));
    assert_true(store_remove(s, "ns/b", NULL, NULL));
    assert_int_equal(store_count(s), 0);
    assert_seen("-a/u1@5 -b/u2@6 +b/u3@7 -b/u3@7 ");
    end_store(s);
}

static void test_freshness(void **state)
{
    struct store *s = new_store();

    assert_true(put(s, "a", "u1", "99"));
    assert_false(put(s, "a", "u1", "98"));
    assert_false(put(s, "a", "u1", "99")); /* the watch repeats what our write's answer said */
    assert_true(put(s, "a", "u1", "100")); /* numbers, not text */
    assert_false(put(s, "a", "u1", "99"));
    assert_true(put(s, "a", "u1", "opaque"));
    assert_true(put(s, "a", "u1", "7"));
    assert_true(put(s, "a", "u1", "20000000000000000000000001"));
    assert_false(put(s, "a", "u1", "20000000000000000000000000"));
    assert_false(put(s, "a", "u0", "3")); /* a late answer about what was here before */
    assert_seen("+a/u1@99 ~a/u1@99>100 ~a/u1@100>opaque ~a/u1@opaque>7 "
                "~a/u1@7>20000000000000000000000001 ");
    end_store(s);
}

static void test_tombstones(void **state)
{
    struct store *s = new_store();
    char uid[32];

    put(s, "a", "u1", "1");
    store_remove(s, "ns/a", "u1", NULL);
    assert_false(put(s, "a", "u1", "2")); /* the answer to a write that came late */
    assert_true(put(s, "a", "u2", "3"));  /* a new object of the same name */
    assert_true(put(s, "a", "u3", "4"));
    assert_false(put(s, "a", "u2", "5"));
    assert_seen("+a/u1@1 -a/u1@1 +a/u2@3 -a/u2@3 +a/u3@4 ");

    store_remove(s, "ns/never", "u9", NULL); /* deleted before its creation was answered */
    assert_false(put(s, "never", "u9", "6"));
    for (int i = 0; i < 10000; i++) {
        snprintf(uid, sizeof(uid), "x%d", i);
        store_remove(s, "ns/x", uid, NULL);
    }
    assert_false(put(s, "x", "x9999", "7"));
    assert_true(put(s, "x", "x0", "8")); /* so long ago that it is forgotten */
    assert_seen("+x/x0@8 ");
    end_store(s);
}

/* The watch selects by a label. If the label is taken away, that is a removal; if it is put back,
 * an addition. */
static void test_what_was_not_selected_comes_back(void **state)
{
    struct store *s = new_store();

    put(s, "a", "u1", "5");
    store_remove(s, "ns/a", "u1", "7");
    assert_false(put(s, "a", "u1", "6")); /* the answer to a write from before */
    assert_false(put(s, "a", "u1", "7"));
    assert_true(put(s, "a", "u1", "8"));
    assert_seen("+a/u1@5 -a/u1@5 +a/u1@8 ");

    store_replace_begin(s);
    store_replace_end(s, "20");
    store_replace_begin(s);
    store_replace_add(s, fake_toy("ns", "a", "u1", "19")); /* of an older list */
    store_replace_add(s, fake_toy("ns", "a", "u1", "21"));
    store_replace_end(s, "30");
    assert_seen("-a/u1@8 +a/u1@21 ");

    store_remove(s, "ns/a", "u1", "31");
    store_remove(s, "ns/a", "u1", NULL); /* now the API server has said that there is none */
    assert_false(put(s, "a", "u1", "32"));
    assert_seen("-a/u1@21 ");
    end_store(s);
}

static void test_replace(void **state)
{
    struct store *s = new_store();

    put(s, "keep", "u1", "1");
    put(s, "gone", "u2", "2");
    put(s, "renewed", "u3", "3");
    put(s, "ours", "u4", "50");
    assert_seen("+keep/u1@1 +gone/u2@2 +renewed/u3@3 +ours/u4@50 ");

    store_replace_begin(s);
    store_replace_add(s, fake_toy("ns", "keep", "u1", "1"));
    store_replace_add(s, fake_toy("ns", "renewed", "u5", "9"));
    store_replace_add(s, fake_toy("ns", "ours", "u4", "40")); /* older than what we know */
    put(s, "between", "u6", "60");
    put(s, "short", "u7", "61");
    store_remove(s, "ns/short", "u7", NULL);
    store_replace_add(s, fake_toy("ns", "short", "u7", "61")); /* the list was made before */
    assert_seen("-renewed/u3@3 +renewed/u5@9 +between/u6@60 +short/u7@61 -short/u7@61 ");
    store_replace_end(s, "59");
    assert_seen("-gone/u2@2 ");
    assert_string_equal(store_get(s, "ns/ours")->rv, "50");
    assert_int_equal(store_count(s), 4);
    end_store(s);
}

/* The answer to an old write comes when the object is no more. */
static void test_late_answer_after_a_list(void **state)
{
    struct store *s = new_store();

    store_replace_begin(s);
    put(s, "late", "u1", "40");
    put(s, "new", "u2", "60");
    store_replace_end(s, "50");
    assert_seen("+late/u1@40 +new/u2@60 -late/u1@40 ");
    put(s, "later", "u3", "50");
    put(s, "next", "u4", "61");
    assert_seen("+next/u4@61 ");
    end_store(s);
}

static void test_replace_abort(void **state)
{
    struct store *s = new_store();

    put(s, "a", "u1", "1");
    put(s, "b", "u2", "2");
    store_replace_begin(s);
    store_replace_add(s, fake_toy("ns", "a", "u1", "1"));
    store_replace_abort(s);
    assert_int_equal(store_count(s), 2);
    store_replace_begin(s); /* a new list does not count what the aborted one saw */
    store_replace_add(s, fake_toy("ns", "b", "u2", "2"));
    store_replace_end(s, "3");
    assert_seen("+a/u1@1 +b/u2@2 -a/u1@1 ");
    store_replace_begin(s);
    store_replace_end(s, "3");
    assert_seen("-b/u2@2 ");
    end_store(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_remove),
        cmocka_unit_test(test_freshness),
        cmocka_unit_test(test_tombstones),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_what_was_not_selected_comes_back),
        cmocka_unit_test(test_replace_abort),
        cmocka_unit_test(test_late_answer_after_a_list),
    };

    store_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
