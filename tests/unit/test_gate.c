/* The gate: its decisions as a table, and the requests that it holds. */
#include "operator/kube/gate.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "operator/kube/gate_step.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

/* ---- decisions ------------------------------------------------------------------------------- */

/* g: good, b and c: bad answers to two paths, a: a request asks, t: the timer; held is how many are
 * in line then. Time goes on by ms before each. */
static const struct row {
    const char *about;
    struct {
        char what;
        unsigned held;
        int ms;
        unsigned let;
        char state; /* o, s or p (opening) */
        int retry_after_ms;
    } steps[12];
} rows[] = {
    {"one object that can not be written is no outage",
     {{'b', 0, 0, 0, 'o'}, {'b', 0, 1, 0, 'o'}, {'b', 0, 1, 0, 'o'}, {'b', 0, 1, 0, 'o'}}},
    {"a success in between",
     {{'b', 0, 0, 0, 'o'}, {'c', 0, 1, 0, 'o'}, {'g', 0, 1, 0, 'o'}, {'b', 0, 1, 0, 'o'}}},
    {"three in a row, to two paths: nothing goes but one a second",
     {{'b', 0, 0, 0, 'o'},
      {'c', 0, 1, 0, 'o'},
      {'b', 0, 1, 0, 's'},
      {'a', 1, 1, 0, 's'},
      {'t', 1, 998, 0, 's'},
      {'t', 5, 1, 1, 's'},
      {'b', 4, 1, 0, 's'},
      {'a', 5, 1, 0, 's'},
      {'t', 5, 998, 1, 's'}}},
    {"after the first success two, and two for each more",
     {{'b', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 's'},
      {'t', 9, 1000, 1, 's'},
      {'g', 8, 1, 2, 'p'},
      {'g', 6, 1, 2, 'p'},
      {'a', 5, 1, 0, 'p'},
      {'g', 5, 1, 2, 'p'},
      {'g', 3, 1, 2, 'p'},
      {'g', 1, 1, 1, 'o'}}},
    {"nobody in line: open at once",
     {{'b', 0, 0, 0, 'o'}, {'b', 0, 0, 0, 'o'}, {'c', 0, 0, 0, 's'}, {'g', 0, 1, 0, 'o'}}},
    {"it was not back after all: one bad answer may be, two are not",
     {{'b', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 's'},
      {'t', 9, 1000, 1, 's'},
      {'g', 8, 1, 2, 'p'},
      {'b', 6, 1, 0, 'p'},
      {'b', 6, 1, 0, 's'},
      {'t', 8, 999, 0, 's'},
      {'t', 8, 1, 1, 's'}}},
    {"what was let go hangs: another a second later all the same",
     {{'b', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 's'},
      {'t', 9, 1000, 1, 's'},
      {'t', 8, 1000, 1, 's'},
      {'g', 7, 1, 2, 'p'},
      {'t', 5, 999, 1, 'p'}}},
    {"Retry-After",
     {{'b', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 'o'},
      {'c', 0, 0, 0, 's', 3000},
      {'t', 1, 2999, 0, 's'},
      {'t', 1, 1, 1, 's'},
      {'b', 1, 1, 0, 's', 3600000},
      {'t', 1, 3999, 0, 's'},
      {'t', 1, 1, 1, 's'}}},
};

