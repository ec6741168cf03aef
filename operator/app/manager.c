#include "operator/app/manager.h"

#include <stdio.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "operator/agent/sidecar_client.h"
#include "operator/app/executor.h"
#include "operator/app/observe.h"
#include "operator/core/plan.h"
#include "operator/kube/events.h"
#include "operator/kube/gate.h"
#include "operator/kube/reflector.h"

/* Keys in one turn: I/O comes between two turns, so a burst cannot starve it. */
#define CHECKED_MAX 100 /* pods and sandboxes */
#define TURN_KEYS 64
#define KINDS 4
/* A write that is begun has decided what it says, and waits in the line of requests. So no more are
 * begun than keep the line full (send_window.h): a namespace that has so many under way is not
 * planned until some are answered, nor, where all have many, is one with more than a few. The keys
 * that wait are planned with what is known then. A plan may begin several. */
#define NS_WRITES_MAX 48
#define ALL_WRITES_MAX 512
#define NS_WRITES_LEAST 8

struct manager {
    struct ops *ops;
    const struct gate *gate;
    bool (*may_act)(void *arg);
    void *may_act_arg;
    struct world *world;
    struct events *events;
    struct sidecar_client *agents;
    struct executor *executor;
    struct reflector *reflectors[KINDS];
    struct ops_timer *timer;
    int64_t timer_due_ns; /* 0: not armed */
    bool active;
    bool gate_turned;  /* and nobody was told yet */
    struct map parked; /* namespace -> struct queue of its keys, while it has too many writes */
    uint64_t plans;
    uint64_t actions;
};

/* ---- the wheel ------------------------------------------------------------------------------- */

bool manager_synced(const struct manager *m)
{
    for (size_t i = 0; i < KINDS; i++)
        if (!reflector_synced(m->reflectors[i]))
            return false;
    return true;
}

/* In debug builds as long as it costs little. */
static bool is_checked(const struct world *w)
{
#ifdef ARL_RECORD_MOVES
    if (store_count(w->pods) + store_count(w->sandboxes) <= CHECKED_MAX)
        return true;
#endif
    return w->policy->check;
}

static void plan_one(struct manager *m, const char *key)
{
    cleanup_actions struct actions actions;
    struct now now = ops_now(m->ops);

    actions_init(&actions);
    plan(m->world, key, now, &actions);
    if (is_checked(m->world))
        plan_check(m->world, key, now, &actions);
    m->plans++;
    for (const struct action *a = actions.first; a; a = a->next) {
        m->actions++;
        executor_do(m->executor, key, a);
    }
    /* The key needs no more plans, and its failures are forgotten. */
    if (!actions.first && !world_key_lives(m->world, key))
        queue_forget(m->world->queue, key);
}

static void tell_gate_turned(struct manager *m)
{
    m->gate_turned = false;
    for (size_t i = 0; i < KINDS; i++)
        reflector_gate_turned(m->reflectors[i]);
    world_retry_creates(m->world, ops_now(m->ops).mono_ns);
}

/* ---- who has too many writes under way --------------------------------------------------------
 */

static char *ns_of(const char *plan_key)
{
    const char *ns = strchr(plan_key, '/') + 1;

    return xmemdup0(ns, strcspn(ns, "/"));
}

/* How many writes more the namespace may begin. */
static size_t writes_left(const struct manager *m, const char *ns)
{
    size_t n = ledger_size_of(m->world->ledger, ns);
    size_t max = ledger_size(m->world->ledger) < ALL_WRITES_MAX ? NS_WRITES_MAX : NS_WRITES_LEAST;

    return n < max ? max - n : 0;
}

/* Returns whether the key is left for later. */
static bool park(struct manager *m, const char *key)
{
    cleanup_free char *ns = ns_of(key);
    struct queue *q;

    if (writes_left(m, ns) > 0)
        return false;
    q = map_get(&m->parked, ns);
    if (!q) {
        q = queue_new();
        map_put(&m->parked, ns, q);
    }
    queue_add(q, key, plan_lane(key));
    return true;
}

/* As many as the namespace may begin writes. */
static void unpark_ns(struct manager *m, const char *ns, struct queue *q)
{
    for (size_t left = writes_left(m, ns); left > 0 && queue_len(q) > 0; left--) {
        cleanup_free char *key = queue_take(q, 0);

        queue_add(m->world->queue, key, plan_lane(key));
    }
}

/* Each namespace once: the number of writes that it may begin does not change before it begins
 * some. */
static void unpark(struct manager *m)
{
    struct map empty = MAP_INIT;
    struct queue *q;
    const char *ns;
    size_t pos = 0;

    while ((q = map_next(&m->parked, &pos, &ns))) {
        unpark_ns(m, ns, q);
        if (queue_len(q) == 0)
            map_put(&empty, ns, q);
    }
    pos = 0;
    while ((q = map_next(&empty, &pos, &ns))) {
        map_del(&m->parked, ns);
        queue_free(q);
    }
    map_done(&empty);
}

