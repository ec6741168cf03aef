#include "operator/core/world.h"

#include <stdio.h>

#include "operator/api/pod_seal.h"
#include "operator/core/plan_key.h"
#include "operator/kube/client.h"

/* ---- lookups --------------------------------------------------------------------------------- */

struct store *world_store(const struct world *w, const struct api_kind *kind)
{
    if (kind == &api_pod)
        return w->pods;
    if (kind == &api_sandbox)
        return w->sandboxes;
    return kind == &api_task ? w->tasks : w->pools;
}

struct warmpool *world_pool(const struct world *w, const char *key)
{
    struct meta *m = store_get(w->pools, key);

    return m ? container_of(m, struct warmpool, meta) : NULL;
}

struct sandbox *world_sandbox(const struct world *w, const char *key)
{
    struct meta *m = store_get(w->sandboxes, key);

    return m ? container_of(m, struct sandbox, meta) : NULL;
}

struct task *world_task(const struct world *w, const char *key)
{
    struct meta *m = store_get(w->tasks, key);

    return m ? container_of(m, struct task, meta) : NULL;
}

struct pod *world_pod(const struct world *w, const char *key)
{
    struct meta *m = store_get(w->pods, key);

    return m ? container_of(m, struct pod, meta) : NULL;
}

struct run *world_run(const struct world *w, const char *key)
{
    return map_get(&w->runs, key);
}

struct pod *world_sandbox_pod(const struct world *w, const struct sandbox *s)
{
    const struct index_bucket *b;
    char key[META_KEY_MAX];

    meta_key(key, s->meta.ns, s->meta.name);
    b = index_get(&w->pods_by_sandbox, key);
    for (size_t i = 0; i < b->count; i++) {
        struct pod *p = container_of(b->items[i], struct pod, meta);

        if (str_eq(p->owner_uid, s->meta.uid) &&
            (s->status.pod_uid ? str_eq(p->meta.uid, s->status.pod_uid) : p->ours))
            return p;
    }
    return NULL;
}

/* ---- state ----------------------------------------------------------------------------------- */

static void pool_state_free(struct pool_state *st)
{
    if (!st)
        return;
    free(st->gone_uid);
    free(st->checked_hash);
    free(st->template_error);
    free(st->ended);
    free(st->create_error_reason);
    free(st->create_error);
    free(st);
}

static void sandbox_state_free(struct sandbox_state *st)
{
    if (!st)
        return;
    free(st->gone_uid);
    free(st->lost_pod_uid);
    free(st->running_uid);
    free(st->claim_error);
    free(st->not_believed_why);
    free(st->fenced_pod);
    free(st->fenced_rv);
    free(st);
}

struct pool_state *world_pool_state(struct world *w, const char *key)
{
    return map_ensure(&w->pool_states, key, sizeof(struct pool_state));
}

struct sandbox_state *world_sandbox_state(struct world *w, const char *key)
{
    return map_ensure(&w->sandbox_states, key, sizeof(struct sandbox_state));
}

void world_forget_pool(struct world *w, const char *key)
{
    pool_state_free(map_del(&w->pool_states, key));
}

void world_forget_sandbox(struct world *w, const char *key)
{
    world_fence_end(w, key);
    sandbox_state_free(map_del(&w->sandbox_states, key));
}

/* ---- queueing -------------------------------------------------------------------------------- */

void world_queue(struct world *w, const char *prefix, const char *key)
{
    char full[PLAN_KEY_MAX];

    if (w->standby)
        return;
    plan_key(full, prefix, key);
    queue_add(w->queue, full, plan_lane(full));
}

void world_set_standby(struct world *w, bool standby)
{
    w->standby = standby;
    if (standby)
        queue_clear(w->queue);
}

bool world_key_lives(const struct world *w, const char *plan_key)
{
    const struct {
        const char *prefix;
        const struct api_kind *kind;
        const struct store *store;
    } rows[] = {
        {PLAN_POOL "/", &api_warmpool, w->pools},
        {PLAN_SANDBOX "/", &api_sandbox, w->sandboxes},
        {PLAN_TASK "/", &api_task, w->tasks},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t len = strlen(rows[i].prefix);

        if (strncmp(plan_key, rows[i].prefix, len) == 0)
            return store_get(rows[i].store, plan_key + len) ||
                   ledger_busy(w->ledger, rows[i].kind, plan_key + len);
    }
    return false;
}

