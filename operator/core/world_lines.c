/* The lines of the world: sandboxes that wait for a pod of a pool, and the tasks of a sandbox. */
#include "operator/core/plan_key.h"
#include "operator/core/world.h"

/* ---- sandboxes that wait for a pod ------------------------------------------------------------
 */

size_t world_claimable(const struct world *w, const char *pool_key, struct pod **ret_first)
{
    const struct index_bucket *b = &world_shelf(w, pool_key)->pods[MARK_CLAIMABLE];

    *ret_first = b->count > 0 ? container_of(b->items[0], struct pod, meta) : NULL;
    return b->count;
}

void world_wake_waiting(struct world *w, const char *pool_key)
{
    const struct shelf *s = world_shelf(w, pool_key);

    for (size_t i = 0; i < MIN(s->line.count, shelf_count(s, MARK_CLAIMABLE)); i++)
        world_queue_obj(w, PLAN_SANDBOX, s->line.items[i]->ns, s->line.items[i]->name);
}

/* The earlier of both; 0: never. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

void world_pause(struct world *w, const char *sandbox_key, int64_t until_mono_ns)
{
    struct sandbox_state *st = world_sandbox_state(w, sandbox_key);
    const struct sandbox *s = world_sandbox(w, sandbox_key);
    char pool_key[META_KEY_MAX];
    struct pool_state *ps;

    st->outside = until_mono_ns > 0;
    st->next_claim_mono_ns = until_mono_ns;
    world_line_sandbox(w, sandbox_key);
    if (!st->outside || !s || !s->pool)
        return;
    meta_key(pool_key, s->meta.ns, s->pool);
    ps = map_get(&w->pool_states, pool_key);
    if (ps)
        ps->pause_ends_mono_ns = earlier(ps->pause_ends_mono_ns, until_mono_ns);
}

void world_end_pauses(struct world *w, const char *pool_key, int64_t now_mono_ns)
{
    const struct index_bucket *b = index_get(&w->waiting_by_pool, pool_key);
    struct pool_state *ps = map_get(&w->pool_states, pool_key);

    if (!ps || ps->pause_ends_mono_ns == 0 || now_mono_ns < ps->pause_ends_mono_ns)
        return;
    ps->pause_ends_mono_ns = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct sandbox_state *st;
        char key[META_KEY_MAX];

        meta_key(key, b->items[i]->ns, b->items[i]->name);
        st = map_get(&w->sandbox_states, key);
        if (!st || !st->outside)
            continue;
        if (st->next_claim_mono_ns <= now_mono_ns)
            world_pause(w, key, 0);
        else
            ps->pause_ends_mono_ns = earlier(ps->pause_ends_mono_ns, st->next_claim_mono_ns);
    }
}

/* ---- the tasks of a sandbox -------------------------------------------------------------------
 */

bool world_task_runs(const struct world *w, const char *sandbox_key, const struct meta *task)
{
    const struct sandbox_state *st = map_get(&w->sandbox_states, sandbox_key);
    const struct run *run;
    char key[META_KEY_MAX];

    meta_key(key, task->ns, task->name);
    run = world_run(w, key);
    return (run && str_eq(run->target.task_uid, task->uid)) ||
           (st && str_eq(task->uid, st->running_uid));
}

static struct meta *find_head(const struct world *w, const char *sandbox_key,
                              const struct index_bucket *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (world_task_runs(w, sandbox_key, b->items[i]))
            return b->items[i];
    for (size_t i = 0; i < b->count; i++)
        if (container_of(b->items[i], struct task, meta)->sandbox_uid)
            return b->items[i];
    return b->count > 0 ? b->items[0] : NULL;
}

struct meta *world_task_head(struct world *w, const char *sandbox_key)
{
    const struct index_bucket *b = index_get(&w->tasks_by_sandbox, sandbox_key);

    if (b->count > 0 && !b->chosen)
        index_choose(&w->tasks_by_sandbox, sandbox_key, find_head(w, sandbox_key, b));
    return b->chosen;
}

void world_task_head_may_differ(struct world *w, const char *sandbox_key)
{
    index_choose(&w->tasks_by_sandbox, sandbox_key, NULL);
}

void world_queue_task_head(struct world *w, const char *sandbox_key)
{
    const struct meta *head = world_task_head(w, sandbox_key);

    if (head)
        world_queue_obj(w, PLAN_TASK, head->ns, head->name);
}

/* Whose line the task stands in; false: in none. */
static bool line_of(const struct world *w, const char *task_key, char *ret_sandbox_key)
{
    const struct task *t = world_task(w, task_key);

    if (!t || !t->sandbox)
        return false;
    meta_key(ret_sandbox_key, t->meta.ns, t->sandbox);
    return true;
}

/* A run has begun or is gone, so that another task may be the first of its line than before. That
 * one may have been planned when it was not the first. */
static void run_changed(struct world *w, const char *sandbox_key, const struct meta *was)
{
    world_task_head_may_differ(w, sandbox_key);
    if (world_task_head(w, sandbox_key) != was)
        world_queue_task_head(w, sandbox_key);
}

void world_add_run(struct world *w, const char *key, struct run *r)
{
    char sandbox_key[META_KEY_MAX];
    bool in_line = line_of(w, key, sandbox_key);
    const struct meta *was = in_line ? world_task_head(w, sandbox_key) : NULL;
    struct run *before = map_put(&w->runs, key, r);

    assert(!before);
    if (in_line)
        run_changed(w, sandbox_key, was);
}

struct run *world_take_run(struct world *w, const char *key)
{
    char sandbox_key[META_KEY_MAX];
    bool in_line = line_of(w, key, sandbox_key);
    const struct meta *was = in_line ? world_task_head(w, sandbox_key) : NULL;
    struct run *r = map_del(&w->runs, key);

    if (in_line)
        run_changed(w, sandbox_key, was);
    return r;
}
