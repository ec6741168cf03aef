/*
 * One attempt of a task that is under way: what the sidecar's events have told so far. Pure: the
 * sidecar client feeds events and failures in, task_plan reads.
 *
 *   active --end event / run_fail()--> over --status written--> freed
 *      |                                ^
 *      | end event, output dropped      | end event / run_fail()
 *      v                                |
 *    ended ----run_read_again()----> reading
 *
 * The memory of all runs has a budget (struct world). When it is used up, a run drops its output
 * but for the end of it (run_drop_output()), and goes on. The agent keeps everything until it is
 * acknowledged: once the attempt has ended, its events are read again from the first on, when there
 * is room for them.
 */
#ifndef ARL_OPERATOR_CORE_RUN_H
#define ARL_OPERATOR_CORE_RUN_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/wire/task_proto.h"
#include "operator/api/task_result.h"
#include "operator/core/turns.h"

/* A task whose agent does not answer for so long is given up. */
#define AGENT_LOST_MS 60000
/* All output of an attempt that is kept in memory; more is cut, as the Task object could not hold
 * it anyway. */
#define RUN_OUTPUT_MAX LIMIT_TASK_OBJECT_BYTES
/* What is kept of the output of a run that had to drop it. */
#define RUN_TAIL_BYTES TASK_PROGRESS_BYTES
#define RUN_ENDED_TAIL_BYTES 2048u /* and while it waits to be read again */
/* An attempt that has not ended so long after its steps' time limits is given up, whatever its
 * agent says; and for each step. What runs is killed 2 s after its limit. */
#define RUN_GRACE_MS 15000
#define RUN_STEP_GRACE_MS 3000
#define RUN_LIMIT_MAX_MS (100LL * 366 * 24 * 3600 * 1000) /* longer: never */

/* After a refusal of another kind than size, a write waits twice as long each time, up to this. */
#define RUN_WRITE_WAIT_MAX_MS 300000
/* A status that is too large for the API server is cut to this, and then to a quarter each time. */
#define RUN_ROOM_FIRST (256u << 10)
#define RUN_ROOM_LEAST (16u << 10)

/* Why the API server did not take a final status. */
enum run_refusal {
    RUN_TOO_LARGE,
    RUN_INVALID,
    RUN_FORBIDDEN, /* by a right, a policy, a quota, a webhook: it may be taken later */
};

struct run_target {
    char *ns;
    char *sandbox;
    char *task_uid;
    char *sandbox_uid;
    char *pod_uid;
    char *pod_name;
    char *address; /* of the sidecar */
    char *key_id;  /* signing key that the pod knows */
    char *agent_key;
};

struct run {
    struct run_target target;
    struct task_result *result;
    uint64_t last_seq;
    uint64_t output_events;      /* how many brought output */
    uint64_t output_events_told; /* how many of them the last status write covers */
    int64_t progress_mono_ns;    /* when that was */
    int64_t begun_mono_ns;
    int64_t begun_wall_ns;
    /* Nothing of it can have begun before; 0: that is not known. fresh: this process has begun it.
     */
    int64_t earliest_wall_ns;
    bool fresh;
    int64_t limit_ms;         /* of all its steps together; 0: none */
    bool held;                /* not sent yet: its steps are read first */
    int64_t accepted_mono_ns; /* the first event came; 0: none yet */
    struct turn memory;       /* its part of the budget */
    struct turn read_turn;    /* the part that reading again takes, or waits for */
    struct turn start_turn;   /* while its large steps are read and sent, or wait for that */
    struct turn result_turn;  /* while its final status is written, or waits for that */
    struct turn stream_turn;  /* while its stream is open, or waits for that */
    struct list stream_link;  /* of those that are open */
    int64_t stream_mono_ns;   /* once open: since when */
    uint64_t output_seen;     /* bytes that came the first time */
    bool dropped;             /* its output, but for the end */
    bool ended;               /* the end has come, but not all output is here: reason is set */
    bool reading;             /* once more from the first event on */
    struct task_result *kept; /* reading: what the first time has brought */
    bool result_gone;     /* the agent says that it dropped the result; the task is being read */
    int64_t stop_mono_ns; /* since when its end is waited for, as it is cancelled; 0: it is not */
    bool over;
    int64_t over_mono_ns; /* once over: since when */
    const char *reason;   /* once over; a constant */
    char *message;        /* once over; NULL: made from the result */
    bool retryable;       /* once over: the attempt surely runs no more */
    bool may_go_on;       /* once over: the agent has not said so, it was given up */
    unsigned refusals;    /* of its final status by the API server */
    size_t room;          /* the status is to be no longer than this; 0: no limit but the usual */
    bool bare;            /* not even that was taken: what is written has no steps and no output */
    bool refusal_told;    /* by an Event */
    char *refused_why;    /* the last refusal's message; NULL: none */
    int64_t next_write_mono_ns; /* not before */
    struct list progress_link;  /* it waits to show its output */
    void *stream;               /* of the sidecar client */
};

void run_target_done(struct run_target *t);
/* The same sandbox and pod for another task, whose uid is taken over. */
struct run_target run_target_copy(const struct run_target *t, char *task_uid);
/* Takes over the texts of target. */
struct run *run_new(struct run_target target, int64_t attempt, size_t step_count, struct now now);
void run_free(struct run *r);
/* Applies an event. -EPROTO: events are missing; the stream has to be attached to again from
 * last_seq. Events that were seen before are ignored. */
int run_event(struct run *r, const struct task_event *ev, struct now now, struct err *err);
/* Ends the attempt without an end event. reason is a constant; message is copied. may_go_on: it may
 * still run there, and is to be cancelled. */
void run_fail(struct run *r, const char *reason, const char *message, bool may_go_on,
              struct now now);
/* What is written next is smaller, or comes later. */
void run_status_refused(struct run *r, enum run_refusal why, const char *message, struct now now);
/* Drops all output but the end. Not of one that is over or reading. */
void run_drop_output(struct run *r);
/* The agent is to be asked for all events of an attempt that has ended. */
void run_read_again(struct run *r);
/* What that may take in memory. */
size_t run_memory_to_read(const struct run *r);
size_t run_memory(const struct run *r);
/* When its agent is to have ended it; INT64_MAX: never. */
int64_t run_deadline_ns(const struct run *r);
/* Whether the agent may still run it, as far as it has told. */
bool run_may_go_on(const struct run *r);

#endif
