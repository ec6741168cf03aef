#include "operator/app/observe.h"

#include <stdio.h>

#include "common/base/metrics.h"
#include "operator/agent/sidecar_client.h"
#include "operator/app/executor.h"
#include "operator/core/plan.h"

/* ---- metrics --------------------------------------------------------------------------------- */

enum { POOL_PHASES = WARMPOOL_DEGRADED + 1 };

static const char *label_of(const char *name)
{
    return *name ? name : "New";
}

static void gauge(struct buf *out, const char *name, const char *label, const char *value,
                  size_t count)
{
    char text[64];

    snprintf(text, sizeof(text), "%s=\"%s\"", label, label_of(value));
    metrics_value(out, name, text, (double)count);
}

static void pool_metrics(const struct world *w, struct buf *out)
{
    size_t n[POOL_PHASES] = {0}, pos = 0;
    struct meta *m;

    while ((m = store_next(w->pools, &pos)))
        n[container_of(m, struct warmpool, meta)->status.phase]++;
    metrics_head(out, "arl_pools", "gauge", "WarmPools by status.phase; New: not written yet.");
    for (size_t i = 0; i < POOL_PHASES; i++)
        gauge(out, "arl_pools", "phase", warmpool_phase_str((enum warmpool_phase)i), n[i]);
}

static void sandbox_metrics(const struct world *w, struct now now, struct buf *out)
{
    size_t n[SANDBOX_PHASES] = {0}, pos = 0;
    int64_t longest_ns = 0;
    struct meta *m;

    while ((m = store_next(w->sandboxes, &pos))) {
        const struct sandbox *s = container_of(m, struct sandbox, meta);

        n[s->status.phase]++;
        if (s->status.phase <= SANDBOX_PENDING && !m->deleting)
            longest_ns = MAX(longest_ns, now.wall_ns - m->created_wall_ns);
    }
    metrics_head(out, "arl_sandboxes", "gauge", "Sandboxes by status.phase; New: not written yet.");
    for (size_t i = 0; i < SANDBOX_PHASES; i++)
        gauge(out, "arl_sandboxes", "phase", sandbox_phase_str((enum sandbox_phase)i), n[i]);
    metrics_head(out, "arl_sandbox_longest_wait_seconds", "gauge",
                 "For how long the oldest sandbox without a pod has waited; 0: none waits.");
    metrics_value(out, "arl_sandbox_longest_wait_seconds", NULL,
                  (double)(longest_ns / NSEC_PER_SEC));
}

static void task_metrics(const struct world *w, struct buf *out)
{
    size_t n[TASK_STATES] = {0}, pos = 0;
    struct meta *m;

    while ((m = store_next(w->tasks, &pos)))
        n[container_of(m, struct task, meta)->state]++;
    metrics_head(out, "arl_tasks", "gauge", "Tasks by status.state; New: not written yet.");
    for (size_t i = 0; i < TASK_STATES; i++)
        gauge(out, "arl_tasks", "state", task_state_str((enum task_state)i), n[i]);
}

static void pod_metrics(const struct world *w, struct buf *out)
{
    enum { IDLE_READY, IDLE_NOT_READY, ALLOCATED, ENDING, FOREIGN, STATES };
    static const char *const names[STATES] = {"IdleReady", "IdleNotReady", "Allocated", "Ending",
                                              "Foreign"};
    size_t n[STATES] = {0}, pos = 0;
    struct meta *m;

    while ((m = store_next(w->pods, &pos))) {
        const struct pod *p = container_of(m, struct pod, meta);

        n[!p->ours && pod_idle(p)          ? FOREIGN
          : m->deleting || pod_terminal(p) ? ENDING
          : !pod_idle(p)                   ? ALLOCATED
          : p->ready                       ? IDLE_READY
                                           : IDLE_NOT_READY]++;
    }
    metrics_head(out, "arl_pods", "gauge", "Pods of all pools by what they are good for.");
    for (size_t i = 0; i < STATES; i++)
        gauge(out, "arl_pods", "state", names[i], n[i]);
}

