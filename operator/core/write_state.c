/*
 *   A write, or a read that the plan has asked for:
 *
 *              its outcome is unknown, or the cache is behind                no answer
 *      BEGUN ─────────────────────────────────────────────────▶ READING ───────────────▶ PAUSING
 *        │                                                       │    ▲                     │
 *        │ answered                                     answered │    └─────────────────────┘
 *        ▼                                                       ▼           time over
 *      ENDED                                                   ENDED
 *
 * While a write is PAUSING, nobody knows what became of it: it is not given up. Only the end of the
 * operator drops writes, in any state.
 */
#include "operator/core/write_state.h"

static const char *const state_names[WRITE_STATES] = {
    [WRITE_BEGUN] = "begun",
    [WRITE_READING] = "reading",
    [WRITE_PAUSING] = "pausing",
    [WRITE_ENDED] = "ended",
};

static const bool followers[WRITE_STATES][WRITE_STATES] = {
    [WRITE_BEGUN] = {[WRITE_READING] = true, [WRITE_ENDED] = true},
    [WRITE_READING] = {[WRITE_PAUSING] = true, [WRITE_ENDED] = true},
    [WRITE_PAUSING] = {[WRITE_READING] = true},
};

const struct sm_table write_table = {"write", state_names, followers[0], WRITE_STATES};

void write_state_move(enum write_state *state, enum write_state to)
{
    sm_move(&write_table, (size_t)*state, (size_t)to);
    *state = to;
}
