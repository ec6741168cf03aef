/* The shelves of the world: the pods of each pool by mark, and the sandboxes that wait for one. */
#include "operator/core/plan_pod.h"
#include "operator/core/world.h"

/* How long creates of an earlier operator may go on after this process has begun to act. */
#define OLD_RELEASE_NS (10 * NSEC_PER_SEC)

static const struct shelf empty_shelf;

const struct shelf *world_shelf(const struct world *w, const char *pool_key)
{
    const struct shelf *s = map_get(&w->shelves, pool_key);

    return s ? s : &empty_shelf;
}

static struct shelf *shelf_for(struct world *w, const char *pool_key)
{
    return map_ensure(&w->shelves, pool_key, sizeof(struct shelf));
}

static void shelf_free(struct shelf *s)
{
    for (size_t i = 0; i < POD_MARKS; i++)
        bucket_done(&s->pods[i]);
    bucket_done(&s->line);
    free(s);
}

void world_shelves_done(struct world *w)
{
    struct shelf *s;
    size_t pos = 0;

    while ((s = map_next(&w->shelves, &pos, NULL)))
        shelf_free(s);
    map_done(&w->shelves);
}

/* A pod or a sandbox has left the shelf. */
static void shelf_left(struct world *w, const char *pool_key, struct shelf *s)
{
    assert(s->users > 0);
    if (--s->users == 0)
        shelf_free(map_del(&w->shelves, pool_key));
}

/* ---- what a pod is --------------------------------------------------------------------------- */

/* Whether the pod is made from the present template, knows the present signing key, and speaks the
 * same wire version as this operator. */
static bool is_fresh(const struct world *w, const struct warmpool *pool, const struct pod *p)
{
    return pool && str_eq(p->template_hash, pool->template_hash) &&
           (!p->key_id || str_eq(p->key_id, w->policy->pod.key_id)) &&
           p->wire_version == WIRE_VERSION;
}

/* Whether the status of a sandbox names this pod. This operator has bound it, or an earlier one. */
static bool is_bound(const struct world *w, const struct pod *p)
{
    const struct sandbox *s;
    char key[META_KEY_MAX];

    if (!p->sandbox)
        return false;
    meta_key(key, p->meta.ns, p->sandbox);
    s = world_sandbox(w, key);
    return s && str_eq(s->status.pod_uid, p->meta.uid);
}

bool world_pod_of_old_release(const struct world *w, const struct warmpool *pool,
                              const struct pod *p)
{
    return pod_unsealed(p) && world_pod_of_pool(pool, p) &&
           p->meta.created_wall_ns <= w->active_wall_ns + OLD_RELEASE_NS;
}

bool world_pod_able(const struct pod *p)
{
    return p->ready && pod_speaks(p) && !p->broken && p->ip;
}

static uint32_t idle_marks(const struct pod *p, bool fresh)
{
    uint32_t marks;

    if (p->ready)
        marks = POD_MARK(fresh ? MARK_FRESH_READY : MARK_STALE_READY) |
                (fresh ? POD_MARK(MARK_GOOD) : 0);
    else
        marks = POD_MARK(fresh ? MARK_FRESH_UNREADY : MARK_STALE_UNREADY) |
                POD_MARK(p->trouble_reason ? MARK_TROUBLED : MARK_SILENT);
    if (world_pod_able(p))
        marks |= POD_MARK(MARK_CLAIMABLE);
    if (plan_pod_suspect(p))
        marks |= POD_MARK(MARK_SUSPECT);
    return marks;
}

static uint32_t marks_of(const struct world *w, const char *pool_key, const struct pod *p)
{
    const struct warmpool *pool = world_pool(w, pool_key);
    bool fresh = is_fresh(w, pool, p);

    if (p->meta.deleting)
        return 0;
    if (!p->ours && !is_bound(w, p))
        return p->told && !(pool && world_pod_of_old_release(w, pool, p)) ? 0
                                                                          : POD_MARK(MARK_FOREIGN);
    if (pod_orphan(p))
        return POD_MARK(MARK_ORPHAN);
    if (!pod_idle(p) || world_pod_promised(w, p))
        return POD_MARK(MARK_BOUND) | (fresh ? POD_MARK(MARK_GOOD) : 0);
    if (!pool || !world_pod_of_pool(pool, p))
        return POD_MARK(MARK_OTHER);
    if (ledger_busy_obj(w->ledger, &api_pod, &p->meta))
        return POD_MARK(MARK_BUSY) | (fresh && p->ready ? POD_MARK(MARK_GOOD) : 0);
    return pod_terminal(p) ? POD_MARK(MARK_ENDED) : idle_marks(p, fresh);
}

