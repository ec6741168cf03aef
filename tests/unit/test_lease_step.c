#include <errno.h>
#include <stdio.h>

#include "operator/kube/lease.h"
#include "operator/kube/lease_step.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

/* ---- the machine ----------------------------------------------------------------------------- */

static struct lease_machine m;
static struct now now;

/* One step without jitter: the action and in how many ms the timer is due, "read 10000". */
static const char *step(struct lease_event ev)
{
    static const char *const names[] = {
        [LEASE_NOTHING] = "-",     [LEASE_STOP] = "stop", [LEASE_READ] = "read",
        [LEASE_CREATE] = "create", [LEASE_TAKE] = "take", [LEASE_RENEW] = "renew",
        [LEASE_VACATE] = "vacate",
    };
    static char text[64];
    enum lease_state from = m.state;
    struct lease_action a = lease_step(&m, &ev, now, 0);

    assert_true(from == m.state || sm_may_follow(&lease_table, from, m.state));
    snprintf(text, sizeof(text), "%s %d", names[a.type],
             a.timer_ns ? (int)((a.timer_ns - now.mono_ns) / NSEC_PER_MSEC) : 0);
    return text;
}

static const char *ev(enum lease_event_type type)
{
    return step((struct lease_event){.type = type});
}

static const char *theirs(bool changed)
{
    return step((struct lease_event){.type = LEASE_EV_RECORD, .changed = changed});
}

static const char *mine(void)
{
    return step((struct lease_event){.type = LEASE_EV_RECORD, .changed = true, .mine = true});
}

static void pass_ms(int64_t ms)
{
    now.mono_ns += ms * NSEC_PER_MSEC;
}

static int machine_setup(void **state)
{
    m = (struct lease_machine){0};
    now.mono_ns = 5000 * NSEC_PER_SEC;
    return 0;
}

static void make_leading(void)
{
    assert_string_equal(ev(LEASE_EV_START), "read 10000");
    assert_string_equal(ev(LEASE_EV_MISSING), "create 10000");
    assert_false(lease_is_leading(&m));
    assert_string_equal(mine(), "- 2000");
    assert_true(lease_is_leading(&m));
}

/* A process that stood still sees an old answer before its timer. */
static void test_taken_too_long_ago_is_not_led(void **state)
{
    ev(LEASE_EV_START);
    ev(LEASE_EV_MISSING);
    pass_ms(10000);
    assert_string_equal(mine(), "stop 2000");
    assert_false(lease_is_leading(&m));
}

static void test_take_free(void **state)
{
    ev(LEASE_EV_START);
    assert_string_equal(
        step((struct lease_event){.type = LEASE_EV_RECORD, .changed = true, .vacant = true}),
        "take 10000");
    assert_string_equal(ev(LEASE_EV_FAILED), "stop 2000"); /* another one was faster */
    pass_ms(2000);
    assert_string_equal(ev(LEASE_EV_TIMER), "read 10000");
    assert_string_equal(mine(), "take 10000"); /* ours, although its answer never came */
    assert_string_equal(mine(), "- 2000");
}

static const char *seen(struct lease_event what)
{
    what.type = LEASE_EV_SEEN;
    return step(what);
}

/* Only local time since the record changed counts, whoever told of the change. */
static void test_take_expired(void **state)
{
    ev(LEASE_EV_START);
    assert_string_equal(theirs(true), "stop 15000");
    for (int i = 0; i < 7; i++) {
        pass_ms(2000);
        assert_string_equal(seen((struct lease_event){.changed = true}), "- 15000");
    }
    pass_ms(2000);
    assert_string_equal(seen((struct lease_event){0}), "- 13000"); /* a list, nothing new in it */
    pass_ms(13000);
    assert_string_equal(ev(LEASE_EV_TIMER), "read 10000");
    assert_string_equal(theirs(true), "stop 15000"); /* renewed, and the watch did not tell */
    pass_ms(14999);
    ev(LEASE_EV_TIMER);
    assert_string_equal(theirs(false), "stop 1");
    pass_ms(1);
    ev(LEASE_EV_TIMER);
    assert_string_equal(theirs(false), "take 10000");
}

