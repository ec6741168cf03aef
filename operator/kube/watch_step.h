/*
 * Decides what a reflector does next (pure): list page by page, watch, wait, list again. The
 * diagram is in watch_step.c. The machine knows states, times and reasons. The reflector does the
 * returned action, and keeps the resourceVersion and the continue tokens.
 */
#ifndef ARL_OPERATOR_KUBE_WATCH_STEP_H
#define ARL_OPERATOR_KUBE_WATCH_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "operator/kube/client.h"

#define WATCH_BACKOFF_FIRST_MS 800
#define WATCH_BACKOFF_MAX_MS 30000 /* and up to half as much again, by chance */
/* After this time without a failure the back-off begins anew. */
#define WATCH_BACKOFF_RESET_MS 120000
/* A watch that ends sooner, without an event, counts as a failure. */
#define WATCH_GOOD_MS 1000
/* If the last list is older than this when a watch ends, the next request is a list, which finds
 * whatever the watches have missed. Watches end by themselves after five to ten minutes, at random.
 * So a list comes every ten to twenty minutes, without a gap and without cutting a watch. */
#define WATCH_RELIST_MS 600000

enum watch_state {
    WATCH_IDLE,
    WATCH_LISTING, /* the first page of a list is under way */
    WATCH_PAGING,  /* a later page is under way */
    WATCH_WATCHING,
    WATCH_BACKING_OFF,
    WATCH_STATES,
};
extern const struct sm_table watch_table;
const char *watch_state_str(enum watch_state s);

enum watch_event_type {
    WATCH_EV_START,
    WATCH_EV_PAGE,        /* a page has come; more: others follow */
    WATCH_EV_LIST_FAILED, /* reason; too_large: the page was larger than the limit of memory */
    WATCH_EV_OBJECT,      /* the watch has sent an event */
    WATCH_EV_ENDED,       /* the watch has ended; KUBE_OK: regularly, or a working watch was cut */
    WATCH_EV_TIMER,       /* the time of a WATCH_WAIT has come */
    WATCH_EV_KICK,        /* begin again at once */
    WATCH_EV_GATE_TURNED, /* an outage has begun or is over: a waiting request goes to the gate now
                           */
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

/* LIST, WATCH and WAIT cancel the call under way. */
struct watch_action {
    enum watch_action_type type;
    unsigned page_limit;
    int64_t until_ns;
};

struct watch_machine {
    enum watch_state state;
    bool listed;  /* there is a resourceVersion to watch from */
    bool full;    /* the next list is not paged: its pages expired too quickly */
    bool no_full; /* a list without pages is too large as well */
    unsigned page_limit;
    unsigned failures;
    unsigned expired;        /* "too old" answers without a lasting watch in between */
    int64_t last_failure_ns; /* 0: none */
    int64_t watching_since_ns;
    int64_t listed_ns; /* when the last list was complete */
    bool watch_told;   /* the present watch has sent an event */
};

void watch_machine_init(struct watch_machine *m);
/* jitter: any random number. */
struct watch_action watch_step(struct watch_machine *m, const struct watch_event *ev,
                               struct now now, uint64_t jitter);

#endif
