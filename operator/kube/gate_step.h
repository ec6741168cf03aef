/*
 * Decides whether the API server as a whole is down, and how many requests may go to it then
 * (pure). The diagram is in gate_step.c.
 *
 * The server is down after GATE_BAD_MAX bad answers in a row to different paths. Bad are no answer,
 * 5xx, 429, and 401 (the credentials are refused). One object that always gets a 500 is not an
 * outage: it has one path, and other requests succeed in between. From then on requests wait in the
 * line. Every GATE_PROBE_MS (and up to a fifth more, by chance) the first of them is sent. The
 * first success begins to open the gate: each success lets two more requests go, so that a server
 * that has just come back is not overloaded.
 */
#ifndef ARL_OPERATOR_KUBE_GATE_STEP_H
#define ARL_OPERATOR_KUBE_GATE_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

#define GATE_BAD_MAX 3
/* The same while the gate is opening, since the server has only just come back. */
#define GATE_BAD_AGAIN 2
/* A server that is down gets at most one request a second, and work begins within five seconds of
 * its return. */
#define GATE_PROBE_MS 1000
/* A longer Retry-After is cut to this time, so that the return is noticed. (An API server that
 * starts says five seconds, and is ready after one or two.) */
#define GATE_RETRY_AFTER_MAX_MS 4000

enum gate_state {
    GATE_OPEN,
    GATE_SHUT,
    GATE_OPENING,
    GATE_STATES,
};
extern const struct sm_table gate_table;
const char *gate_state_str(enum gate_state s);

enum gate_event_type {
    GATE_EV_ASKED, /* one more request is in line */
    GATE_EV_GOOD,  /* the server has answered */
    GATE_EV_BAD,   /* the server has not answered, or only that it cannot serve */
    GATE_EV_TIMER, /* next_ns has come */
};

struct gate_event {
    enum gate_event_type type;
    unsigned held;          /* requests in the line, including the one that has just come */
    uint64_t path;          /* BAD: any number that stands for the path, or for the namespace */
    int64_t retry_after_ms; /* BAD; -1: not given */
};

struct gate_machine {
    enum gate_state state;
    unsigned bad;        /* in a row */
    uint64_t first_path; /* of the first of these */
    bool many_paths;     /* others of these had another path */
    int64_t next_ns;     /* not open: when the next request may go in any case */
    int64_t shut_ns;     /* since when the gate is not open */
};

/* Initialize the machine with {0}. Returns how many requests of the line may go now. jitter: any
 * random number. */
unsigned gate_step(struct gate_machine *m, const struct gate_event *ev, struct now now,
                   uint64_t jitter);

#endif