/* Whether some may go on although no further write was answered: those before them wrote nothing.
 */
static bool may_unpark(const struct manager *m)
{
    const char *ns;
    size_t pos = 0;

    while (map_next(&m->parked, &pos, &ns))
        if (writes_left(m, ns) > 0)
            return true;
    return false;
}

static size_t count_parked(const struct manager *m)
{
    const struct queue *q;
    size_t pos = 0, n = 0;

    while ((q = map_next(&m->parked, &pos, NULL)))
        n += queue_len(q);
    return n;
}

/* key: whatever somebody asks about. */
static bool is_parked(const struct manager *m, const char *key)
{
    cleanup_free char *ns = strchr(key, '/') ? ns_of(key) : NULL;
    const struct queue *q = ns ? map_get(&m->parked, ns) : NULL;
    struct queue_view v;

    if (!q)
        return false;
    queue_look(q, key, &v);
    return str_eq(v.state, "ready");
}

static void forget_parked(struct manager *m)
{
    struct queue *q;
    size_t pos = 0;

    while ((q = map_next(&m->parked, &pos, NULL)))
        queue_free(q);
    map_done(&m->parked);
}

static void arm(struct manager *m)
{
    bool at_once = queue_len(m->world->queue) > 0 || may_unpark(m);
    int64_t due = at_once ? ops_now(m->ops).mono_ns : queue_next_due(m->world->queue);

    if (due == m->timer_due_ns)
        return;
    m->timer_due_ns = due;
    m->ops->v->timer_set(m->ops, m->timer, due);
}

void manager_turn(struct manager *m)
{
    if (m->gate_turned)
        tell_gate_turned(m);
    if (!m->active || !manager_synced(m) || (m->may_act && !m->may_act(m->may_act_arg)))
        return;
    unpark(m);
    for (int i = 0; i < TURN_KEYS; i++) {
        cleanup_free char *key = queue_take(m->world->queue, ops_now(m->ops).mono_ns);

        if (!key)
            break;
        if (!park(m, key))
            plan_one(m, key);
    }
    if (is_checked(m->world))
        world_check(m->world);
    arm(m);
}

static void on_timer(void *arg)
{
    struct manager *m = arg;

    m->timer_due_ns = 0;
    manager_turn(m);
}

void manager_set_active(struct manager *m, bool active)
{
    if (m->active == active)
        return;
    m->active = active;
    world_act_since(m->world, active ? ops_now(m->ops).wall_ns : 0);
    log_info(active ? "active" : "standing by", NULL);
    world_set_standby(m->world, !active);
    forget_parked(m);
    if (active)
        world_queue_all(m->world);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_synced(void *arg)
{
    struct manager *m = arg;

    if (manager_synced(m))
        log_info("caches are in step with the API server", NULL);
}

static void on_note(void *arg, int level, const char *kind, const char *msg)
{
    log_line((enum log_level)level, "watch", "kind", kind, "note", msg, NULL);
}

static void on_stale_task(void *arg, const char *ns, const char *name)
{
    struct manager *m = arg;

    char key[META_KEY_MAX], plan[PLAN_KEY_MAX];

    meta_key(key, ns, name);
    plan_key(plan, PLAN_TASK, key);
    executor_read(m->executor, plan, &api_task, ns, name);
}

static void start_reflectors(struct manager *m, const char *ns)
{
    const struct {
        const struct api_kind *kind;
        struct store *store;
    } rows[KINDS] = {
        /* Pods first: planners take a missing pod for a loss only after asking, but need not. */
        {&api_pod, m->world->pods},
        {&api_warmpool, m->world->pools},
        {&api_sandbox, m->world->sandboxes},
        {&api_task, m->world->tasks},
    };

    for (size_t i = 0; i < KINDS; i++) {
        struct reflector_opts opts = {
            .kind = rows[i].kind,
            .ns = ns,
            .store = rows[i].store,
            .on_synced = on_synced,
            .on_note = on_note,
            .arg = m,
        };

        m->reflectors[i] = reflector_new(m->ops, &opts);
    }
}

struct manager *manager_new(struct ops *ops, const struct manager_opts *opts)
{
    struct manager *m = xcalloc(1, sizeof(*m));
    struct sidecar_client_opts agents = {.keys = opts->keys, .on_stale_task = on_stale_task};

    m->ops = ops;
    m->gate = opts->gate;
    m->may_act = opts->may_act;
    m->may_act_arg = opts->arg;
    m->world = world_new(opts->policy);
    world_set_standby(m->world, true);
    agents.world = m->world;
    agents.arg = m;
    m->agents = sidecar_client_new(ops, &agents);
    m->events = events_new(ops, opts->instance);
    m->executor = executor_new(ops, m->world, m->agents, m->events);
    m->timer = ops->v->timer_new(ops, on_timer, m);
    start_reflectors(m, opts->ns);
    return m;
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < KINDS; i++)
        reflector_free(m->reflectors[i]);
    executor_free(m->executor);
    sidecar_client_free(m->agents);
    events_free(m->events);
    forget_parked(m);
    m->ops->v->timer_free(m->ops, m->timer);
    world_free(m->world);
    free(m);
}

