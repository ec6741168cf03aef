/*
 * Whether a pod that lives is still of use.
 */
#ifndef ARL_OPERATOR_CORE_PLAN_POD_H
#define ARL_OPERATOR_CORE_PLAN_POD_H

#include "common/base/clock.h"
#include "operator/api/pod.h"

/* Whether plan_pod_broken() may return a reason for this pod, now or later. */
bool plan_pod_suspect(const struct pod *p);
/* Why a pod of ours that has not ended is of no use any more: a text for people, which the caller
 * frees. NULL: the pod can be used, or may become usable again; *ret_due_mono_ns is when to ask
 * again (0: when the pod changes). A pod that was ready, or has restarted, has two minutes to
 * become ready, counted from when this process heard of it: clocks of nodes do not matter. */
char *plan_pod_broken(struct pod *p, struct now now, int64_t *ret_due_mono_ns);

#endif
