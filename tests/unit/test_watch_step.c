#include <stdio.h>

#include "common/base/limits.h"
#include "operator/kube/watch_step.h"

#include "tests/unit/unit.h"

static struct watch_machine m;
static struct now now;

/* One step without jitter; the action as text: "list 50", "page 50", "watch", "wait 800", "". */
static const char *step(struct watch_event ev)
{
    static char text[32];
    enum watch_state from = m.state;
    struct watch_action a = watch_step(&m, &ev, now, 0);

    assert_true(from == m.state || sm_may_follow(&watch_table, from, m.state));
    switch (a.type) {
    case WATCH_NOTHING:
        return "";
    case WATCH_LIST:
        snprintf(text, sizeof(text), "list %u", a.page_limit);
        break;
    case WATCH_PAGE:
        snprintf(text, sizeof(text), "page %u", a.page_limit);
        break;
    case WATCH_WATCH:
        return "watch";
    case WATCH_WAIT:
        snprintf(text, sizeof(text), "wait %d", (int)((a.until_ns - now.mono_ns) / NSEC_PER_MSEC));
        break;
    }
    return text;
}

static const char *start(void)
{
    return step((struct watch_event){.type = WATCH_EV_START});
}

static const char *page(bool more)
{
    return step((struct watch_event){.type = WATCH_EV_PAGE, .more = more});
}

static const char *list_failed(enum kube_reason reason)
{
    return step(
        (struct watch_event){.type = WATCH_EV_LIST_FAILED, .reason = reason, .retry_after_ms = -1});
}

static const char *too_large(void)
{
    return step((struct watch_event){.type = WATCH_EV_LIST_FAILED,
                                     .reason = KUBE_NO_ANSWER,
                                     .too_large = true,
                                     .retry_after_ms = -1});
}

static const char *ended(enum kube_reason reason)
{
    return step(
        (struct watch_event){.type = WATCH_EV_ENDED, .reason = reason, .retry_after_ms = -1});
}

static const char *told(void)
{
    return step((struct watch_event){.type = WATCH_EV_OBJECT});
}

static const char *timer(void)
{
    return step((struct watch_event){.type = WATCH_EV_TIMER});
}

static void pass_ms(int64_t ms)
{
    now.mono_ns += ms * NSEC_PER_MSEC;
}

static int setup(void **state)
{
    watch_machine_init(&m);
    now.mono_ns = 1000 * NSEC_PER_SEC;
    return 0;
}

/* A machine that watches and has done so for long enough. */
static void make_watching(void)
{
    assert_string_equal(start(), "list 50");
    assert_string_equal(page(false), "watch");
    pass_ms(60000);
}

static void test_way_to_watch(void **state)
{
    assert_string_equal(timer(), "");
    assert_string_equal(start(), "list 50");
    assert_int_equal(m.state, WATCH_LISTING);
    assert_string_equal(page(true), "page 50");
    assert_int_equal(m.state, WATCH_PAGING);
    assert_string_equal(page(true), "page 50");
    assert_string_equal(page(false), "watch");
    assert_int_equal(m.state, WATCH_WATCHING);
    assert_string_equal(told(), "");
}

static void test_clean_end(void **state)
{
    make_watching();
    assert_string_equal(ended(KUBE_OK), "watch"); /* it lasted */
    assert_string_equal(told(), "");
    assert_string_equal(ended(KUBE_OK), "watch"); /* at once, but it told something */
    assert_string_equal(ended(KUBE_OK), "wait 800");
    assert_int_equal(m.state, WATCH_BACKING_OFF);
    assert_string_equal(timer(), "watch"); /* from the old resourceVersion */
    pass_ms(999);
    assert_string_equal(ended(KUBE_OK), "wait 1600");
    assert_string_equal(timer(), "watch");
    pass_ms(1000);
    assert_string_equal(ended(KUBE_OK), "watch");
}