void world_queue_obj(struct world *w, const char *prefix, const char *ns, const char *name)
{
    char key[META_KEY_MAX];

    meta_key(key, ns, name);
    world_queue(w, prefix, key);
}

bool world_pod_of_pool(const struct warmpool *pool, const struct pod *p)
{
    return str_eq(p->owner_uid, pool->meta.uid);
}

static void queue_store(struct world *w, const struct store *s, const char *prefix)
{
    struct meta *m;
    size_t pos = 0;

    while ((m = store_next(s, &pos)))
        world_queue_obj(w, prefix, m->ns, m->name);
}

static void note_task_end(struct world *w, const struct task *t)
{
    struct sandbox_state *st;
    char key[META_KEY_MAX];

    if (!t->sandbox || !task_final(t))
        return;
    meta_key(key, t->meta.ns, t->sandbox);
    if (!world_sandbox(w, key))
        return;
    st = world_sandbox_state(w, key);
    st->last_task_wall_ns = MAX(st->last_task_wall_ns, t->completion_wall_ns);
}

static void note_task_dropped(struct world *w, const struct task *t)
{
    char key[META_KEY_MAX];

    meta_key(key, t->meta.ns, t->sandbox);
    if (world_sandbox(w, key))
        world_sandbox_state(w, key)->task_dropped = true;
}

void world_queue_all(struct world *w)
{
    struct meta *m;
    size_t pos = 0;

    /* The tasks may have been listed before their sandboxes. */
    while ((m = store_next(w->tasks, &pos)))
        note_task_end(w, container_of(m, struct task, meta));
    queue_store(w, w->sandboxes, PLAN_SANDBOX);
    queue_store(w, w->tasks, PLAN_TASK);
    queue_store(w, w->pools, PLAN_POOL);
}

void world_retry_creates(struct world *w, int64_t mono_ns)
{
    const char *key;
    struct pool_state *st;
    size_t pos = 0;

    while ((st = map_next(&w->pool_states, &pos, &key)))
        if (str_eq(st->create_error_reason, kube_reason_str(KUBE_NO_ANSWER))) {
            st->next_create_mono_ns = MIN(st->next_create_mono_ns, mono_ns);
            world_queue(w, PLAN_POOL, key);
        }
}

/* ---- changes of the stores ------------------------------------------------------------------- */

static void keep_seq(struct world *w, const struct meta *old_obj, struct meta *new_obj)
{
    if (!new_obj)
        return;
    new_obj->seq = old_obj ? old_obj->seq : ++w->seq;
    if (!old_obj || !str_eq(old_obj->uid, new_obj->uid))
        return;
    new_obj->seen_mono_ns = old_obj->seen_mono_ns;
    new_obj->seen_wall_ns = old_obj->seen_wall_ns;
    new_obj->missed_mono_ns = old_obj->missed_mono_ns;
}

static void queue_bucket(struct world *w, const struct index_bucket *b, const char *prefix)
{
    for (size_t i = 0; i < b->count; i++)
        world_queue_obj(w, prefix, b->items[i]->ns, b->items[i]->name);
}

/* Whether sandboxes that wait for this pool may have another reason to wait: see sandbox_plan.c. */
static bool waits_differ(const struct meta *old_obj, const struct meta *new_obj)
{
    const struct warmpool *a, *b;

    if (!old_obj || !new_obj)
        return true;
    a = container_of(old_obj, struct warmpool, meta);
    b = container_of(new_obj, struct warmpool, meta);
    return (a->replicas == 0) != (b->replicas == 0) ||
           a->status.pods_failing.status != b->status.pods_failing.status;
}

/* Whether the pods of this pool may have other marks now. */
static bool pods_differ(const struct meta *old_obj, const struct meta *new_obj)
{
    const struct warmpool *a, *b;

    if (!old_obj || !new_obj)
        return true;
    a = container_of(old_obj, struct warmpool, meta);
    b = container_of(new_obj, struct warmpool, meta);
    return !str_eq(a->meta.uid, b->meta.uid) || !str_eq(a->template_hash, b->template_hash);
}

static void on_pool(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    struct world *w = arg;
    struct meta *m = new_obj ? new_obj : old_obj;
    char key[META_KEY_MAX];

    keep_seq(w, old_obj, new_obj);
    meta_key(key, m->ns, m->name);
    if (!new_obj && w->standby)
        world_forget_pool(w, key);
    else if (!new_obj)
        str_set(&world_pool_state(w, key)->gone_uid, xstrdup(old_obj->uid));
    if (pods_differ(old_obj, new_obj))
        world_mark_pods(w, index_get(&w->pods_by_pool, key));
    world_queue(w, PLAN_POOL, key);
    if (waits_differ(old_obj, new_obj))
        queue_bucket(w, index_get(&w->waiting_by_pool, key), PLAN_SANDBOX);
}

