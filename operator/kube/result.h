/*
 * The answer to a request to the Kubernetes API. Callers switch on its `reason`, which follows
 * Status.reason and not the HTTP code: Conflict and AlreadyExists are both 409,
 * NamespaceTerminating and quota both 403.
 */
#ifndef ARL_OPERATOR_KUBE_RESULT_H
#define ARL_OPERATOR_KUBE_RESULT_H

#include "operator/api/meta.h"

enum kube_reason {
    KUBE_OK,
    KUBE_NOT_FOUND,
    KUBE_ALREADY_EXISTS,
    KUBE_CONFLICT,
    KUBE_INVALID,               /* 400, 422...: the same request will never be accepted */
    KUBE_TOO_LARGE,             /* 413, or 500 by etcd's limit: a smaller object may be accepted */
    KUBE_FORBIDDEN,             /* 403 of other kinds (RBAC) */
    KUBE_NAMESPACE_TERMINATING, /* 403 with cause NamespaceTerminating */
    KUBE_QUOTA_EXCEEDED,        /* 403 "exceeded quota" */
    KUBE_GONE,                  /* 410 */
    KUBE_UNAUTHORIZED,          /* 401 */
    KUBE_TOO_MANY_REQUESTS,     /* 429, see retry_after_ms */
    KUBE_WEBHOOK_FAILED,        /* 500: an admission webhook of the cluster did not answer */
    KUBE_SERVER_ERROR,          /* 5xx and anything else with a status */
    KUBE_NO_ANSWER, /* the request has not arrived, or nobody knows whether the server acted */
};
const char *kube_reason_str(enum kube_reason r);

struct kube_result {
    enum kube_reason reason;
    int http_status;        /* 0: no answer */
    bool maybe_applied;     /* not KUBE_OK, and the server may have acted nevertheless */
    int64_t retry_after_ms; /* -1: not given */
    const char *message; /* for people: Status.message or the transport's error; "" when KUBE_OK */
    struct meta *object; /* KUBE_OK: the object of the answer, decoded; owned by the result:
                          * kube_result_take_object() takes it over. NULL for deletes and for kinds
                          * without decode(). */
};
struct meta *kube_result_take_object(struct kube_result *res);

#endif
