#include "operator/core/plan.h"

/* The object of a key; NULL: it does not exist. */
static struct meta *object_of(const struct world *w, const char *prefix, const char *key,
                              const struct api_kind **ret_kind)
{
    *ret_kind = strcmp(prefix, PLAN_POOL "/") == 0      ? &api_warmpool
                : strcmp(prefix, PLAN_SANDBOX "/") == 0 ? &api_sandbox
                                                        : &api_task;
    return store_get(*ret_kind == &api_warmpool  ? w->pools
                     : *ret_kind == &api_sandbox ? w->sandboxes
                                                 : w->tasks,
                     key);
}

/* Notes since when an object is planned. true: the object was too large to be read, and only its
 * name is known. So there is nothing to decide, and any status could be wrong. */
static bool plan_cut(struct world *w, const char *prefix, const char *key, struct now now,
                     struct actions *out)
{
    const struct api_kind *kind;
    struct meta *m = object_of(w, prefix, key, &kind);

    if (m && m->seen_mono_ns == 0) {
        m->seen_mono_ns = now.mono_ns;
        m->seen_wall_ns = now.wall_ns;
        /* Nothing was created in the future. */
        w->ahead_ns = MAX(w->ahead_ns, m->created_wall_ns - now.wall_ns);
    }
    if (!m || !m->cut || m->deleting)
        return m && m->cut;
    action_event(out, kind, m, true, "TooLarge",
                 "the object is too long, or has too many values: arl does not read it");
    return true;
}

void plan(struct world *w, const char *key, struct now now, struct actions *out)
{
    static const struct {
        const char *prefix;
        void (*fn)(struct world *w, const char *key, struct now now, struct actions *out);
    } kinds[] = {
        {PLAN_POOL "/", pool_plan},
        {PLAN_SANDBOX "/", sandbox_plan},
        {PLAN_TASK "/", task_plan},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(key, kinds[i].prefix, len) == 0) {
            if (!plan_cut(w, kinds[i].prefix, key + len, now, out))
                kinds[i].fn(w, key + len, now, out);
            return;
        }
    }
    assert(!"a key of an unknown kind");
}

void plan_check(struct world *w, const char *key, struct now now, const struct actions *planned)
{
    cleanup_actions struct actions again;

    actions_init(&again);
    plan(w, key, now, &again);
    assert(actions_eq(planned, &again));
}
