/*
 * What any request to the agent in a pod needs: where it listens, the path of an attempt, and a
 * signature.
 */
#ifndef ARL_OPERATOR_AGENT_H
#define ARL_OPERATOR_AGENT_H

#include "common/err.h"
#include "common/signature.h"
#include "operator/core/world.h"
#include "operator/ops.h"
#include "operator/signing.h"

#define AGENT_PATH_MAX 256

/* Set path (and query), then sign; target and headers go into the request. */
struct agent_request {
    char path[AGENT_PATH_MAX];
    char query[32];
    char target[AGENT_PATH_MAX + 32];
    char lines[6][SIGNATURE_HEADER_MAX + 32];
    const char *headers[7];
};

int agent_sign(struct ops *ops, const struct signing_keys *keys, const struct run_target *t,
               const char *method, const void *body, size_t body_len, struct agent_request *ret,
               struct err *err);
/* ret has AGENT_PATH_MAX bytes. */
void agent_task_path(char *ret, const char *task_uid, int64_t attempt);
/* t may be NULL: nothing of a task. */
struct run_target agent_target(const struct task *t, const struct sandbox *s, const struct pod *p);
char *agent_address(const struct pod *p);
/* A pod whose containers all begin anew, as after a restart of its node, gets another address.
 * false: the pod is no more. */
bool agent_follow(const struct world *w, const char *ns, struct run_target *t);

#endif
