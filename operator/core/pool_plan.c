/*
 * The rules of a WarmPool.
 *
 * - spec.replicas counts idle pods. Missing ones are made, surplus ones deleted: outdated ones
 *   first, then the ones that are not ready, then the youngest.
 * - A changed template, another signing key or another wire version replaces idle pods, never so
 *   many at once that fewer than replicas minus max(1, a quarter) are ready. Bound pods are left
 *   alone.
 * - Claims go first. While claims come, pods are made as fast as pods are claimed; in a burst of
 *   claims, and after a slow answer, fewer; for sandboxes that wait, at once: see refill_step.h.
 * - Until a template has brought one ready pod, at most UNPROVEN_PODS are made from it, by all
 *   operators one after the other, and then one at a time, seldom: somebody else may have deleted
 *   them all. After pods that end by themselves and creates that fail there is a back-off that
 *   doubles: once for all that come to nothing before it is over, since an outage or a quota meets
 *   many at once.
 * - Only pods that bear the operator's seal are the pool's (pod_seal.h). Others with its label are
 *   told of and left alone, but for idle ones that an operator before seals has left.
 * - A pod that is of no use any more, such as one whose main container has ended for good, is
 *   replaced, no faster than pods are made then.
 * - Status is written when it changed, at most once a second.
 * - At most DELETES_AT_ONCE deletes of a pool are under way. Each that is answered has the pool
 *   planned again, so the rest goes then. While claims of any pool come, pods that are only
 *   outdated or too many go one by one: see refill_step.h.
 */
#include "operator/core/plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/base/limits.h"

#define STATUS_INTERVAL_NS NSEC_PER_SEC
#define UNPROVEN_PODS 18   /* and two more in the ten minutes after */
#define DELETES_AT_ONCE 16 /* per pool, as creates */
/* A pod that is not ready after this time without giving a reason is reported. */
#define SLOW_POD_NS (120 * NSEC_PER_SEC)
#define FOREIGN_TOLD_NS (60 * NSEC_PER_SEC) /* an Event a pool */
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 300000

/* The counts of the pool's pods from the shelf, without the pods that this plan deletes. */
struct census {
    const struct shelf *shelf;
    const struct pod *going[DELETES_AT_ONCE];
    unsigned going_count;
    unsigned going_max;
    size_t delete_room;   /* how many more may go that are only outdated or too many */
    int64_t more_mono_ns; /* when that may be more; 0: see refill_delete_room() */
    size_t count;         /* idle, alive, without a write under way */
    size_t ready;         /* of those */
    size_t fresh_ready;
    size_t fresh_unready;
    size_t good; /* fresh and ready, or bound: a pod may be bound as soon as it is ready */
    const struct pod *troubled;
    const struct pod *unready; /* the oldest that is not ready and says nothing */
};

static void count_pods(const struct shelf *s, struct census *c)
{
    c->shelf = s;
    c->fresh_ready = shelf_count(s, MARK_FRESH_READY);
    c->fresh_unready = shelf_count(s, MARK_FRESH_UNREADY);
    c->ready = c->fresh_ready + shelf_count(s, MARK_STALE_READY);
    c->count = c->ready + c->fresh_unready + shelf_count(s, MARK_STALE_UNREADY);
    c->good = shelf_count(s, MARK_GOOD);
}

static bool has_mark(const struct pod *p, enum pod_mark mark)
{
    return p->marks & POD_MARK(mark);
}

static void uncount(const struct pod *p, struct census *c)
{
    bool ready = has_mark(p, MARK_FRESH_READY) || has_mark(p, MARK_STALE_READY);
    bool unready = has_mark(p, MARK_FRESH_UNREADY) || has_mark(p, MARK_STALE_UNREADY);

    c->count -= ready || unready;
    c->ready -= ready;
    c->fresh_ready -= has_mark(p, MARK_FRESH_READY);
    c->fresh_unready -= has_mark(p, MARK_FRESH_UNREADY);
    c->good -= has_mark(p, MARK_GOOD);
}

static bool is_going(const struct pod *p, const struct census *c)
{
    for (unsigned i = 0; i < c->going_count; i++)
        if (c->going[i] == p)
            return true;
    return false;
}

