#include "operator/app/executor.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "operator/agent/sidecar_client.h"
#include "operator/app/end_counts.h"
#include "operator/core/write.h"
#include "operator/kube/client.h"
#include "operator/kube/events.h"

#define BUSY_READ_MS 200
#define NAME_SUFFIX_LEN 8

struct executor {
    struct ops *ops;
    struct world *w;
    struct sidecar_client *agents;
    struct events *events;
    struct list requests;
    uint64_t counts[LEDGER_VERBS];
    uint64_t errors[KUBE_NO_ANSWER + 1];
    struct metrics_histogram claim_time;
    struct metrics_histogram sandbox_wait;
    struct end_counts ends;
};

/* The request of a write, and the reads that follow when its outcome is unknown. */
struct request {
    struct list node;
    struct executor *x;
    struct write *write;
    struct kube_call *call;  /* NULL: none is under way */
    struct ops_timer *timer; /* of a read that is tried again */
};

static const char *const verb_names[] = {"create", "claim", "delete", "status", "read"};

/* ---- life of a request ----------------------------------------------------------------------- */

static struct request *request_new(struct executor *x, struct write *wr)
{
    struct request *r = xcalloc(1, sizeof(*r));

    r->x = x;
    r->write = wr;
    list_push_back(&x->requests, &r->node);
    x->counts[wr->verb]++;
    return r;
}

/* name: of a pod that is made; else NULL. */
static struct request *begin(struct executor *x, const char *key, const struct action *a,
                             const char *name)
{
    return request_new(x, write_begin(x->w, key, a, name, ops_now(x->ops)));
}

static void request_free(struct request *r)
{
    list_remove(&r->node);
    if (r->timer)
        r->x->ops->v->timer_free(r->x->ops, r->timer);
    write_free(r->write);
    free(r);
}

static void log_outcome(struct executor *x, const struct write *wr, const struct kube_result *res)
{
    char took[DURATION_MAX];

    duration_format(took, (ops_now(x->ops).mono_ns - wr->begun_mono_ns) / 1000 * 1000);
    x->errors[res->reason]++;
    if (res->reason == KUBE_OK)
        log_line(wr->verb == LEDGER_READ ? LOG_DEBUG : LOG_INFO, verb_names[wr->verb], "kind",
                 wr->kind->kind, "namespace", wr->ns, "name", wr->name, "reason",
                 str_or_empty(wr->reason), "for", str_or_empty(wr->sandbox_key), "took", took,
                 wr->trace ? "trace" : NULL, wr->trace, NULL);
    else
        log_line(res->reason == KUBE_CONFLICT || res->reason == KUBE_NOT_FOUND ? LOG_INFO
                                                                               : LOG_WARN,
                 "write not done", "verb", verb_names[wr->verb], "kind", wr->kind->kind,
                 "namespace", wr->ns, "name", wr->name, "answer", kube_reason_str(res->reason),
                 "message", res->message, "took", took, NULL);
}

/* From when this process first saw the sandbox: times of creation have no fractions. */
static void measure_wait(struct executor *x, const struct write *wr, struct now now)
{
    const struct sandbox_state *st;
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    st = map_get(&x->w->sandbox_states, key);
    if (st && st->seen_mono_ns)
        metrics_observe(&x->sandbox_wait, now.mono_ns - st->seen_mono_ns);
}

