/*
 * A shelf has the pods of a pool by mark, and the sandboxes that wait for one. A mark says what a
 * pod is to its pool. The pods of each mark are in order, oldest first. Each change of a pod, its
 * pool, its sandbox or the ledger updates the marks. So the cost of a plan of the pool, or of a
 * waiting sandbox, depends on what it has to do, and not on the number of pods.
 *
 * Limit: five words for each pod.
 */
#ifndef ARL_OPERATOR_CORE_SHELF_H
#define ARL_OPERATOR_CORE_SHELF_H

#include "operator/core/index.h"

struct pod;
struct sandbox;
struct warmpool;
struct world;

/* A pod that is being deleted has no mark. "Idle": the pod belongs to this pool, lives, and has no
 * write under way. "Fresh": it has the present template, signing key and wire version. */
enum pod_mark {
    MARK_FOREIGN,       /* not made by an operator of this cluster, and no Event has reported
                         * it yet; or left by a release that sealed no pods */
    MARK_ORPHAN,        /* pod_orphan() */
    MARK_OTHER,         /* like idle, but made for an earlier pool of this name */
    MARK_BOUND,         /* not idle, or the status of a sandbox names it */
    MARK_BUSY,          /* like idle, but a write is under way */
    MARK_ENDED,         /* like idle, but it has ended */
    MARK_STALE_UNREADY, /* idle; if there are too many, pods are deleted in the order of these four
                         */
    MARK_STALE_READY,
    MARK_FRESH_UNREADY,
    MARK_FRESH_READY,
    MARK_GOOD,      /* fresh, and ready or bound, also with a write under way */
    MARK_CLAIMABLE, /* idle, and a sandbox may take it */
    MARK_SUSPECT,   /* idle, and perhaps of no use any more: see plan_pod_broken() */
    MARK_TROUBLED,  /* idle, not ready, with a reason in its status */
    MARK_SILENT,    /* idle, not ready, without a reason */
    POD_MARKS,
};
#define POD_MARK(mark) (1u << (mark)) /* in a pod's marks */

struct shelf {
    size_t users; /* pods of the pool, and sandboxes in the line; at 0 the shelf is freed */
    struct index_bucket pods[POD_MARKS];
    /* Sandboxes that wait for a pod of the pool. Those with a write under way, and those that pause
     * after a refused claim, are not in the line. */
    struct index_bucket line;
};

/* Never NULL: a pool without pods has an empty shelf. Valid until the next change. */
const struct shelf *world_shelf(const struct world *w, const char *pool_key);
static inline size_t shelf_count(const struct shelf *s, enum pod_mark mark)
{
    return s->pods[mark].count;
}

/* Called after each change that marks depend on; the objects are in their stores by then. */
/* The pod `is` has taken the place of `was`, which has the same name; NULL: there is, or was, no
 * such pod. Updates the indexes of pods, too. */
void world_shelve_pod(struct world *w, struct pod *was, struct pod *is);
/* Marks this pod anew. */
void world_mark_pod(struct world *w, struct pod *p);
/* Marks all pods of a bucket anew. */
void world_mark_pods(struct world *w, const struct index_bucket *pods);
/* The same for sandboxes and the line. */
void world_sandbox_line(struct world *w, struct sandbox *was, struct sandbox *is);
void world_line_sandbox(struct world *w, const char *sandbox_key);
void world_shelves_done(struct world *w);

/* Asserts that all of this equals a count from scratch: see world_check(). */
void world_check_shelves(const struct world *w);

#endif
