/*
 * What to do about one key of the queue, given the world and the time: pure functions, each rule of
 * the contract in one place. plan() finds what the key stands for and asks pool_plan, sandbox_plan
 * or task_plan.
 */
#ifndef ARL_OPERATOR_CORE_PLAN_H
#define ARL_OPERATOR_CORE_PLAN_H

#include "common/base/clock.h"
#include "operator/core/action.h"
#include "operator/core/world.h"

#define PLAN_POOL "pool"
#define PLAN_SANDBOX "sandbox"
#define PLAN_TASK "task"
#define PLAN_KEY_MAX (META_KEY_MAX + 16)
/* What clocks that are kept in step differ by, and times without fractions. */
#define CLOCKS_DIFFER_MS 2000

/* "sandbox/namespace/name" */
void plan_key(char *buf, const char *prefix, const char *key);
/* Where such a key waits: claims and tasks go first, since a person waits for them. */
enum queue_lane plan_lane(const char *plan_key);

void plan(struct world *w, const char *key, struct now now, struct actions *out);

/* key is "namespace/name"; the object may be gone. */
void pool_plan(struct world *w, const char *key, struct now now, struct actions *out);
void sandbox_plan(struct world *w, const char *key, struct now now, struct actions *out);
void task_plan(struct world *w, const char *key, struct now now, struct actions *out);

/* How long after so many (1 and more) tries that came to nothing the next one waits, of a pool to
 * make a pod or of a sandbox to take one: a second, doubling up to five minutes. */
int64_t plan_backoff_ns(unsigned failures);
/* A pod or its create, begun or found so then, has come to nothing. False: it is part of a failure
 * that is counted already. */
bool plan_pod_failed(struct pool_state *st, int64_t begun_mono_ns);
/* A pod could be made, or none is missing: if others could not be made, that is over. */
void plan_create_ok(struct pool_state *st, int64_t mono_ns);

/* Whether the next one may have something to say, now or later. */
bool plan_pod_suspect(const struct pod *p);
/* Why a pod of ours that has not ended is of no use any more, for people; the caller frees it.
 * NULL: it is, or may be again; *ret_due_mono_ns is when that is to be asked again, 0: when it
 * changes. A pod that was ready, or has restarted, may be not ready for two minutes, counted from
 * when this process heard of it: clocks of nodes do not matter. */
char *plan_pod_broken(struct pod *p, struct now now, int64_t *ret_due_mono_ns);

/*
 * When limit_ns are over since an event of which an object tells in wall time: of the API server's
 * clock, or of an operator before this one. Clocks may differ by PLAN_CLOCKS_DIFFER_NS, so only
 * what was older than that when this process first planned the object counts as time that has
 * passed; of all others the limit is counted from then. So it is never too short.
 */
#define PLAN_CLOCKS_DIFFER_NS (300 * NSEC_PER_SEC)
static inline int64_t plan_deadline(const struct meta *m, int64_t since_wall_ns, int64_t limit_ns)
{
    int64_t age_ns = MAX(m->seen_wall_ns - since_wall_ns - PLAN_CLOCKS_DIFFER_NS, 0);

    return m->seen_mono_ns + limit_ns - age_ns;
}
/* When grace_ns are over since this process has missed what m names. */
static inline int64_t plan_missed_until(struct meta *m, struct now now, int64_t grace_ns)
{
    if (m->missed_mono_ns == 0)
        m->missed_mono_ns = now.mono_ns;
    return m->missed_mono_ns + grace_ns;
}

/* Mono time of a moment given in wall time, for action_after(). */
static inline int64_t plan_mono_of(struct now now, int64_t wall_ns)
{
    return now.mono_ns + MAX(wall_ns - now.wall_ns, 0) + 1;
}

#endif