void manager_kick(struct manager *m)
{
    for (size_t i = 0; i < KINDS; i++)
        reflector_kick(m->reflectors[i]);
}

void manager_gate_turned(struct manager *m)
{
    m->gate_turned = true;
}

/* ---- looking inside -------------------------------------------------------------------------- */

static const char *const kind_labels[KINDS] = {"kind=\"Pod\"", "kind=\"WarmPool\"",
                                               "kind=\"Sandbox\"", "kind=\"Task\""};

/* Of all kinds together; another metric has each kind. */
static void failure_metrics(const struct reflector_stats *rs, struct buf *out)
{
    char label[64];

    metrics_head(out, "arl_watch_failures_total", "counter",
                 "Lists and watches that failed, by reason.");
    for (size_t reason = 0; reason < ARRAY_SIZE(rs->failures); reason++) {
        uint64_t n = 0;

        for (size_t i = 0; i < KINDS; i++)
            n += rs[i].failures[reason];
        snprintf(label, sizeof(label), "reason=\"%s\"", kube_reason_str((enum kube_reason)reason));
        metrics_value(out, "arl_watch_failures_total", label, (double)n);
    }
}

void manager_metrics(const struct manager *m, struct buf *out)
{
    const struct store *stores[KINDS] = {m->world->pods, m->world->pools, m->world->sandboxes,
                                         m->world->tasks};
    struct reflector_stats rs[KINDS];

    metrics_head(out, "arl_objects", "gauge", "Objects in the caches.");
    for (size_t i = 0; i < KINDS; i++) {
        reflector_stats(m->reflectors[i], &rs[i]);
        metrics_value(out, "arl_objects", kind_labels[i], (double)store_count(stores[i]));
    }
    metrics_head(out, "arl_watches_total", "counter", "Watches begun.");
    for (size_t i = 0; i < KINDS; i++)
        metrics_value(out, "arl_watches_total", kind_labels[i], (double)rs[i].watches);
    metrics_head(out, "arl_lists_total", "counter", "Full lists made.");
    for (size_t i = 0; i < KINDS; i++)
        metrics_value(out, "arl_lists_total", kind_labels[i], (double)rs[i].lists);
    metrics_head(out, "arl_reflector_relist_repairs_total", "counter",
                 "Objects that a list found changed or gone without a watch having told.");
    for (size_t i = 0; i < KINDS; i++)
        metrics_value(out, "arl_reflector_relist_repairs_total", kind_labels[i],
                      (double)rs[i].repairs);
    metrics_head(out, "arl_watch_errors_total", "counter", "Lists and watches that failed.");
    for (size_t i = 0; i < KINDS; i++)
        metrics_value(out, "arl_watch_errors_total", kind_labels[i], (double)rs[i].errors);
    failure_metrics(rs, out);
    metrics_head(out, "arl_plans_total", "counter", "Keys planned.");
    metrics_value(out, "arl_plans_total", NULL, (double)m->plans);
    metrics_head(out, "arl_writes_under_way", "gauge", "Writes without an answer yet.");
    metrics_value(out, "arl_writes_under_way", NULL, (double)ledger_size(m->world->ledger));
    metrics_head(out, "arl_queue_parked", "gauge",
                 "Keys that wait until some writes of their namespace are answered.");
    metrics_value(out, "arl_queue_parked", NULL, (double)count_parked(m));
    metrics_head(out, "arl_active", "gauge", "1 while this operator acts.");
    metrics_value(out, "arl_active", NULL, m->active);
    metrics_head(out, "arl_events_dropped_total", "counter",
                 "Events that the API server did not take, or that were too many.");
    metrics_value(out, "arl_events_dropped_total", NULL, (double)events_dropped(m->events));
    if (m->gate)
        gate_metrics(m->gate, out);
    observe_metrics(m->world, ops_now(m->ops), out);
    executor_metrics(m->executor, out);
    sidecar_client_metrics(m->agents, out);
}

void manager_debug(const struct manager *m, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    struct reflector_stats rs;

    json_w_object(&w, NULL);
    json_w_bool(&w, "active", m->active);
    json_w_bool(&w, "synced", manager_synced(m));
    if (m->gate)
        gate_debug(m->gate, &w);
    json_w_array(&w, "watches");
    for (size_t i = 0; i < KINDS; i++) {
        reflector_stats(m->reflectors[i], &rs);
        json_w_str(&w, NULL, rs.state);
    }
    json_w_end_array(&w);
    json_w_int(&w, "queueParked", (int64_t)count_parked(m));
    observe_state(m->world, m->executor, ops_now(m->ops), &w);
    json_w_end_object(&w);
}

bool manager_debug_key(const struct manager *m, const char *key, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    return observe_key(m->world, m->executor, key, is_parked(m, key), ops_now(m->ops), &w);
}
