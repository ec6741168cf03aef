/*
 * What any request to the agent in a pod needs: where it listens and whose it is, and the path of
 * an attempt.
 */
#ifndef ARL_OPERATOR_AGENT_AGENT_H
#define ARL_OPERATOR_AGENT_AGENT_H

#include "operator/core/world.h"

#define AGENT_PATH_MAX 256

/* ret has AGENT_PATH_MAX bytes. */
void agent_task_path(char *ret, const char *task_uid, int64_t attempt);
/* t may be NULL: nothing of a task. */
struct run_target agent_target(const struct task *t, const struct sandbox *s, const struct pod *p);
char *agent_address(const struct pod *p);
/* A pod whose containers all begin anew, as after a restart of its node, gets another address.
 * false: the pod is no more. */
bool agent_follow(const struct world *w, const char *ns, struct run_target *t);

#endif