/* A lease that is given up is read, and taken, at once. */
static void test_take_given_up(void **state)
{
    struct lease_event free_now = {.changed = true, .vacant = true};

    ev(LEASE_EV_START);
    assert_string_equal(theirs(true), "stop 15000");
    pass_ms(5000);
    assert_string_equal(seen(free_now), "read 10000");
    pass_ms(10);
    assert_string_equal(seen((struct lease_event){.changed = true}), "- 9990");
    assert_string_equal(seen(free_now), "read 10000"); /* the answer under way may be older */
    free_now.type = LEASE_EV_RECORD;
    assert_string_equal(step(free_now), "take 10000");
    pass_ms(10);
    assert_string_equal(seen((struct lease_event){.changed = true, .vacant = true}), "- 9990");
    assert_string_equal(ev(LEASE_EV_FAILED), "stop 2000"); /* a third was faster */
    assert_string_equal(seen((struct lease_event){.changed = true}), "- 15000");
}

static void test_hanging_attempts(void **state)
{
    ev(LEASE_EV_START);
    pass_ms(10000);
    assert_string_equal(ev(LEASE_EV_TIMER), "stop 2000");
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_string_equal(ev(LEASE_EV_MISSING), "create 10000");
    pass_ms(10000);
    assert_string_equal(ev(LEASE_EV_TIMER), "stop 2000");
}

static void test_renew(void **state)
{
    make_leading();
    for (int i = 0; i < 5; i++) {
        pass_ms(2000);
        assert_string_equal(ev(LEASE_EV_TIMER), "renew 8000");
        pass_ms(100);
        assert_string_equal(mine(), "- 2000");
        /* The deadline counts from when the write was begun. */
        assert_int_equal(now.mono_ns - m.renewed_ns, 100 * NSEC_PER_MSEC);
        pass_ms(-100);
    }
}

static void test_renew_fails(void **state)
{
    make_leading();
    pass_ms(2000);
    assert_string_equal(ev(LEASE_EV_TIMER), "renew 8000");
    assert_string_equal(ev(LEASE_EV_FAILED), "- 2000");
    pass_ms(2000);
    assert_string_equal(ev(LEASE_EV_TIMER), "read 6000"); /* did it arrive after all? */
    assert_string_equal(mine(), "renew 6000");
    assert_string_equal(ev(LEASE_EV_FAILED), "- 2000");
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_string_equal(ev(LEASE_EV_FAILED), "- 2000");
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_string_equal(ev(LEASE_EV_FAILED), "- 2000");
    assert_true(lease_is_leading(&m));
    pass_ms(2000);
    assert_string_equal(ev(LEASE_EV_TIMER), "stop 0"); /* ten seconds without success */
    assert_int_equal(m.state, LEASE_LOST);
    assert_string_equal(mine(), "- 0");
    assert_string_equal(ev(LEASE_EV_TIMER), "- 0");
    assert_string_equal(ev(LEASE_EV_RELEASE), "stop 0"); /* nothing to give back */
}

static void test_lost_to_another(void **state)
{
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    ev(LEASE_EV_FAILED);
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_string_equal(theirs(true), "stop 0");
    assert_int_equal(m.state, LEASE_LOST);
    machine_setup(state);
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_string_equal(ev(LEASE_EV_MISSING), "stop 0");
}

/* Answers and news that come too late to matter: nothing begins for them, and no time is lost. */
static void test_late_news(void **state)
{
    assert_string_equal(ev(LEASE_EV_START), "read 10000");
    pass_ms(1000);
    assert_string_equal(step((struct lease_event){.type = LEASE_EV_SEEN, .changed = true}),
                        "- 9000");
    assert_string_equal(step((struct lease_event){.type = LEASE_EV_SEEN, .vacant = true}),
                        "read 10000"); /* what the answer under way tells may be older */
    assert_string_equal(ev(LEASE_EV_MISSING), "create 10000");
    assert_string_equal(ev(LEASE_EV_MISSING),
                        "stop 2000"); /* gone between the read and the write */
    assert_int_equal(m.state, LEASE_WAITING);
    assert_string_equal(ev(LEASE_EV_MISSING), "- 2000");
    assert_string_equal(ev(LEASE_EV_FAILED), "- 2000");
    machine_setup(state);
    make_leading();
    pass_ms(2000);
    assert_string_equal(ev(LEASE_EV_TIMER), "renew 8000");
    assert_string_equal(ev(LEASE_EV_MISSING), "stop 0"); /* deleted: a third may have it by now */
    assert_int_equal(m.state, LEASE_LOST);
    assert_string_equal(ev(LEASE_EV_MISSING), "- 0");
    assert_string_equal(ev(LEASE_EV_FAILED), "- 0");
}