static void run_row(const struct row *row)
{
    static const char letters[GATE_STATES] = {'o', 's', 'p'};
    struct gate_machine m = {0};
    struct now now = {5 * NSEC_PER_SEC, 0};

    for (size_t i = 0; i < ARRAY_SIZE(row->steps) && row->steps[i].what; i++) {
        char what = row->steps[i].what;
        int retry_after_ms = row->steps[i].retry_after_ms;
        struct gate_event ev = {.held = row->steps[i].held,
                                .path = (uint64_t)what,
                                .retry_after_ms = retry_after_ms ? retry_after_ms : -1};
        enum gate_state from = m.state;
        unsigned let;

        ev.type = what == 'g'   ? GATE_EV_GOOD
                  : what == 'a' ? GATE_EV_ASKED
                  : what == 't' ? GATE_EV_TIMER
                                : GATE_EV_BAD;
        now.mono_ns += row->steps[i].ms * NSEC_PER_MSEC;
        let = gate_step(&m, &ev, now, 0);
        assert_true(from == m.state || sm_may_follow(&gate_table, from, m.state));
        if (let != row->steps[i].let || letters[m.state] != row->steps[i].state)
            fail_msg("%s: step %zu: %u are let go, state %s", row->about, i, let,
                     gate_state_str(m.state));
    }
}

static void test_decisions(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        run_row(&rows[i]);
    assert_false(sm_may_follow(&gate_table, GATE_OPEN, GATE_OPENING));
    assert_string_equal(gate_state_str(GATE_STATES), "?");
}