/* The oldest that bears the mark and is not deleted by this plan. */
static struct pod *first_staying(const struct census *c, enum pod_mark mark)
{
    const struct index_bucket *b = &c->shelf->pods[mark];

    for (size_t i = 0; i < b->count; i++) {
        struct pod *p = container_of(b->items[i], struct pod, meta);

        if (!is_going(p, c))
            return p;
    }
    return NULL;
}

/* Only as it is known here: another operator may have bound it meanwhile. NULL: there was no room
 * for it in this plan. */
static struct action *delete_pod(const struct pod *p, const char *reason, struct census *c,
                                 struct actions *out)
{
    struct action *a;

    if (c->going_count >= c->going_max)
        return NULL;
    c->going[c->going_count++] = p;
    uncount(p, c);
    a = action_add(out, ACTION_DELETE, &api_pod, &p->meta);
    a->rv = xstrdup(p->meta.rv);
    a->reason = xstrdup(reason);
    a->pool = xstrdup(p->pool);
    return a;
}

/* When no claim of any pool will be near any more; 0: none is. */
static int64_t calm_at(const struct world *w, struct now now)
{
    return refill_calm_at(ledger_count_all(w->ledger, LEDGER_CLAIM), w->claim_mono_ns, now.mono_ns);
}

static void see_deletes(const struct world *w, const char *key, const struct pool_state *st,
                        struct now now, struct census *c)
{
    size_t deleting = ledger_count(w->ledger, LEDGER_DELETE, key);

    c->going_max = deleting < DELETES_AT_ONCE ? DELETES_AT_ONCE - (unsigned)deleting : 0;
    c->delete_room =
        refill_delete_room(&st->refill, deleting, calm_at(w, now), now.mono_ns, &c->more_mono_ns);
}

/* Nothing depends on it: claims go first. */
static bool delete_surplus(const struct pod *p, const char *reason, struct census *c,
                           struct actions *out)
{
    if (c->delete_room == 0) {
        action_after(out, c->more_mono_ns);
        return false;
    }
    c->delete_room--;
    return delete_pod(p, reason, c, out) != NULL;
}

/* The pod that is deleted by `a` has failed; but not if another one has got ready meanwhile.
 * broken: why it is of no use; NULL: it has ended. */
static void delete_failed(struct action *a, const struct pod *p, const char *broken,
                          struct pool_state *then, int64_t mono_ns)
{
    const char *why = p->trouble_message ? p->trouble_message : "its containers exited";

    a->ended = broken ? xasprintf("pod %s is replaced: %s", p->meta.name, broken)
                      : xasprintf("pod %s ended by itself: %s", p->meta.name, why);
    a->failure = then->ready_mono_ns != mono_ns;
    then->ended = a->ended;
    if (a->failure)
        plan_pod_ended(then, mono_ns);
}

int64_t plan_backoff_ns(unsigned failures)
{
    return backoff_ns(BACKOFF_FIRST_MS, BACKOFF_MAX_MS, failures);
}

bool plan_pod_failed(struct pool_state *st, int64_t begun_mono_ns)
{
    if (begun_mono_ns < st->next_create_mono_ns)
        return false;
    st->failures++;
    return true;
}

void plan_pod_ended(struct pool_state *st, int64_t mono_ns)
{
    if (plan_pod_failed(st, mono_ns))
        st->next_create_mono_ns = mono_ns + plan_backoff_ns(st->failures + 1);
}

void plan_create_begun(struct pool_state *st, int64_t mono_ns)
{
    st->unproven_mono_ns = mono_ns;
    st->created += !st->proven;
    refill_begun(&st->refill, mono_ns);
}

void plan_create_ok(struct pool_state *st, int64_t mono_ns)
{
    if (!st->create_error)
        return;
    str_set(&st->create_error, NULL);
    str_set(&st->create_error_reason, NULL);
    /* Not 0: others of the same wave may still fail, and are no further failure. */
    st->next_create_mono_ns = MIN(st->next_create_mono_ns, mono_ns);
}