/* The write took place, and was answered. */
static void measure(struct executor *x, const struct write *wr, struct now now)
{
    if (wr->verb == LEDGER_CLAIM)
        metrics_observe(&x->claim_time, now.mono_ns - wr->begun_mono_ns);
    if (wr->verb != LEDGER_STATUS)
        return;
    end_count(&x->ends, wr->kind, wr->reason);
    if (wr->kind == &api_sandbox && str_eq(wr->reason, "PodReady"))
        measure_wait(x, wr, now);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void on_done(void *arg, struct kube_result *res);

static void read_object(struct request *r)
{
    const struct write *wr = r->write;

    write_reads(r->write);
    r->call = kube_get(r->x->ops, KUBE_TO_FINISH, wr->kind, wr->ns, wr->name, on_done, r);
}

static void on_pause_over(void *arg)
{
    read_object(arg);
}

static void pause_until(struct request *r, int64_t due_mono_ns)
{
    struct ops *ops = r->x->ops;

    if (!r->timer)
        r->timer = ops->v->timer_new(ops, on_pause_over, r);
    ops->v->timer_set(ops, r->timer, due_mono_ns);
}

static void back_off(struct request *r)
{
    const char *key = r->write->plan_key;
    uint64_t jitter;

    ops_random(r->x->ops, &jitter, sizeof(jitter));
    queue_failed(r->x->w->queue, key, plan_lane(key), ops_now(r->x->ops).mono_ns, jitter);
}

static void on_done(void *arg, struct kube_result *res)
{
    struct request *r = arg;
    struct write *wr = r->write;
    enum ledger_verb verb = wr->verb;
    bool was_read = wr->state == WRITE_READING;
    struct now now = ops_now(r->x->ops);
    enum write_next next;
    int64_t due = 0;

    r->call = NULL;
    if (!was_read || (res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND))
        log_outcome(r->x, wr, res);
    if (!was_read && res->reason == KUBE_OK)
        measure(r->x, wr, now);
    next = write_answered(r->x->w, wr, res, now, &due);
    r->x->counts[wr->verb] += wr->verb != verb;
    if (next == WRITE_READ) {
        read_object(r);
        return;
    }
    if (next == WRITE_PAUSE) {
        pause_until(r, due);
        return;
    }
    if (next == WRITE_BACK_OFF)
        back_off(r);
    request_free(r);
}

/* ---- doing ----------------------------------------------------------------------------------- */

static void do_create(struct executor *x, const char *key, const struct action *a)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    cleanup_free char *name = NULL;
    unsigned char random[NAME_SUFFIX_LEN];
    char suffix[NAME_SUFFIX_LEN + 1] = "", pool_key[META_KEY_MAX];
    struct warmpool *pool;
    struct request *r;
    struct err err = {0};

    meta_key(pool_key, a->ns, a->pool);
    pool = world_pool(x->w, pool_key);
    if (!pool)
        return;
    ops_random(x->ops, random, sizeof(random));
    for (size_t i = 0; i < NAME_SUFFIX_LEN; i++)
        suffix[i] = alphabet[random[i] % 32];
    name = xasprintf("%s-%s", a->pool, suffix);
    if (pod_build(pool, name, &x->w->policy->pod, ops_now(x->ops).wall_ns, &body, &err) < 0) {
        log_warn("pod not built", "pool", pool_key, "error", err.msg, NULL);
        return;
    }
    r = begin(x, key, a, name);
    r->call = kube_create(x->ops, KUBE_TO_REFILL, &api_pod, a->ns, buf_str(&body), on_done, r);
}

static void do_claim(struct executor *x, const char *key, const struct action *a)
{
    struct request *claim = begin(x, key, a, NULL), *status = NULL;

    if (a->ready_body)
        status = request_new(x, write_begin_beside(x->w, claim->write, a, ops_now(x->ops)));
    claim->call =
        kube_patch(x->ops, KUBE_TO_CLAIM, &api_pod, a->ns, a->name, NULL, a->body, on_done, claim);
    if (status)
        status->call = kube_patch(x->ops, KUBE_TO_CLAIM, &api_sandbox, a->ns, a->other_name,
                                  "status", a->ready_body, on_done, status);
}

static enum kube_purpose status_purpose(const struct api_kind *kind)
{
    return kind == &api_sandbox ? KUBE_TO_FINISH
           : kind == &api_task  ? KUBE_TO_REPORT
                                : KUBE_TO_TELL;
}

static void do_status(struct executor *x, const char *key, const struct action *a)
{
    struct request *r = begin(x, key, a, NULL);

    r->call = kube_patch(x->ops, status_purpose(a->kind), a->kind, a->ns, a->name, "status",
                         a->body, on_done, r);
}

static void do_delete(struct executor *x, const char *key, const struct action *a)
{
    struct request *r = begin(x, key, a, NULL);

    r->call = kube_delete(x->ops, KUBE_TO_CLEAN_UP, a->kind, a->ns, a->name, a->uid, a->rv, -1,
                          on_done, r);
}

static void do_read(struct executor *x, const char *key, const struct action *a)
{
    char obj_key[META_KEY_MAX];

    meta_key(obj_key, a->ns, a->name);
    if (ledger_busy(x->w->ledger, a->kind, obj_key)) {
        /* The end of that write may only plan other keys. */
        queue_after(x->w->queue, key, plan_lane(key),
                    ops_now(x->ops).mono_ns + BUSY_READ_MS * NSEC_PER_MSEC);
        return;
    }
    read_object(begin(x, key, a, NULL));
}

void executor_read(struct executor *x, const char *key, const struct api_kind *kind, const char *ns,
                   const char *name)
{
    struct action a = {.type = ACTION_READ,
                       .kind = kind,
                       .ns = (char *)(uintptr_t)ns,
                       .name = (char *)(uintptr_t)name};

    do_read(x, key, &a);
}

static void do_event(struct executor *x, const char *key, const struct action *a)
{
    char obj_key[META_KEY_MAX];
    const struct task *t;

    meta_key(obj_key, a->ns, a->name);
    t = a->kind == &api_task ? world_task(x->w, obj_key) : NULL;
    log_line(a->warning ? LOG_WARN : LOG_INFO, a->reason, "kind", a->kind->kind, "namespace", a->ns,
             "name", a->name, "message", a->message, t && t->trace_id ? "trace" : NULL,
             t ? t->trace_id : NULL, NULL);
    if (x->events)
        events_add(x->events, a->kind, a->ns, a->name, a->uid, t ? t->trace_id : NULL, a->warning,
                   a->reason, a->message);
}

static void do_after(struct executor *x, const char *key, const struct action *a)
{
    queue_after(x->w->queue, key, plan_lane(key), a->number);
}

