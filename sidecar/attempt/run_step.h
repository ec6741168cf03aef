/*
 * What one attempt of a task does next. Values in (the request, what happened, the time), actions
 * out; nothing here touches the world.
 *
 *            start                 done (0): next step
 *   NEW ───────────────▶ RUNNING ◀──────┐
 *                        ▲ │ │ └────────┘
 *                 goesOn │ │ │ time is over, cancel: KILLING
 *                        │ │ │ done (not 0), a step that can not run, the last step, runner lost:
 *                        │ ▼ ▼                                                           ENDED
 *                      KILLING ──done, lost, no answer──▶ ENDED
 *
 * KILLING is also where a step is whose container is ended by somebody else (RUN_STOP_CONTAINER).
 *
 * Steps run in order. The first that fails ends the attempt, unless it is one that lets the others
 * go on (onError: Continue): then the attempt fails at its end, with that step's exit code.
 */
#ifndef ARL_SIDECAR_ATTEMPT_RUN_STEP_H
#define ARL_SIDECAR_ATTEMPT_RUN_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/wire/task_proto.h"
#include "sidecar/runner/frames.h"

/* A runner that does not report the end of a step for so long after it was told to kill it is
 * broken (it has 2 s of grace and 5 s for the kernel). */
#define RUN_KILL_LIMIT_MS 15000
/* Between TERM and KILL. Whoever cancels does not want to wait; who is out of time may tidy up. */
#define RUN_GRACE_TIMEOUT_MS 2000
#define RUN_GRACE_CANCEL_MS 500
/* When the step's container is ended from outside, the whole pod may be: then this agent is ended,
 * too, within this time, and says nothing of the step: its end is the pod's. Only if it is not, the
 * step was lost with its container. */
#define RUN_POD_END_MS 3000
/* The exit code of a step whose end nobody saw. */
#define RUN_CODE_LOST 255

enum run_state { RUN_NEW, RUN_RUNNING, RUN_KILLING, RUN_ENDED, RUN_STATES };
extern const struct sm_table run_states;
enum run_stop { RUN_STOP_NONE, RUN_STOP_TIMEOUT, RUN_STOP_CANCEL, RUN_STOP_CONTAINER };

struct run {
    const struct task_request *request; /* not owned */
    const char *const *containers;      /* not owned; the first one is the default */
    size_t container_count;
    enum run_state state;
    enum run_stop stop; /* why it is being killed */
    size_t step;
    int failed_code; /* of the first step that failed and let the others go on; 0: none */
    int64_t started_ns;
    int64_t step_started_ns;
};

enum run_action_type {
    RUN_EMIT_STEP, /* the step event */
    RUN_FLUSH,     /* what is kept of the step's output goes out */
    RUN_TEXT,      /* fd, text: a sentence of ours */
    RUN_EMIT_EXIT, /* code, duration_ns, text: the error or NULL */
    RUN_EMIT_END,  /* code, duration_ns, reason */
    RUN_EXEC,      /* container, text: the work directory; a Command */
    RUN_WRITE,     /* container, text: the absolute path; a FilePatch */
    RUN_KILL,      /* container, timeout_ms: the grace between TERM and KILL */
    RUN_TIMER,     /* timeout_ms; replaces the one before; 0: none */
    RUN_DROP,      /* container: its runner can not be trusted any more */
};

struct run_action {
    enum run_action_type type;
    size_t step;
    size_t container;
    int fd;
    char *text; /* owned by the list */
    int code;
    int64_t duration_ns;
    int64_t timeout_ms;
    enum task_end_reason reason;
};

/* Starts as all zeroes. Steps that cannot run and let the others go on have theirs all at once, so
 * there is no other limit than LIMIT_STEPS times a few. */
struct run_actions {
    struct run_action *list;
    size_t count;
    size_t alloc;
};
void run_actions_done(struct run_actions *a);

/* All append to *ret, in the order in which things are to be done. */
void run_start(struct run *r, const struct now *now, struct run_actions *ret);
/* The runner's DONE; text and duration_ns as it says. */
void run_on_done(struct run *r, enum frame_how how, uint32_t value, const char *text,
                 int64_t duration_ns, const struct now *now, struct run_actions *ret);
void run_on_timer(struct run *r, const struct now *now, struct run_actions *ret);
void run_on_cancel(struct run *r, const struct now *now, struct run_actions *ret);
/* Whether the step's container was ended from outside: that its runner goes is to be expected then,
 * and counts as a loss only when RUN_POD_END_MS are over. */
bool run_awaits_pod_end(const struct run *r);
/* The runner of the step is gone; what became of the step will never be known. */
void run_on_lost(struct run *r, const struct now *now, struct run_actions *ret);

/* The index of a step's container, or -1. name NULL: the default one. */
int run_container(const struct run *r, const char *name);

#endif