/* A pod that has just become ready ends the back-off. A pod that was ready before says nothing
 * about the others, and no pod says anything about refused creates. */
static void note_ready(const struct census *c, struct pool_state *st, int64_t mono_ns)
{
    bool more = c->good > st->good;

    st->good = c->good;
    st->proven = st->proven || c->good > 0;
    if (c->fresh_ready > 0)
        str_set(&st->ended, NULL);
    if (more && !st->create_error) {
        st->failures = 0;
        st->next_create_mono_ns = MIN(st->next_create_mono_ns, mono_ns);
        st->ready_mono_ns = mono_ns;
    }
}

/* Pods that are of no use to anybody: of a pool that was deleted (Kubernetes' garbage collection
 * does the same, later: the pods name the pool as their owner), or of an owner that was deleted
 * without it, whether that was a pool or a sandbox. */
static void drop_left_over(const struct world *w, const struct pool_state *st, struct census *c,
                           struct actions *out)
{
    static const enum pod_mark marks[] = {MARK_ORPHAN, MARK_OTHER};

    for (size_t m = 0; m < ARRAY_SIZE(marks); m++) {
        const struct index_bucket *b = &c->shelf->pods[marks[m]];

        for (size_t i = 0; i < b->count; i++) {
            const struct pod *p = container_of(b->items[i], struct pod, meta);
            bool orphan = marks[m] == MARK_ORPHAN;

            if (!orphan && !(st->gone_uid && str_eq(p->owner_uid, st->gone_uid)))
                continue;
            if (ledger_busy_obj(w->ledger, &api_pod, &p->meta))
                continue;
            if (!delete_surplus(p, orphan ? "Orphaned" : "PoolDeleted", c, out))
                return;
        }
    }
}

/*
 * Idle pods that live, and may be of no use. One that is not is replaced as creations under
 * trouble go: so many at once, and no more before the back-off is over. A pod that has never been
 * ready is left to a template that has never brought a ready one: the next would fare no better.
 */
static void replace_broken(const struct warmpool *pool, struct pool_state *then, struct now now,
                           struct census *c, struct actions *out)
{
    const struct index_bucket *b = &c->shelf->pods[MARK_SUSPECT];
    unsigned room = now.mono_ns >= then->next_create_mono_ns ? CREATES_AT_ONCE : 0;

    for (size_t i = 0; i < b->count; i++) {
        struct pod *p = container_of(b->items[i], struct pod, meta);
        int64_t due;
        cleanup_free char *broken = plan_pod_broken(p, now, &due);
        bool replace = broken && (p->broken || p->was_ready || then->proven);
        struct action *a = replace && room > 0 ? delete_pod(p, "PodBroken", c, out) : NULL;

        action_after(out, due);
        if (a) {
            room--;
            delete_failed(a, p, broken, then, now.mono_ns);
            action_event(out, &api_warmpool, &pool->meta, true, "PodReplaced", a->ended);
        } else if (replace) {
            action_after(out, now.mono_ns < then->next_create_mono_ns
                                  ? then->next_create_mono_ns
                                  : now.mono_ns + plan_backoff_ns(1));
        }
    }
}

static void drop_ended(struct pool_state *then, struct now now, struct census *c,
                       struct actions *out)
{
    const struct index_bucket *b = &c->shelf->pods[MARK_ENDED];

    for (size_t i = 0; i < b->count; i++) {
        const struct pod *p = container_of(b->items[i], struct pod, meta);
        struct action *a = delete_pod(p, "PodEnded", c, out);

        if (!a)
            return;
        delete_failed(a, p, NULL, then, now.mono_ns);
    }
}

/* A pod that has the pool's label and was not made by this operator. Who may create pods can give
 * it any label, owner and annotation: it is never claimed, counted or deleted. */
static void tell_foreign(const struct warmpool *pool, const struct pod *p, struct actions *out)
{
    cleanup_free char *message =
        xasprintf("pod %s has the label of this pool, but this operator has not made it: it is "
                  "left alone and does not count; delete it if nobody needs it",
                  p->meta.name);

    action_event(out, &api_warmpool, &pool->meta, true, "ForeignPod", message)->note = NOTE_FOREIGN;
}

