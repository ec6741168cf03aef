/*
 * Task: spec and state as the planner needs them. The steps stay the JSON text that the API server
 * sent; only the sidecar takes them apart. A final task keeps no steps: most tasks in a cluster are
 * history. Nor does one keep steps of more than TASK_STEPS_KEPT bytes: they are read from the API
 * server when it starts (api_task_whole).
 */
#ifndef ARL_OPERATOR_API_TASK_H
#define ARL_OPERATOR_API_TASK_H

#include "operator/api/condition.h"
#include "operator/api/meta.h"

/* Names, times, conditions: everything of a status but the output; for each step below. */
#define TASK_STATUS_BYTES 4096u
#define TASK_STATUS_STEP_BYTES 256u
/* State, exit code, times, one condition and a sentence. */
#define TASK_STATUS_LEAST 2048u

#define TASK_STEPS_KEPT 4096u

enum task_state {
    TASK_STATE_NONE, /* never written: new */
    TASK_PENDING,    /* waits */
    TASK_RUNNING,
    TASK_SUCCEEDED, /* final */
    TASK_FAILED,    /* final */
};
const char *task_state_str(enum task_state s);

struct task {
    struct meta meta;
    char *sandbox;       /* spec.sandboxRef, a name; NULL: invalid */
    char *steps_json;    /* spec.steps; NULL: final, invalid or apart */
    char **step_names;   /* one for each step, never NULL; NULL as steps_json */
    bool steps_apart;    /* the steps are not kept */
    size_t step_count;   /* 1..LIMIT_STEPS unless invalid or final */
    int64_t timeout_ms;  /* -1: not given */
    int64_t retries;     /* 0..LIMIT_RETRIES */
    int64_t ttl_s;       /* -1: kept */
    bool cancel;         /* it is to be stopped, or never to begin */
    char *trace_id;      /* NULL: none */
    char *invalid;       /* why the spec cannot be run; NULL: it can */
    size_t spec_bytes;   /* of the object as it is stored, without its status; 0: final */
    bool too_large;      /* beside it there is no room for the ends of the steps: never started */
    bool unwritable;     /* too_large, and there is no room for any status at all */
    char *attempts_json; /* the elements of status.attempts, comma-separated; NULL: none */
    int64_t attempt;     /* status.attempt: the one to run; 0 until written, which means 1 */
    char *sandbox_uid;   /* status: where it was started; NULL: not written */
    enum task_state state;
    int64_t start_wall_ns;      /* status; 0: none */
    int64_t completion_wall_ns; /* status; 0: none */
    bool open_seen;             /* planned before it was final; kept over updates */
    int64_t ended_mono_ns;      /* planned as final since then, if so; kept over updates */
    struct condition finished;
};

/* The same kind, with all steps kept. */
extern const struct api_kind api_task_whole;

bool task_final(const struct task *t);
/* Takes the names out of the task. */
char **task_take_step_names(struct task *t);

#endif
