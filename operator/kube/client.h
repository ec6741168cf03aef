/*
 * The verbs of the Kubernetes API over ops. It builds paths and preconditions, and turns each
 * answer into a struct kube_result.
 *
 * Each call answers exactly once through its callback, from the loop, unless it is cancelled.
 * Inputs are copied. Every call is limited to KUBE_CALL_TIMEOUT_MS. Writes carry
 * KUBE_FIELD_MANAGER. A call has ended when its callback begins: cancelling it inside does nothing.
 */
#ifndef ARL_OPERATOR_KUBE_CLIENT_H
#define ARL_OPERATOR_KUBE_CLIENT_H

#include "operator/api/meta.h"
#include "operator/kube/result.h"
#include "operator/seam/ops.h"

#define KUBE_CALL_TIMEOUT_MS 30000
#define KUBE_FIELD_MANAGER "arl-operator"

typedef void kube_done_fn(void *arg, struct kube_result *res);

/* What a request is for. If many requests wait for a connection, they go in this order; those of
 * one purpose go by namespaces in turn. */
enum kube_purpose {
    KUBE_TO_LEAD,     /* the lease, and requests that everything depends on */
    KUBE_TO_FINISH,   /* a client waits for it already: a status after a claim, a read */
    KUBE_TO_CLAIM,    /* a pod for a sandbox */
    KUBE_TO_REPORT,   /* the progress of a task, and its end */
    KUBE_TO_REFILL,   /* a pod for a pool */
    KUBE_TO_CLEAN_UP, /* deletes */
    KUBE_TO_TELL,     /* a pool's status, Events */
};

/* done may be NULL for calls whose outcome does not matter. */
struct kube_call;
struct kube_call *kube_get(struct ops *ops, enum kube_purpose purpose, const struct api_kind *kind,
                           const char *ns, const char *name, kube_done_fn *done, void *arg);
struct kube_call *kube_create(struct ops *ops, enum kube_purpose purpose,
                              const struct api_kind *kind, const char *ns, const char *body,
                              kube_done_fn *done, void *arg);
/* Merge patch; subresource NULL or "status". Put metadata.resourceVersion (and uid) into the body
 * for a compare-and-swap. */
struct kube_call *kube_patch(struct ops *ops, enum kube_purpose purpose,
                             const struct api_kind *kind, const char *ns, const char *name,
                             const char *subresource, const char *body, kube_done_fn *done,
                             void *arg);
/* uid and rv are preconditions; NULL: none. grace_s -1: the object's own grace period. */
struct kube_call *kube_delete(struct ops *ops, enum kube_purpose purpose,
                              const struct api_kind *kind, const char *ns, const char *name,
                              const char *uid, const char *rv, int grace_s, kube_done_fn *done,
                              void *arg);
void kube_cancel(struct kube_call *call);

#endif