void plan_foreign_told(struct world *w, const struct warmpool *pool)
{
    const struct index_bucket *b;
    char key[META_KEY_MAX];

    meta_key(key, pool->meta.ns, pool->meta.name);
    b = &world_shelf(w, key)->pods[MARK_FOREIGN];
    for (size_t i = b->count; i-- > 0;) {
        struct pod *p = container_of(b->items[i], struct pod, meta);

        if (world_pod_of_old_release(w, pool, p))
            continue;
        p->told = true;
        world_mark_pod(w, p); /* which takes it off the shelf */
    }
}

/* One Event tells of all that are new. Soon after an Event none is told of. */
static void leave_foreign(struct world *w, const struct warmpool *pool, struct pool_state *then,
                          struct now now, struct census *c, struct actions *out)
{
    const struct index_bucket *b = &c->shelf->pods[MARK_FOREIGN];
    bool tell = !then->foreign_mono_ns || now.mono_ns >= then->foreign_mono_ns + FOREIGN_TOLD_NS;

    if (!tell)
        plan_foreign_told(w, pool);
    for (size_t i = b->count; i-- > 0;) {
        const struct pod *p = container_of(b->items[i], struct pod, meta);

        if (world_pod_of_old_release(w, pool, p)) {
            if (!ledger_busy_obj(w->ledger, &api_pod, &p->meta))
                delete_pod(p, "NotSealed", c, out);
        } else if (tell && !p->told) {
            tell_foreign(pool, p, out);
            tell = false;
        }
    }
}

/* ---- the template ---------------------------------------------------------------------------- */

static void check_template(struct world *w, const struct warmpool *pool, struct pool_state *st,
                           struct now now)
{
    cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct err err = {0};

    if (str_eq(st->checked_hash, pool->template_hash))
        return;
    str_set(&st->checked_hash, xstrdup(pool->template_hash));
    str_set(&st->template_error, NULL);
    str_set(&st->ended, NULL);
    str_set(&st->create_error, NULL);
    str_set(&st->create_error_reason, NULL);
    st->proven = false;
    st->created = st->failures = 0;
    st->next_create_mono_ns = 0;
    if (pod_build(pool, "check", &w->policy->pod, now.wall_ns, &body, &err) < 0)
        st->template_error = xstrdup(err.msg);
}

/* ---- more or fewer pods ---------------------------------------------------------------------- */

/* Outdated ones first, then those that are not ready, then the youngest. */
static void scale_down(const struct warmpool *pool, size_t creating, struct census *c,
                       struct actions *out)
{
    size_t desired = (size_t)pool->replicas;

    for (int mark = MARK_STALE_UNREADY; mark <= MARK_FRESH_READY; mark++) {
        const struct index_bucket *b = &c->shelf->pods[mark];

        for (size_t i = b->count; i-- > 0 && c->count + creating > desired;) {
            const struct pod *p = container_of(b->items[i], struct pod, meta);

            if (!is_going(p, c) && !delete_surplus(p, "ScaledDown", c, out))
                return;
        }
    }
}

/* How many pods stay ready while outdated ones are replaced. */
static size_t kept_ready(const struct warmpool *pool)
{
    size_t desired = (size_t)pool->replicas;
    size_t unavailable = MAX(desired / 4, 1u);

    return desired > unavailable ? desired - unavailable : 0;
}

static void roll(const struct warmpool *pool, struct census *c, struct actions *out)
{
    size_t keep = kept_ready(pool);

    for (int mark = MARK_STALE_UNREADY; mark <= MARK_STALE_READY; mark++) {
        const struct index_bucket *b = &c->shelf->pods[mark];

        for (size_t i = 0; i < b->count; i++) {
            const struct pod *p = container_of(b->items[i], struct pod, meta);

            if (mark == MARK_STALE_READY && c->ready <= keep)
                return;
            if (!is_going(p, c) && !delete_surplus(p, "TemplateChanged", c, out))
                return;
        }
    }
}

/* The pods that were made from a template that has not brought a ready pod yet. Existing pods
 * count, whichever operator has made them: an operator that has just started has made none. */
