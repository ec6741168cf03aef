#include "operator/app/executor.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/backoff.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "operator/agent/sidecar_client.h"
#include "operator/app/end_counts.h"
#include "operator/app/write_state.h"
#include "operator/kube/client.h"
#include "operator/kube/events.h"

#define RESOLVE_FIRST_MS 200
#define RESOLVE_MAX_MS 5000
#define NAME_SUFFIX_LEN 8

struct executor {
    struct ops *ops;
    struct world *w;
    struct sidecar_client *agents;
    struct events *events;
    struct list writes;
    uint64_t counts[LEDGER_VERBS];
    uint64_t errors[KUBE_NO_ANSWER + 1];
    struct metrics_histogram claim_time;
    struct metrics_histogram sandbox_wait;
    struct end_counts ends;
};

/* One write (or read back) that is under way. */
struct write {
    struct list node;
    struct executor *x;
    struct kube_call *call;
    struct ops_timer *timer; /* of a read back that is tried again */
    enum write_state state;
    enum ledger_verb verb;
    const struct api_kind *kind;
    char *plan_key;
    char *ns;
    char *name;
    char *uid;
    char *pool_key;    /* CREATE, CLAIM */
    char *sandbox_key; /* CLAIM; READ for a sandbox */
    char *reason;
    char *trace;            /* STATUS of a task */
    char *rv;               /* of the object in the cache when this began; NULL: none was there */
    bool read_back;         /* after a Conflict, or when it is unknown whether it took place */
    const char *lost_claim; /* why it was not done, if nobody has changed the pod */
    /* The claim of a pod, and the status that says so, while both are under way: the last of them
     * that ends frees the sandbox for its next plan. */
    struct write *beside;
    char *promised; /* the key of the pod that this status names, before it is claimed */
    int64_t begun_mono_ns;
    size_t at_once; /* CREATE: so many of the pool were under way when it began */
    unsigned resolve_failures;
};

static const char *const verb_names[] = {"create", "claim", "delete", "status", "read"};

/* ---- life of a write ------------------------------------------------------------------------- */

static struct store *store_of(struct world *w, const struct api_kind *kind)
{
    if (kind == &api_pod)
        return w->pods;
    if (kind == &api_sandbox)
        return w->sandboxes;
    return kind == &api_task ? w->tasks : w->pools;
}

static struct write *write_begin(struct executor *x, enum ledger_verb verb,
                                 const struct api_kind *kind, const char *ns, const char *name,
                                 const char *pool_key)
{
    struct write *wr = xcalloc(1, sizeof(*wr));
    const struct meta *cached;
    char key[META_KEY_MAX];

    wr->x = x;
    wr->verb = verb;
    wr->kind = kind;
    wr->ns = xstrdup(ns);
    wr->name = xstrdup(name);
    wr->pool_key = xstrdup(pool_key);
    wr->begun_mono_ns = ops_now(x->ops).mono_ns;
    meta_key(key, ns, name);
    cached = store_get(store_of(x->w, kind), key);
    wr->rv = xstrdup(cached ? cached->rv : NULL);
    ledger_begin(x->w->ledger, verb, kind, key, pool_key);
    list_push_back(&x->writes, &wr->node);
    x->counts[verb]++;
    return wr;
}

static void write_free(struct write *wr)
{
    list_remove(&wr->node);
    if (wr->timer)
        wr->x->ops->v->timer_free(wr->x->ops, wr->timer);
    free(wr->plan_key);
    free(wr->ns);
    free(wr->name);
    free(wr->uid);
    free(wr->pool_key);
    free(wr->sandbox_key);
    free(wr->reason);
    free(wr->trace);
    free(wr->rv);
    free(wr->promised);
    free(wr);
}

/* Plans again who may have left the object alone while it was busy. Who asked for the write is not
 * among them: requeue() plans it, after a failure with back-off. */
