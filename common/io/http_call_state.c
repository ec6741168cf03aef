/*
 *   http_client_start()          curl has it             an answer, a failure or a time limit
 *   ──────────────────▶ WAITING ───────────▶ RUNNING ──────────────────────────────▶ ENDED
 *                          │ │                │   │                                     ▲
 *                          │ │ time limit     │   │ cancelled from inside of curl       │
 *                          │ └────────────────│───│─────────────────────────────────────┘
 *                cancelled │        cancelled │   ▼
 *                          ▼                  ▼  ZOMBIE ──▶ freed when curl has returned
 *                        freed              freed
 *
 * ENDED is the time of on_done(); the call is freed when that has returned.
 */
#include "common/io/http_call_state.h"

static const char *const state_names[CALL_STATES] = {
    [CALL_WAITING] = "waiting",
    [CALL_RUNNING] = "running",
    [CALL_ENDED] = "ended",
    [CALL_ZOMBIE] = "zombie",
};

static const bool followers[CALL_STATES][CALL_STATES] = {
    [CALL_WAITING] = {[CALL_RUNNING] = true, [CALL_ENDED] = true},
    [CALL_RUNNING] = {[CALL_ENDED] = true, [CALL_ZOMBIE] = true},
};

const struct sm_table http_call_table = {"http call", state_names, followers[0], CALL_STATES};