/* Gives the pod `is` these marks, and takes the marks of `was` away: that is the pod that it
 * replaces, or itself. NULL: there is, or was, no such pod. */
static void set_marks(struct world *w, const char *pool_key, struct pod *was, struct pod *is,
                      uint32_t marks)
{
    struct shelf *s = shelf_for(w, pool_key);
    uint32_t had = was ? was->marks : 0;

    for (size_t i = 0; i < POD_MARKS; i++) {
        struct index_bucket *b = &s->pods[i];

        if (!(marks & POD_MARK(i)) && (had & POD_MARK(i)))
            bucket_remove(b, &was->meta);
        else if ((marks & POD_MARK(i)) && !(had & POD_MARK(i)))
            bucket_add(b, &is->meta);
        else if ((marks & POD_MARK(i)) && was != is)
            bucket_replace(b, &was->meta, &is->meta);
    }
    if (is)
        is->marks = marks;
    if (!was)
        s->users++;
    else if (!is)
        shelf_left(w, pool_key, s);
}

void world_mark_pod(struct world *w, struct pod *p)
{
    char pool_key[META_KEY_MAX];
    uint32_t marks;

    meta_key(pool_key, p->meta.ns, p->pool);
    marks = marks_of(w, pool_key, p);
    if (marks != p->marks)
        set_marks(w, pool_key, p, p, marks);
}

void world_act_since(struct world *w, int64_t wall_ns)
{
    struct meta *m;
    size_t pos = 0;

    w->active_wall_ns = wall_ns;
    while ((m = store_next(w->pods, &pos)))
        world_mark_pod(w, container_of(m, struct pod, meta));
}

void world_mark_pods(struct world *w, const struct index_bucket *pods)
{
    for (size_t i = 0; i < pods->count; i++)
        world_mark_pod(w, container_of(pods->items[i], struct pod, meta));
}

/* ---- who waits ------------------------------------------------------------------------------- */

static bool is_in_line(const struct world *w, const char *sandbox_key, const struct sandbox *s)
{
    const struct sandbox_state *st = map_get(&w->sandbox_states, sandbox_key);

    return world_sandbox_waits(s) && !(st && st->outside) &&
           !ledger_busy(w->ledger, &api_sandbox, sandbox_key) && !world_sandbox_pod(w, s);
}

static void leave_line(struct world *w, struct sandbox *s)
{
    char pool_key[META_KEY_MAX];
    struct shelf *shelf;

    if (!s->in_line)
        return;
    s->in_line = false;
    meta_key(pool_key, s->meta.ns, s->pool);
    shelf = shelf_for(w, pool_key);
    bucket_remove(&shelf->line, &s->meta);
    shelf_left(w, pool_key, shelf);
}

static void line_up(struct world *w, const char *sandbox_key, struct sandbox *s)
{
    char pool_key[META_KEY_MAX];
    struct shelf *shelf;

    if (s->in_line == is_in_line(w, sandbox_key, s))
        return;
    if (s->in_line) {
        leave_line(w, s);
        return;
    }
    s->in_line = true;
    meta_key(pool_key, s->meta.ns, s->pool);
    shelf = shelf_for(w, pool_key);
    shelf->users++;
    bucket_add(&shelf->line, &s->meta);
}

void world_sandbox_line(struct world *w, struct sandbox *was, struct sandbox *is)
{
    char key[META_KEY_MAX];

    if (was)
        leave_line(w, was);
    if (!is)
        return;
    meta_key(key, is->meta.ns, is->meta.name);
    line_up(w, key, is);
}

void world_line_sandbox(struct world *w, const char *sandbox_key)
{
    struct sandbox *s = world_sandbox(w, sandbox_key);

    if (s)
        line_up(w, sandbox_key, s);
}

/* Whether a pod is left for it by those of the pool that have waited longer. */
static bool is_served(const struct world *w, const char *pool_key, const struct sandbox *s,
                      size_t free_pods)
{
    return bucket_rank(&world_shelf(w, pool_key)->line, &s->meta) < free_pods;
}

struct pod *world_pod_for(const struct world *w, const char *sandbox_key, const struct sandbox *s)
{
    struct pod *kept = world_fenced_pod(w, sandbox_key), *first;
    char pool_key[META_KEY_MAX];
    size_t free_pods;

    if (kept)
        return kept;
    meta_key(pool_key, s->meta.ns, s->pool);
    free_pods = world_claimable(w, pool_key, &first);
    return is_served(w, pool_key, s, free_pods) ? first : NULL;
}

/* ---- a pod has changed ----------------------------------------------------------------------- */

static void leave_pool(struct world *w, struct pod *p)
{
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->pool);
    set_marks(w, key, p, NULL, 0);
    index_remove(&w->pods_by_pool, key, &p->meta);
}

