/*
 * When a credential plugin is run, and what happens to requests meanwhile (pure). The diagram is in
 * exec_step.c.
 *
 * It is run at the start, before what it gave expires, and when the server has refused that (401);
 * one run at a time. A credential that was there stays in use until another one comes, whatever
 * becomes of the plugin. A run that failed is tried again after EXEC_RETRY_MS, twice as long each
 * time, EXEC_RETRY_MAX_MS at most; credentials that are refused soon after they came count alike,
 * so that a server that refuses everything does not make the plugin run at its rate.
 */
#ifndef ARL_OPERATOR_AUTH_EXEC_STEP_H
#define ARL_OPERATOR_AUTH_EXEC_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

#define EXEC_RETRY_MS 1000
#define EXEC_RETRY_MAX_MS 10000 /* work goes on soon after whatever was wrong is mended */
/* Renewed this long before it expires; when it lasts for less than five times that, after four
 * fifths of the time. */
#define EXEC_MARGIN_MS 60000
/* A credential that was good for so long was a good one: its refusal is met at once. So a plugin is
 * not run more often than this, whatever the server answers. */
#define EXEC_GOOD_MS 10000

enum exec_state {
    EXEC_NONE,     /* no credential: the next run is at next_ns */
    EXEC_FIRST,    /* no credential, a run is under way */
    EXEC_HAVE,     /* a credential is in use */
    EXEC_RENEWING, /* one is in use, a run is under way */
    EXEC_STATES,
};
extern const struct sm_table exec_table;
const char *exec_state_str(enum exec_state s);
bool exec_may_follow(enum exec_state from, enum exec_state to);

enum exec_event_type {
    EXEC_EV_TIMER,   /* next_ns has come; also the start */
    EXEC_EV_GOT,     /* the run has given a credential */
    EXEC_EV_FAILED,  /* it has not */
    EXEC_EV_REFUSED, /* the server answered 401 to the credential in use */
};

struct exec_event {
    enum exec_event_type type;
    int64_t expires_wall_ns; /* GOT; later than now. 0: does not expire */
};

struct exec_machine {
    enum exec_state state;
    int64_t next_ns;   /* no run under way: when the next one begins; 0: not by itself */
    int64_t got_ns;    /* when the credential in use came */
    unsigned failures; /* runs in a row */
    unsigned refusals; /* credentials in a row that were refused soon */
    bool refused;      /* the one in use was */
};

/* A machine begins as {0}, with a TIMER event. Returns whether the plugin is to be run now. */
bool exec_step(struct exec_machine *m, const struct exec_event *ev, struct now now);

enum exec_way {
    EXEC_SEND, /* with the credential in use */
    EXEC_WAIT, /* until the run that is under way has ended */
    EXEC_FAIL, /* there is no credential, and the last run says why */
};
enum exec_way exec_way(const struct exec_machine *m);

#endif
