/*
 * What the pods of a pool are, and who waits for one. A pod bears marks, and the shelf of its pool
 * has the pods of each mark, oldest first. They are kept up to date by what they depend on: each
 * change of a pod, its pool, its sandbox or the ledger. So a plan of the pool, or of a sandbox that
 * waits, costs what it has to do, and not what the pool has.
 *
 * Limit: five words a pod.
 */
#ifndef ARL_OPERATOR_CORE_SHELF_H
#define ARL_OPERATOR_CORE_SHELF_H

#include "operator/core/index.h"

struct pod;
struct sandbox;
struct warmpool;
struct world;

/* A pod that is being deleted bears none. An idle one is of this pool, lives, and has no write
 * under way; it is fresh if it has the present template, signing key and wire version. */
enum pod_mark {
    MARK_FOREIGN,       /* not made by an operator of this cluster; not told of yet, or left by a
                         * release that sealed none */
    MARK_ORPHAN,        /* pod_orphan() */
    MARK_OTHER,         /* idle, but of another pool of this name */
    MARK_BOUND,         /* not idle */
    MARK_BUSY,          /* would be idle, but for a write under way */
    MARK_ENDED,         /* would be idle, but has ended */
    MARK_STALE_UNREADY, /* idle; these four in the order in which they go when there are too many */
    MARK_STALE_READY,
    MARK_FRESH_UNREADY,
    MARK_FRESH_READY,
    MARK_GOOD,      /* fresh, and ready or bound, also with a write under way */
    MARK_CLAIMABLE, /* idle, and a sandbox may have it */
    MARK_SUSPECT,   /* idle, and may be of no use any more: see plan_pod_broken() */
    MARK_TROUBLED,  /* idle, not ready, and says why */
    MARK_SILENT,    /* idle, not ready, and does not say why */
    POD_MARKS,
};
#define POD_MARK(mark) (1u << (mark)) /* in a pod's marks */

struct shelf {
    size_t users; /* pods of the pool, and sandboxes in the line: without them there is no shelf */
    struct index_bucket pods[POD_MARKS];
    /* Sandboxes that wait for a pod of the pool, and stand in the line for it: no write of theirs
     * is under way, and they do not pause after a claim that was refused. */
    struct index_bucket line;
};

/* Never NULL: an empty one for a pool without pods. Valid until the next change. */
const struct shelf *world_shelf(const struct world *w, const char *pool_key);
static inline size_t shelf_count(const struct shelf *s, enum pod_mark mark)
{
    return s->pods[mark].count;
}

/* For who changes what the marks depend on; the objects are in their stores by then. */
/* One has taken the place of the other, which is of the same name; NULL: there was, or is, none.
 * Keeps the indexes of pods in step, too. */
void world_shelve_pod(struct world *w, struct pod *was, struct pod *is);
/* What the marks of this pod depend on has changed. */
void world_mark_pod(struct world *w, struct pod *p);
/* The same, for all pods of a bucket of an index. */
void world_mark_pods(struct world *w, const struct index_bucket *pods);
/* As of pods. */
void world_sandbox_line(struct world *w, struct sandbox *was, struct sandbox *is);
void world_line_sandbox(struct world *w, const char *sandbox_key);
void world_shelves_done(struct world *w);

/* Asserts that all of this is what a count from scratch gives: see world_check(). */
void world_check_shelves(const struct world *w);

#endif
