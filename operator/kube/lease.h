/*
 * Leader election by a Lease object, with the rules of client-go: the lease lasts 15 s. The leader
 * renews it every 2 s, and stops leading after 10 s without success (lease_step.[ch]). Only the
 * local monotonic time since the last seen change of the record counts. A process that waits
 * watches the record, so it takes a released lease within milliseconds.
 *
 * A lease does not fence: two processes may act for a moment, and every effect must be safe then.
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
    /* The lease was lost: stop acting. It comes at most once, and only after on_leading(). The lost
     * lease does not try again: end the process, or free the lease and make a new one. */
    void (*on_lost)(void *arg);
    /* For the log: who leads now, and errors. level is enum log_level. May be NULL. */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

struct lease *lease_new(struct ops *ops, const struct lease_opts *opts);
void lease_free(struct lease *l); /* does not release the lease */
/* Whether this process holds the lease now: also checks the clock, as the process may have been
 * stopped. */
bool lease_leading(const struct lease *l);
/* Releases a held lease, so that the next leader need not wait until it expires. cb is always
 * called, from the loop: when the release is written, when it has failed, or after
 * LEASE_RELEASE_MS. */
void lease_release(struct lease *l, void (*cb)(void *arg), void *arg);

#endif
