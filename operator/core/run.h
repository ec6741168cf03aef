/*
 * A run: what the events of an attempt under way have told so far. Pure: the sidecar client feeds
 * in events and failures, and task_plan reads.
 *
 *   active --end event / run_fail()--> over --status written--> freed
 *      |                                ^
 *      | end event, output dropped      | end event / run_fail()
 *      v                                |
 *    ended ----run_read_again()----> reading
 *
 * All runs share a budget of memory (struct world). When it is used up, a run drops all but the end
 * of its output (run_drop_output()), and goes on. The agent keeps all events until the result is
 * acknowledged. So when such an attempt has ended, and there is room, its events are read again
 * from the first one.
 */
#ifndef ARL_OPERATOR_CORE_RUN_H
#define ARL_OPERATOR_CORE_RUN_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/wire/task_proto.h"
#include "operator/api/task_result.h"
#include "operator/core/turns.h"

/* A task is given up if its agent has not answered for this time. */
#define AGENT_LOST_MS 60000
/* How much output of an attempt is kept in memory. More is cut, because the Task object could not
 * hold it anyway. */
#define RUN_OUTPUT_MAX LIMIT_TASK_OBJECT_BYTES
/* How much of its output a run keeps that had to drop it. */
#define RUN_TAIL_BYTES TASK_PROGRESS_BYTES
#define RUN_ENDED_TAIL_BYTES 2048u /* the same, after the end, while it waits to be read again */
/* An attempt that has not ended this long after the time limits of its steps is given up, whatever
 * its agent says. Each step adds RUN_STEP_GRACE_MS, because it is killed 2 s after its limit. */
#define RUN_GRACE_MS 15000
#define RUN_STEP_GRACE_MS 3000
/* In this time the agent has to send again what the operator has dropped: at most what fits into a
 * status. */
#define RUN_READ_MS 60000
#define RUN_LIMIT_MAX_MS (100LL * 366 * 24 * 3600 * 1000) /* longer: never */

/* The longest back-off of a final status that the API server refuses for another reason than its
 * size. */
#define RUN_WRITE_WAIT_MAX_MS 300000
/* A status that is too large for the API server is cut to RUN_ROOM_FIRST, and then to a quarter
 * each time. */
#define RUN_ROOM_FIRST (256u << 10)
#define RUN_ROOM_LEAST (16u << 10)

/* Why the API server has refused a final status. */
enum run_refusal {
    RUN_TOO_LARGE,
    RUN_INVALID,
    RUN_FORBIDDEN, /* by RBAC, a policy, a quota, a webhook: it may be accepted later */
};

struct run_target {
    char *ns;
    char *sandbox;
    char *task_uid;
    char *sandbox_uid;
    char *pod_uid;
    char *pod_name;
    char *address; /* of the agent */
    char *key_id;  /* the signing key that the pod knows */
    char *agent_key;
};

struct run {
    struct run_target target;
    struct task_result *result;
    uint64_t last_seq;
    uint64_t output_events;      /* events with output so far */
    uint64_t output_events_told; /* those that the last status write covers */
    int64_t progress_mono_ns;    /* when that write was */
    int64_t begun_mono_ns;
    int64_t begun_wall_ns;
    /* No step can have begun before this time; 0: not known. */
    int64_t earliest_wall_ns;
    bool fresh;               /* this process has begun the attempt */
    int64_t limit_ms;         /* of all steps together; 0: none */
    bool held;                /* not sent yet: its steps are being read */
    int64_t accepted_mono_ns; /* when the first event came; 0: none yet */
    struct turn memory;       /* its part of the budget */
    struct turn read_turn;    /* the part for reading again, granted or waited for */
    struct turn start_turn;   /* while large steps are read and sent, or wait for that */
    struct turn result_turn;  /* while its final status is written, or waits for that */
    struct turn stream_turn;  /* while its stream is open, or waits for that */
    struct list stream_link;  /* in the list of open streams */
    int64_t stream_mono_ns;   /* once open: since when */
    uint64_t output_seen;     /* bytes of output, without those that were read again */
    bool dropped;             /* the output was dropped, except its end */
    bool ended;               /* the end event has come, but output is missing: reason is set */
    bool reading;             /* the events are read again from the first one */
    int64_t read_mono_ns;     /* reading: since when */
    struct task_result *kept; /* reading: the result of the first time */
    bool result_gone;     /* the agent says that it dropped the result; the task is being read */
    int64_t stop_mono_ns; /* since when it is cancelled and its end is waited for; 0: not */
    bool over;
    int64_t over_mono_ns;       /* once over: since when */
    const char *reason;         /* once over; a constant */
    char *message;              /* once over; NULL: made from the result */
    bool retryable;             /* once over: the attempt surely does not run any more */
    bool may_go_on;             /* once over: it was given up, and may still run */
    unsigned refusals;          /* how often the API server has refused the final status */
    size_t room;                /* the most bytes of the status; 0: only the usual limit */
    bool bare;                  /* even that was refused: the status has no steps and no output */
    bool refusal_told;          /* an Event has reported the refusal */
    char *refused_why;          /* the last refusal's message; NULL: none */
    int64_t next_write_mono_ns; /* the status is not written before this time */
    struct list progress_link;  /* in the line of runs that wait to show output */
    void *stream;               /* belongs to the sidecar client */
};

void run_target_done(struct run_target *t);
/* The same sandbox and pod for another task. Takes over task_uid. */
struct run_target run_target_copy(const struct run_target *t, char *task_uid);
/* Takes over the texts of target. */
struct run *run_new(struct run_target target, int64_t attempt, size_t step_count, struct now now);
void run_free(struct run *r);
/* Applies an event. Ignores events that were seen before. -EPROTO: events are missing; the caller
 * has to attach to the stream again from last_seq. */
int run_event(struct run *r, const struct task_event *ev, struct now now, struct err *err);
/* Ends the run without an end event. reason is a constant; message is copied. may_go_on: the
 * attempt may still run in the pod, and has to be cancelled. */
void run_fail(struct run *r, const char *reason, const char *message, bool may_go_on,
              struct now now);
/* The API server has refused the final status: the next one is smaller, or comes later. */
void run_status_refused(struct run *r, enum run_refusal why, const char *message, struct now now);
/* Drops all but the end of the output. Not allowed if r is over or reading. */
void run_drop_output(struct run *r);
/* Begins to read again all events of an attempt that has ended. */
void run_read_again(struct run *r, struct now now);
/* How much memory reading again may take. */
size_t run_memory_to_read(const struct run *r);
size_t run_memory(const struct run *r);
/* When the agent must have ended the attempt, or have sent all of it again; INT64_MAX: never. */
int64_t run_deadline_ns(const struct run *r);
/* Whether the attempt may still run, by all that the agent has told. */
bool run_may_go_on(const struct run *r);

#endif