static void test_too_old(void **state)
{
    make_watching();
    assert_string_equal(ended(KUBE_GONE), "list 50");
    assert_string_equal(page(false), "watch");
    assert_string_equal(told(), "");
    assert_string_equal(ended(KUBE_GONE), "wait 800"); /* no hot loop of lists */
    assert_string_equal(timer(), "list 50");
    assert_string_equal(page(false), "watch");
    pass_ms(1000);
    assert_string_equal(ended(KUBE_GONE), "list 50");
}

static void test_watch_refused(void **state)
{
    static const struct {
        enum kube_reason reason;
        const char *then;
    } rows[] = {
        {KUBE_TOO_MANY_REQUESTS, "watch"}, {KUBE_UNAUTHORIZED, "watch"},
        {KUBE_SERVER_ERROR, "watch"}, /* 504 ResourceVersionTooLarge is one of these */
        {KUBE_NO_ANSWER, "watch"},         {KUBE_INVALID, "list 50"},
        {KUBE_FORBIDDEN, "list 50"},       {KUBE_NOT_FOUND, "list 50"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        setup(state);
        make_watching();
        assert_string_equal(ended(rows[i].reason), "wait 800");
        assert_string_equal(timer(), rows[i].then);
    }
}

static void test_retry_after(void **state)
{
    make_watching();
    assert_string_equal(step((struct watch_event){.type = WATCH_EV_ENDED,
                                                  .reason = KUBE_TOO_MANY_REQUESTS,
                                                  .retry_after_ms = 7000}),
                        "wait 7000");
    assert_string_equal(timer(), "watch");
    assert_string_equal(step((struct watch_event){.type = WATCH_EV_ENDED,
                                                  .reason = KUBE_TOO_MANY_REQUESTS,
                                                  .retry_after_ms = 0}),
                        "wait 1600"); /* the longer of the two */
}

static void test_backoff(void **state)
{
    static const char *const want[] = {"wait 800",   "wait 1600",  "wait 3200",  "wait 6400",
                                       "wait 12800", "wait 25600", "wait 30000", "wait 30000"};
    struct watch_event failed = {.type = WATCH_EV_LIST_FAILED, .reason = KUBE_NO_ANSWER};
    struct watch_action a;

    start();
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(list_failed(KUBE_NO_ANSWER), want[i]);
        pass_ms(30000);
        assert_string_equal(timer(), "list 50");
    }
    a = watch_step(&m, &failed, now, 14999);
    assert_int_equal(a.until_ns - now.mono_ns, (30000 + 14999) * NSEC_PER_MSEC);
    timer();
    a = watch_step(&m, &failed, now, 15000);
    assert_int_equal(a.until_ns - now.mono_ns, 30000 * NSEC_PER_MSEC);
    timer();
    page(false);
    pass_ms(WATCH_BACKOFF_RESET_MS + 1);
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 800"); /* two good minutes */
}

static void test_page_expired(void **state)
{
    start();
    page(true);
    assert_string_equal(list_failed(KUBE_GONE), "list 0"); /* all in one */
    assert_string_equal(list_failed(KUBE_NO_ANSWER), "wait 800");
    assert_string_equal(timer(), "list 50");
    page(true);
    assert_string_equal(list_failed(KUBE_GONE), "list 0");
    assert_string_equal(page(false), "watch");
    pass_ms(60000);
    assert_string_equal(ended(KUBE_GONE), "list 50");
    assert_string_equal(list_failed(KUBE_GONE), "wait 1600"); /* a first page can not be too old */
}

static void test_too_large(void **state)
{
    start();
    assert_string_equal(too_large(), "list 10");
    page(true);
    assert_string_equal(too_large(), "list 2");
    assert_string_equal(too_large(), "list 1");
    assert_string_equal(too_large(), "wait 800");
    assert_string_equal(timer(), "list 1");
    page(true);
    assert_string_equal(list_failed(KUBE_GONE), "list 0");
    assert_string_equal(too_large(), "list 1"); /* all in one is too much as well */
    page(true);
    assert_string_equal(list_failed(KUBE_GONE), "wait 1600"); /* and not tried again at once */
    assert_string_equal(timer(), "list 1");
    page(true);
    page(false);
    assert_string_equal(ended(KUBE_GONE), "list 1");
    page(true);
    assert_string_equal(list_failed(KUBE_GONE), "list 0"); /* there may be fewer by now */
}

