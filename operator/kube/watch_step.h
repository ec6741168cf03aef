/*
 * What a reflector does next (pure): list page by page, watch, wait, list again. The diagram is in
 * watch_step.c. The machine knows states, times and reasons; resourceVersion and continue tokens
 * are the reflector's, which performs the action that is returned.
 */
#ifndef ARL_OPERATOR_KUBE_WATCH_STEP_H
#define ARL_OPERATOR_KUBE_WATCH_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "operator/kube/client.h"

#define WATCH_BACKOFF_FIRST_MS 800
#define WATCH_BACKOFF_MAX_MS 30000 /* and up to half as much again, by chance */
/* So long without a failure, and the back-off begins anew. */
#define WATCH_BACKOFF_RESET_MS 120000
/* A watch that ends sooner, without an event, counts as a failure. */
#define WATCH_GOOD_MS 1000
/* A watch that ends when the last list is older than this is followed by a list and not by another
 * watch, so that whatever was missed is found. Watches end by themselves after five to ten minutes,
 * at random: a list every ten to twenty minutes, with no gap and no watch disturbed. */
#define WATCH_RELIST_MS 600000

enum watch_state {
    WATCH_IDLE,
    WATCH_LISTING, /* the first page of a list is under way */
    WATCH_PAGING,  /* a further page is */
    WATCH_WATCHING,
    WATCH_BACKING_OFF,
    WATCH_STATES,
};
extern const struct sm_table watch_table;
const char *watch_state_str(enum watch_state s);
bool watch_may_follow(enum watch_state from, enum watch_state to);

enum watch_event_type {
    WATCH_EV_START,
    WATCH_EV_PAGE,        /* a page came; more: others follow */
    WATCH_EV_LIST_FAILED, /* reason; too_large: the page did not fit into memory's limits */
    WATCH_EV_OBJECT,      /* the watch told something */
    WATCH_EV_ENDED,       /* the watch ended; KUBE_OK: cleanly, or it was cut while it worked */
    WATCH_EV_TIMER,       /* the time of a WATCH_WAIT has come */
    WATCH_EV_KICK,        /* begin again at once */
    WATCH_EV_GATE_TURNED, /* an outage has begun or is over: the gate waits for us, or need not */
};

struct watch_event {
    enum watch_event_type type;
    bool more;
    bool too_large;
    enum kube_reason reason;
    int64_t retry_after_ms; /* -1: not given */
};

enum watch_action_type {
    WATCH_NOTHING,
    WATCH_LIST,  /* from the beginning; page_limit 0: all in one */
    WATCH_PAGE,  /* the next page of the list that is under way */
    WATCH_WATCH, /* from the last resourceVersion */
    WATCH_WAIT,  /* until until_ns, then WATCH_EV_TIMER */
};

/* LIST, WATCH and WAIT replace whatever call is under way. */
struct watch_action {
    enum watch_action_type type;
    unsigned page_limit;
    int64_t until_ns;
};

struct watch_machine {
    enum watch_state state;
    bool listed;  /* there is a resourceVersion to watch from */
    bool full;    /* the next list is not paged: its pages expired too quickly */
    bool no_full; /* not paged is too large as well */
    unsigned page_limit;
    unsigned failures;
    unsigned expired;        /* "too old" answers without a lasting watch in between */
    int64_t last_failure_ns; /* 0: none */
    int64_t watching_since_ns;
    int64_t listed_ns; /* when the last list was complete */
    bool watch_told;   /* the present watch has told something */
};

void watch_machine_init(struct watch_machine *m);
/* jitter: any random number. */
struct watch_action watch_step(struct watch_machine *m, const struct watch_event *ev,
                               struct now now, uint64_t jitter);

#endif