static void wake(const struct write *wr, const char *prefix, const char *name)
{
    char key[META_KEY_MAX], full[PLAN_KEY_MAX];

    meta_key(key, wr->ns, name);
    plan_key(full, prefix, key);
    if (!str_eq(wr->plan_key, full))
        world_queue(wr->x->w, prefix, key);
}

static void end_entries(const struct write *wr, const char *key)
{
    struct ledger *l = wr->x->w->ledger;

    if (wr->kind == &api_pod || !wr->beside)
        ledger_end(l, wr->kind, key);
    if (wr->verb == LEDGER_CLAIM && !wr->beside)
        ledger_end(l, &api_sandbox, wr->sandbox_key);
    if (wr->beside)
        wr->beside->beside = NULL;
    if (wr->promised)
        world_promise_end(wr->x->w, wr->promised);
}

/* The outcome is known: everything that waited for it is planned again. */
static void write_end(struct write *wr)
{
    struct world *w = wr->x->w;
    const struct pod *pod;
    char key[META_KEY_MAX];

    write_state_move(&wr->state, WRITE_ENDED);
    meta_key(key, wr->ns, wr->name);
    end_entries(wr, key);
    if (wr->pool_key) {
        world_queue(w, PLAN_POOL, wr->pool_key);
        world_wake_waiting(w, wr->pool_key);
    }
    if (wr->sandbox_key)
        world_queue(w, PLAN_SANDBOX, wr->sandbox_key);
    /* It may be another's by now. */
    pod = wr->kind == &api_pod ? world_pod(w, key) : NULL;
    if (pod && pod->sandbox)
        wake(wr, PLAN_SANDBOX, pod->sandbox);
    if (pod && pod_orphan(pod))
        wake(wr, PLAN_POOL, pod->pool);
    write_free(wr);
}

/* Nobody has changed the object since the write began. So a change cannot be the reason of a
 * Conflict; and if the answer was lost, the write did not take place. */
static bool is_unchanged(const struct write *wr)
{
    const struct meta *cached;
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    cached = store_get(store_of(wr->x->w, wr->kind), key);
    return cached && str_eq(cached->rv, wr->rv);
}

/* The key is planned again: at once after success, with back-off after a failure. */
static void requeue(struct write *wr, const struct kube_result *res)
{
    bool again = res->reason == KUBE_OK || res->reason == KUBE_NOT_FOUND;
    struct executor *x = wr->x;
    int64_t now = ops_now(x->ops).mono_ns;
    uint64_t jitter;

    if (!wr->plan_key)
        return;
    if (again && !(wr->read_back && is_unchanged(wr))) {
        queue_ok(x->w->queue, wr->plan_key);
        queue_add(x->w->queue, wr->plan_key, plan_lane(wr->plan_key));
    } else if (res->retry_after_ms > 0) {
        queue_after(x->w->queue, wr->plan_key, plan_lane(wr->plan_key),
                    now + res->retry_after_ms * NSEC_PER_MSEC);
    } else {
        ops_random(x->ops, &jitter, sizeof(jitter));
        queue_failed(x->w->queue, wr->plan_key, plan_lane(wr->plan_key), now, jitter);
    }
}

