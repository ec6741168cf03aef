/*
 *          GATE_BAD_MAX bad answers in a row, to different paths
 *   OPEN ───────────────────────────────────────────────────────▶ SHUT   one in a second is let go
 *    ▲                                          bad again │        ▲ │
 *    │ nobody is in line any more                         │        │ │ a good answer
 *    └────────────────────────────── OPENING ─────────────┴────────┘ │
 *     (also from SHUT)                  ▲   two for each good answer │
 *                                       └────────────────────────────┘
 */
#include "operator/kube/gate_step.h"

/* For each success while opening. */
#define LET_PER_GOOD 2u

static const char *const state_names[GATE_STATES] = {
    [GATE_OPEN] = "open", [GATE_SHUT] = "shut", [GATE_OPENING] = "opening"};

static const bool followers[GATE_STATES][GATE_STATES] = {
    [GATE_OPEN] = {[GATE_SHUT] = true},
    [GATE_SHUT] = {[GATE_OPEN] = true, [GATE_OPENING] = true},
    [GATE_OPENING] = {[GATE_OPEN] = true, [GATE_SHUT] = true},
};

const struct sm_table gate_table = {"gate", state_names, followers[0], GATE_STATES};

const char *gate_state_str(enum gate_state s)
{
    return sm_state_str(&gate_table, (size_t)s);
}

static void move(struct gate_machine *m, enum gate_state to)
{
    sm_move(&gate_table, (size_t)m->state, (size_t)to);
    m->state = to;
}

static int64_t probe_ns(uint64_t jitter)
{
    return (GATE_PROBE_MS + (int64_t)(jitter % (GATE_PROBE_MS / 5))) * NSEC_PER_MSEC;
}

static unsigned probe(struct gate_machine *m, unsigned held, struct now now, uint64_t jitter)
{
    if (m->state == GATE_OPEN)
        return held;
    if (held == 0 || now.mono_ns < m->next_ns)
        return 0;
    m->next_ns = now.mono_ns + probe_ns(jitter);
    return 1;
}

static unsigned good(struct gate_machine *m, unsigned held)
{
    m->bad = 0;
    if (m->state == GATE_OPEN)
        return held;
    if (held <= LET_PER_GOOD) {
        move(m, GATE_OPEN);
        return held;
    }
    if (m->state == GATE_SHUT)
        move(m, GATE_OPENING);
    return LET_PER_GOOD;
}

static bool is_down(const struct gate_machine *m)
{
    if (m->state == GATE_OPENING)
        return m->bad >= GATE_BAD_AGAIN;
    return m->state == GATE_OPEN && m->bad >= GATE_BAD_MAX && m->many_paths;
}

static void bad(struct gate_machine *m, const struct gate_event *ev, struct now now,
                uint64_t jitter)
{
    int64_t wait_ms = MIN(ev->retry_after_ms, GATE_RETRY_AFTER_MAX_MS);

    if (m->bad++ == 0) {
        m->first_path = ev->path;
        m->many_paths = false;
    }
    m->many_paths = m->many_paths || ev->path != m->first_path;
    if (is_down(m)) {
        if (m->state == GATE_OPEN)
            m->shut_ns = now.mono_ns;
        move(m, GATE_SHUT);
        m->next_ns = now.mono_ns + probe_ns(jitter);
    }
    if (m->state == GATE_SHUT)
        m->next_ns = MAX(m->next_ns, now.mono_ns + wait_ms * NSEC_PER_MSEC);
}

unsigned gate_step(struct gate_machine *m, const struct gate_event *ev, struct now now,
                   uint64_t jitter)
{
    switch (ev->type) {
    case GATE_EV_ASKED:
    case GATE_EV_TIMER:
        return probe(m, ev->held, now, jitter);
    case GATE_EV_GOOD:
        return good(m, ev->held);
    case GATE_EV_BAD:
        bad(m, ev, now, jitter);
        break;
    }
    return 0;
}