static void join_pool(struct world *w, struct pod *p)
{
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->pool);
    index_add(&w->pods_by_pool, key, &p->meta);
    set_marks(w, key, NULL, p, marks_of(w, key, p));
}

/* The pod keeps its place in the order of the pool, as with most changes. So nothing has to be
 * moved, however large the pool is. */
static void change_in_pool(struct world *w, struct pod *was, struct pod *is)
{
    char key[META_KEY_MAX];

    meta_key(key, is->meta.ns, is->pool);
    index_replace(&w->pods_by_pool, key, &was->meta, &is->meta);
    set_marks(w, key, was, is, marks_of(w, key, is));
}

static void shelve_in_pool(struct world *w, struct pod *was, struct pod *is)
{
    if (was && is && str_eq(was->pool, is->pool) &&
        was->meta.created_wall_ns == is->meta.created_wall_ns) {
        change_in_pool(w, was, is);
        return;
    }
    if (was)
        leave_pool(w, was);
    if (is)
        join_pool(w, is);
}

static void index_by_sandbox(struct world *w, struct pod *p, bool add)
{
    char key[META_KEY_MAX];

    if (!p || !p->sandbox)
        return;
    meta_key(key, p->meta.ns, p->sandbox);
    if (add)
        index_add(&w->pods_by_sandbox, key, &p->meta);
    else
        index_remove(&w->pods_by_sandbox, key, &p->meta);
}

/* The sandbox of this pod has got it, or has lost it: it leaves the line, or stands in it again. */
static void line_up_owner(struct world *w, const struct pod *p)
{
    char key[META_KEY_MAX];

    if (!p || !p->sandbox)
        return;
    meta_key(key, p->meta.ns, p->sandbox);
    world_line_sandbox(w, key);
}

void world_shelve_pod(struct world *w, struct pod *was, struct pod *is)
{
    if (is && !plan_pod_suspect(is) && pod_idle(is))
        is->unready_mono_ns = 0; /* plan_pod_broken() does not see it until it is suspect again */
    shelve_in_pool(w, was, is);
    index_by_sandbox(w, was, false);
    index_by_sandbox(w, is, true);
    line_up_owner(w, was);
    line_up_owner(w, is);
}

/* ---- the check ------------------------------------------------------------------------------- */

/* If each of these pods is in its bucket, and the numbers are equal, no other pod is there. */
static void check_pods(const struct world *w, const char *pool_key, const struct shelf *s,
                       size_t *ret_users)
{
    const struct index_bucket *b = index_get(&w->pods_by_pool, pool_key);
    size_t counts[POD_MARKS] = {0};

    for (size_t i = 0; i < b->count; i++) {
        const struct pod *p = container_of(b->items[i], struct pod, meta);

        assert(p->marks == marks_of(w, pool_key, p));
        for (size_t mark = 0; mark < POD_MARKS; mark++) {
            assert(!(p->marks & POD_MARK(mark)) || bucket_has(&s->pods[mark], &p->meta));
            counts[mark] += (p->marks & POD_MARK(mark)) != 0;
        }
    }
    for (size_t mark = 0; mark < POD_MARKS; mark++) {
        assert(s->pods[mark].count == counts[mark]);
        assert(bucket_sorted(&s->pods[mark]));
    }
    *ret_users += b->count;
}

static void check_line(const struct world *w, const char *pool_key, const struct shelf *s,
                       size_t *ret_users)
{
    const struct index_bucket *b = index_get(&w->waiting_by_pool, pool_key);
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++) {
        const struct sandbox *sandbox = container_of(b->items[i], struct sandbox, meta);
        char key[META_KEY_MAX];

        meta_key(key, sandbox->meta.ns, sandbox->meta.name);
        assert(sandbox->in_line == is_in_line(w, key, sandbox));
        assert(!sandbox->in_line || bucket_has(&s->line, &sandbox->meta));
        count += sandbox->in_line;
    }
    assert(s->line.count == count);
    assert(bucket_sorted(&s->line));
    *ret_users += count;
}

void world_check_shelves(const struct world *w)
{
    const struct meta *m;
    const struct shelf *s;
    const char *key;
    size_t pos = 0, pods = 0, waiting = 0;

    while ((s = map_next(&w->shelves, &pos, &key))) {
        size_t users = 0;

        check_pods(w, key, s, &users);
        pods += users;
        check_line(w, key, s, &users);
        assert(s->users == users && users > 0);
        waiting += s->line.count;
    }
    assert(pods == store_count(w->pods));
    pos = 0;
    while ((m = store_next(w->sandboxes, &pos)))
        waiting -= container_of(m, struct sandbox, meta)->in_line;
    assert(waiting == 0);
}