static void test_kick(void **state)
{
    struct watch_event kick = {.type = WATCH_EV_KICK};

    assert_string_equal(step(kick), "");
    start();
    assert_string_equal(step(kick), "list 50");
    page(true);
    assert_string_equal(step(kick), "list 50");
    page(false);
    assert_string_equal(step(kick), "watch");
    pass_ms(1000);
    ended(KUBE_NO_ANSWER);
    assert_string_equal(step(kick), "watch");
    ended(KUBE_FORBIDDEN);
    assert_string_equal(step(kick), "list 50");
}

/* Every watch that ends long after the last list is followed by a list, and none before. */
static void test_relist(void **state)
{
    start();
    page(false);
    pass_ms(WATCH_RELIST_MS - 1);
    assert_string_equal(ended(KUBE_OK), "watch");
    pass_ms(1);
    assert_string_equal(ended(KUBE_OK), "list 50");
    assert_string_equal(page(false), "watch");
    pass_ms(WATCH_RELIST_MS - 1);
    assert_string_equal(ended(KUBE_OK), "watch");
}

/* Each outage has a back-off of its own, which ends with the outage. */
static void test_gate_turned(void **state)
{
    struct watch_event back = {.type = WATCH_EV_GATE_TURNED};

    assert_string_equal(step(back), "");
    start();
    assert_string_equal(step(back), "");
    for (int i = 0; i < 4; i++) {
        list_failed(KUBE_NO_ANSWER);
        pass_ms(30000);
        timer();
    }
    assert_string_equal(list_failed(KUBE_NO_ANSWER), "wait 12800");
    assert_string_equal(step(back), "list 50");
    assert_string_equal(page(false), "watch");
    assert_string_equal(step(back), "");
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 800");
    assert_string_equal(step(back), "watch");
}

/* A watch that is cut again and again, each time after some events, gets on each time. */
static void test_backoff_of_watches_that_get_on(void **state)
{
    make_watching();
    for (int i = 0; i < 8; i++) {
        told();
        assert_string_equal(ended(KUBE_NO_ANSWER), "wait 800");
        assert_string_equal(timer(), "watch");
    }
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 1600");
}

/* A watch that worked ends the back-off for earlier failures, however short the time between two
 * outages. */
static void test_backoff_after_a_good_watch(void **state)
{
    make_watching();
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 800");
    timer();
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 1600");
    timer();
    pass_ms(WATCH_GOOD_MS);
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 3200"); /* told nothing */
    timer();
    told();
    pass_ms(WATCH_GOOD_MS);
    assert_string_equal(ended(KUBE_NO_ANSWER), "wait 800");
}

static void test_later_page_fails(void **state)
{
    start();
    page(true);
    assert_int_equal(m.state, WATCH_PAGING);
    assert_string_equal(list_failed(KUBE_SERVER_ERROR), "wait 800");
    assert_string_equal(timer(), "list 50"); /* from the beginning */
}

static void test_states(void **state)
{
    for (int s = 0; s < WATCH_STATES; s++) {
        assert_true(strlen(watch_state_str((enum watch_state)s)) > 1);
        assert_false(sm_may_follow(&watch_table, (enum watch_state)s, WATCH_IDLE));
    }
    assert_false(sm_may_follow(&watch_table, WATCH_BACKING_OFF, WATCH_PAGING));
    assert_false(sm_may_follow(&watch_table, WATCH_IDLE, WATCH_WATCHING));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_way_to_watch),
        TEST(test_clean_end),
        TEST(test_too_old),
        TEST(test_watch_refused),
        TEST(test_retry_after),
        TEST(test_backoff),
        TEST(test_page_expired),
        TEST(test_too_large),
        TEST(test_kick),
        TEST(test_relist),
        TEST(test_later_page_fails),
        TEST(test_states),
        TEST(test_gate_turned),
        TEST(test_backoff_of_watches_that_get_on),
        TEST(test_backoff_after_a_good_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
