/* The part of the world that knows which pods are promised: those that the status of a sandbox
 * names, whether they are claimed for it yet or not. */
#include "operator/core/plan_key.h"
#include "operator/core/world.h"

bool world_sandbox_promised(const struct sandbox *s)
{
    return s->status.pod_uid && !s->meta.deleting &&
           (s->status.phase == SANDBOX_BOUND || s->status.phase == SANDBOX_READY);
}

struct pod *world_promised_pod(const struct world *w, const struct sandbox *s)
{
    char key[META_KEY_MAX];
    struct pod *p;

    if (!world_sandbox_promised(s))
        return NULL;
    meta_key(key, s->meta.ns, s->status.pod_name);
    p = world_pod(w, key);
    return p && str_eq(p->meta.uid, s->status.pod_uid) ? p : NULL;
}

static const struct index_bucket *promised_to(const struct world *w, const struct pod *p)
{
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->meta.name);
    return index_get(&w->sandboxes_by_pod, key);
}

bool world_pod_promised(const struct world *w, const struct pod *p)
{
    const struct index_bucket *b = promised_to(w, p);

    for (size_t i = 0; i < b->count; i++)
        if (str_eq(container_of(b->items[i], struct sandbox, meta)->status.pod_uid, p->meta.uid))
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

/* The status of a sandbox names this pod now, or no more: marks the pod anew. */
static void mark_promised(struct world *w, const struct sandbox *s)
{
    struct pod *p = world_promised_pod(w, s);
    uint32_t had = p ? p->marks : 0;

    if (!p)
        return;
    world_mark_pod(w, p);
    if (p->marks != had)
        world_queue_obj(w, PLAN_POOL, p->meta.ns, p->pool);
}

void world_promise(struct world *w, struct sandbox *was, struct sandbox *is)
{
    if (was)
        index_promise(w, was, false);
    if (is)
        index_promise(w, is, true);
    if (was)
        mark_promised(w, was);
    if (is)
        mark_promised(w, is);
}

void world_queue_promised(struct world *w, const struct pod *p)
{
    const struct index_bucket *b = promised_to(w, p);

    for (size_t i = 0; !p->sandbox && i < b->count; i++)
        world_queue_obj(w, PLAN_SANDBOX, b->items[i]->ns, b->items[i]->name);
}
