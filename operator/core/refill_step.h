/*
 * When a pool's missing pods are made, and how many at once (pure).
 *
 * - No claim is near: CREATES_AT_ONCE creates may be under way, or as many as the API server takes,
 *   and no more than AMONG_CLAIMS while claims of other pools come. That number is the width. A
 *   slow or failed create halves it, once for all that were under way together. It grows by one
 *   when as many creates as the width were answered quickly.
 * - Claims come (one is under way, or was answered in the last CALM): each answered claim lets one
 *   pod be made, so that refills go as fast as claims, and never in a wave. At most AMONG_CLAIMS
 *   creates are under way; that is the width from then on. A pod that has been missing for longer
 *   is made when REST times what a create takes is over since the last of them was begun,
 *   or three seconds.
 * - A burst (more than AMONG_CLAIMS claims are under way, or were in the last CALM): no creates.
 *   After REFILL_HOLD_MAX one at a time, so that claims without end do not empty the pool.
 * - More sandboxes wait than there are pods to take: CREATES_AT_ONCE, whatever else is the case.
 *
 * Idle pods that are outdated or too many are deleted, and each that goes costs the cluster as much
 * as a claim. So while claims of any pool come, a pool deletes one after the other, and each only
 * when REST times what the one before took is over, three seconds at most. A pod whose
 * delete is refused is tried again, together with as many others as were refused in a row: else it
 * would hold up all that are to go after it.
 *
 * A create is slow if the pool gets pods at a fourth, or less, of the rate that the quickest create
 * would give, one after the other. So creates are not slow when they only wait for each other.
 */
#ifndef ARL_OPERATOR_CORE_REFILL_STEP_H
#define ARL_OPERATOR_CORE_REFILL_STEP_H

#include "common/base/clock.h"

#define CREATES_AT_ONCE 16 /* per pool: the API server serves others, too */
#define AMONG_CLAIMS 4     /* half of the requests that go at once at the start: send_window.h */

/* Kept for a pool. Begins as {0}. */
struct refill {
    int64_t claim_mono_ns;        /* when the last claim was answered; 0: none was */
    int64_t claims_since_mono_ns; /* since when claims come; 0: none is near */
    int64_t burst_since_mono_ns;  /* since when there is a burst; 0: there is none */
    int64_t burst_mono_ns;        /* when so many claims were last under way */
    unsigned owed;                /* pods that answered claims let be made */
    int64_t more_mono_ns; /* when the next of those may be made that no claim lets be made */
    unsigned width;       /* 0: nothing is known yet, so it is CREATES_AT_ONCE */
    unsigned quick;       /* quick answers since the width has changed */
    int64_t narrowed_mono_ns;
    int64_t took_ns; /* the last create, divided by those under way with it */
    int64_t best_ns; /* the quickest create of late */
    int64_t best_mono_ns;
    int64_t delete_took_ns;   /* the last delete */
    int64_t delete_mono_ns;   /* when the next one may begin while claims come */
    unsigned deletes_refused; /* since one was not */
};

/* What a plan of the pool sees. */
struct refill_need {
    size_t missing;  /* pods; a pod that is being claimed is missing, too */
    size_t creating; /* creates under way */
    size_t claims;   /* claims under way */
    bool waited_for; /* more sandboxes wait than there are pods to take */
    bool elsewhere;  /* a claim of any pool is near */
};

/* A claim was answered. taken: the pool has a pod less by it. */
void refill_claimed(struct refill *r, bool taken, int64_t now_mono_ns);
/* A create was answered with the pod. at_once: how many were under way with it. */
void refill_made(struct refill *r, size_t at_once, int64_t begun_mono_ns, int64_t now_mono_ns);
/* A create has failed, not by a refusal of this one pod. */
void refill_failed(struct refill *r, int64_t begun_mono_ns, int64_t now_mono_ns);
/* Call it at each plan, before the next two. */
void refill_see_claims(struct refill *r, size_t claims, int64_t now_mono_ns);
/* How many pods may be made now. *ret_again: when that may be different although nothing else
 * happens; 0: never. Call refill_begun() for each that is. */
size_t refill_room(const struct refill *r, const struct refill_need *need, int64_t now_mono_ns,
                   int64_t *ret_again_mono_ns);
void refill_begun(struct refill *r, int64_t now_mono_ns);
/* How many idle pods may be deleted now that are outdated or too many. deleting: deletes under way.
 * calm_mono_ns: when no claim of any pool will be near; 0: none is. *ret_again: as above. Tell
 * refill_delete_begun() of each one, whatever it is for. */
size_t refill_delete_room(const struct refill *r, size_t deleting, int64_t calm_mono_ns,
                          int64_t now_mono_ns, int64_t *ret_again_mono_ns);
void refill_delete_begun(struct refill *r, int64_t now_mono_ns);
/* A delete was answered, or was not: it took this long. refused: the API server will not have it.
 */
void refill_deleted(struct refill *r, bool refused, int64_t took_ns);
/* When no claim will be near any more, as far as is known. claims: those under way.
 * claim_mono_ns: when the last one was answered (0: none was). 0: none is near. */
int64_t refill_calm_at(size_t claims, int64_t claim_mono_ns, int64_t now_mono_ns);
/* Until when writes of the pool wait that nobody waits for; 0: they do not. At most
 * REFILL_HOLD_MAX. */
int64_t refill_quiet_at(const struct refill *r, const struct refill_need *need,
                        int64_t now_mono_ns);

#endif