/* A renewal that hangs costs the lease when the time is over, and so does one that succeeds too
 * late. */
static void test_too_late(void **state)
{
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    pass_ms(8000);
    assert_string_equal(ev(LEASE_EV_TIMER), "stop 0");
    machine_setup(state);
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    pass_ms(10001);
    assert_string_equal(mine(), "stop 0");
    assert_int_equal(m.state, LEASE_LOST);
}

static void test_release(void **state)
{
    make_leading();
    assert_string_equal(ev(LEASE_EV_RELEASE), "vacate 0");
    assert_string_equal(ev(LEASE_EV_TIMER), "- 0");
    machine_setup(state);
    ev(LEASE_EV_START);
    assert_string_equal(ev(LEASE_EV_RELEASE), "stop 0");
}

/* An operator that leads gives the lease back, whatever is under way. One that does not lead has
 * nothing to give back. */
static void test_release_in_each_state(void **state)
{
    ev(LEASE_EV_START);
    theirs(true);
    assert_int_equal(m.state, LEASE_WAITING);
    assert_string_equal(ev(LEASE_EV_RELEASE), "stop 0");
    machine_setup(state);
    ev(LEASE_EV_START);
    ev(LEASE_EV_MISSING);
    assert_int_equal(m.state, LEASE_TAKING);
    assert_string_equal(ev(LEASE_EV_RELEASE), "stop 0");
    machine_setup(state);
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_int_equal(m.state, LEASE_RENEWING);
    assert_string_equal(ev(LEASE_EV_RELEASE), "vacate 0");
    machine_setup(state);
    make_leading();
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    ev(LEASE_EV_FAILED);
    pass_ms(2000);
    ev(LEASE_EV_TIMER);
    assert_int_equal(m.state, LEASE_REREADING);
    assert_string_equal(ev(LEASE_EV_RELEASE), "vacate 0");
}

static void test_state_names(void **state)
{
    for (int s = 0; s < LEASE_STATES; s++)
        assert_true(strlen(lease_state_str((enum lease_state)s)) > 1);
}

/* ---- over ops -------------------------------------------------------------------------------- */

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/arl-system/leases"

#define RECORD(holder, rv)                                                                         \
    "{\"metadata\":{\"namespace\":\"arl-system\",\"name\":\"arl-operator\",\"uid\":\"u1\","        \
    "\"resourceVersion\":\"" rv "\"},\"spec\":{\"holderIdentity\":\"" holder                       \
    "\",\"leaseTransitions\":4,\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}}"

static struct fake_ops fake;
static struct lease *lease;
static int leading, lost, released;

static void on_leading(void *arg)
{
    leading++;
}

static void on_lost(void *arg)
{
    lost++;
}

static void on_released(void *arg)
{
    released++;
}

static int setup(void **state)
{
    fake_ops_init(&fake);
    leading = lost = released = 0;
    lease = lease_new(&fake.ops, &(struct lease_opts){.ns = "arl-system",
                                                      .name = "arl-operator",
                                                      .identity = "me",
                                                      .on_leading = on_leading,
                                                      .on_lost = on_lost});
    return 0;
}

static int teardown(void **state)
{
    lease_free(lease);
    fake_ops_done(&fake);
    return 0;
}

static void answer(const char *what, const char *holder, const char *rv)
{
    cleanup_free char *body =
        xasprintf("{\"metadata\":{\"namespace\":\"arl-system\",\"name\":\"arl-operator\",\"uid\":"
                  "\"u1\",\"resourceVersion\":\"%s\"},\"spec\":{\"holderIdentity\":\"%s\","
                  "\"leaseTransitions\":4,\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}}",
                  rv, holder);
    struct ops_call *call = fake_find(&fake, what);

    assert_non_null(call);
    fake_answer(call, 200, body);
}