static size_t unproven_made(const struct pool_state *st, const struct census *c, size_t creating)
{
    return MAX(st->created, c->fresh_unready + creating);
}

/* How many more may be made. */
static size_t unproven_room(const struct pool_state *st, size_t made, struct now now,
                            struct actions *out)
{
    int64_t due = st->unproven_mono_ns + BACKOFF_MAX_MS * NSEC_PER_MSEC;

    if (made < UNPROVEN_PODS)
        return UNPROVEN_PODS - made;
    if (now.mono_ns >= due)
        return 1;
    action_after(out, due);
    return 0;
}

static void scale_up(const struct warmpool *pool, struct refill_need *need, struct pool_state *then,
                     const struct census *c, struct now now, struct actions *out)
{
    size_t have = c->count + need->creating, room;
    int64_t again;

    need->missing = (size_t)pool->replicas > have ? (size_t)pool->replicas - have : 0;
    if (need->missing == 0 || then->template_error)
        return;
    if (now.mono_ns < then->next_create_mono_ns) {
        action_after(out, then->next_create_mono_ns);
        return;
    }
    room = refill_room(&then->refill, need, now.mono_ns, &again);
    action_after(out, again);
    if (room > 0 && !then->proven)
        room = MIN(room, unproven_room(then, unproven_made(then, c, need->creating), now, out));
    for (size_t i = 0; i < room; i++) {
        struct action *a = action_add(out, ACTION_CREATE_POD, &api_pod, &pool->meta);

        a->pool = xstrdup(pool->meta.name);
        a->number = (int64_t)(need->creating + room);
        plan_create_begun(then, now.mono_ns);
    }
}

/* ---- status ---------------------------------------------------------------------------------- */

/* A pod that neither gets ready nor says why. Its containers' own words are all there is. */
static char *unready_text(const struct pod *p)
{
    return p->phase == POD_RUNNING
               ? xasprintf("pod %s runs, but is not ready after 2m0s: see the logs of its "
                           "containers, and whether its main command ends at once",
                           p->meta.name)
               : xasprintf("pod %s has not started after 2m0s: see its Events (kubectl describe "
                           "pod %s)",
                           p->meta.name, p->meta.name);
}

/* When a pod that is not ready has been so for long. */
static int64_t slow_wall_ns(const struct pod *p)
{
    return MAX(p->meta.created_wall_ns, p->ready_since_wall_ns) + SLOW_POD_NS;
}

/* Why a pool has fewer pods than it wants and that will not end by itself. NULL: it will, or there
 * are enough. */
static char *trouble_of(const struct warmpool *pool, const struct pool_state *st,
                        const struct census *c, struct now now, const char **ret_reason)
{
    bool lacks = c->ready < (size_t)pool->replicas;

    if (pool->invalid || st->template_error) {
        *ret_reason = "InvalidTemplate";
        return xstrdup(pool->invalid ? pool->invalid : st->template_error);
    }
    if (c->troubled) {
        *ret_reason = c->troubled->trouble_reason;
        return xasprintf("pod %s: %s", c->troubled->meta.name, c->troubled->trouble_message);
    }
    if (st->create_error && c->count < (size_t)pool->replicas) {
        *ret_reason = st->create_error_reason;
        return xstrdup(st->create_error);
    }
    if (lacks && st->ended && st->failures > 1) { /* one that is evicted is just replaced */
        *ret_reason = "PodEnded";
        return xstrdup(st->ended);
    }
    if (lacks && c->unready && now.wall_ns >= slow_wall_ns(c->unready)) {
        *ret_reason = "PodNotReady";
        return unready_text(c->unready);
    }
    if (lacks && !st->proven && st->created >= UNPROVEN_PODS && c->count <= 1) {
        *ret_reason = "NoPodGetsReady";
        /* The message has no number that changes, so it stays the same, and is one Event instead of
         * many. */
        return xasprintf("%d pods and more were made of this template, and they were gone before "
                         "they were ready; one more is made every 5m0s until spec.template changes",
                         UNPROVEN_PODS);
    }
    return NULL;
}

