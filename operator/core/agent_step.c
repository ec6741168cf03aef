/*
 *                 audit              sent                clean
 *   UNKNOWN ───────────────▶ QUEUED ──────▶ ASKING ─────────────────▶ CLEAN
 *    ▲ ▲  │                                 │ ▲ │ ▲                     │
 *    │ │  │ bound                   silent  │ │ │ │ unwanted            │
 *    │ │  └──────────▶ CLEAN                ▼ │ ▼ │                     │
 *    │ │                              SILENT┘   STOPPING   (sent: back) │
 *    │ │                                                                │
 *    │ │ clean                     doubt                                │
 *    │ └──────────── OUTDATED ◀──────────── ASKING                      │
 *    └────────────────────────── doubt, forged ─────────────────────────┘
 *
 * QUEUED and SILENT go to STOPPING when the audit finds cancels under way to the pod. An audit that
 * is abandoned goes back to UNKNOWN from anywhere but CLEAN.
 */
#include "operator/core/agent_step.h"

#include <assert.h>

static const char *const state_names[AGENT_STATES] = {
    [AGENT_UNKNOWN] = "unknown",   [AGENT_QUEUED] = "queued", [AGENT_ASKING] = "asking",
    [AGENT_OUTDATED] = "outdated", [AGENT_SILENT] = "silent", [AGENT_STOPPING] = "stopping",
    [AGENT_CLEAN] = "clean",
};

static const bool followers[AGENT_STATES][AGENT_STATES] = {
    [AGENT_UNKNOWN] = {[AGENT_QUEUED] = true, [AGENT_CLEAN] = true},
    [AGENT_QUEUED] = {[AGENT_ASKING] = true, [AGENT_STOPPING] = true, [AGENT_UNKNOWN] = true},
    [AGENT_ASKING] = {[AGENT_CLEAN] = true,
                      [AGENT_SILENT] = true,
                      [AGENT_STOPPING] = true,
                      [AGENT_OUTDATED] = true,
                      [AGENT_UNKNOWN] = true},
    [AGENT_OUTDATED] = {[AGENT_UNKNOWN] = true},
    [AGENT_SILENT] = {[AGENT_ASKING] = true, [AGENT_STOPPING] = true, [AGENT_UNKNOWN] = true},
    [AGENT_STOPPING] = {[AGENT_ASKING] = true, [AGENT_UNKNOWN] = true},
    [AGENT_CLEAN] = {[AGENT_UNKNOWN] = true},
};

const struct sm_table agent_table = {"agent", state_names, followers[0], AGENT_STATES};

const char *agent_state_str(enum agent_state s)
{
    return sm_state_str(&agent_table, (size_t)s);
}

static bool waits_for_its_turn(enum agent_state s)
{
    return s == AGENT_QUEUED || s == AGENT_SILENT || s == AGENT_STOPPING;
}

static bool is_asked(enum agent_state s)
{
    return s == AGENT_ASKING || s == AGENT_OUTDATED;
}

static enum agent_state next_state(enum agent_state s, enum agent_event ev)
{
    switch (ev) {
    case AGENT_EV_BOUND:
        return s == AGENT_UNKNOWN ? AGENT_CLEAN : s;
    case AGENT_EV_AUDIT:
        return s == AGENT_UNKNOWN ? AGENT_QUEUED : s;
    case AGENT_EV_SENT:
        return waits_for_its_turn(s) ? AGENT_ASKING : s;
    case AGENT_EV_SILENT:
        return s == AGENT_ASKING ? AGENT_SILENT : s;
    case AGENT_EV_UNWANTED:
        return s == AGENT_ASKING || waits_for_its_turn(s) ? AGENT_STOPPING : s;
    case AGENT_EV_CLEAN:
        return s == AGENT_ASKING ? AGENT_CLEAN : s == AGENT_OUTDATED ? AGENT_UNKNOWN : s;
    case AGENT_EV_ABANDONED:
        return waits_for_its_turn(s) || is_asked(s) ? AGENT_UNKNOWN : s;
    case AGENT_EV_DOUBT:
        return s == AGENT_ASKING ? AGENT_OUTDATED : s == AGENT_CLEAN ? AGENT_UNKNOWN : s;
    case AGENT_EV_FORGED:
        return s == AGENT_CLEAN ? AGENT_UNKNOWN : s;
    case AGENT_EV_GENUINE:
        break;
    }
    return s;
}

bool agent_step(struct agent_view *a, enum agent_event ev, int64_t now_mono_ns)
{
    struct agent_view was = *a;
    enum agent_state to = next_state(a->state, ev);

    if (to != a->state)
        sm_move(&agent_table, (size_t)a->state, (size_t)to);
    a->state = to;
    if (to == AGENT_CLEAN || to == AGENT_UNKNOWN)
        a->in_vain_since_mono_ns = 0;
    else if ((ev == AGENT_EV_SILENT || ev == AGENT_EV_UNWANTED) && a->in_vain_since_mono_ns == 0)
        a->in_vain_since_mono_ns = now_mono_ns;
    if (ev == AGENT_EV_FORGED || ev == AGENT_EV_GENUINE)
        a->genuine = ev == AGENT_EV_GENUINE;
    if (ev == AGENT_EV_FORGED && a->not_believed_since_mono_ns == 0)
        a->not_believed_since_mono_ns = now_mono_ns;
    if (ev == AGENT_EV_GENUINE && a->not_believed_since_mono_ns) {
        a->not_believed_since_mono_ns = 0;
        a->in_vain_since_mono_ns = 0; /* the agent was not silent: others answered in its place */
    }
    assert(a->state != AGENT_CLEAN || a->in_vain_since_mono_ns == 0);
    assert(!a->genuine || a->not_believed_since_mono_ns == 0);
    return a->state != was.state || a->in_vain_since_mono_ns != was.in_vain_since_mono_ns ||
           a->not_believed_since_mono_ns != was.not_believed_since_mono_ns;
}
