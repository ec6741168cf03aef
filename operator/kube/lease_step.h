/*
 * The decisions of leader election (pure). The diagram is in lease_step.c. A lease is free when its
 * record has not changed for LEASE_DURATION_MS by the local monotonic clock, whatever times the
 * record has.
 */
#ifndef ARL_OPERATOR_KUBE_LEASE_STEP_H
#define ARL_OPERATOR_KUBE_LEASE_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

#define LEASE_DURATION_MS 15000
#define LEASE_RENEW_DEADLINE_MS 10000
#define LEASE_RETRY_MS 2000

enum lease_state {
    LEASE_IDLE,
    LEASE_READING,   /* reads the record */
    LEASE_WAITING,   /* somebody else holds it, or taking it failed: waits for a change or the timer
                      */
    LEASE_TAKING,    /* writes this process into the record, or makes the record */
    LEASE_HOLDING,   /* leading, nothing under way */
    LEASE_RENEWING,  /* leading, a renewal is under way */
    LEASE_REREADING, /* leading, a renewal has failed: reads whether the lease is still ours */
    LEASE_LOST,
    LEASE_RELEASED,
    LEASE_STATES,
};
extern const struct sm_table lease_table;
const char *lease_state_str(enum lease_state s);

enum lease_event_type {
    LEASE_EV_START,
    LEASE_EV_RECORD,  /* the record was read, or our write was taken */
    LEASE_EV_SEEN,    /* a watch told of a new record, or that it is gone (vacant) */
    LEASE_EV_MISSING, /* there is no such object */
    LEASE_EV_FAILED,  /* the read or write has failed */
    LEASE_EV_TIMER,
    LEASE_EV_RELEASE,
};

struct lease_event {
    enum lease_event_type type;
    bool changed; /* RECORD, SEEN: it differs from the last one that was seen */
    bool mine;
    bool vacant; /* no holder */
};

enum lease_action_type {
    LEASE_NOTHING, /* the call under way goes on; timer_ns may be new nevertheless */
    LEASE_STOP,    /* the call under way is cancelled */
    LEASE_READ,
    LEASE_CREATE,
    LEASE_TAKE,   /* compare-and-swap of the record that was read last: we are the new holder */
    LEASE_RENEW,  /* the same, with a new renewTime only */
    LEASE_VACATE, /* the same, without holder */
};

struct lease_action {
    enum lease_action_type type; /* all but NOTHING cancel the call under way */
    int64_t timer_ns;            /* when LEASE_EV_TIMER has to come; 0: never */
};

struct lease_machine {
    enum lease_state state;
    bool unsure;        /* the last renewal has failed: the known resourceVersion may be old */
    int64_t seen_ns;    /* when the record was last seen to change */
    int64_t began_ns;   /* when the present read or write was begun */
    int64_t renewed_ns; /* when our last successful write was begun */
    int64_t timer_ns;   /* as in the last action */
};

bool lease_is_leading(const struct lease_machine *m);
/* When a leader stops leading if no renewal succeeds. */
int64_t lease_ends_ns(const struct lease_machine *m);
/* Initialize the machine with {0}. jitter: any random number. */
struct lease_action lease_step(struct lease_machine *m, const struct lease_event *ev,
                               struct now now, uint64_t jitter);

#endif