/* Chance makes a pause longer, never shorter: so there is at most one request a second. */
static void test_pause(void **state)
{
    for (uint64_t jitter = 0; jitter < 2000; jitter += 7) {
        struct gate_machine m = {.state = GATE_SHUT};
        struct gate_event ev = {.type = GATE_EV_TIMER, .held = 1};

        assert_int_equal(gate_step(&m, &ev, (struct now){1, 1}, jitter), 1);
        assert_in_range(m.next_ns - 1, 1000 * NSEC_PER_MSEC, 1200 * NSEC_PER_MSEC - 1);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct fake_ops fake;
static struct gate *gate;
static char notes[512];
static int turns;

struct outcome {
    int done;
    int status;
    int error;
    int opened;
    char data[16];
};

static void on_note(void *arg, int level, const char *msg)
{
    size_t len = strlen(notes);

    snprintf(notes + len, sizeof(notes) - len, "%s%s|", level == LOG_WARN ? "W " : "", msg);
}

static void on_turn(void *arg)
{
    turns++;
}

static int setup(void **state)
{
    static const struct gate_opts opts = {.on_note = on_note, .on_turn = on_turn};

    turns = 0;

    fake_ops_init(&fake);
    fake.random_zero = true;
    notes[0] = '\0';
    gate = gate_new(&fake.ops, &opts);
    return 0;
}

static int teardown(void **state)
{
    gate_free(gate);
    fake_ops_done(&fake);
    return 0;
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct outcome *o = arg;

    o->done++;
    o->status = resp->status;
    o->error = resp->error;
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct outcome *o = arg;

    memcpy(o->data, data, MIN(len, sizeof(o->data) - 1));
}

static void on_open(void *arg)
{
    ((struct outcome *)arg)->opened++;
}

static struct ops_call *ask(const char *method, const char *path, struct outcome *o)
{
    static const struct ops_handler handler = {on_data, on_done, on_open};
    const char *const headers[] = {"X: y", NULL};
    bool stream = strstr(path, "watch=") != NULL;

    return ops_start(gate_ops(gate),
                     &(struct ops_request){.method = method,
                                           .path = path,
                                           .headers = headers,
                                           .content_type = "text/plain",
                                           .body = "body",
                                           .body_len = strcmp(method, "GET") == 0 ? 0 : 4,
                                           .stream = stream,
                                           .timeout_ms = stream ? 0 : 1000},
                     &handler, o);
}

static void answer(const char *what, int status)
{
    struct ops_call *call = fake_find(&fake, what);

    assert_non_null(call);
    fake_answer(call, status, "");
}

static void go_down(void)
{
    static const char *const paths[] = {"/down/1", "/down/2", "/down/3"};
    struct outcome o = {0};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        ask("GET", paths[i], &o);
        answer(paths[i], 503);
    }
    assert_int_equal(o.done, 3);
    assert_string_equal(notes, "W the API server is down, requests wait: HTTP status 503|");
}

static void test_all_is_well(void **state)
{
    struct outcome o = {0};

    for (int i = 0; i < 10; i++) {
        ask("PATCH", "/one", &o);
        answer("PATCH /one", 500);
    }
    ask("PATCH", "/other", &o);
    answer("PATCH /other", 409);
    assert_int_equal(o.done, 11);
    assert_int_equal(fake_next_timer_ms(&fake), -1);
    assert_string_equal(notes, "");
}

#define TASKS(ns) "/apis/arl.infra.io/v1alpha1/namespaces/" ns "/tasks/"

/* A write that fails by its own fault is no outage, however many objects of however many namespaces
 * fail so. */
static void test_own_faults(void **state)
{
    static const char *const says[] = {
        "{\"message\":\"etcdserver: request is too large\",\"code\":500}",
        "{\"message\":\"Internal error occurred: failed calling webhook \\\"w\\\"\",\"code\":500}",
    };
    struct outcome o = {0};

    for (int i = 0; i < 20; i++) {
        cleanup_free char *path = xasprintf(TASKS("ns-%d") "t/status", i);

        ask("PATCH", path, &o);
        fake_answer(fake_find(&fake, path), 500, says[i % 2]);
    }
    assert_int_equal(o.done, 20);
    assert_string_equal(notes, "");
}

/* Writes of one namespace that fail in the server, or are not answered in time, count as one; those
 * of two are an outage, and so is a lease that fails beside them. */
static void test_one_namespace(void **state)
{
    struct outcome o = {0};

    for (int i = 0; i < 20; i++) {
        cleanup_free char *path = xasprintf(TASKS("one") "t%d/status", i);

        ask("PATCH", path, &o);
        if (i % 2)
            answer(path, i % 4 == 1 ? 500 : 504);
        else
            fake_fail(fake_find(&fake, path), -ETIMEDOUT, true);
    }
    assert_int_equal(o.done, 20);
    assert_string_equal(notes, "");
    ask("PATCH", TASKS("two") "t/status", &o);
    answer(TASKS("two"), 500);
    assert_string_equal(notes, "W the API server is down, requests wait: HTTP status 500|");
}

static void test_lease_fails_too(void **state)
{
    struct outcome o = {0};

    for (int i = 0; i < 4; i++) {
        ask("PATCH", TASKS("one") "t/status", &o);
        answer(TASKS("one"), 500);
    }
    assert_string_equal(notes, "");
    ask("PATCH", "/apis/coordination.k8s.io/v1/namespaces/one/leases/l", &o);
    answer("/leases/l", 500);
    assert_string_equal(notes, "W the API server is down, requests wait: HTTP status 500|");
}

/* Five minutes of 503 with everybody asking: at most one request a second, whoever asks; then all
 * is done within two seconds, by priority. */
static void test_outage(void **state)
{
    struct outcome reads = {0}, writes = {0};
    struct ops_call *call;
    unsigned before;

    go_down();
    before = fake.started;
    for (int i = 0; i < 20; i++) {
        cleanup_free char *path = xasprintf("/w/%d?fieldManager=arl", i);

        ask("PATCH", path, &writes);
    }
    ask("GET", "/r/1", &reads);
    ask("GET", "/r/2?watch=1", &reads);
    assert_int_equal(fake_calls(&fake), 0);
    for (int s = 0; s < 300; s++) {
        fake_advance(&fake, 1000);
        if ((call = fake_find(&fake, "GET")))
            fake_answer(call, 503, "");
        /* A write that gets a 503 may have had its effect: its owner would be told. This one was
         * never sent. */
        else if ((call = fake_find(&fake, "PATCH")))
            fake_fail(call, -ECONNREFUSED, false);
    }
    assert_in_range(fake.started - before, 290, 300);
    assert_int_equal(reads.done + writes.done, 0);
    fake_advance(&fake, 1000);
    assert_int_equal(fake_calls(&fake), 1);
    for (int i = 0; i < 30 && (call = fake_find(&fake, "/")); i++)
        fake_answer(call, 200, "");
    assert_int_equal(writes.done, 20);
    assert_int_equal(reads.done, 2);
    assert_non_null(strstr(notes, "|the API server is back after 5m1s|"));
    assert_int_equal(turns, 2); /* down, and back */
}

/* A credential that is accepted no more counts as an outage. Writes go out when there is a new
 * one. */
static void test_refused(void **state)
{
    static const char *const paths[] = {"/down/1", "/down/2", "/down/3"};
    struct outcome o = {0}, held = {0};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        ask("PATCH", paths[i], &o);
        answer(paths[i], 401);
    }
    assert_int_equal(o.done, 3);
    assert_string_equal(
        notes, "W the API server refuses our credentials, requests wait: HTTP status 401|");
    ask("PATCH", "/held", &held);
    assert_int_equal(fake_calls(&fake), 0);
    fake_advance(&fake, 1000);
    answer("/held", 401);
    assert_int_equal(held.done, 0);
    fake_advance(&fake, 1000);
    answer("/held", 200);
    assert_int_equal(held.done, 1);
    assert_int_equal(held.status, 200);
    assert_int_equal(turns, 2); /* down, and back */
}

