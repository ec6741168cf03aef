/*
 * Owns the operator's parts (caches, reflectors, world, executor, sidecar client) and reconciles:
 * it takes keys from the queue, calls plan() for each, and hands the actions to the executor. It
 * knows no event loop, only ops, so the simulator runs the same code.
 *
 * A manager acts only while it is active (it holds the lease, or needs none), and only after every
 * cache has had its first list.
 */
#ifndef ARL_OPERATOR_APP_MANAGER_H
#define ARL_OPERATOR_APP_MANAGER_H

#include "common/base/buf.h"
#include "operator/agent/signing.h"
#include "operator/core/world.h"
#include "operator/seam/ops.h"

struct gate;
struct manager;

struct manager_opts {
    const char *ns;       /* NULL: all namespaces */
    const char *instance; /* the name of this process, for Events */
    const struct policy *policy;
    const struct signing_keys *keys;
    const struct gate *gate; /* the gate in front of ops, for /metrics; may be NULL */
    /* Asked before anything is planned: a process that was stopped for a while may have lost its
     * lease without knowing it yet. NULL: it may always act. */
    bool (*may_act)(void *arg);
    void *arg;
};

/* The texts behind opts stay valid until manager_free(). Starts the reflectors. */
struct manager *manager_new(struct ops *ops, const struct manager_opts *opts);
void manager_free(struct manager *m);
void manager_set_active(struct manager *m, bool active);
/* Call it whenever the loop has handled its events, before it waits again. */
void manager_turn(struct manager *m);
/* Every cache has had its first list. */
bool manager_synced(const struct manager *m);
/* Begins every watch anew, because the credentials have changed. */
void manager_kick(struct manager *m);
/* An outage of the API server has begun or is over. Watches and pools that wait for their back-off
 * try again in the next turn; during an outage these requests wait in the gate. */
void manager_gate_turned(struct manager *m);
/* For /metrics and /debug/state. */
void manager_metrics(const struct manager *m, struct buf *out);
void manager_debug(const struct manager *m, struct buf *out);
/* The same for one key, such as "task/NAMESPACE/NAME". false: there is no such key, *out is
 * unchanged. */
bool manager_debug_key(const struct manager *m, const char *key, struct buf *out);

#endif
