/* What may be running in a sandbox's pod: every event in every state. */
#include "tests/unit/unit.h"

#include "operator/core/agent_step.h"

#define T1 (1 * NSEC_PER_SEC)
#define T2 (2 * NSEC_PER_SEC)

/* A letter for each state: unknown, queued, asking, outdated, silent, stopping (T: to be ended),
 * clean. */
static const struct {
    enum agent_event ev;
    const char *from_each; /* in the order of enum agent_state */
} rows[] = {
    {AGENT_EV_BOUND, "CQAOSTC"},     {AGENT_EV_AUDIT, "QQAOSTC"},    {AGENT_EV_SENT, "UAAOAAC"},
    {AGENT_EV_SILENT, "UQSOSTC"},    {AGENT_EV_UNWANTED, "UTTOTTC"}, {AGENT_EV_CLEAN, "UQCUSTC"},
    {AGENT_EV_ABANDONED, "UUUUUUC"}, {AGENT_EV_DOUBT, "UQOOSTU"},    {AGENT_EV_FORGED, "UQAOSTU"},
    {AGENT_EV_GENUINE, "UQAOSTC"},
};

static void test_every_event_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int from = 0; from < AGENT_STATES; from++) {
            struct agent_view a = {.state = (enum agent_state)from};

            agent_step(&a, rows[i].ev, T1);
            if ("UQAOSTC"[a.state] != rows[i].from_each[from])
                fail_msg("event %d in %s leads to %s", (int)rows[i].ev,
                         agent_state_str((enum agent_state)from), agent_state_str(a.state));
        }
}

static void test_silence_is_counted_from_its_first_moment(void **state)
{
    struct agent_view a = {0};

    (void)state;
    agent_step(&a, AGENT_EV_AUDIT, T1);
    agent_step(&a, AGENT_EV_SENT, T1);
    assert_int_equal(a.in_vain_since_mono_ns, 0);
    agent_step(&a, AGENT_EV_SILENT, T1);
    agent_step(&a, AGENT_EV_SENT, T2);
    agent_step(&a, AGENT_EV_UNWANTED, T2);
    assert_int_equal(a.in_vain_since_mono_ns, T1);
    agent_step(&a, AGENT_EV_SENT, T2);
    assert_int_equal(a.in_vain_since_mono_ns, T1);
    agent_step(&a, AGENT_EV_CLEAN, T2);
    assert_int_equal(a.in_vain_since_mono_ns, 0);
}

static void test_who_is_not_believed_is_not_silent(void **state)
{
    struct agent_view a = {.state = AGENT_ASKING};

    (void)state;
    assert_true(agent_step(&a, AGENT_EV_FORGED, T1));
    assert_false(agent_step(&a, AGENT_EV_FORGED, T2));
    assert_int_equal(a.not_believed_since_mono_ns, T1);
    agent_step(&a, AGENT_EV_SILENT, T2);
    assert_false(a.genuine);
    assert_true(agent_step(&a, AGENT_EV_GENUINE, T2));
    assert_true(a.genuine);
    assert_int_equal(a.not_believed_since_mono_ns, 0);
    assert_int_equal(a.in_vain_since_mono_ns, 0);
    assert_false(agent_step(&a, AGENT_EV_GENUINE, T2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_event_in_every_state),
        cmocka_unit_test(test_silence_is_counted_from_its_first_moment),
        cmocka_unit_test(test_who_is_not_believed_is_not_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