void observe_metrics(const struct world *w, struct now now, struct buf *out)
{
    pool_metrics(w, out);
    sandbox_metrics(w, now, out);
    task_metrics(w, out);
    pod_metrics(w, out);
    metrics_head(out, "arl_run_memory_bytes", "gauge",
                 "What is held of attempts that run or are not written yet (--run-memory).");
    metrics_value(out, "arl_run_memory_bytes", NULL, (double)w->run_memory.used);
    metrics_head(out, "arl_runs_waiting", "gauge",
                 "Attempts that wait for room: to be read again, to be written, to be sent.");
    metrics_value(out, "arl_runs_waiting", NULL,
                  (double)(w->run_memory.waiting + w->results.waiting + w->starts.waiting));
    metrics_head(out, "arl_streams", "gauge",
                 "Connections to agents for attempts (--max-streams): open, or waited for.");
    metrics_value(out, "arl_streams", "state=\"Open\"", (double)w->streams.used);
    metrics_value(out, "arl_streams", "state=\"Waiting\"", (double)w->streams.waiting);
    metrics_head(out, "arl_queue_depth", "gauge", "Keys that wait to be planned.");
    metrics_value(out, "arl_queue_depth", NULL, (double)queue_len(w->queue));
    metrics_head(out, "arl_queue_delayed", "gauge", "Keys that are to be planned at a later time.");
    metrics_value(out, "arl_queue_delayed", NULL, (double)queue_delayed(w->queue));
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int64_t until_ms(int64_t mono_ns, struct now now)
{
    return MAX(mono_ns - now.mono_ns, 0) / NSEC_PER_MSEC;
}

static void put_queue(const struct queue_view *v, struct now now, struct json_writer *jw)
{
    json_w_str(jw, "state", v->state);
    if (v->due_ns > 0)
        json_w_int(jw, "dueMs", until_ms(v->due_ns, now));
    json_w_int(jw, "failures", v->failures);
}

static void failing_keys(const struct world *w, struct now now, struct json_writer *jw)
{
    struct queue_view v;
    size_t pos = 0, total = 0;

    json_w_array(jw, "failing");
    while (queue_next(w->queue, &pos, &v)) {
        if (v.failures == 0 || total++ >= OBSERVE_LIST_MAX)
            continue;
        json_w_object(jw, NULL);
        json_w_str(jw, "key", v.key);
        put_queue(&v, now, jw);
        json_w_end_object(jw);
    }
    json_w_end_array(jw);
    json_w_int(jw, "failingTotal", (int64_t)total);
}

static void put_run(const struct run *r, struct now now, struct json_writer *jw)
{
    json_w_str(jw, "pod", r->target.pod_name);
    json_w_str(jw, "address", r->target.address);
    json_w_int(jw, "attempt", r->result->attempt);
    json_w_int(jw, "ageMs", (now.mono_ns - r->begun_mono_ns) / NSEC_PER_MSEC);
    json_w_int(jw, "events", (int64_t)r->last_seq);
    json_w_bool(jw, "over", r->over);
    if (r->over)
        json_w_str(jw, "reason", r->reason);
    sidecar_client_debug(r, now, jw);
}

static void put_runs(const struct world *w, struct now now, struct json_writer *jw)
{
    const char *key;
    struct run *r;
    size_t pos = 0, n = 0;

    json_w_object(jw, "runs");
    while (n++ < OBSERVE_LIST_MAX && (r = map_next(&w->runs, &pos, &key))) {
        json_w_object(jw, key);
        put_run(r, now, jw);
        json_w_end_object(jw);
    }
    json_w_end_object(jw);
    json_w_int(jw, "runsTotal", (int64_t)w->runs.count);
}

void observe_state(const struct world *w, const struct executor *x, struct now now,
                   struct json_writer *jw)
{
    json_w_int(jw, "queue", (int64_t)queue_len(w->queue));
    json_w_int(jw, "queueDelayed", (int64_t)queue_delayed(w->queue));
    failing_keys(w, now, jw);
    /* Kept beside the caches for pools and sandboxes: of a standby for those only that are there.
     */
    json_w_int(jw, "states", (int64_t)(w->pool_states.count + w->sandbox_states.count));
    json_w_int(jw, "writesUnderWay", (int64_t)ledger_size(w->ledger));
    executor_debug(x, NULL, now, jw);
    put_runs(w, now, jw);
}

/* ---- one key --------------------------------------------------------------------------------- */

static void put_condition(const struct condition *c, struct json_writer *jw)
{
    json_w_str(jw, "reason", c->reason);
    json_w_str(jw, "message", c->message);
}

static void put_meta(const struct meta *m, struct now now, struct json_writer *jw)
{
    json_w_str(jw, "uid", m->uid);
    json_w_int(jw, "ageMs", (now.wall_ns - m->created_wall_ns) / NSEC_PER_MSEC);
    json_w_bool(jw, "deleting", m->deleting);
}

static void put_pool_state(const struct pool_state *st, struct now now, struct json_writer *jw)
{
    json_w_bool(jw, "templateProven", st->proven);
    json_w_int(jw, "podsMadeUnproven", st->created);
    json_w_int(jw, "failures", st->failures);
    json_w_int(jw, "nextCreateMs", until_ms(st->next_create_mono_ns, now));
    json_w_str(jw, "templateError", st->template_error);
    json_w_str(jw, "createError", st->create_error);
    json_w_str(jw, "ended", st->ended);
}

static const struct meta *pool_key(const struct world *w, const char *key, struct now now,
                                   struct json_writer *jw)
{
    const struct warmpool *p = world_pool(w, key);
    const struct pool_state *st = map_get(&w->pool_states, key);
    struct pod *first;

    if (p) {
        put_meta(&p->meta, now, jw);
        json_w_str(jw, "status", label_of(warmpool_phase_str(p->status.phase)));
        put_condition(&p->status.pods_failing, jw);
        json_w_int(jw, "replicas", p->replicas);
    }
    json_w_int(jw, "pods", (int64_t)index_get(&w->pods_by_pool, key)->count);
    json_w_int(jw, "claimable", (int64_t)world_claimable(w, key, &first));
    json_w_int(jw, "creating", (int64_t)ledger_count(w->ledger, LEDGER_CREATE, key));
    json_w_int(jw, "claiming", (int64_t)ledger_count(w->ledger, LEDGER_CLAIM, key));
    json_w_int(jw, "waitingSandboxes", (int64_t)index_get(&w->waiting_by_pool, key)->count);
    if (st)
        put_pool_state(st, now, jw);
    return p ? &p->meta : NULL;
}

/* How many come before this one; -1: it is not among them. */
static int64_t place_in(const struct index_bucket *b, const struct meta *m)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->items[i] == m)
            return (int64_t)i;
    return -1;
}