static void test_order(void **state)
{
    static const char *const order[] = {"PUT /apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                                        "GET /api/v1/pods", "PATCH /apis/arl.infra.io/x",
                                        "GET /api/v1/pods?watch=1",
                                        "POST /api/v1/namespaces/a/events?fieldManager=arl"};
    struct outcome o = {0};
    struct ops_call *calls[ARRAY_SIZE(order)];

    go_down();
    for (size_t i = ARRAY_SIZE(order); i-- > 0;) {
        cleanup_free char *method = xmemdup0(order[i], strcspn(order[i], " "));

        calls[i] = ask(method, order[i] + strlen(method) + 1, &o);
    }
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        fake_advance(&fake, 1000);
        assert_int_equal(fake_calls(&fake), i + 1);
        assert_non_null(fake_find(&fake, order[i]));
        assert_string_equal(fake_find(&fake, order[i])->headers, "X: y\n");
        assert_string_equal(fake_find(&fake, order[i])->body, i == 1 || i == 3 ? "" : "body");
    }
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        ops_cancel(gate_ops(gate), calls[i]);
    assert_int_equal(o.done, 0);
}

/* A read that is always refused takes turns with the others, so that another one can find out that
 * the server is back. */
static void test_turns(void **state)
{
    struct outcome o = {0};
    struct ops_call *call;

    go_down();
    ask("GET", "/apis/coordination.k8s.io/broken", &o);
    ask("GET", "/good", &o);
    fake_advance(&fake, 1000);
    answer("GET /apis/coordination.k8s.io/broken", 500);
    fake_advance(&fake, 1000);
    answer("GET /good", 404);
    assert_int_equal(o.done, 1);
    /* The way is open now, and what fails is told. */
    call = fake_find(&fake, "GET /apis/coordination.k8s.io/broken");
    assert_non_null(call);
    fake_answer(call, 500, "");
    assert_int_equal(o.done, 2);
    assert_int_equal(o.status, 500);
}

static void test_what_is_told(void **state)
{
    struct outcome maybe = {0}, refused = {0}, busy = {0};
    struct ops_call *calls[2];

    go_down();
    ask("PATCH", "/1", &maybe);
    fake_advance(&fake, 1000);
    fake_fail(fake_find(&fake, "PATCH /1"), -ECONNRESET, true);
    assert_int_equal(maybe.error, -ECONNRESET);

    calls[0] = ask("PATCH", "/2", &refused);
    fake_advance(&fake, 1000);
    fake_fail(fake_find(&fake, "PATCH /2"), -ECONNREFUSED, false);
    assert_int_equal(refused.done, 0);
    ops_cancel(gate_ops(gate), calls[0]);

    calls[1] = ask("PATCH", "/3", &busy);
    fake_advance(&fake, 1000);
    answer("PATCH /3", 429);
    assert_int_equal(busy.done, 0);
    ops_cancel(gate_ops(gate), calls[1]);
    assert_int_equal(fake_next_timer_ms(&fake), -1);
}

