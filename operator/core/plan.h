/*
 * Reconciles one key of the queue: functions that decide from the world and the time what to do.
 * Each rule of the contract is in one place. plan() finds the kind of the key, and calls
 * pool_plan(), sandbox_plan() or task_plan().
 *
 * A plan only decides. It may note in the state of its object what it sees: since when the object
 * is known, that a pod is missing, that a run has failed. What is true only when an action is done
 * is noted by plan_begun(), when the executor begins the action. So planning a key twice at the
 * same moment gives the same actions, and plan_check() makes sure of that.
 */
#ifndef ARL_OPERATOR_CORE_PLAN_H
#define ARL_OPERATOR_CORE_PLAN_H

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "operator/core/action.h"
#include "operator/core/plan_key.h"
#include "operator/core/plan_pod.h"
#include "operator/core/world.h"

/* How far synchronized clocks may differ, with times that have no fractions of a second. */
#define CLOCKS_DIFFER_MS 2000

void plan(struct world *w, const char *key, struct now now, struct actions *out);
/* Notes what it means for the state that an action of a plan of the key begins. Call it for each
 * action of the plan, in their order and in the same turn of the loop, before the action is done.
 */
void plan_begun(struct world *w, const char *key, const struct action *a, struct now now);
/* Asserts that another plan of the key gives the same actions. Call it when none of them has begun.
 * For tests, debug builds and the simulator: see world_check(). */
void plan_check(struct world *w, const char *key, struct now now, const struct actions *planned);

/* key is "namespace/name"; the object may be gone. */
void pool_plan(struct world *w, const char *key, struct now now, struct actions *out);
void sandbox_plan(struct world *w, const char *key, struct now now, struct actions *out);
void task_plan(struct world *w, const char *key, struct now now, struct actions *out);

/* Which phase of a Sandbox, and which state of a Task, a plan writes after which. The diagrams are
 * in sandbox_plan.c and task_plan.c; the executor logs each write. The tables are for what is
 * written. A status that comes from the API server is input: it may be any after any other. */
extern const struct sm_table sandbox_table, task_table;

/* The back-off after so many (1 and more) failures in a row: of a pool to make a pod, or of a
 * sandbox to take one. A second, doubling up to five minutes. */
int64_t plan_backoff_ns(unsigned failures);
/* A pod, or its create, has failed. begun_mono_ns: when it was begun, or found. false: it belongs
 * to a wave of failures that is counted already. */
bool plan_pod_failed(struct pool_state *st, int64_t begun_mono_ns);
/* A pod has ended by itself, or is of no use any more and is deleted. */
void plan_pod_ended(struct pool_state *st, int64_t mono_ns);
/* The create of a pod begins. */
void plan_create_begun(struct pool_state *st, int64_t mono_ns);
/* Pods of the pool that are not ours are not told of any more. */
void plan_foreign_told(struct world *w, const struct warmpool *pool);
/* A pod was made, or no pod is missing: earlier failures of creates are over. */
void plan_create_ok(struct pool_state *st, int64_t mono_ns);

/*
 * When limit_ns are over since an event whose wall time an object has (since_wall_ns, by the clock
 * of the API server or of an earlier operator). Clocks may differ by PLAN_CLOCKS_DIFFER_NS. So this
 * much of the age that the event had when this process first planned the object does not count. The
 * limit is never too short; it may be longer by PLAN_CLOCKS_DIFFER_NS.
 */
#define PLAN_CLOCKS_DIFFER_NS (300 * NSEC_PER_SEC)
static inline int64_t plan_deadline(const struct meta *m, int64_t since_wall_ns, int64_t limit_ns)
{
    int64_t age_ns = MAX(m->seen_wall_ns - since_wall_ns - PLAN_CLOCKS_DIFFER_NS, 0);

    return m->seen_mono_ns + limit_ns - age_ns;
}
/* When grace_ns are over since this process first missed the object that m refers to. */
static inline int64_t plan_missed_until(struct meta *m, struct now now, int64_t grace_ns)
{
    if (m->missed_mono_ns == 0)
        m->missed_mono_ns = now.mono_ns;
    return m->missed_mono_ns + grace_ns;
}

/* The monotonic time of a wall time, for action_after(). */
static inline int64_t plan_mono_of(struct now now, int64_t wall_ns)
{
    return now.mono_ns + MAX(wall_ns - now.wall_ns, 0) + 1;
}

#endif
