/*
 * What people see of the world from outside: gauges for /metrics, and for /debug/state why a key
 * does not get on. Only reads.
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

/* Pools, sandboxes, tasks and pods by what they are in, and the longest wait. */
void observe_metrics(const struct world *w, struct now now, struct buf *out);
/* Members of the object that is open: keys that failed, writes and attempts under way. */
void observe_state(const struct world *w, const struct executor *x, struct now now,
                   struct json_writer *jw);
/* All that is known of one key of the queue, "sandbox/NAMESPACE/NAME", as an object. parked: it
 * stands aside until writes of its namespace are answered. false: it is no such key, and nothing
 * was written. */
bool observe_key(const struct world *w, const struct executor *x, const char *key, bool parked,
                 struct now now, struct json_writer *jw);

#endif