/* An accepted watch opens the gate, even if nothing happens for minutes. */
static void test_watch_opens(void **state)
{
    struct outcome w = {0}, o = {0};
    struct ops_call *call;

    go_down();
    ask("GET", "/w?watch=1", &w);
    fake_advance(&fake, 1000);
    call = fake_find(&fake, "watch=1");
    assert_non_null(call);
    ask("PATCH", "/1", &o);
    assert_null(fake_find(&fake, "PATCH"));
    call->handler.on_open(call->arg);
    assert_int_equal(w.opened, 1);
    assert_non_null(fake_find(&fake, "PATCH /1"));
    answer("PATCH /1", 200);
    assert_true(fake_data(&fake, call, "x", 1));
    assert_string_equal(w.data, "x");
    fake_answer(call, 200, "");
    assert_int_equal(w.done, 1);
}

/* A server whose watch caches are not filled yet refuses watches, and takes all other requests. */
static void test_refused_watches_are_no_outage(void **state)
{
    static const char *const paths[] = {"/w/1?watch=1", "/w/2?watch=1", "/w/3?watch=1",
                                        "/w/4?watch=1", "/w/5?watch=1"};
    struct outcome w = {0}, o = {0};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        ask("GET", paths[i], &w);
        answer(paths[i], 429);
    }
    assert_int_equal(w.done, 5);
    assert_string_equal(notes, "");
    go_down();
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        ask("GET", paths[i], &w);
    ask("PATCH", "/1", &o);
    fake_advance(&fake, 1000);
    answer("PATCH /1", 200);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        answer(paths[i], 429); /* without a pause: each lets others go */
    assert_int_equal(w.done, 10);
    assert_int_equal(turns, 2);
}

/* The one request that is let through is a watch, and gets 429. That does not open the gate, and
 * the watch stays in line. */
static void test_a_refused_watch_does_not_open(void **state)
{
    struct outcome w = {0};

    go_down();
    ask("GET", "/w?watch=1", &w);
    for (int i = 0; i < 3; i++) {
        fake_advance(&fake, 1000);
        answer("/w?watch=1", 429);
    }
    assert_int_equal(w.done, 0);
    fake_advance(&fake, 1000);
    answer("/w?watch=1", 404);
    assert_int_equal(w.done, 1);
}

/* Nobody calls on_open(): the first bytes of the stream open the gate as well. */
static void test_data_opens(void **state)
{
    struct outcome w = {0}, o = {0};
    struct ops_call *call;

    go_down();
    ask("GET", "/w?watch=1", &w);
    fake_advance(&fake, 1000);
    ask("PATCH", "/1", &o);
    call = fake_find(&fake, "watch=1");
    assert_true(fake_data(&fake, call, "x", 1));
    answer("PATCH /1", 200);
    /* A watch is expected to end: that says nothing about the server. */
    fake_answer_full(call, &(struct ops_response){.status = 200,
                                                  .body = "",
                                                  .error = -ECONNRESET,
                                                  .error_msg = "reset",
                                                  .retry_after_ms = -1});
    assert_int_equal(w.done, 1);
}

