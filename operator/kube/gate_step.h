/*
 * Whether the API server as a whole is down, and how many requests may go to it then (pure). The
 * diagram is in gate_step.c.
 *
 * It is down when GATE_BAD_MAX answers in a row, to different paths, were none or said that the
 * server can not serve (5xx, 429) or does not take our credentials (401). One object that always
 * gets a 500 is no outage: its path is one, and others succeed in between. From then on requests
 * wait in line; every GATE_PROBE_MS (and up to a fifth more, by chance) the first of them is
 * let go, and the first success opens the way: two more for each further success, so that a server
 * that has just come back is not buried.
 */
#ifndef ARL_OPERATOR_KUBE_GATE_STEP_H
#define ARL_OPERATOR_KUBE_GATE_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

#define GATE_BAD_MAX 3
/* The same while the way is being opened: the server has not been well for long. */
#define GATE_BAD_AGAIN 2
/* So that at most one request a second goes to a server that is down, and work begins within five
 * seconds of its return. */
#define GATE_PROBE_MS 1000
/* A Retry-After is honoured, but for no longer: the return would go unnoticed. (An API server that
 * begins says five seconds, and is ready after one or two.) */
#define GATE_RETRY_AFTER_MAX_MS 4000

enum gate_state {
    GATE_OPEN,
    GATE_SHUT,
    GATE_OPENING,
    GATE_STATES,
};
extern const struct sm_table gate_table;
const char *gate_state_str(enum gate_state s);
bool gate_may_follow(enum gate_state from, enum gate_state to);

enum gate_event_type {
    GATE_EV_ASKED, /* one more request is in line */
    GATE_EV_GOOD,  /* the server has answered */
    GATE_EV_BAD,   /* it has not, or only to say that it can not */
    GATE_EV_TIMER, /* next_ns has come */
};

struct gate_event {
    enum gate_event_type type;
    unsigned held;          /* requests in line, with the one that has just asked */
    uint64_t path;          /* BAD: any number that stands for what was asked for, or whose it is */
    int64_t retry_after_ms; /* BAD; -1: not given */
};

struct gate_machine {
    enum gate_state state;
    unsigned bad;        /* in a row */
    uint64_t first_path; /* of the first of these */
    bool many_paths;     /* and others had another */
    int64_t next_ns;     /* not open: when the next one may go in any case */
    int64_t shut_ns;     /* since when it has not been open */
};

/* A machine begins as {0}. Returns how many of the requests in line may go now. jitter: any random
 * number. */
unsigned gate_step(struct gate_machine *m, const struct gate_event *ev, struct now now,
                   uint64_t jitter);

#endif
