/*
 * What every request to a pod's agent needs: the address, the sandbox that the request is for, and
 * the path of an attempt.
 */
#ifndef ARL_OPERATOR_AGENT_AGENT_H
#define ARL_OPERATOR_AGENT_AGENT_H

#include "operator/core/world.h"

#define AGENT_PATH_MAX 256

/* ret has AGENT_PATH_MAX bytes. */
void agent_task_path(char *ret, const char *task_uid, int64_t attempt);
/* t may be NULL, if the request is not about a task. */
struct run_target agent_target(const struct task *t, const struct sandbox *s, const struct pod *p);
char *agent_address(const struct pod *p);
/* Updates the address of t: a pod whose containers all start again, as after a restart of its node,
 * gets another one. false: the pod does not exist any more. */
bool agent_follow(const struct world *w, const char *ns, struct run_target *t);

#endif
