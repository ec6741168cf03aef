/*
 * Owns the operator's parts (caches, reflectors, world, executor, sidecar client) and turns the
 * wheel: takes keys from the queue, has them planned, has the plans done. Knows no loop but ops, so
 * that a simulator runs the same code.
 *
 * A manager acts only while it is active (it holds the lease, or needs none) and once every cache
 * has had its first list.
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
    const char *instance; /* who we are, for Events */
    const struct policy *policy;
    const struct signing_keys *keys;
    const struct gate *gate; /* what ops passes through, for /metrics; may be NULL */
    /* Asked before anything is planned: an operator that stood still may have lost its lease before
     * it hears of that. NULL: it may. */
    bool (*may_act)(void *arg);
    void *arg;
};

/* The texts behind opts stay valid until manager_free(). Starts the reflectors. */
struct manager *manager_new(struct ops *ops, const struct manager_opts *opts);
void manager_free(struct manager *m);
void manager_set_active(struct manager *m, bool active);
/* To be called whenever the loop has handed out events, before it waits. */
void manager_turn(struct manager *m);
/* Every cache has had its first list. */
bool manager_synced(const struct manager *m);
/* Starts every watch over: credentials changed. */
void manager_kick(struct manager *m);
/* An outage of the API server has begun or is over: watches and pools that wait to try again do so
 * in the next turn, and stand in line until it is over. */
void manager_gate_turned(struct manager *m);
/* For /metrics and /debug/state. */
void manager_metrics(const struct manager *m, struct buf *out);
void manager_debug(const struct manager *m, struct buf *out);
/* The same of one key, such as "task/NAMESPACE/NAME". false: it is no key, *out is as it was. */
bool manager_debug_key(const struct manager *m, const char *key, struct buf *out);

#endif
