/* The part of the world that is lines: sandboxes that wait for a pod of a pool, tasks of a sandbox.
 */
#include "operator/core/plan.h"
#include "operator/core/world.h"

/* ---- sandboxes that wait for a pod ------------------------------------------------------------
 */

static bool claimable(const struct world *w, const struct warmpool *pool, const struct pod *p)
{
    return p->ours && pod_idle(p) && world_pod_of_pool(pool, p) && p->ready && pod_speaks(p) &&
           !p->meta.deleting && !pod_terminal(p) && !p->broken && p->ip &&
           !ledger_busy_obj(w->ledger, &api_pod, &p->meta);
}

size_t world_claimable(const struct world *w, const char *pool_key, struct pod **ret_first)
{
    const struct index_bucket *b = index_get(&w->pods_by_pool, pool_key);
    const struct warmpool *pool = world_pool(w, pool_key);
    size_t n = 0;

    *ret_first = NULL;
    for (size_t i = 0; pool && i < b->count; i++) {
        struct pod *p = container_of(b->items[i], struct pod, meta);

        if (!claimable(w, pool, p))
            continue;
        if (n++ == 0)
            *ret_first = p;
    }
    return n;
}

bool world_lacks_pod(const struct world *w, const struct meta *sandbox)
{
    return !ledger_busy_obj(w->ledger, &api_sandbox, sandbox) &&
           !world_sandbox_pod(w, container_of(sandbox, struct sandbox, meta));
}

bool world_in_line(const struct world *w, const struct meta *sandbox)
{
    const struct sandbox_state *st;
    char key[META_KEY_MAX];

    meta_key(key, sandbox->ns, sandbox->name);
    st = map_get(&w->sandbox_states, key);
    return !(st && st->outside) && world_lacks_pod(w, sandbox);
}

void world_wake_waiting(struct world *w, const char *pool_key)
{
    const struct index_bucket *b = index_get(&w->waiting_by_pool, pool_key);
    struct pod *first;
    size_t free_pods = b->count ? world_claimable(w, pool_key, &first) : 0;

    for (size_t i = 0; i < b->count && free_pods > 0; i++) {
        if (!world_in_line(w, b->items[i]))
            continue;
        world_queue_obj(w, PLAN_SANDBOX, b->items[i]->ns, b->items[i]->name);
        free_pods--;
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

/* Whoever is the first now may have been planned before, when he was not. */
static void run_changed(struct world *w, const char *task_key)
{
    const struct task *t = world_task(w, task_key);
    const struct meta *was;
    char key[META_KEY_MAX];

    if (!t || !t->sandbox)
        return;
    meta_key(key, t->meta.ns, t->sandbox);
    was = world_task_head(w, key);
    world_task_head_may_differ(w, key);
    if (world_task_head(w, key) != was)
        world_queue_task_head(w, key);
}

void world_add_run(struct world *w, const char *key, struct run *r)
{
    struct run *before = map_put(&w->runs, key, r);

    assert(!before);
    run_changed(w, key);
}

struct run *world_take_run(struct world *w, const char *key)
{
    struct run *r = map_del(&w->runs, key);

    run_changed(w, key);
    return r;
}