static void test_line_is_bounded(void **state)
{
    static struct outcome o[GATE_LINE_MAX + 1];
    static struct ops_call *calls[GATE_LINE_MAX];

    memset(o, 0, sizeof(o));
    go_down();
    for (int i = 0; i < GATE_LINE_MAX; i++)
        calls[i] = ask("PATCH", "/1", &o[i]);
    ask("PATCH", "/1", &o[GATE_LINE_MAX]);
    assert_int_equal(o[GATE_LINE_MAX].done, 0);
    fake_advance(&fake, 0);
    assert_int_equal(o[GATE_LINE_MAX].done, 1);
    assert_int_equal(o[GATE_LINE_MAX].error, -EAGAIN);
    for (int i = 0; i < GATE_LINE_MAX; i++) {
        assert_int_equal(o[i].done, 0);
        ops_cancel(gate_ops(gate), calls[i]);
    }
}

static void test_refused_cancelled(void **state)
{
    static char body[GATE_LINE_BYTES + 1];
    static const struct ops_handler handler = {.on_done = on_done};
    struct outcome o = {0};
    struct ops_call *call;

    go_down();
    call = ops_start(
        gate_ops(gate),
        &(struct ops_request){
            .method = "PUT", .path = "/1", .body = body, .body_len = sizeof(body), .timeout_ms = 1},
        &handler, &o);
    ops_cancel(gate_ops(gate), call);
    fake_advance(&fake, 2000);
    assert_int_equal(o.done, 0);
}

/* Requests to sidecars do not wait at the gate. */
static void test_agents_pass(void **state)
{
    static const struct ops_handler handler = {.on_done = on_done};
    const struct ops_request req = {
        .target = OPS_AGENT, .address = "a:1", .method = "GET", .path = "/x", .timeout_ms = 1};
    struct outcome o = {0};

    go_down();
    for (int i = 0; i < 5; i++) {
        ops_start(gate_ops(gate), &req, &handler, &o);
        answer("GET /x", i == 4 ? 200 : 503);
    }
    assert_int_equal(o.done, 5);
    assert_null(strstr(notes, "back"));
}

static void on_timer(void *arg)
{
    ++*(int *)arg;
}

static void test_time_and_chance(void **state)
{
    struct ops *ops = gate_ops(gate);
    int fired = 0;
    struct ops_timer *t = ops->v->timer_new(ops, on_timer, &fired);
    uint64_t random = 1;

    ops_random(ops, &random, sizeof(random));
    assert_int_equal(random, 0);
    ops->v->timer_set(ops, t, ops_now(ops).mono_ns + NSEC_PER_SEC);
    fake_advance(&fake, 1000);
    assert_int_equal(fired, 1);
    ops->v->timer_free(ops, t);
}

static void test_metrics(void **state)
{
    cleanup_buf struct buf out = BUF_INIT(4096), debug = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER_INIT(&debug);
    struct outcome o = {0};
    struct ops_call *call;

    go_down();
    call = ask("GET", "/1", &o);
    json_w_object(&w, NULL);
    gate_debug(gate, &w);
    json_w_end_object(&w);
    assert_string_equal(buf_str(&debug),
                        "{\"api\":{\"state\":\"shut\",\"downMs\":0,\"requestsWaiting\":1}}");
    gate_metrics(gate, &out);
    assert_non_null(strstr(buf_str(&out), "\narl_api_down 1\n"));
    assert_non_null(strstr(buf_str(&out), "\narl_api_outages_total 1\n"));
    assert_non_null(strstr(buf_str(&out), "\narl_api_requests_waiting 1\n"));
    ops_cancel(gate_ops(gate), call);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_pause),
        TEST(test_all_is_well),
        TEST(test_own_faults),
        TEST(test_one_namespace),
        TEST(test_lease_fails_too),
        TEST(test_outage),
        TEST(test_refused),
        TEST(test_order),
        TEST(test_turns),
        TEST(test_what_is_told),
        TEST(test_watch_opens),
        TEST(test_refused_watches_are_no_outage),
        TEST(test_a_refused_watch_does_not_open),
        TEST(test_data_opens),
        TEST(test_line_is_bounded),
        TEST(test_refused_cancelled),
        TEST(test_agents_pass),
        TEST(test_time_and_chance),
        TEST(test_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