static void test_over_ops(void **state)
{
    answer("GET " LEASES "/arl-operator", "other", "7");
    assert_false(lease_leading(lease));
    fake_answer(fake_find(&fake, "GET " LEASES "?fieldSelector=metadata.name%3Darl-operator&limit"),
                200,
                "{\"items\":[" RECORD("other", "7") "],\"metadata\":{\"resourceVersion\":\"7\"}}");
    fake_advance(&fake, 2400);
    assert_int_equal(fake_calls(&fake), 1); /* nothing is asked while the watch is silent */
    fake_line(&fake, fake_find(&fake, LEASES "?fieldSelector=metadata.name%3Darl-operator&watch"),
              "{\"type\":\"MODIFIED\",\"object\":" RECORD("", "8") "}");
    answer("GET " LEASES "/arl-operator", "", "8");
    assert_string_equal(fake_find(&fake, "PATCH " LEASES "/arl-operator?")->body,
                        "{\"metadata\":{\"uid\":\"u1\",\"resourceVersion\":\"8\"},\"spec\":{"
                        "\"holderIdentity\":\"me\",\"leaseDurationSeconds\":15,\"renewTime\":"
                        "\"2026-01-02T03:04:07.400000Z\",\"acquireTime\":"
                        "\"2026-01-02T03:04:07.400000Z\",\"leaseTransitions\":5}}");
    answer("PATCH", "me", "9");
    assert_int_equal(fake_calls(&fake), 0); /* who leads does not watch */
    assert_true(lease_leading(lease));
    assert_int_equal(leading, 1);
    fake_advance(&fake, 2000);
    assert_string_equal(fake_find(&fake, "PATCH")->body,
                        "{\"metadata\":{\"uid\":\"u1\",\"resourceVersion\":\"9\"},\"spec\":{"
                        "\"holderIdentity\":\"me\",\"leaseDurationSeconds\":15,\"renewTime\":"
                        "\"2026-01-02T03:04:09.400000Z\"}}");
    answer("PATCH", "me", "10");
    lease_release(lease, on_released, NULL);
    assert_int_equal(released, 0);
    assert_non_null(strstr(fake_find(&fake, "PATCH")->body,
                           "\"resourceVersion\":\"10\"},\"spec\":{\"holderIdentity\":\"\","
                           "\"leaseDurationSeconds\":1,"));
    answer("PATCH", "", "11");
    assert_int_equal(released, 1);
    fake_advance(&fake, 60000);
    assert_int_equal(released, 1);
    assert_int_equal(lost, 0);
}

static void test_create_and_lose(void **state)
{
    fake_answer(fake_find(&fake, "GET"), 404, "{\"reason\":\"NotFound\"}");
    assert_non_null(strstr(fake_find(&fake, "POST " LEASES "?")->body,
                           "{\"metadata\":{\"name\":\"arl-operator\"},\"spec\":{\"holderIdentity\":"
                           "\"me\""));
    answer("POST", "me", "1");
    assert_int_equal(leading, 1);
    fake_advance(&fake, 9999);
    assert_int_equal(fake_calls(&fake), 1); /* a renewal that hangs */
    assert_int_equal(lost, 0);
    fake_advance(&fake, 1);
    assert_int_equal(lost, 1);
    assert_int_equal(fake_calls(&fake), 0);
    fake_advance(&fake, 60000);
    assert_int_equal(fake.started, 3);
    lease_release(lease, on_released, NULL);
    fake_advance(&fake, 1);
    assert_int_equal(released, 1);
}

static void test_release_hangs(void **state)
{
    fake_answer(fake_find(&fake, "GET"), 404, "{\"reason\":\"NotFound\"}");
    answer("POST", "me", "1");
    lease_release(lease, on_released, NULL);
    fake_advance(&fake, LEASE_RELEASE_MS - 1);
    assert_int_equal(released, 0);
    fake_advance(&fake, 1);
    assert_int_equal(released, 1);
    assert_int_equal(fake_calls(&fake), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define MACHINE_TEST(f) cmocka_unit_test_setup(f, machine_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(test_taken_too_long_ago_is_not_led),
        MACHINE_TEST(test_take_free),
        MACHINE_TEST(test_take_expired),
        MACHINE_TEST(test_take_given_up),
        MACHINE_TEST(test_hanging_attempts),
        MACHINE_TEST(test_renew),
        MACHINE_TEST(test_renew_fails),
        MACHINE_TEST(test_lost_to_another),
        MACHINE_TEST(test_late_news),
        MACHINE_TEST(test_too_late),
        MACHINE_TEST(test_release),
        MACHINE_TEST(test_release_in_each_state),
        MACHINE_TEST(test_state_names),
        TEST(test_over_ops),
        TEST(test_create_and_lose),
        TEST(test_release_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
