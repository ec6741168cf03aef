/*
 * Does the actions that planners return, over ops. Its answers go back: objects into the stores,
 * keys into the queue, errors into the state that planners read. Every write has a ledger entry,
 * from before it is sent until its outcome is known. When an answer is lost, the executor reads the
 * object until it knows whether the write took place.
 */
#ifndef ARL_OPERATOR_APP_EXECUTOR_H
#define ARL_OPERATOR_APP_EXECUTOR_H

#include "common/base/buf.h"
#include "common/base/metrics.h"
#include "operator/core/plan.h"
#include "operator/seam/ops.h"

struct executor;
struct sidecar_client;
struct events;
struct json_writer;

#define EXECUTOR_DEBUG_MAX 50

struct executor *executor_new(struct ops *ops, struct world *w, struct sidecar_client *agents,
                              struct events *events);
/* Cancels all calls under way; the outcome of their writes stays unknown. */
void executor_free(struct executor *x);
/* Does the action that planning `key` (a queue key) returned. */
void executor_do(struct executor *x, const char *key, const struct action *a);
/* Reads an object back into the store, as ACTION_READ does, and has `key` planned then. */
void executor_read(struct executor *x, const char *key, const struct api_kind *kind, const char *ns,
                   const char *name);
void executor_metrics(const struct executor *x, struct buf *out);
/* Writes the member "writes" of the open JSON object: the writes under way, the oldest first, at
 * most EXECUTOR_DEBUG_MAX. key: only the writes of this key of the queue; NULL: all. */
void executor_debug(const struct executor *x, const char *key, struct now now,
                    struct json_writer *w);

#endif
