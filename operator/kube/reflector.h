/*
 * Keeps a store equal to what the API server has: list, then watch, for ever (client-go's
 * reflector). The decisions are a pure state machine (watch_step.[ch]); this file does its actions
 * over ops.
 *
 * Lists come in pages, and not as a watch (sendInitialEvents). Such a watch saves the API server
 * memory for lists of many megabytes at a time; pages bound the memory of both sides. Servers
 * without that feature, or with the feature turned off, need pages anyway.
 *
 * Callbacks come from the loop. on_synced is called once, after the first complete list.
 */
#ifndef ARL_OPERATOR_KUBE_REFLECTOR_H
#define ARL_OPERATOR_KUBE_REFLECTOR_H

#include "operator/api/meta.h"
#include "operator/kube/client.h"
#include "operator/kube/store.h"
#include "operator/seam/ops.h"

struct reflector;

struct reflector_stats {
    uint64_t lists;
    uint64_t watches;
    uint64_t events;
    uint64_t errors;
    uint64_t failures[KUBE_NO_ANSWER + 1]; /* of lists and watches, by reason */
    uint64_t repairs;  /* changes that a list found and the watches before it had missed */
    const char *state; /* name of the state machine's state */
};

struct reflector_opts {
    const struct api_kind *kind;
    const char *ns;   /* NULL: all namespaces */
    const char *name; /* only the object of this name; NULL: all */
    struct store *store;
    void (*on_synced)(void *arg);
    /* A line for the log: an error or a change. level is enum log_level. May be NULL. */
    void (*on_note)(void *arg, int level, const char *kind, const char *msg);
    void *arg;
};

struct reflector *reflector_new(struct ops *ops, const struct reflector_opts *opts);
void reflector_free(struct reflector *r); /* cancels what is under way */
bool reflector_synced(const struct reflector *r);
/* Begins a new watch at once, because the credentials have changed. */
void reflector_kick(struct reflector *r);
/* An outage of the API server has begun or is over: a reflector that waits for its back-off sends
 * its request now. */
void reflector_gate_turned(struct reflector *r);
void reflector_stats(const struct reflector *r, struct reflector_stats *ret);

#endif
