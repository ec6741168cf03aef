/*
 * Decides what one attempt of a task does next. Values come in (the request, what happened, the
 * time), and actions go out. Nothing here touches the world.
 *
 *            start                 done (0): next step
 *   NEW ───────────────▶ RUNNING ◀──────┐
 *                        ▲ │ │ └────────┘
 *                 goesOn │ │ │ time is over, cancel: KILLING
 *                        │ │ │ done (not 0), a step that can not run, the last step, runner lost:
 *                        │ ▼ ▼                                                           ENDED
 *                      KILLING ──done, lost, no answer──▶ ENDED
 *
 * A step is in KILLING, too, when somebody else ends its container (RUN_STOP_CONTAINER).
 *
 * Steps run in order. A step that fails ends the attempt, unless it has onError: Continue. Then the
 * later steps run, and the attempt fails at its end with the exit code of the first step that
 * failed.
 */
#ifndef ARL_SIDECAR_ATTEMPT_RUN_STEP_H
#define ARL_SIDECAR_ATTEMPT_RUN_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/wire/task_proto.h"
#include "sidecar/runner/frames.h"

/* A runner that was told to kill a step is broken if it has not reported the end by then. (It
 * needs 2 s of grace, and at most 5 s for the kernel.) */
#define RUN_KILL_LIMIT_MS 15000
/* Between TERM and KILL. A step that was out of time may tidy up; a user who cancels does not want
 * to wait. */
#define RUN_GRACE_TIMEOUT_MS 2000
#define RUN_GRACE_CANCEL_MS 500
/* When somebody ends the step's container from outside, the whole pod may be ending. Then this
 * agent is ended, too, within this time, and reports nothing of the step: the operator sees the end
 * of the pod. If the agent still lives after this time, the step was lost with its container. */
#define RUN_POD_END_MS 3000
/* The exit code of a step whose end nobody saw. */
#define RUN_CODE_LOST 255

enum run_state { RUN_NEW, RUN_RUNNING, RUN_KILLING, RUN_ENDED, RUN_STATES };
extern const struct sm_table run_states;
enum run_stop { RUN_STOP_NONE, RUN_STOP_TIMEOUT, RUN_STOP_CANCEL, RUN_STOP_CONTAINER };

struct attempt_machine {
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
    RUN_FLUSH,     /* all that is kept of the step's output goes out */
    RUN_TEXT,      /* fd, text: a sentence of arl's own */
    RUN_EMIT_EXIT, /* code, duration_ns, text: the error or NULL */
    RUN_EMIT_END,  /* code, duration_ns, reason */
    RUN_EXEC,      /* container, text: the work directory; a Command */
    RUN_WRITE,     /* container, text: the absolute path; a FilePatch */
    RUN_KILL,      /* container, timeout_ms: the grace between TERM and KILL */
    RUN_TIMER,     /* timeout_ms; replaces the last timer; 0: no timer */
    RUN_DROP,      /* container: its runner cannot be trusted any more, cut its connection */
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

/* Initialize it with zeroes. Many steps can end within one call, if they cannot be started and have
 * onError: Continue. So the list has at most a few actions for each of LIMIT_STEPS steps. */
struct run_actions {
    struct run_action *list;
    size_t count;
    size_t alloc;
};
void run_actions_done(struct run_actions *a);

/* All of these append actions to *ret, in the order in which they are to be done. */
void run_start(struct attempt_machine *r, const struct now *now, struct run_actions *ret);
/* The runner has sent DONE; text and duration_ns are the runner's, and are not trusted. */
void run_on_done(struct attempt_machine *r, enum frame_how how, uint32_t value, const char *text,
                 int64_t duration_ns, const struct now *now, struct run_actions *ret);
void run_on_timer(struct attempt_machine *r, const struct now *now, struct run_actions *ret);
void run_on_cancel(struct attempt_machine *r, const struct now *now, struct run_actions *ret);
/* Whether somebody has ended the step's container from outside. Then the runner is expected to go,
 * and the step counts as lost only after RUN_POD_END_MS. */
bool run_awaits_pod_end(const struct attempt_machine *r);
/* The runner of the step is gone. Nobody will ever know how the step ended. */
void run_on_lost(struct attempt_machine *r, const struct now *now, struct run_actions *ret);

/* The index of a step's container, or -1. name NULL: the default one. */
int run_container(const struct attempt_machine *r, const char *name);

#endif
