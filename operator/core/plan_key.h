/*
 * The keys of the queue: each names an object that is to be planned.
 */
#ifndef ARL_OPERATOR_CORE_PLAN_KEY_H
#define ARL_OPERATOR_CORE_PLAN_KEY_H

#include "operator/api/meta.h"
#include "operator/kube/queue.h"

#define PLAN_POOL "pool"
#define PLAN_SANDBOX "sandbox"
#define PLAN_TASK "task"
#define PLAN_KEY_MAX (META_KEY_MAX + 16)

/* "sandbox/namespace/name" */
void plan_key(char *buf, const char *prefix, const char *key);
/* The lane of such a key: claims and tasks go first, because people wait for them. */
enum queue_lane plan_lane(const char *plan_key);

#endif