bool world_sandbox_waits(const struct sandbox *s)
{
    return !s->meta.deleting && !s->invalid &&
           (s->status.phase == SANDBOX_PHASE_NONE || s->status.phase == SANDBOX_PENDING);
}

static void index_sandbox(struct world *w, struct meta *m, bool add)
{
    struct sandbox *s = container_of(m, struct sandbox, meta);
    char key[META_KEY_MAX];

    if (!world_sandbox_waits(s))
        return;
    meta_key(key, m->ns, s->pool);
    if (add)
        index_add(&w->waiting_by_pool, key, m);
    else
        index_remove(&w->waiting_by_pool, key, m);
}

/* Forgets what was known of the sandbox: it is not true of the next one of this name. */
static void sandbox_gone(struct sandbox_state *st, const char *uid)
{
    free(st->gone_uid);
    free(st->lost_pod_uid);
    free(st->running_uid);
    free(st->claim_error);
    free(st->not_believed_why);
    *st = (struct sandbox_state){.gone_uid = xstrdup(uid)};
}

/* A sandbox that was gone and is there again under the same UID is not deleted. etcd was set back,
 * or an API server that was behind did not know the sandbox yet. */
static void sandbox_back(struct sandbox_state *st, const char *uid)
{
    if (st->gone_uid && str_eq(st->gone_uid, uid))
        str_set(&st->gone_uid, NULL);
}

/* If the sandbox has left the line (it is bound, failed, expired or deleted), the pod that it
 * waited for may be for the next one. */
static void left_line(struct world *w, const struct sandbox *was, const struct sandbox *is)
{
    char pool[META_KEY_MAX];

    if (!world_sandbox_waits(was) || (is && world_sandbox_waits(is)))
        return;
    meta_key(pool, was->meta.ns, was->pool);
    world_wake_waiting(w, pool);
}

/* Whether the change concerns all tasks of the sandbox, and not only the first of the line: see
 * plan_idle(). A sandbox changes often, and its users can change it as often as they like. So other
 * changes must not cost more when the sandbox has more tasks. */
static bool turned(const struct meta *old_obj, const struct meta *new_obj)
{
    const struct sandbox *a, *b;

    if (!old_obj || !new_obj || old_obj->deleting != new_obj->deleting)
        return true;
    a = container_of(old_obj, struct sandbox, meta);
    b = container_of(new_obj, struct sandbox, meta);
    return (a->status.phase == SANDBOX_FAILED) != (b->status.phase == SANDBOX_FAILED);
}

static void on_sandbox(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    struct world *w = arg;
    struct meta *m = new_obj ? new_obj : old_obj;
    char key[META_KEY_MAX];

    keep_seq(w, old_obj, new_obj);
    meta_key(key, m->ns, m->name);
    if (old_obj)
        index_sandbox(w, old_obj, false);
    if (new_obj)
        index_sandbox(w, new_obj, true);
    world_promise(w, old_obj ? container_of(old_obj, struct sandbox, meta) : NULL,
                  new_obj ? container_of(new_obj, struct sandbox, meta) : NULL);
    if (new_obj && !old_obj)
        sandbox_back(world_sandbox_state(w, key), new_obj->uid);
    else if (!new_obj && w->standby)
        world_forget_sandbox(w, key);
    else if (!new_obj)
        sandbox_gone(world_sandbox_state(w, key), old_obj->uid);
    world_sandbox_line(w, old_obj ? container_of(old_obj, struct sandbox, meta) : NULL,
                       new_obj ? container_of(new_obj, struct sandbox, meta) : NULL);
    world_mark_pods(w, index_get(&w->pods_by_sandbox, key));
    if (!new_obj)
        world_task_head_may_differ(w, key);
    world_queue(w, PLAN_SANDBOX, key);
    if (turned(old_obj, new_obj))
        queue_bucket(w, index_get(&w->tasks_by_sandbox, key), PLAN_TASK);
    else
        world_queue_task_head(w, key);
    if (old_obj)
        left_line(w, container_of(old_obj, struct sandbox, meta),
                  new_obj ? container_of(new_obj, struct sandbox, meta) : NULL);
}

