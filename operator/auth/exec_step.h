/*
 * Decides when the credential plugin runs, and what happens to requests meanwhile (pure). The
 * diagram is in exec_step.c.
 *
 * The plugin runs at the start, before its credential expires, and when the server has refused the
 * credential (401). There is one run at a time. The old credential stays in use until a new one
 * comes, even if the plugin fails. A run that failed is repeated after EXEC_RETRY_MS, then after
 * twice that time, and so on up to EXEC_RETRY_MAX_MS. A credential that is refused soon after it
 * came counts as a failed run. So a server that refuses everything does not make the plugin run for
 * each refusal.
 */
#ifndef ARL_OPERATOR_AUTH_EXEC_STEP_H
#define ARL_OPERATOR_AUTH_EXEC_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

#define EXEC_RETRY_MS 1000
#define EXEC_RETRY_MAX_MS 10000 /* so work goes on soon after the cause is mended */
/* A credential is renewed this long before it expires. One that lasts for less than five times as
 * long is renewed after four fifths of its time. */
#define EXEC_MARGIN_MS 60000
/* If a credential was accepted for this long, its refusal starts a run at once. So the plugin does
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

enum exec_event_type {
    EXEC_EV_TIMER,   /* next_ns has come; also the start */
    EXEC_EV_GOT,     /* the run has given a credential */
    EXEC_EV_FAILED,  /* the run has failed */
    EXEC_EV_REFUSED, /* the server answered 401 to the credential in use */
};

struct exec_event {
    enum exec_event_type type;
    int64_t expires_wall_ns; /* GOT; later than now. 0: does not expire */
};

struct exec_machine {
    enum exec_state state;
    int64_t next_ns;   /* without a run: when the next one begins; 0: only after an event */
    int64_t got_ns;    /* when the credential in use came */
    unsigned failures; /* runs in a row */
    unsigned refusals; /* credentials in a row that were refused soon */
    bool refused;      /* the credential in use was refused */
};

/* Initialize the machine with {0}, and send a TIMER event first. Returns whether to run the plugin
 * now. */
bool exec_step(struct exec_machine *m, const struct exec_event *ev, struct now now);

enum exec_way {
    EXEC_SEND, /* send it with the credential in use */
    EXEC_WAIT, /* wait until the present run has ended */
    EXEC_FAIL, /* fail it: there is no credential, and the last run says why */
};
enum exec_way exec_way(const struct exec_machine *m);

#endif