static void log_outcome(const struct write *wr, const struct kube_result *res)
{
    char took[DURATION_MAX];

    duration_format(took, (ops_now(wr->x->ops).mono_ns - wr->begun_mono_ns) / 1000 * 1000);
    wr->x->errors[res->reason]++;
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

/* The watch selects pods by their label: one without it would never be heard of again. */
static bool is_selected(const struct api_kind *kind, const struct meta *m)
{
    return kind != &api_pod || *container_of(m, struct pod, meta)->pool;
}

/* Puts the answer's object into the store of its kind. */
static void absorb(struct write *wr, struct kube_result *res)
{
    struct store *s = store_of(wr->x->w, wr->kind);
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    if (res->reason == KUBE_OK && res->object && is_selected(wr->kind, res->object))
        store_put(s, kube_result_take_object(res));
    else if (res->reason == KUBE_NOT_FOUND)
        store_remove(s, key, wr->uid, NULL);
}

/* ---- reading back ---------------------------------------------------------------------------- */

static void resolve(struct write *wr);

static const char unanswered[] = "no answer came, and it was not done";

/* why: the API server will not have it; NULL: that is not known, or was otherwise. */
static void note_refusal(const struct write *wr, const char *why)
{
    struct sandbox_state *st = map_get(&wr->x->w->sandbox_states, wr->sandbox_key);

    if (!st)
        return;
    st->claims_refused = why ? st->claims_refused + 1 : 0;
    if (st->claims_refused <= 1)
        str_set(&st->claim_error, xstrdup(why));
    /* One lost answer is no reason to wait. */
    if (why == unanswered && st->claims_refused == 1)
        why = NULL;
    world_pause(wr->x->w, wr->sandbox_key,
                why ? ops_now(wr->x->ops).mono_ns + plan_backoff_ns(st->claims_refused) : 0);
}

/* The planner did not see the sandbox's pod, and asked. If it still does not, it never will. */
static void note_read(struct write *wr, enum kube_reason answer)
{
    const struct sandbox *s = world_sandbox(wr->x->w, wr->sandbox_key);
    const struct pod *named = s ? world_promised_pod(wr->x->w, s) : NULL;
    struct sandbox_state *st;

    if (!s || world_sandbox_pod(wr->x->w, s) || (named && named->ours && pod_idle(named)))
        return;
    st = world_sandbox_state(wr->x->w, wr->sandbox_key);
    str_set(&st->lost_pod_uid, xstrdup(wr->uid));
    st->lost_pod_why = answer == KUBE_NOT_FOUND
                           ? "is gone"
                           : "is not the sandbox's any more: its labels or its owner were changed, "
                             "or another pod has its name";
}

static void on_resolve_timer(void *arg)
{
    resolve(arg);
}

static void on_resolved(void *arg, struct kube_result *res)
{
    struct write *wr = arg;
    struct executor *x = wr->x;
    int64_t wait_ns;

    wr->call = NULL;
    if (res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND) {
        log_outcome(wr, res);
        if (!wr->timer)
            wr->timer = x->ops->v->timer_new(x->ops, on_resolve_timer, wr);
        write_state_move(&wr->state, WRITE_PAUSING);
        wait_ns = backoff_ns(RESOLVE_FIRST_MS, RESOLVE_MAX_MS, ++wr->resolve_failures);
        x->ops->v->timer_set(x->ops, wr->timer, ops_now(x->ops).mono_ns + wait_ns);
        return;
    }
    absorb(wr, res);
    if (wr->lost_claim)
        note_refusal(wr, is_unchanged(wr) ? wr->lost_claim : NULL);
    else if (wr->verb == LEDGER_READ && wr->sandbox_key)
        note_read(wr, res->reason);
    requeue(wr, res);
    write_end(wr);
}

/* It is unknown whether the write took place, or the cache is known to be behind: ask. The ledger
 * entry stays until then. */
static void resolve(struct write *wr)
{
    write_state_move(&wr->state, WRITE_READING);
    wr->call = kube_get(wr->x->ops, KUBE_TO_FINISH, wr->kind, wr->ns, wr->name, on_resolved, wr);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

/* The API server has judged this one write, and nothing is the matter with the server. */
static bool is_refusal(enum kube_reason r)
{
    return r == KUBE_INVALID || r == KUBE_TOO_LARGE || r == KUBE_FORBIDDEN ||
           r == KUBE_NAMESPACE_TERMINATING || r == KUBE_QUOTA_EXCEEDED || r == KUBE_WEBHOOK_FAILED;
}

/* The message without the name that was made up for this try: the next one has another, and it is
 * the same refusal. */
static char *refusal_text(const struct write *wr, const char *message)
{
    size_t len = strlen(wr->name);
    char *text = xasprintf("a pod could not be created: %s", str_or_empty(message)), *at;

    while (len > 0 && (at = strstr(text, wr->name)))
        str_set(&text, xasprintf("%.*s%s-*%s", (int)(at - text), text,
                                 strchr(wr->pool_key, '/') + 1, at + len));
    return text;
}

static void note_create(struct write *wr, const struct kube_result *res)
{
    struct pool_state *st = world_pool_state(wr->x->w, wr->pool_key);
    int64_t now = ops_now(wr->x->ops).mono_ns;

    if (res->reason == KUBE_OK && res->object)
        world_pod_made(wr->x->w, res->object);
    if (res->reason == KUBE_OK)
        refill_made(&st->refill, wr->at_once, wr->begun_mono_ns, now);
    if (res->reason == KUBE_OK || res->reason == KUBE_ALREADY_EXISTS) {
        plan_create_ok(st, now);
        return;
    }
    if (!is_refusal(res->reason))
        refill_failed(&st->refill, wr->begun_mono_ns, now);
    st->created -= !st->proven && st->created > 0 && !res->maybe_applied;
    if (plan_pod_failed(st, wr->begun_mono_ns)) {
        st->next_create_mono_ns = now + plan_backoff_ns(st->failures);
        st->refusals++;
    }
    st->next_create_mono_ns =
        MAX(st->next_create_mono_ns, now + res->retry_after_ms * NSEC_PER_MSEC);
    str_set(&st->create_error_reason, xstrdup(kube_reason_str(res->reason)));
    str_set(&st->create_error, refusal_text(wr, res->message));
}

static void note_claim(struct write *wr, const struct kube_result *res)
{
    int64_t now = ops_now(wr->x->ops).mono_ns;
    /* Without an answer nothing is known, and a pod that is gone is no refusal. */
    bool refused = res->http_status > 0 && res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND;
    struct pool_state *st = world_pool_state(wr->x->w, wr->pool_key);

    refill_claimed(&st->refill, res->reason == KUBE_OK, now);
    if (res->reason == KUBE_OK || is_refusal(res->reason))
        st->claims_work = res->reason == KUBE_OK;
    if (res->maybe_applied && res->http_status == 0)
        wr->lost_claim = unanswered;
    else if (res->reason != KUBE_CONFLICT) /* both are judged when the pod has been read */
        note_refusal(wr, refused ? res->message : NULL);
    if (res->reason == KUBE_OK)
        metrics_observe(&wr->x->claim_time, now - wr->begun_mono_ns);
}

/* A deleted pod stays for its grace period, and the answer does not show that. The cached pod is
 * marked until the watch does. Other kinds are gone at once. */
static void note_delete(struct write *wr, const struct kube_result *res)
{
    struct store *s = store_of(wr->x->w, wr->kind);
    char key[META_KEY_MAX];
    struct meta *m;

    if (res->reason != KUBE_OK)
        return;
    meta_key(key, wr->ns, wr->name);
    m = store_get(s, key);
    if (wr->kind != &api_pod)
        store_remove(s, key, wr->uid, NULL);
    else if (m && str_eq(m->uid, wr->uid))
        m->deleting = true;
}

/* From when this process first saw the sandbox: times of creation have no fractions. */
static void note_ready(struct write *wr, const char *key)
{
    const struct sandbox_state *st = map_get(&wr->x->w->sandbox_states, key);

    if (st && st->seen_mono_ns)
        metrics_observe(&wr->x->sandbox_wait, ops_now(wr->x->ops).mono_ns - st->seen_mono_ns);
}

static enum run_refusal refusal_of(enum kube_reason r)
{
    return r == KUBE_TOO_LARGE ? RUN_TOO_LARGE : r == KUBE_INVALID ? RUN_INVALID : RUN_FORBIDDEN;
}

static void note_status(struct write *wr, const struct kube_result *res)
{
    char key[META_KEY_MAX];
    struct run *run;

    meta_key(key, wr->ns, wr->name);
    if (res->reason == KUBE_OK) {
        end_count(&wr->x->ends, wr->kind, wr->reason);
        if (wr->kind == &api_sandbox && str_eq(wr->reason, "PodReady"))
            note_ready(wr, key);
        if (wr->kind == &api_sandbox &&
            (str_eq(wr->reason, "PodReady") || str_eq(wr->reason, "PodNotReady")))
            world_nothing_ran(wr->x->w, key);
    }
    run = wr->kind == &api_task ? world_run(wr->x->w, key) : NULL;
    if (run)
        world_result_written(wr->x->w, run);
    if (wr->kind != &api_task || !is_refusal(res->reason))
        return;
    if (run && run->over)
        run_status_refused(run, refusal_of(res->reason), res->message, ops_now(wr->x->ops));
    else if (!run && res->reason == KUBE_TOO_LARGE)
        world_task_unwritable(wr->x->w, key, wr->uid);
}

/* Other statuses and deletes are just repeated. A second pod for a claim or a create would be one
 * too many, and so would one for a sandbox whose status names another.
 */
static bool outcome_matters(const struct write *wr)
{
    return wr->verb == LEDGER_CLAIM || wr->verb == LEDGER_CREATE ||
           (wr->verb == LEDGER_STATUS && wr->kind == &api_sandbox);
}

/* Somebody has changed the pod first. The sandbox takes the next pod at once. This pod is read, so
 * that nobody tries to claim its old version again. */
static void claim_lost(struct write *wr)
{
    struct write *read;
    cleanup_free char *ns = xstrdup(wr->ns), *name = xstrdup(wr->name), *rv = xstrdup(wr->rv);
    cleanup_free char *pool_key = xstrdup(wr->pool_key), *sandbox_key = xstrdup(wr->sandbox_key);
    struct executor *x = wr->x;

    write_end(wr); /* queues the sandbox */
    read = write_begin(x, LEDGER_READ, &api_pod, ns, name, pool_key);
    read->sandbox_key = xstrdup(sandbox_key);
    str_set(&read->rv, xstrdup(rv));
    read->lost_claim = "Conflict, although nobody has changed it";
    resolve(read);
}

static void on_done(void *arg, struct kube_result *res)
{
    struct write *wr = arg;
    static void (*const notes[LEDGER_VERBS])(struct write *, const struct kube_result *) = {
        [LEDGER_CREATE] = note_create,
        [LEDGER_CLAIM] = note_claim,
        [LEDGER_DELETE] = note_delete,
        [LEDGER_STATUS] = note_status,
    };

    wr->call = NULL;
    log_outcome(wr, res);
    if (notes[wr->verb])
        notes[wr->verb](wr, res);
    if (wr->verb == LEDGER_CLAIM && res->reason == KUBE_CONFLICT) {
        claim_lost(wr);
        return;
    }
    wr->read_back = res->reason == KUBE_CONFLICT || (res->maybe_applied && outcome_matters(wr));
    if (wr->read_back) {
        resolve(wr);
        return;
    }
    absorb(wr, res);
    requeue(wr, res);
    write_end(wr);
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
    struct write *wr;
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
    wr = write_begin(x, LEDGER_CREATE, &api_pod, a->ns, name, pool_key);
    wr->at_once = (size_t)a->number;
    wr->plan_key = xstrdup(key);
    wr->call = kube_create(x->ops, KUBE_TO_REFILL, &api_pod, a->ns, buf_str(&body), on_done, wr);
}

/* The status that says that the sandbox has the pod, before the claim is answered. */
static struct write *begin_status_beside(struct write *claim, const struct action *a)
{
    struct write *wr =
        write_begin(claim->x, LEDGER_STATUS, &api_sandbox, a->ns, a->other_name, NULL);

    wr->promised = xasprintf("%s/%s", a->ns, a->name);
    world_promise_begin(claim->x->w, wr->promised);
    wr->plan_key = xstrdup(claim->plan_key);
    wr->uid = xstrdup(a->other_uid);
    wr->reason = xstrdup("PodReady");
    wr->beside = claim;
    return wr;
}

static void do_claim(struct executor *x, const char *key, const struct action *a)
{
    char pool_key[META_KEY_MAX], sandbox_key[META_KEY_MAX];
    struct write *wr;

    meta_key(pool_key, a->ns, a->pool);
    meta_key(sandbox_key, a->ns, a->other_name);
    wr = write_begin(x, LEDGER_CLAIM, &api_pod, a->ns, a->name, pool_key);
    wr->plan_key = xstrdup(key);
    wr->uid = xstrdup(a->uid);
    wr->sandbox_key = xstrdup(sandbox_key);
    if (a->ready_body)
        wr->beside = begin_status_beside(wr, a);
    else
        ledger_begin(x->w->ledger, LEDGER_CLAIM, &api_sandbox, sandbox_key, NULL);
    wr->call =
        kube_patch(x->ops, KUBE_TO_CLAIM, &api_pod, a->ns, a->name, NULL, a->body, on_done, wr);
    if (wr->beside)
        wr->beside->call = kube_patch(x->ops, KUBE_TO_CLAIM, &api_sandbox, a->ns, a->other_name,
                                      "status", a->ready_body, on_done, wr->beside);
}

static enum kube_purpose status_purpose(const struct api_kind *kind)
{
    return kind == &api_sandbox ? KUBE_TO_FINISH
           : kind == &api_task  ? KUBE_TO_REPORT
                                : KUBE_TO_TELL;
}

static void do_status(struct executor *x, const char *key, const struct action *a)
{
    struct write *wr = write_begin(x, LEDGER_STATUS, a->kind, a->ns, a->name, NULL);

    wr->plan_key = xstrdup(key);
    wr->uid = xstrdup(a->uid);
    wr->reason = xstrdup(a->reason);
    wr->trace = xstrdup(a->trace);
    wr->call = kube_patch(x->ops, status_purpose(a->kind), a->kind, a->ns, a->name, "status",
                          a->body, on_done, wr);
}

static void do_delete(struct executor *x, const char *key, const struct action *a)
{
    struct write *wr = write_begin(x, LEDGER_DELETE, a->kind, a->ns, a->name, NULL);

    wr->plan_key = xstrdup(key);
    wr->uid = xstrdup(a->uid);
    wr->reason = xstrdup(a->reason);
    wr->call = kube_delete(x->ops, KUBE_TO_CLEAN_UP, a->kind, a->ns, a->name, a->uid, a->rv, -1,
                           on_done, wr);
}

static void do_read(struct executor *x, const char *key, const struct action *a)
{
    char obj_key[META_KEY_MAX], sandbox_key[META_KEY_MAX];
    struct write *wr;

    meta_key(obj_key, a->ns, a->name);
    if (ledger_busy(x->w->ledger, a->kind, obj_key)) {
        /* The end of that write may only plan other keys. */
        queue_after(x->w->queue, key, plan_lane(key),
                    ops_now(x->ops).mono_ns + RESOLVE_FIRST_MS * NSEC_PER_MSEC);
        return;
    }
    wr = write_begin(x, LEDGER_READ, a->kind, a->ns, a->name, NULL);
    wr->plan_key = xstrdup(key);
    wr->uid = xstrdup(a->uid);
    if (a->other_name) {
        meta_key(sandbox_key, a->ns, a->other_name);
        wr->sandbox_key = xstrdup(sandbox_key);
    }
    resolve(wr);
}

void executor_read(struct executor *x, const char *key, const struct api_kind *kind, const char *ns,
                   const char *name)
{
    struct action a = {.kind = kind, .ns = (char *)(uintptr_t)ns, .name = (char *)(uintptr_t)name};

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
    list_init(&x->writes);
    return x;
}

void executor_free(struct executor *x)
{
    if (!x)
        return;
    list_for_each_safe (it, &x->writes) {
        struct write *wr = list_entry(it, struct write, node);

        if (wr->call)
            kube_cancel(wr->call);
        write_free(wr);
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
    list_for_each (it, &x->writes) {
        const struct write *wr = list_entry(it, struct write, node);

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
        json_w_bool(w, "readingBack", wr->timer != NULL);
        json_w_end_object(w);
    }
    json_w_end_array(w);
}