bool world_task_in_line(const struct task *t)
{
    return !task_final(t) && t->sandbox && !t->meta.deleting && !t->unwritable;
}

static void index_task(struct world *w, struct meta *m, bool add)
{
    struct task *t = container_of(m, struct task, meta);
    char key[META_KEY_MAX];

    if (!world_task_in_line(t))
        return;
    meta_key(key, m->ns, t->sandbox);
    if (add)
        index_add(&w->tasks_by_sandbox, key, m);
    else
        index_remove(&w->tasks_by_sandbox, key, m);
    if (add && (t->sandbox_uid || world_task_runs(w, key, m)))
        world_task_head_may_differ(w, key);
}

/* A task has left the line of its sandbox. The next one may begin, and the sandbox may be idle. */
static void task_left_line(struct world *w, const struct task *t)
{
    char key[META_KEY_MAX];

    meta_key(key, t->meta.ns, t->sandbox);
    world_queue_task_head(w, key);
    if (world_sandbox(w, key))
        world_queue(w, PLAN_SANDBOX, key);
}

void world_task_unwritable(struct world *w, const char *key, const char *uid)
{
    struct task *t = world_task(w, key);

    if (!t || t->unwritable || !str_eq(t->meta.uid, uid))
        return;
    index_task(w, &t->meta, false);
    t->too_large = t->unwritable = true;
    if (t->sandbox)
        task_left_line(w, t);
}

void world_nothing_ran(struct world *w, const char *key)
{
    struct sandbox_state *st = map_get(&w->sandbox_states, key);

    if (!st)
        return;
    agent_step(&st->agent, AGENT_EV_BOUND, 0);
    world_queue_task_head(w, key);
}

/* NULL: the sandbox with this UID is gone. */
static struct sandbox_state *state_by_uid(struct world *w, const char *ns, const char *sandbox,
                                          const char *uid, char *ret_key)
{
    const struct sandbox *s;

    meta_key(ret_key, ns, sandbox);
    s = world_sandbox(w, ret_key);
    return s && str_eq(s->meta.uid, uid) ? world_sandbox_state(w, ret_key) : NULL;
}

const struct agent_view *world_agent_view(struct world *w, const char *ns, const char *sandbox,
                                          const char *sandbox_uid)
{
    char key[META_KEY_MAX];
    const struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);

    return st ? &st->agent : NULL;
}

void world_audit(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                 enum agent_event ev, int64_t now_mono_ns)
{
    char key[META_KEY_MAX];
    struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);
    bool in_vain;

    assert(ev == AGENT_EV_SENT || ev == AGENT_EV_SILENT || ev == AGENT_EV_UNWANTED);
    if (!st)
        return;
    in_vain = st->agent.in_vain_since_mono_ns != 0;
    agent_step(&st->agent, ev, now_mono_ns);
    if (!in_vain && st->agent.in_vain_since_mono_ns)
        world_queue_task_head(w, key);
}

void world_audit_over(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                      enum agent_event ev, const char *task_uid)
{
    char key[META_KEY_MAX];
    struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);

    assert(ev == AGENT_EV_CLEAN || ev == AGENT_EV_ABANDONED);
    if (!st)
        return;
    agent_step(&st->agent, ev, 0);
    world_queue_task_head(w, key); /* this task may not be the first any more, and has to say so */
    str_set(&st->running_uid, xstrdup(task_uid));
    world_task_head_may_differ(w, key);
    world_queue_task_head(w, key);
    world_queue(w, PLAN_SANDBOX, key);
}

void world_was_used(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid)
{
    char key[META_KEY_MAX];
    struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);

    if (!st)
        return;
    st->task_dropped = true;
    world_queue(w, PLAN_SANDBOX, key);
}

void world_agent_answered(struct world *w, const char *ns, const char *sandbox,
                          const char *sandbox_uid)
{
    char key[META_KEY_MAX];
    struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);

    if (!st || !agent_step(&st->agent, AGENT_EV_GENUINE, 0))
        return;
    str_set(&st->not_believed_why, NULL);
    world_queue(w, PLAN_SANDBOX, key);
}

bool world_agent_is_forged(struct world *w, const char *ns, const char *sandbox,
                           const char *sandbox_uid)
{
    const struct agent_view *a = world_agent_view(w, ns, sandbox, sandbox_uid);

    return a && a->not_believed_since_mono_ns;
}