static void judge(const struct warmpool *pool, const struct pool_state *st, const struct census *c,
                  struct now now, struct warmpool_status *s)
{
    size_t desired = (size_t)pool->replicas;
    const char *reason = NULL;
    cleanup_free char *trouble = trouble_of(pool, st, c, now, &reason);
    char ready[64];

    snprintf(ready, sizeof(ready), "%zu/%zu pods ready", c->ready, desired);
    s->phase = c->ready >= desired && !pool->invalid ? WARMPOOL_READY
               : trouble                             ? WARMPOOL_DEGRADED
               : c->ready == 0                       ? WARMPOOL_PENDING
                                                     : WARMPOOL_SCALING;
    condition_set(&s->ready, s->phase == WARMPOOL_READY ? CONDITION_TRUE : CONDITION_FALSE,
                  s->phase == WARMPOOL_READY ? "PodsReady" : "PodsNotReady", ready, now.wall_ns);
    if (trouble)
        condition_set(&s->pods_failing, CONDITION_TRUE, reason, trouble, now.wall_ns);
    else if (s->pods_failing.status != CONDITION_ABSENT)
        condition_set(&s->pods_failing, CONDITION_FALSE, "NoFailures", "", now.wall_ns);
}

static bool status_eq(const struct warmpool_status *a, const struct warmpool_status *b)
{
    return a->phase == b->phase && a->replicas == b->replicas &&
           a->ready_replicas == b->ready_replicas &&
           a->allocated_replicas == b->allocated_replicas &&
           a->observed_generation == b->observed_generation && condition_eq(&a->ready, &b->ready) &&
           condition_eq(&a->pods_failing, &b->pods_failing);
}

/* quiet_at: before that, others' writes go first; 0: no matter when. */
static void plan_status(struct world *w, const struct warmpool *pool, const char *key,
                        int64_t quiet_at, struct pool_state *then, const struct census *c,
                        struct now now, struct actions *out)
{
    struct warmpool_status s = {
        .replicas = (int64_t)(c->count + shelf_count(c->shelf, MARK_BUSY)),
        .ready_replicas = (int64_t)c->ready,
        .allocated_replicas = (int64_t)shelf_count(c->shelf, MARK_BOUND),
        .observed_generation = pool->meta.generation,
    };
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    int64_t due = then->status_mono_ns ? then->status_mono_ns + STATUS_INTERVAL_NS : 0;

