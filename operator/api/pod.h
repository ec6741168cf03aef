/*
 * Pod: the few values that the planners need, out of some kilobytes of JSON. Only pods of warm
 * pools are watched (those with the label POD_LABEL_POOL).
 */
#ifndef ARL_OPERATOR_API_POD_H
#define ARL_OPERATOR_API_POD_H

#include "operator/api/meta.h"

struct buf;

#define POD_LABEL_POOL "arl.infra.io/pool"
#define POD_LABEL_STATUS "arl.infra.io/status" /* idle or allocated */
#define POD_LABEL_SANDBOX "arl.infra.io/sandbox"
#define POD_ANNOTATION_HASH "arl.infra.io/template-hash"
#define POD_ANNOTATION_WORK_DIR "arl.infra.io/work-dir"
#define POD_ANNOTATION_KEY_ID "arl.infra.io/signing-key"
/* A pod outlives flags and releases, so it has the port and the protocol of its own agent. */
#define POD_ANNOTATION_PORT "arl.infra.io/agent-port"
#define POD_ANNOTATION_WIRE "arl.infra.io/wire-version"

#define POD_ANNOTATION_POOL_UID "arl.infra.io/pool-uid"
#define POD_ANNOTATION_SEAL "arl.infra.io/seal" /* see pod_seal.h */

#define POD_INIT "arl-init"      /* name of the init container that makes the agent's key */
#define POD_COPY "arl-workspace" /* name of the one that copies the image's files */
#define POD_SIDECAR "sidecar"    /* name of the container that runs arl-sidecar */

enum pod_phase {
    POD_PENDING,
    POD_RUNNING,
    POD_SUCCEEDED,
    POD_FAILED,
    POD_UNKNOWN,
};

struct pod {
    struct meta meta;
    char *pool;          /* label */
    char *sandbox;       /* the controller's name, else the label; NULL: idle */
    char *owner_kind;    /* of the controller, NULL: none */
    char *owner_uid;     /* of the controller, NULL: none */
    char *template_hash; /* annotation */
    char *work_dir;      /* annotation */
    char *key_id;        /* annotation */
    int agent_port;      /* annotation; AGENT_PORT_OLD if it is absent or not a port */
    int wire_version;    /* annotation; WIRE_VERSION_OLD if it is absent or not a number */
    char *pool_uid;      /* annotation: the UID of the pool that it was made for; see sealed */
    char *seal;          /* annotation */
    char *agent_key;     /* as text of channel_key_format(); NULL: arl-init has not reported it */
    char *ip;
    enum pod_phase phase;
    bool ours;      /* made by an operator of this cluster: the world has checked its seal */
    bool sealed;    /* it has a seal, ours or another; the world frees the texts */
    bool told;      /* not ours, and an Event of its pool has reported it */
    bool owned;     /* it has an owner of any kind */
    bool allocated; /* label */
    bool ready;     /* condition */
    int64_t ready_since_wall_ns; /* when `ready` changed last */
    /* Why it does not become ready, for people: a container waits with an error or has ended, or
     * the pod's own reason. NULL: nothing is wrong so far. */
    char *trouble_reason;
    char *trouble_message;
    /* Why it will never be usable (again) although it has not ended, for people; NULL: it may be.
     */
    char *broken;
    bool was_ready;     /* it was ready before, by its status or by what this process has seen */
    bool has_restarted; /* any of its containers has restarted */
    bool lacks_runner;  /* all containers run, and its agent is not ready */
    int64_t restarts;   /* of all containers of the user together */
    char *restarted;    /* the name of one that has restarted; NULL: none */
    char *restart_why;  /* how that container had ended; NULL: not known */
    char *disruption;   /* why somebody ends the pod: an eviction, a taint, ...; NULL: not known */
    int64_t
        unready_mono_ns; /* since when a planner knows that it is not ready any more; 0: not so */
    uint32_t marks;      /* its marks, kept by the world: see operator/core/shelf.h */
};

/* Ended, evicted or lost: it will never be ready again. */
bool pod_terminal(const struct pod *p);
/* Whether this operator and the agent can talk: the same wire version, and a known key. */
bool pod_speaks(const struct pod *p);
/* Whether it belongs to its pool and to no sandbox. */
bool pod_idle(const struct pod *p);

/* Whether it is ours and has no owner any more. pod_build() gives every pod an owner, so somebody
 * has deleted the owner (pool or sandbox) with --cascade=orphan. */
bool pod_orphan(const struct pod *p);

/* Whether it is idle, and looks like a pod of a release that did not seal its pods. */
bool pod_unsealed(const struct pod *p);

/*
 * Writes the merge patch that makes the Sandbox the owner of an idle pod: labels and owner
 * reference, with the pod's resourceVersion. So it fails with Conflict if anybody has changed the
 * pod meanwhile.
 */
int pod_claim_patch(const struct pod *p, const struct meta *sandbox, struct buf *out);

#endif