static const struct meta *sandbox_key(const struct world *w, const char *key, struct now now,
                                      struct json_writer *jw)
{
    const struct sandbox *s = world_sandbox(w, key);
    const struct sandbox_state *st = map_get(&w->sandbox_states, key);
    const struct pod *pod = s ? world_sandbox_pod(w, s) : NULL;
    char pool[META_KEY_MAX];

    if (s) {
        meta_key(pool, s->meta.ns, str_or_empty(s->pool));
        put_meta(&s->meta, now, jw);
        json_w_str(jw, "status", label_of(sandbox_phase_str(s->status.phase)));
        put_condition(&s->status.ready, jw);
        json_w_str(jw, "pool", s->pool);
        json_w_bool(jw, "poolKnown", world_pool(w, pool) != NULL);
        json_w_int(jw, "waitingAhead", place_in(index_get(&w->waiting_by_pool, pool), &s->meta));
    }
    json_w_str(jw, "pod", pod ? pod->meta.name : NULL);
    json_w_bool(jw, "podReady", pod && pod->ready);
    json_w_int(jw, "unfinishedTasks", (int64_t)index_get(&w->tasks_by_sandbox, key)->count);
    if (st) {
        json_w_str(jw, "agent", agent_state_str(st->agent.state));
        json_w_str(jw, "ranAtAudit", st->running_uid);
        json_w_str(jw, "lostPod", st->lost_pod_uid);
        json_w_bool(jw, "agentGenuine", st->agent.genuine);
        json_w_str(jw, "agentNotBelieved", st->not_believed_why);
    }
    return s ? &s->meta : NULL;
}

static const struct meta *task_key(const struct world *w, const char *key, struct now now,
                                   struct json_writer *jw)
{
    const struct task *t = world_task(w, key);
    const struct run *r = world_run(w, key);
    const struct index_bucket *line;
    const struct sandbox *s;
    char box[META_KEY_MAX];

    if (t) {
        put_meta(&t->meta, now, jw);
        json_w_str(jw, "status", label_of(task_state_str(t->state)));
        put_condition(&t->finished, jw);
        json_w_int(jw, "attempt", MAX(t->attempt, 1));
        json_w_str(jw, "sandbox", t->sandbox);
    }
    if (t && t->sandbox) {
        meta_key(box, t->meta.ns, t->sandbox);
        s = world_sandbox(w, box);
        line = index_get(&w->tasks_by_sandbox, box);
        json_w_str(jw, "sandboxStatus", s ? label_of(sandbox_phase_str(s->status.phase)) : NULL);
        json_w_int(jw, "tasksAhead", place_in(line, &t->meta));
        json_w_str(jw, "firstInLine", line->count > 0 ? line->items[0]->name : NULL);
    }
    if (r) {
        json_w_object(jw, "run");
        put_run(r, now, jw);
        json_w_end_object(jw);
    }
    return t ? &t->meta : NULL;
}

bool observe_key(const struct world *w, const struct executor *x, const char *key, bool parked,
                 struct now now, struct json_writer *jw)
{
    static const struct {
        const char *prefix;
        const struct meta *(*fn)(const struct world *, const char *, struct now,
                                 struct json_writer *);
    } kinds[] = {
        {PLAN_POOL "/", pool_key}, {PLAN_SANDBOX "/", sandbox_key}, {PLAN_TASK "/", task_key}};
    struct queue_view v;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i].prefix);
        const struct meta *found;

        if (strncmp(key, kinds[i].prefix, len) != 0 || !strchr(key + len, '/'))
            continue;
        json_w_object(jw, NULL);
        json_w_str(jw, "key", key);
        found = kinds[i].fn(w, key + len, now, jw);
        json_w_bool(jw, "known", found != NULL);
        queue_look(w->queue, key, &v);
        if (parked)
            v.state = "parked";
        json_w_object(jw, "queue");
        put_queue(&v, now, jw);
        json_w_end_object(jw);
        executor_debug(x, key, now, jw);
        json_w_end_object(jw);
        return true;
    }
    return false;
}
