/*
 * Task: spec and state as the planner needs them. The steps stay the JSON text that the API server
 * sent; only the sidecar decodes them. The steps of a final task are not kept, because most tasks
 * of a cluster are final. Steps of more than TASK_STEPS_KEPT bytes are not kept either: they are
 * read from the API server when the task starts (api_task_whole).
 */
#ifndef ARL_OPERATOR_API_TASK_H
#define ARL_OPERATOR_API_TASK_H

#include "operator/api/condition.h"
#include "operator/api/meta.h"

/* Room for names, times and conditions: all of a status but the output; and for each step. */
#define TASK_STATUS_BYTES 4096u
#define TASK_STATUS_STEP_BYTES 256u
/* Room for the smallest status: state, exit code, times, one condition and a sentence. */
#define TASK_STATUS_LEAST 2048u

#define TASK_STEPS_KEPT 4096u

enum task_state {
    TASK_STATE_NONE, /* never written: new */
    TASK_PENDING,    /* waits */
    TASK_RUNNING,
    TASK_SUCCEEDED, /* final */
    TASK_FAILED,    /* final */
};
#define TASK_STATES (TASK_FAILED + 1)
const char *task_state_str(enum task_state s);

struct task {
    struct meta meta;
    char *sandbox;       /* spec.sandboxRef, a name; NULL: invalid */
    char *steps_json;    /* spec.steps; NULL: final, invalid or apart */
    char **step_names;   /* one for each step, none NULL; NULL if steps_json is */
    bool steps_apart;    /* the steps are not kept */
    size_t step_count;   /* 1..LIMIT_STEPS unless invalid or final */
    int64_t timeout_ms;  /* -1: not given */
    int64_t retries;     /* 0..LIMIT_RETRIES */
    int64_t ttl_s;       /* -1: kept */
    bool cancel;         /* stop it, or never begin it */
    char *trace_id;      /* NULL: none */
    char *invalid;       /* why the spec cannot be run; NULL: it can */
    size_t spec_bytes;   /* of the object as it is stored, without its status; 0: final */
    bool too_large;      /* etcd has no room for the ends of its steps: never started */
    bool unwritable;     /* too_large, and etcd has no room for any status */
    char *attempts_json; /* the elements of status.attempts, comma-separated; NULL: none */
    int64_t attempt;     /* status.attempt: the one to run; 0 until written, which means 1 */
    char *sandbox_uid;   /* status: the sandbox where it was started; NULL: not written */
    enum task_state state;
    int64_t start_wall_ns;      /* status; 0: none */
    int64_t completion_wall_ns; /* status; 0: none */
    bool open_seen;             /* planned before it was final; kept over updates */
    int64_t ended_mono_ns;      /* when it was first planned as final; kept over updates */
    struct condition finished;
};

/* The same kind, with all steps kept. */
extern const struct api_kind api_task_whole;

bool task_final(const struct task *t);
/* Takes the names out of the task. */
char **task_take_step_names(struct task *t);

#endif
