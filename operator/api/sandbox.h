/*
 * Sandbox: spec and status as the planner needs them. Variables of more than SANDBOX_ENV_KEPT bytes
 * are not kept: they are read from the API server when a task starts.
 */
#ifndef ARL_OPERATOR_API_SANDBOX_H
#define ARL_OPERATOR_API_SANDBOX_H

#include "operator/api/condition.h"
#include "operator/api/meta.h"

struct buf;

#define SANDBOX_ENV_KEPT 4096u

/* When a client has used the sandbox in another way than by a task (RFC 3339). */
#define SANDBOX_ANNOTATION_USED_AT "arl.infra.io/used-at"
/* A longer text is ignored. */
#define SANDBOX_USED_AT_BYTES 64

enum sandbox_phase {
    SANDBOX_PHASE_NONE, /* never written: new */
    SANDBOX_PENDING,    /* waits for a pod */
    SANDBOX_BOUND,      /* has a pod whose agent does not answer yet */
    SANDBOX_READY,      /* the agent in the pod answers */
    SANDBOX_FAILED,     /* final */
};
#define SANDBOX_PHASES (SANDBOX_FAILED + 1)
const char *sandbox_phase_str(enum sandbox_phase p);

struct sandbox_status {
    enum sandbox_phase phase;
    char *pod_name;
    char *pod_uid;
    char *pod_ip;
    char *work_dir;
    char *agent_key;            /* of the agent in the pod; set with the first Ready */
    int64_t last_task_wall_ns;  /* 0: never used */
    int64_t container_restarts; /* of the pod's user containers, as far as reported */
    int64_t observed_generation;
    struct condition ready;
    struct condition restarted; /* absent until a container has restarted under the sandbox */
};

struct sandbox {
    struct meta meta;
    char *pool; /* spec.poolRef, a name; NULL: invalid */
    bool keep_alive;
    int64_t idle_timeout_s;  /* -1: not given, 0: never */
    int64_t max_lifetime_s;  /* -1: none */
    size_t env_bytes;        /* of spec.env as text; 0: none */
    char *env_json;          /* spec.env as text; NULL: none, or not kept */
    int64_t used_at_wall_ns; /* of the annotation SANDBOX_ANNOTATION_USED_AT; 0: none */
    char *invalid;           /* why the spec cannot be used; NULL: it can */
    bool in_line;            /* kept by the world, see operator/core/shelf.h */
    struct sandbox_status status;
};

/* The same kind, with all variables kept. */
extern const struct api_kind api_sandbox_whole;

/* Whether its variables have to be read from the API server. */
static inline bool sandbox_env_apart(const struct sandbox *s)
{
    return s->env_bytes > 0 && !s->env_json;
}

void sandbox_status_done(struct sandbox_status *s);
void sandbox_status_copy(struct sandbox_status *to, const struct sandbox_status *from);
/* A merge patch of the status subresource. */
int sandbox_status_patch(const struct sandbox *s, const struct sandbox_status *status,
                         struct buf *out);

#endif
