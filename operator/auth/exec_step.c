/*
 *         TIMER                  GOT                  TIMER (it expires soon), REFUSED
 *   NONE ───────▶ FIRST ─────────────────────▶ HAVE ──────────────────────────────────▶ RENEWING
 *    ▲              │                           ▲                                          │
 *    └──────────────┘                           └──────────────────────────────────────────┘
 *         FAILED                                     GOT, FAILED (keeps what it has)
 *
 * REFUSED soon after the credential came only sets the time of the next run.
 */
#include "operator/auth/exec_step.h"

#include "common/base/backoff.h"

static const char *const state_names[EXEC_STATES] = {[EXEC_NONE] = "none",
                                                     [EXEC_FIRST] = "first",
                                                     [EXEC_HAVE] = "have",
                                                     [EXEC_RENEWING] = "renewing"};

static const bool followers[EXEC_STATES][EXEC_STATES] = {
    [EXEC_NONE] = {[EXEC_FIRST] = true},
    [EXEC_FIRST] = {[EXEC_NONE] = true, [EXEC_HAVE] = true},
    [EXEC_HAVE] = {[EXEC_RENEWING] = true},
    [EXEC_RENEWING] = {[EXEC_HAVE] = true},
};

const struct sm_table exec_table = {"credential", state_names, followers[0], EXEC_STATES};

static void move(struct exec_machine *m, enum exec_state to)
{
    sm_move(&exec_table, (size_t)m->state, (size_t)to);
    m->state = to;
}

static bool is_running(const struct exec_machine *m)
{
    return m->state == EXEC_FIRST || m->state == EXEC_RENEWING;
}

/* The pause after the count-th mishap in a row. */
static int64_t pause_ns(unsigned count)
{
    return backoff_ns(EXEC_RETRY_MS, EXEC_RETRY_MAX_MS, count);
}

static bool run(struct exec_machine *m)
{
    m->next_ns = 0;
    move(m, m->state == EXEC_NONE ? EXEC_FIRST : EXEC_RENEWING);
    return true;
}

static void got(struct exec_machine *m, int64_t expires_wall_ns, struct now now)
{
    int64_t left_ns = expires_wall_ns - now.wall_ns;

    m->failures = 0;
    m->refused = false;
    m->got_ns = now.mono_ns;
    m->next_ns = 0;
    if (expires_wall_ns)
        m->next_ns = now.mono_ns + MAX(left_ns - MIN(left_ns / 5, EXEC_MARGIN_MS * NSEC_PER_MSEC),
                                       EXEC_RETRY_MS * NSEC_PER_MSEC);
    move(m, EXEC_HAVE);
}

static bool refused(struct exec_machine *m, struct now now)
{
    int64_t due_ns = now.mono_ns;

    if (m->refused || (m->state != EXEC_HAVE && m->state != EXEC_RENEWING))
        return false;
    m->refused = true;
    if (m->state == EXEC_RENEWING)
        return false;
    if (now.mono_ns - m->got_ns >= EXEC_GOOD_MS * NSEC_PER_MSEC)
        m->refusals = 0;
    else
        due_ns = m->got_ns + pause_ns(++m->refusals);
    if (due_ns <= now.mono_ns)
        return run(m);
    m->next_ns = m->next_ns ? MIN(m->next_ns, due_ns) : due_ns;
    return false;
}

bool exec_step(struct exec_machine *m, const struct exec_event *ev, struct now now)
{
    switch (ev->type) {
    case EXEC_EV_TIMER:
        if (is_running(m) || (m->state == EXEC_HAVE && !m->next_ns))
            return false;
        return m->next_ns <= now.mono_ns && run(m);
    case EXEC_EV_GOT:
        got(m, ev->expires_wall_ns, now);
        return false;
    case EXEC_EV_FAILED:
        m->next_ns = now.mono_ns + pause_ns(++m->failures);
        move(m, m->state == EXEC_FIRST ? EXEC_NONE : EXEC_HAVE);
        return false;
    case EXEC_EV_REFUSED:
        return refused(m, now);
    }
    return false;
}

enum exec_way exec_way(const struct exec_machine *m)
{
    switch (m->state) {
    case EXEC_FIRST:
        return EXEC_WAIT;
    case EXEC_RENEWING:
        return m->refused ? EXEC_WAIT : EXEC_SEND;
    case EXEC_HAVE:
        return EXEC_SEND;
    default:
        return EXEC_FAIL;
    }
}
