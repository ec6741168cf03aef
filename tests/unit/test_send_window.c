/* How many requests may be under way to one server, from what it answers. */
#include "tests/unit/unit.h"

#include "common/base/clock.h"
#include "common/io/send_window.h"

#define MS NSEC_PER_MSEC

/* A server that works on so many requests at a time, each for service_ns; the others wait. */
struct server {
    struct send_window w;
    int64_t now_ns;
    int64_t service_ns;
    unsigned at_once;
    unsigned want; /* requests that there are to be sent */
};

/* The window is full, or all that there is to be sent is under way, for so many answers. */
static void serve(struct server *s, unsigned answers)
{
    for (unsigned i = 0; i < answers; i++) {
        unsigned under_way = MIN(s->w.size, s->want);
        unsigned served = MIN(under_way, s->at_once);
        int64_t took_ns = s->service_ns * under_way / served;

        s->now_ns += s->service_ns / served;
        send_window_answer(&s->w, s->now_ns - took_ns, s->now_ns, false, under_way);
    }
}

static struct server new_server(unsigned at_once, int64_t service_ns)
{
    struct server s = {
        .now_ns = NSEC_PER_SEC, .service_ns = service_ns, .at_once = at_once, .want = 1000};

    send_window_init(&s.w);
    return s;
}

/* What the server needs for one alone. */
static void learn(struct server *s)
{
    s->want = 1;
    serve(s, 20);
    assert_int_equal(s->w.size, SEND_WINDOW_START);
    s->want = 1000;
}

static void test_a_server_that_is_far_away_gets_more(void **state)
{
    struct server s = new_server(1000, 300 * MS);

    learn(&s);
    serve(&s, 200);
    assert_int_equal(s.w.size, SEND_WINDOW_MAX);
}

static void test_a_server_of_two_cores_gets_as_many_as_before(void **state)
{
    struct server s = new_server(2, 4 * MS);

    learn(&s);
    serve(&s, 500);
    assert_int_equal(s.w.size, SEND_WINDOW_START);
}

/* Somebody else keeps it busy: then more at once would not be answered sooner. */
static void test_a_busy_server_gets_no_more_than_at_the_start(void **state)
{
    struct server s = new_server(1000, 4 * MS);

    learn(&s);
    serve(&s, 200);
    assert_int_equal(s.w.size, SEND_WINDOW_MAX);
    s.at_once = 2;
    s.service_ns = 100 * MS;
    serve(&s, 200);
    assert_int_equal(s.w.size, SEND_WINDOW_START);
}

static void test_few_requests_change_nothing(void **state)
{
    struct server s = new_server(1000, 4 * MS);

    s.want = SEND_WINDOW_START - 1;
    serve(&s, 500);
    assert_int_equal(s.w.size, SEND_WINDOW_START);
}

static void test_a_refusal_halves_it_once(void **state)
{
    struct server s = new_server(2, 4 * MS);
    int64_t sent_ns = s.now_ns;

    for (int i = 0; i < SEND_WINDOW_START; i++) {
        s.now_ns += MS;
        send_window_answer(&s.w, sent_ns, s.now_ns, true, SEND_WINDOW_START);
    }
    assert_int_equal(s.w.size, SEND_WINDOW_START / 2); /* they were sent before that */
    for (int i = 0; i < 10; i++) {
        send_window_answer(&s.w, s.now_ns, s.now_ns + MS, true, 1);
        s.now_ns += MS;
    }
    assert_int_equal(s.w.size, SEND_WINDOW_MIN);
}

/* What made it refuse is over; its answers are never as quick as the quickest one. */
static void test_it_grows_again_after_refusals(void **state)
{
    struct server s = new_server(2, 4 * MS);

    learn(&s);
    for (int i = 0; i < 10; i++) {
        send_window_answer(&s.w, s.now_ns, s.now_ns + MS, true, 1);
        s.now_ns += MS;
    }
    assert_int_equal(s.w.size, SEND_WINDOW_MIN);
    s.at_once = 1000;
    s.service_ns = 12 * MS; /* under load */
    serve(&s, 100);
    assert_int_equal(s.w.size, SEND_WINDOW_START);
}

/* A server that has become slower for good is not judged by what it once was. */
static void test_the_quickest_answer_is_forgotten(void **state)
{
    struct server s = new_server(1000, MS);

    learn(&s);
    s.service_ns = 20 * MS;
    serve(&s, 100);
    assert_int_equal(s.w.size, SEND_WINDOW_START);
    while (s.now_ns < 600 * NSEC_PER_SEC)
        serve(&s, 1);
    assert_int_equal(s.w.size, SEND_WINDOW_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_is_far_away_gets_more),
        cmocka_unit_test(test_a_server_of_two_cores_gets_as_many_as_before),
        cmocka_unit_test(test_a_busy_server_gets_no_more_than_at_the_start),
        cmocka_unit_test(test_few_requests_change_nothing),
        cmocka_unit_test(test_a_refusal_halves_it_once),
        cmocka_unit_test(test_it_grows_again_after_refusals),
        cmocka_unit_test(test_the_quickest_answer_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