static void do_run_start(struct executor *x, const char *key, const struct action *a)
{
    sidecar_client_run(x->agents, a->ns, a->name, a->number);
}

static void do_run_cancel(struct executor *x, const char *key, const struct action *a)
{
    sidecar_client_drop(x->agents, a->ns, a->name, true);
}

static void do_run_stop(struct executor *x, const char *key, const struct action *a)
{
    sidecar_client_stop(x->agents, a->ns, a->name);
}

static void do_run_forget(struct executor *x, const char *key, const struct action *a)
{
    sidecar_client_drop(x->agents, a->ns, a->name, false);
}

static void do_audit(struct executor *x, const char *key, const struct action *a)
{
    sidecar_client_audit(x->agents, a->ns, a->name);
}

void executor_do(struct executor *x, const char *key, const struct action *a)
{
    static void (*const doers[])(struct executor *, const char *, const struct action *) = {
        [ACTION_CREATE_POD] = do_create,
        [ACTION_CLAIM_POD] = do_claim,
        [ACTION_DELETE] = do_delete,
        [ACTION_STATUS] = do_status,
        [ACTION_READ] = do_read,
        [ACTION_RUN_START] = do_run_start,
        [ACTION_RUN_CANCEL] = do_run_cancel,
        [ACTION_RUN_STOP] = do_run_stop,
        [ACTION_RUN_FORGET] = do_run_forget,
        [ACTION_AUDIT] = do_audit,
        [ACTION_EVENT] = do_event,
        [ACTION_AFTER] = do_after,
    };

    plan_begun(x->w, key, a, ops_now(x->ops));
    doers[a->type](x, key, a);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct executor *executor_new(struct ops *ops, struct world *w, struct sidecar_client *agents,
                              struct events *events)
{
    struct executor *x = xcalloc(1, sizeof(*x));

    x->ops = ops;
    x->w = w;
    x->agents = agents;
    x->events = events;
    list_init(&x->requests);
    return x;
}

void executor_free(struct executor *x)
{
    if (!x)
        return;
    list_for_each_safe (it, &x->requests) {
        struct request *r = list_entry(it, struct request, node);

        if (r->call)
            kube_cancel(r->call);
        request_free(r);
    }
    free(x);
}

void executor_metrics(const struct executor *x, struct buf *out)
{
    char label[64];

    metrics_head(out, "arl_api_writes_total", "counter", "Calls to the API server, by purpose.");
    for (size_t i = 0; i < LEDGER_VERBS; i++) {
        snprintf(label, sizeof(label), "verb=\"%s\"", verb_names[i]);
        metrics_value(out, "arl_api_writes_total", label, (double)x->counts[i]);
    }
    metrics_head(out, "arl_api_answers_total", "counter", "Answers of the API server, by reason.");
    for (size_t i = 0; i < ARRAY_SIZE(x->errors); i++) {
        snprintf(label, sizeof(label), "reason=\"%s\"", kube_reason_str((enum kube_reason)i));
        metrics_value(out, "arl_api_answers_total", label, (double)x->errors[i]);
    }
    metrics_head(out, "arl_claim_seconds", "histogram", "From a claim's request to its answer.");
    metrics_histogram(out, "arl_claim_seconds", &x->claim_time, NULL);
    metrics_head(out, "arl_sandbox_wait_seconds", "histogram",
                 "From when a sandbox was first seen to when its Ready was written.");
    metrics_histogram(out, "arl_sandbox_wait_seconds", &x->sandbox_wait, NULL);
    end_counts_metrics(&x->ends, out);
}

/* ---- looking inside -------------------------------------------------------------------------- */

static bool concerns(const struct write *wr, const char *key)
{
    char obj[META_KEY_MAX];

    if (!key || str_eq(wr->plan_key, key))
        return true;
    key = strchr(key, '/') + 1;
    meta_key(obj, wr->ns, wr->name);
    return str_eq(wr->sandbox_key, key) || str_eq(wr->pool_key, key) ||
           (wr->kind != &api_pod && strcmp(obj, key) == 0);
}

void executor_debug(const struct executor *x, const char *key, struct now now,
                    struct json_writer *w)
{
    size_t n = 0;

    json_w_array(w, "writes");
    list_for_each (it, &x->requests) {
        const struct write *wr = list_entry(it, struct request, node)->write;

        if (n == EXECUTOR_DEBUG_MAX || !concerns(wr, key))
            continue;
        n++;
        json_w_object(w, NULL);
        json_w_str(w, "verb", verb_names[wr->verb]);
        json_w_str(w, "kind", wr->kind->kind);
        json_w_str(w, "namespace", wr->ns);
        json_w_str(w, "name", wr->name);
        json_w_str(w, "reason", wr->reason);
        json_w_int(w, "ageMs", (now.mono_ns - wr->begun_mono_ns) / NSEC_PER_MSEC);
        /* Its outcome is unknown, and the API server could not be asked yet. */
        json_w_bool(w, "readingBack", wr->reads_failed > 0);
        json_w_end_object(w);
    }
    json_w_end_array(w);
}
