/*
 * Pod: the few things that the planners need to know of one, out of some kilobytes of JSON. Only
 * pods of warm pools are watched (they carry POD_LABEL_POOL).
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
/* Pods outlive flags and releases: where their agent listens and what it speaks stands in them. */
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
    int agent_port;      /* annotation; AGENT_PORT_OLD where it is absent or no port */
    int wire_version;    /* annotation; WIRE_VERSION_OLD where it is absent or no number */
    char *pool_uid;      /* annotation: of the pool that it was made for; see sealed */
    char *seal;          /* annotation */
    char *agent_key;     /* as channel_key_format() has it; NULL: arl-init has not told it */
    char *ip;
    char *node;
    enum pod_phase phase;
    bool ours;                   /* made by this operator: the world has looked at its seal */
    bool sealed;                 /* it bears a seal, be it ours; the world drops the texts */
    bool told;                   /* not ours, and its pool has an Event of it */
    bool owned;                  /* by anything */
    bool allocated;              /* label */
    bool ready;                  /* condition */
    int64_t ready_since_wall_ns; /* since when it is so, or is not */
    /* Why it will not get ready by itself, for people: a container that waits with an error, that
     * has ended, or the pod's own reason. NULL: nothing is wrong so far. */
    char *trouble_reason;
    char *trouble_message;
    /* Why it will never be of use (again) although it has not ended, for people; NULL: it may. */
    char *broken;
    bool was_ready;          /* at some time, as far as its status or this process knows */
    bool has_restarted;      /* any of its containers */
    bool lacks_runner;       /* all of them run, and its agent is not ready */
    int64_t restarts;        /* of the user's containers together */
    char *restarted;         /* one of those that have; NULL: none has */
    char *restart_why;       /* how it had ended; NULL: not known */
    char *disruption;        /* why somebody ends it: an eviction, a taint, ...; NULL: not known */
    int64_t unready_mono_ns; /* since when a planner knows that it lost its readiness; 0: not */
    uint32_t marks;          /* what it is to its pool: of the world, see operator/core/shelf.h */
};

/* Ended, evicted or lost: it will never be ready again. */
bool pod_terminal(const struct pod *p);
/* This operator and the agent in it can talk: it is of the same wire version, and has a key. */
bool pod_speaks(const struct pod *p);
/* Belongs to its pool and to nobody else. */
bool pod_idle(const struct pod *p);

/* Ours, and nobody's any more: as all that pod_build() makes has an
 * owner, somebody has deleted the owner, pool or sandbox, alone (--cascade=orphan). */
bool pod_orphan(const struct pod *p);

/* Idle, and as an operator has made them that did not seal its pods. */
bool pod_unsealed(const struct pod *p);

/*
 * The merge patch that makes the Sandbox the owner of an idle pod: labels and owner reference, with
 * the pod's resourceVersion, so that it fails with Conflict when anybody touched the pod since.
 */
int pod_claim_patch(const struct pod *p, const struct meta *sandbox, struct buf *out);

#endif