/* The plan of the sandbox asks for audits until an answer is the agent's own. */
void world_agent_forged(struct world *w, const char *ns, const char *sandbox,
                        const char *sandbox_uid, const char *why, int64_t now_mono_ns)
{
    char key[META_KEY_MAX];
    struct sandbox_state *st = state_by_uid(w, ns, sandbox, sandbox_uid, key);

    if (!st)
        return;
    agent_step(&st->agent, AGENT_EV_FORGED, now_mono_ns);
    if (st->not_believed_why)
        return;
    st->not_believed_why = xstrdup(why);
    world_queue(w, PLAN_SANDBOX, key);
}

bool world_task_wants(const struct task *t, const char *uid, int64_t attempt)
{
    return t && !t->meta.deleting && str_eq(t->meta.uid, uid) && !task_final(t) &&
           t->attempt <= attempt;
}

/* If an attempt is not wanted any more but may still run, the agent is asked again what runs there:
 * the attempt has to be over before the next one begins. */
static void doubt_sandbox(struct world *w, const struct task *was, const struct task *is)
{
    char task_key[META_KEY_MAX], key[META_KEY_MAX];
    const struct sandbox *s;
    struct sandbox_state *st;
    const struct run *r;
    bool unwanted;

    if (!was->sandbox)
        return;
    meta_key(task_key, was->meta.ns, was->meta.name);
    meta_key(key, was->meta.ns, was->sandbox);
    r = world_run(w, task_key);
    s = world_sandbox(w, key);
    if (!s)
        return;
    st = world_sandbox_state(w, key);
    if (r)
        unwanted = run_may_go_on(r) && str_eq(s->meta.uid, r->target.sandbox_uid) &&
                   !world_task_wants(is, r->target.task_uid, r->result->attempt);
    else /* an earlier process began it, as the agent has told */
        unwanted = str_eq(st->running_uid, was->meta.uid) && !task_final(was) &&
                   (!is || task_final(is) || is->meta.deleting);
    if (!unwanted)
        return;
    agent_step(&st->agent, AGENT_EV_DOUBT, 0);
    world_queue(w, PLAN_SANDBOX, key);
}

/* Keeps what plans have noted of the task. If the task has just ended, its sandbox was in use until
 * now, whatever times the status has: they may be of another clock. */
static void keep_task(struct world *w, const struct task *was, struct task *is)
{
    char key[META_KEY_MAX];

    if (!str_eq(was->meta.uid, is->meta.uid))
        return;
    is->open_seen = was->open_seen;
    is->ended_mono_ns = was->ended_mono_ns;
    if (!is->sandbox || task_final(was) || !task_final(is))
        return;
    meta_key(key, is->meta.ns, is->sandbox);
    if (world_sandbox(w, key))
        world_sandbox_state(w, key)->task_ended = true;
}

static void on_task(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    struct world *w = arg;
    struct meta *m = new_obj ? new_obj : old_obj;
    struct task *t = container_of(m, struct task, meta);

    keep_seq(w, old_obj, new_obj);
    if (old_obj)
        index_task(w, old_obj, false);
    if (new_obj)
        index_task(w, new_obj, true);
    world_queue_obj(w, PLAN_TASK, m->ns, m->name);
    if (old_obj)
        doubt_sandbox(w, container_of(old_obj, struct task, meta), new_obj ? t : NULL);
    if (new_obj)
        note_task_end(w, t);
    if (old_obj && new_obj)
        keep_task(w, container_of(old_obj, struct task, meta), t);
    if (t->sandbox && (!new_obj || task_final(t) || m->deleting))
        task_left_line(w, t);
    if (t->sandbox && !task_final(t) && (!new_obj || m->deleting))
        note_task_dropped(w, t);
}

static void queue_pod_users(struct world *w, const struct pod *p, bool new_ready)
{
    char key[META_KEY_MAX];

    meta_key(key, p->meta.ns, p->pool);
    world_queue(w, PLAN_POOL, key);
    if (new_ready && pod_idle(p))
        world_wake_waiting(w, key);
    world_queue_promised(w, p);
    if (!p->sandbox)
        return;
    meta_key(key, p->meta.ns, p->sandbox);
    world_queue(w, PLAN_SANDBOX, key);
    /* The watch of pods may be behind the watch of sandboxes. So tasks wait for the pod, too. */
    world_queue_task_head(w, key);
}

void world_pod_made(struct world *w, const struct meta *pod)
{
    char key[META_KEY_MAX];

    meta_key(key, pod->ns, pod->name);
    made_note(&w->made, key, pod->uid);
}