    condition_copy(&s.ready, &pool->status.ready);
    condition_copy(&s.pods_failing, &pool->status.pods_failing);
    judge(pool, then, c, now, &s);
    if (status_eq(&s, &pool->status) || ledger_busy(w->ledger, &api_warmpool, key)) {
        /* Nothing to write, or planned again when the write that is under way is answered. */
    } else if (MAX(due, quiet_at) > now.mono_ns) {
        action_after(out, MAX(due, quiet_at));
    } else {
        warmpool_status_patch(pool, &s, &body);
        action_status(out, &api_warmpool, &pool->meta, buf_steal(&body),
                      warmpool_phase_str(s.phase))
            ->refusals = then->refusals;
        if (s.pods_failing.status == CONDITION_TRUE &&
            !condition_eq(&s.pods_failing, &pool->status.pods_failing))
            action_event(out, &api_warmpool, &pool->meta, true, "PodsFailing",
                         s.pods_failing.message);
        then->refusals_told = then->refusals;
    }
    /* The same once more: the Event counts. */
    if (then->create_error && then->refusals != then->refusals_told &&
        str_eq(s.pods_failing.message, then->create_error) &&
        condition_eq(&s.pods_failing, &pool->status.pods_failing))
        action_event(out, &api_warmpool, &pool->meta, true, "PodsFailing", then->create_error)
            ->refusals = then->refusals;
    warmpool_status_done(&s);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void plan_gone(struct world *w, const char *key, struct now now, struct actions *out)
{
    const struct pool_state *st = world_pool_state(w, key);
    struct census c = {.shelf = world_shelf(w, key)};

    see_deletes(w, key, st, now, &c);
    drop_left_over(w, st, &c, out);
    if (index_get(&w->pods_by_pool, key)->count == 0 &&
        ledger_count(w->ledger, LEDGER_CREATE, key) == 0)
        world_forget_pool(w, key);
}

/* A pod stays that is ready: how others have ended is of no interest. */
static void forget_ended(struct pool_state *then, struct actions *out)
{
    then->ended = NULL;
    for (struct action *a = out->first; a; a = a->next)
        str_set(&a->ended, NULL);
}

static void look_at_pods(struct world *w, const struct warmpool *pool, struct pool_state *then,
                         struct now now, struct census *c, struct actions *out)
{
    drop_left_over(w, then, c, out);
    replace_broken(pool, then, now, c, out);
    drop_ended(then, now, c, out);
    leave_foreign(w, pool, then, now, c, out);
    if (c->fresh_ready > 0)
        forget_ended(then, out);
    c->troubled = first_staying(c, MARK_TROUBLED);
    c->unready = first_staying(c, MARK_SILENT);
}

/* creating: the creates under way. */
static struct refill_need look_at_claims(const struct world *w, const char *key,
                                         const struct shelf *shelf, size_t creating, struct now now)
{
    return (struct refill_need){
        /* A pod that is being read after a failed claim may still be idle. */
        .creating = creating + ledger_count(w->ledger, LEDGER_READ, key),
        .claims = ledger_count(w->ledger, LEDGER_CLAIM, key),
        .waited_for = shelf->line.count > shelf_count(shelf, MARK_CLAIMABLE),
        .elsewhere = calm_at(w, now) > 0,
    };
}

/* Whether no pod is missing, nor will be by what this plan decides. */
static bool has_enough(const struct warmpool *pool, const struct census *c, size_t creating)
{
    bool rolls = shelf_count(c->shelf, MARK_STALE_UNREADY) > 0 ||
                 (shelf_count(c->shelf, MARK_STALE_READY) > 0 && c->ready > kept_ready(pool));

    return !pool->invalid && !pool->meta.deleting && c->count >= (size_t)pool->replicas &&
           creating == 0 && !rolls;
}

/* Notes what the plan sees, before it decides anything: at the same moment it sees the same again.
 */
static void note_seen(struct world *w, const struct warmpool *pool, const struct census *c,
                      const struct refill_need *need, struct pool_state *st, struct now now)
{
    if (!pool->invalid)
        check_template(w, pool, st, now);
    note_ready(c, st, now.mono_ns);
    refill_see_claims(&st->refill, need->claims, now.mono_ns);
    if (has_enough(pool, c, need->creating))
        plan_create_ok(st, now.mono_ns);
    if (!st->proven && st->unproven_mono_ns == 0 &&
        unproven_made(st, c, need->creating) >= UNPROVEN_PODS)
        st->unproven_mono_ns = now.mono_ns;
}

void pool_plan(struct world *w, const char *key, struct now now, struct actions *out)
{
    struct warmpool *pool = world_pool(w, key);
    size_t creating = ledger_count(w->ledger, LEDGER_CREATE, key);
    struct census c = {0};
    struct pool_state *st, then;
    struct refill_need need;

    if (!pool) {
        plan_gone(w, key, now, out);
        return;
    }
    st = world_pool_state(w, key);
    count_pods(world_shelf(w, key), &c);
    need = look_at_claims(w, key, c.shelf, creating, now);
    note_seen(w, pool, &c, &need, st, now);
    see_deletes(w, key, st, now, &c);
    /* The state as it is when the actions of this plan have begun. Its texts belong to *st, or to
     * an action. */
    then = *st;
    look_at_pods(w, pool, &then, now, &c, out);
    if (!pool->invalid && !pool->meta.deleting) {
        scale_down(pool, creating, &c, out);
        roll(pool, &c, out);
        scale_up(pool, &need, &then, &c, now, out);
    }
    if (c.unready && c.ready < (size_t)MAX(pool->replicas, 0) &&
        now.wall_ns < slow_wall_ns(c.unready))
        action_after(out, plan_mono_of(now, slow_wall_ns(c.unready)));
    plan_status(w, pool, key, refill_quiet_at(&then.refill, &need, now.mono_ns), &then, &c, now,
                out);
}
