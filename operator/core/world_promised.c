/* The part of the world that knows which pods are promised: those that the status of a sandbox
 * names, whether they are claimed for it yet or not. */
#include "operator/core/plan_key.h"
#include "operator/core/world.h"

bool world_sandbox_promised(const struct sandbox *s)
{
    return s->status.pod_uid && !s->meta.deleting &&
           (s->status.phase == SANDBOX_BOUND || s->status.phase == SANDBOX_READY);
}

/* Who may write statuses can name any pod: those of other pools are none of the sandbox's. */
static bool is_named(const struct sandbox *s, const struct pod *p)
{
    return str_eq(p->meta.uid, s->status.pod_uid) && str_eq(p->pool, s->pool);
}

struct pod *world_promised_pod(const struct world *w, const struct sandbox *s)
{
    char key[META_KEY_MAX];
    struct pod *p;

    if (!world_sandbox_promised(s))
        return NULL;
    meta_key(key, s->meta.ns, s->status.pod_name);
    p = world_pod(w, key);
    return p && is_named(s, p) ? p : NULL;
}

bool world_pod_promised(const struct world *w, const struct pod *p)
{
    const struct index_bucket *b;
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->meta.name);
    if (map_get(&w->promising, key))
        return true;
    b = index_get(&w->sandboxes_by_pod, key);
    for (size_t i = 0; i < b->count; i++)
        if (is_named(container_of(b->items[i], struct sandbox, meta), p))
            return true;
    return false;
}

static void index_promise(struct world *w, struct sandbox *s, bool add)
{
    char key[META_KEY_MAX];

    if (!world_sandbox_promised(s))
        return;
    meta_key(key, s->meta.ns, s->status.pod_name);
    if (add)
        index_add(&w->sandboxes_by_pod, key, &s->meta);
    else
        index_remove(&w->sandboxes_by_pod, key, &s->meta);
}

/* It is another thing to its pool now; and if nobody has it any more, to those who wait. */
static void mark_promised(struct world *w, struct pod *p)
{
    uint32_t had = p ? p->marks : 0;
    char pool_key[META_KEY_MAX];

    if (!p)
        return;
    world_mark_pod(w, p);
    if (p->marks == had)
        return;
    meta_key(pool_key, p->meta.ns, p->pool);
    world_queue(w, PLAN_POOL, pool_key);
    if (p->marks & POD_MARK(MARK_CLAIMABLE))
        world_wake_waiting(w, pool_key);
}

void world_promise_begin(struct world *w, const char *pod_key)
{
    const void *before = map_put(&w->promising, pod_key, w);

    assert(!before);
    mark_promised(w, world_pod(w, pod_key));
}

void world_promise_end(struct world *w, const char *pod_key)
{
    const void *was = map_del(&w->promising, pod_key);

    assert(was);
    mark_promised(w, world_pod(w, pod_key));
}

/* ---- a status that may take place yet ---------------------------------------------------------
 */

void world_fence_end(struct world *w, const char *sandbox_key)
{
    struct sandbox_state *st = map_get(&w->sandbox_states, sandbox_key);
    cleanup_free char *pod_key = st ? st->fenced_pod : NULL;

    if (!pod_key)
        return;
    st->fenced_pod = NULL;
    str_set(&st->fenced_rv, NULL);
    free(map_del(&w->kept, pod_key));
    world_promise_end(w, pod_key);
}

void world_fence(struct world *w, const char *sandbox_key, const char *pod_key, const char *rv)
{
    const struct sandbox *s = world_sandbox(w, sandbox_key);
    struct sandbox_state *st = map_get(&w->sandbox_states, sandbox_key);

    assert(map_get(&w->promising, pod_key) && rv);
    if (!st || !s || !str_eq(s->meta.rv, rv)) {
        world_promise_end(w, pod_key);
        return;
    }
    world_fence_end(w, sandbox_key);
    st->fenced_pod = xstrdup(pod_key);
    st->fenced_rv = xstrdup(rv);
    map_put(&w->kept, pod_key, xstrdup(sandbox_key));
}

bool world_fences(const struct world *w, const char *sandbox_key, const char *pod_key)
{
    return str_eq(map_get(&w->kept, pod_key), sandbox_key);
}

/* rv: what the sandbox has now; NULL: it is gone. */
static void end_old_fence(struct world *w, const struct meta *sandbox, const char *rv)
{
    const struct sandbox_state *st;
    char key[META_KEY_MAX];

    meta_key(key, sandbox->ns, sandbox->name);
    st = map_get(&w->sandbox_states, key);
    if (st && st->fenced_pod && !str_eq(st->fenced_rv, rv))
        world_fence_end(w, key);
}

struct pod *world_fenced_pod(const struct world *w, const char *sandbox_key)
{
    const struct sandbox_state *st = map_get(&w->sandbox_states, sandbox_key);
    struct pod *p = st && st->fenced_pod ? world_pod(w, st->fenced_pod) : NULL;

    return p && p->ours && pod_idle(p) && !p->meta.deleting && !pod_terminal(p) &&
                   world_pod_able(p) && !ledger_busy_obj(w->ledger, &api_pod, &p->meta)
               ? p
               : NULL;
}

void world_promise(struct world *w, struct sandbox *was, struct sandbox *is)
{
    if (was)
        index_promise(w, was, false);
    if (is)
        index_promise(w, is, true);
    if (was)
        mark_promised(w, world_promised_pod(w, was));
    if (is)
        mark_promised(w, world_promised_pod(w, is));
    end_old_fence(w, is ? &is->meta : &was->meta, is ? is->meta.rv : NULL);
}

void world_queue_promised(struct world *w, const struct pod *p)
{
    const struct index_bucket *b;
    const char *kept_for;
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->meta.name);
    kept_for = map_get(&w->kept, key);
    if (kept_for)
        world_queue(w, PLAN_SANDBOX, kept_for);
    b = index_get(&w->sandboxes_by_pod, key);
    for (size_t i = 0; i < b->count; i++)
        if (!str_eq(b->items[i]->name, p->sandbox)) /* who has it waits for nothing */
            world_queue_obj(w, PLAN_SANDBOX, b->items[i]->ns, b->items[i]->name);
}
