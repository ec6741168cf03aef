/*
 * Errands: requests to agents beside the streams of tasks. They cancel attempts, acknowledge
 * results, and audit which attempts run in a pod. The diagram is in errands.c.
 */
#ifndef ARL_OPERATOR_AGENT_ERRANDS_H
#define ARL_OPERATOR_AGENT_ERRANDS_H

#include "common/base/sm.h"
#include "operator/agent/agent_call.h"
#include "operator/core/world.h"
#include "operator/seam/ops.h"

struct errands;

/* Of an errand; each move is logged. */
extern const struct sm_table errand_table;

struct errands *errands_new(struct ops *ops, struct world *w, struct agent_caller *agents);
void errands_free(struct errands *es);

/* Both take over the texts of target. A cancel is repeated until the attempt is over or its pod is
 * gone. */
void errands_cancel(struct errands *es, const char *ns, struct run_target target, int64_t attempt);
void errands_ack(struct errands *es, struct run_target target, int64_t attempt);
/* See sidecar_client_audit(). */
void errands_audit(struct errands *es, const char *ns, const char *sandbox);
uint64_t errands_cancels(const struct errands *es);

#endif
