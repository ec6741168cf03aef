/*
 * Shows the world to people: gauges for /metrics, and for /debug/state the reason why a key makes
 * no progress. It only reads.
 *
 * Limits: no metric has labels of objects, so the number of series is fixed; lists in the debug
 * state have OBSERVE_LIST_MAX elements at most, and say how many there are in all.
 */
#ifndef ARL_OPERATOR_APP_OBSERVE_H
#define ARL_OPERATOR_APP_OBSERVE_H

#include "common/base/json.h"
#include "operator/core/world.h"

#define OBSERVE_LIST_MAX 50

struct executor;

/* Pools, sandboxes, tasks and pods by their states, and the longest wait. */
void observe_metrics(const struct world *w, struct now now, struct buf *out);
/* Writes members of the open JSON object: failed keys, and writes and attempts under way. */
void observe_state(const struct world *w, const struct executor *x, struct now now,
                   struct json_writer *jw);
/* Writes all that is known of one key of the queue, such as "sandbox/NAMESPACE/NAME", as an object.
 * parked: the key waits until writes of its namespace are answered. false: there is no such key,
 * and nothing was written. */
bool observe_key(const struct world *w, const struct executor *x, const char *key, bool parked,
                 struct now now, struct json_writer *jw);

#endif
