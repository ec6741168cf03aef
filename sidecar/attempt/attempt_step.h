/*
 * Decides what one attempt of a task does next. Values come in (the request, what happened, the
 * time), and actions go out. Nothing here touches the world.
 *
 *        start          the last step is done, a step has failed, the runner is lost
 *   NEW ───────▶ RUNNING ───────────────────────────────────────────────────────────▶ ENDED
 *                 │   ▲                                                                 ▲
 *       time over,│   │ a step was out of time, and the next ones go on                 │
 *          cancel,│   │                                                                 │
 *         stopped ▼   │ the step is done, the runner is lost or does not answer         │
 *                KILLING ───────────────────────────────────────────────────────────────┘
 *
 * "Stopped": somebody else ends the step's container (ATTEMPT_STOP_CONTAINER).
 *
 * Steps run in order. A step that fails ends the attempt, unless it has onError: Continue. Then the
 * later steps run, and the attempt fails at its end with the exit code of the first step that
 * failed.
 */
#ifndef ARL_SIDECAR_ATTEMPT_ATTEMPT_STEP_H
#define ARL_SIDECAR_ATTEMPT_ATTEMPT_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/wire/task_proto.h"
#include "sidecar/runner/frames.h"

/* A runner that was told to kill a step is broken if it has not reported the end by then. (It
 * needs 2 s of grace, and at most 5 s for the kernel.) */
#define ATTEMPT_KILL_LIMIT_MS 15000
/* Between TERM and KILL. A step that was out of time may tidy up; a user who cancels does not want
 * to wait. */
#define ATTEMPT_GRACE_TIMEOUT_MS 2000
#define ATTEMPT_GRACE_CANCEL_MS 500
/* When somebody ends the step's container from outside, the whole pod may be ending. Then this
 * agent is ended, too, within this time, and reports nothing of the step: the operator sees the end
 * of the pod. If the agent still lives after this time, the step was lost with its container. */
#define ATTEMPT_POD_END_MS 3000
/* The exit code of a step whose end nobody saw. */
#define ATTEMPT_CODE_LOST 255

enum attempt_state { ATTEMPT_NEW, ATTEMPT_RUNNING, ATTEMPT_KILLING, ATTEMPT_ENDED, ATTEMPT_STATES };
extern const struct sm_table attempt_states;
enum attempt_stop {
    ATTEMPT_STOP_NONE,
    ATTEMPT_STOP_TIMEOUT,
    ATTEMPT_STOP_CANCEL,
    ATTEMPT_STOP_CONTAINER,
};

struct attempt_machine {
    const struct task_request *request; /* not owned */
    const char *const *containers;      /* not owned; the first one is the default */
    size_t container_count;
    enum attempt_state state;
    enum attempt_stop stop; /* why it is being killed */
    size_t step;
    int failed_code; /* of the first step that failed and let the others go on; 0: none */
    int64_t started_ns;
    int64_t step_started_ns;
};

enum attempt_action_type {
    ATTEMPT_EMIT_STEP, /* the step event */
    ATTEMPT_FLUSH,     /* all that is kept of the step's output goes out */
    ATTEMPT_TEXT,      /* fd, text: a sentence of arl's own */
    ATTEMPT_EMIT_EXIT, /* code, duration_ns, text: the error or NULL */
    ATTEMPT_EMIT_END,  /* code, duration_ns, reason */
    ATTEMPT_EXEC,      /* container, text: the work directory; a Command */
    ATTEMPT_WRITE,     /* container, text: the absolute path; a FilePatch */
    ATTEMPT_KILL,      /* container, timeout_ms: the grace between TERM and KILL */
    ATTEMPT_TIMER,     /* timeout_ms; replaces the last timer; 0: no timer */
    ATTEMPT_DROP,      /* container: its runner cannot be trusted any more, cut its connection */
};

struct attempt_action {
    enum attempt_action_type type;
    size_t step;
    size_t container;
    int fd;
    char *text; /* owned by the list */
    int code;
    int64_t duration_ns;
    int64_t timeout_ms;
    enum task_end_reason reason;
};

/* Initialize it with zeroes. The list has at most a few actions for each of LIMIT_STEPS steps: many
 * steps can end within one call, if they cannot be started and have onError: Continue. */
struct attempt_actions {
    struct attempt_action *list;
    size_t count;
    size_t alloc;
};
void attempt_actions_done(struct attempt_actions *a);

/* All of these append actions to *ret, in the order in which they are to be done. */
void attempt_machine_start(struct attempt_machine *m, const struct now *now,
                           struct attempt_actions *ret);
/* The runner has sent DONE; text and duration_ns are the runner's, and are not trusted. */
void attempt_machine_on_done(struct attempt_machine *m, enum frame_how how, uint32_t value,
                             const char *text, int64_t duration_ns, const struct now *now,
                             struct attempt_actions *ret);
void attempt_machine_on_timer(struct attempt_machine *m, const struct now *now,
                              struct attempt_actions *ret);
void attempt_machine_on_cancel(struct attempt_machine *m, const struct now *now,
                               struct attempt_actions *ret);
/* Whether somebody has ended the step's container from outside. Then the runner is expected to go,
 * and the step counts as lost only after ATTEMPT_POD_END_MS. */
bool attempt_machine_awaits_pod_end(const struct attempt_machine *m);
/* The runner of the step is gone. Nobody will ever know how the step ended. */
void attempt_machine_on_lost(struct attempt_machine *m, const struct now *now,
                             struct attempt_actions *ret);

/* The index of a step's container, or -1. name NULL: the default one. */
int attempt_machine_container(const struct attempt_machine *m, const char *name);

#endif
