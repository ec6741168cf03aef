/*
 * Leader election by a Lease object, with client-go's rules: a lease of 15 s that the leader renews
 * every 2 s and gives up by itself after 10 s without success (lease_step.[ch]). Only local
 * monotonic time since the record was last seen to change counts. Who waits watches the record, so
 * that one which is given up is taken within milliseconds.
 *
 * A lease does not fence: for a moment two may act, and every effect must be safe then.
 */
#ifndef ARL_OPERATOR_KUBE_LEASE_H
#define ARL_OPERATOR_KUBE_LEASE_H

#include "operator/seam/ops.h"

#define LEASE_RELEASE_MS 2000

struct lease;

struct lease_opts {
    const char *ns;
    const char *name;
    const char *identity; /* unique to this process */
    void (*on_leading)(void *arg);
    /* The lease was lost, at most once, after on_leading(): stop acting. A lost lease is not tried
     * again: end the process, or free it and make a new one. */
    void (*on_lost)(void *arg);
    /* Who leads now, and what goes wrong, for the log; level is enum log_level. May be NULL. */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

struct lease *lease_new(struct ops *ops, const struct lease_opts *opts);
void lease_free(struct lease *l); /* does not release it */
/* Whether it is held, and has not run out by the clock while nobody looked. */
bool lease_leading(const struct lease *l);
/* Gives a held lease up, so that the next one need not wait for its end; cb (always called, from
 * the loop) when that was written, failed, or LEASE_RELEASE_MS have passed. */
void lease_release(struct lease *l, void (*cb)(void *arg), void *arg);

#endif