/* Whether an operator of ours has made the pod. Only the seal proves it: whoever may create pods
 * can write the same labels, owner and annotations. */
static bool is_ours(struct world *w, const struct pod *p)
{
    char key[META_KEY_MAX];
    const char *uid;

    if (!w->policy->pod.seal)
        return true;
    meta_key(key, p->meta.ns, p->meta.name);
    uid = made_uid(&w->made, key);
    if (uid && !str_eq(uid, p->meta.uid))
        return false;
    if (!pod_seal_fits(w->policy->pod.seal, p, uid != NULL))
        return false;
    made_note(&w->made, key, p->meta.uid);
    return true;
}

/* Frees the texts of the seal: nobody looks at them again, and with many pods they take room. */
static void judge_seal(struct world *w, struct pod *p)
{
    p->ours = is_ours(w, p);
    p->sealed = p->seal || p->pool_uid;
    str_set(&p->seal, NULL);
    str_set(&p->pool_uid, NULL);
}

/* Keeps what the pod's status does not tell: this process has seen it ready, and then not ready. */
static void keep_readiness(const struct pod *was, struct pod *is)
{
    if (!str_eq(was->meta.uid, is->meta.uid))
        return;
    is->told = was->told;
    is->was_ready = is->was_ready || was->was_ready;
    if (!is->ready && !was->ready)
        is->unready_mono_ns = was->unready_mono_ns;
}

static void on_pod(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    struct world *w = arg;
    struct pod *old_pod = old_obj ? container_of(old_obj, struct pod, meta) : NULL;
    struct pod *new_pod = new_obj ? container_of(new_obj, struct pod, meta) : NULL;

    keep_seq(w, old_obj, new_obj);
    if (new_pod)
        judge_seal(w, new_pod);
    if (old_pod && new_pod)
        keep_readiness(old_pod, new_pod);
    world_shelve_pod(w, old_pod, new_pod);
    if (old_pod && w->on_pod_gone && (!new_pod || !str_eq(old_pod->meta.uid, new_pod->meta.uid)))
        w->on_pod_gone(w->on_pod_gone_arg, old_pod->meta.uid);
    if (old_pod)
        queue_pod_users(w, old_pod, false);
    if (new_pod)
        queue_pod_users(w, new_pod, new_pod->ready);
}

static void on_ledger(void *arg, const struct api_kind *kind, const char *key)
{
    struct world *w = arg;
    struct pod *p = kind == &api_pod ? world_pod(w, key) : NULL;

    if (p) {
        world_mark_pod(w, p);
        world_queue_promised(w, p);
    }
    if (kind == &api_sandbox)
        world_line_sandbox(w, key);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct world *world_new(const struct policy *policy)
{
    struct world *w = xcalloc(1, sizeof(*w));

    w->policy = policy;
    w->pools = store_new(&api_warmpool, on_pool, w);
    w->sandboxes = store_new(&api_sandbox, on_sandbox, w);
    w->tasks = store_new(&api_task, on_task, w);
    w->pods = store_new(&api_pod, on_pod, w);
    w->ledger = ledger_new();
    w->queue = queue_new();
    ledger_on_change(w->ledger, on_ledger, w);
    world_runs_init(w);
    return w;
}

void world_free(struct world *w)
{
    struct pool_state *ps;
    struct sandbox_state *ss;
    char *kept_for;
    size_t pos = 0;

    if (!w)
        return;
    world_runs_done(w);
    while ((ps = map_next(&w->pool_states, &pos, NULL)))
        pool_state_free(ps);
    pos = 0;
    while ((ss = map_next(&w->sandbox_states, &pos, NULL)))
        sandbox_state_free(ss);
    pos = 0;
    while ((kept_for = map_next(&w->kept, &pos, NULL)))
        free(kept_for);
    map_done(&w->pool_states);
    map_done(&w->sandbox_states);
    world_shelves_done(w);
    index_done(&w->pods_by_pool);
    index_done(&w->pods_by_sandbox);
    index_done(&w->waiting_by_pool);
    index_done(&w->tasks_by_sandbox);
    index_done(&w->sandboxes_by_pod);
    map_done(&w->promising);
    map_done(&w->kept);
    store_free(w->pools);
    store_free(w->sandboxes);
    store_free(w->tasks);
    store_free(w->pods);
    made_done(&w->made);
    ledger_free(w->ledger);
    queue_free(w->queue);
    free(w);
}
