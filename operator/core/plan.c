#include "operator/core/plan.h"

#include <stdio.h>

#define UNREADY_NS (120 * NSEC_PER_SEC)

void plan_key(char *buf, const char *prefix, const char *key)
{
    int n = snprintf(buf, PLAN_KEY_MAX, "%s/%s", prefix, key);

    assert(n > 0 && n < PLAN_KEY_MAX);
}

enum queue_lane plan_lane(const char *plan_key)
{
    return strncmp(plan_key, PLAN_POOL "/", strlen(PLAN_POOL "/")) == 0 ? QUEUE_NORMAL
                                                                        : QUEUE_URGENT;
}

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

/* Notes since when an object is planned. true: nothing is known of it but its name: there is
 * nothing to decide, and any status could be wrong.
 */
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

static bool tells_no_key(const struct pod *p)
{
    return p->ready && pod_idle(p) && p->wire_version == WIRE_VERSION && !p->agent_key;
}

static bool should_be_ready(const struct pod *p)
{
    return !p->ready && (p->was_ready || p->has_restarted || p->lacks_runner);
}

bool plan_pod_suspect(const struct pod *p)
{
    return p->broken || tells_no_key(p) || should_be_ready(p);
}

char *plan_pod_broken(struct pod *p, struct now now, int64_t *ret_due_mono_ns)
{
    *ret_due_mono_ns = 0;
    if (p->broken)
        return xstrdup(p->broken);
    if (tells_no_key(p))
        return xstrdup("its init container " POD_INIT " has not reported the key of the agent");
    if (!should_be_ready(p)) {
        p->unready_mono_ns = 0;
        return NULL;
    }
    if (p->unready_mono_ns == 0)
        p->unready_mono_ns = now.mono_ns;
    if (now.mono_ns < p->unready_mono_ns + UNREADY_NS) {
        *ret_due_mono_ns = p->unready_mono_ns + UNREADY_NS;
        return NULL;
    }
    return xasprintf("it has not been ready for 2m0s%s%s", p->trouble_message ? ": " : "",
                     str_or_empty(p->trouble_message));
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
