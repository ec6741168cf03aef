#include "operator/core/write.h"

#include "common/base/backoff.h"
#include "operator/core/plan.h"

#define READ_AGAIN_FIRST_MS 200
#define READ_AGAIN_MAX_MS 5000

/* ---- the beginning --------------------------------------------------------------------------- */

static struct write *write_new(struct world *w, enum ledger_verb verb, const struct api_kind *kind,
                               const char *ns, const char *name, const char *pool_key,
                               struct now now)
{
    struct write *wr = xcalloc(1, sizeof(*wr));
    const struct meta *cached;
    char key[META_KEY_MAX];

    wr->verb = verb;
    wr->kind = kind;
    wr->ns = xstrdup(ns);
    wr->name = xstrdup(name);
    wr->pool_key = xstrdup(pool_key);
    wr->begun_mono_ns = now.mono_ns;
    meta_key(key, ns, name);
    cached = store_get(world_store(w, kind), key);
    wr->rv = xstrdup(cached ? cached->rv : NULL);
    ledger_begin(w->ledger, verb, kind, key, pool_key);
    return wr;
}

static enum ledger_verb verb_of(enum action_type type)
{
    switch (type) {
    case ACTION_CREATE_POD:
        return LEDGER_CREATE;
    case ACTION_CLAIM_POD:
        return LEDGER_CLAIM;
    case ACTION_DELETE:
        return LEDGER_DELETE;
    case ACTION_STATUS:
        return LEDGER_STATUS;
    default:
        assert(type == ACTION_READ);
        return LEDGER_READ;
    }
}

struct write *write_begin(struct world *w, const char *key, const struct action *a,
                          const char *name, struct now now)
{
    enum ledger_verb verb = verb_of(a->type);
    char pool_key[META_KEY_MAX], sandbox_key[META_KEY_MAX];
    struct write *wr;

    assert(!name == (verb != LEDGER_CREATE));
    assert(!a->ready_body || verb == LEDGER_CLAIM);
    if (a->pool)
        meta_key(pool_key, a->ns, a->pool);
    if (a->other_name)
        meta_key(sandbox_key, a->ns, a->other_name);
    wr = write_new(w, verb, verb == LEDGER_CREATE ? &api_pod : a->kind, a->ns,
                   name ? name : a->name, a->pool ? pool_key : NULL, now);
    wr->plan_key = xstrdup(key);
    wr->uid = verb == LEDGER_CREATE ? NULL : xstrdup(a->uid); /* that is the pool's */
    wr->sandbox_key = xstrdup(a->other_name ? sandbox_key : NULL);
    wr->reason = xstrdup(a->reason);
    wr->trace = xstrdup(a->trace);
    wr->at_once = verb == LEDGER_CREATE ? (size_t)a->number : 0;
    if (verb == LEDGER_CLAIM && !a->ready_body)
        ledger_begin(w->ledger, LEDGER_CLAIM, &api_sandbox, sandbox_key, NULL);
    return wr;
}

struct write *write_begin_beside(struct world *w, struct write *claim, const struct action *a,
                                 struct now now)
{
    struct write *wr = write_new(w, LEDGER_STATUS, &api_sandbox, a->ns, a->other_name, NULL, now);
    char key[META_KEY_MAX];

    assert(claim->verb == LEDGER_CLAIM && !claim->beside && a->ready_body);
    wr->promised = xasprintf("%s/%s", a->ns, a->name);
    meta_key(key, a->ns, a->other_name);
    if (world_fences(w, key, wr->promised))
        world_fence_end(w, key);
    world_promise_begin(w, wr->promised);
    wr->plan_key = xstrdup(claim->plan_key);
    wr->uid = xstrdup(a->other_uid);
    wr->reason = xstrdup("PodReady");
    wr->beside = claim;
    claim->beside = wr;
    return wr;
}

void write_free(struct write *wr)
{
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

/* ---- the end --------------------------------------------------------------------------------- */

/* Nobody has changed the object since the write began. So a change cannot be the reason of a
 * Conflict; and if the answer was lost, the write did not take place. */
static bool is_unchanged(struct world *w, const struct write *wr)
{
    const struct meta *cached;
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    cached = store_get(world_store(w, wr->kind), key);
    return cached && str_eq(cached->rv, wr->rv);
}

/* Plans again who may have left the object alone while it was busy. Who asked for the write is not
 * among them: requeue() plans it, after a failure with back-off. */
static void wake(struct world *w, const struct write *wr, const char *prefix, const char *name)
{
    char key[META_KEY_MAX], full[PLAN_KEY_MAX];

    meta_key(key, wr->ns, name);
    plan_key(full, prefix, key);
    if (!str_eq(wr->plan_key, full))
        world_queue(w, prefix, key);
}

static void end_entries(struct world *w, struct write *wr, const char *key)
{
    assert(!wr->beside || wr->beside->beside == wr);
    assert(!wr->promised || (wr->verb == LEDGER_STATUS && wr->kind == &api_sandbox));
    if (wr->kind == &api_pod || !wr->beside)
        ledger_end(w->ledger, wr->kind, key);
    if (wr->verb == LEDGER_CLAIM && !wr->beside)
        ledger_end(w->ledger, &api_sandbox, wr->sandbox_key);
    if (wr->beside)
        wr->beside->beside = NULL;
    wr->beside = NULL;
    if (wr->promised && wr->unanswered && is_unchanged(w, wr))
        world_fence(w, key, wr->promised, wr->rv);
    else if (wr->promised)
        world_promise_end(w, wr->promised);
}

/* The outcome is known: everything that waited for it is planned again. */
static void wake_waiting(struct world *w, struct write *wr)
{
    const struct pod *pod;
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    end_entries(w, wr, key);
    if (wr->pool_key && wr->verb != LEDGER_DELETE) {
        world_queue(w, PLAN_POOL, wr->pool_key);
        world_wake_waiting(w, wr->pool_key);
    }
    if (wr->sandbox_key)
        world_queue(w, PLAN_SANDBOX, wr->sandbox_key);
    /* It may be another's by now. */
    pod = wr->kind == &api_pod ? world_pod(w, key) : NULL;
    if (pod && pod->sandbox)
        wake(w, wr, PLAN_SANDBOX, pod->sandbox);
    if (pod && pod_orphan(pod))
        wake(w, wr, PLAN_POOL, pod->pool);
    if (pod && wr->verb == LEDGER_DELETE && wr->pool_key)
        world_wake_waiting(w, wr->pool_key); /* it stays, if the delete was not done */
}

/* The key is planned again: at once after success, with back-off after a failure. */
static enum write_next requeue(struct world *w, const struct write *wr,
                               const struct kube_result *res, struct now now)
{
    bool again = res->reason == KUBE_OK || res->reason == KUBE_NOT_FOUND;

    if (!wr->plan_key)
        return WRITE_OVER;
    if (again && !(wr->read_back && is_unchanged(w, wr))) {
        queue_ok(w->queue, wr->plan_key);
        queue_add(w->queue, wr->plan_key, plan_lane(wr->plan_key));
        return WRITE_OVER;
    }
    if (res->retry_after_ms <= 0)
        return WRITE_BACK_OFF;
    queue_after(w->queue, wr->plan_key, plan_lane(wr->plan_key),
                now.mono_ns + res->retry_after_ms * NSEC_PER_MSEC);
    return WRITE_OVER;
}

/* The watch selects pods by their label: one without it would never be heard of again. */
static bool is_selected(const struct api_kind *kind, const struct meta *m)
{
    return kind != &api_pod || *container_of(m, struct pod, meta)->pool;
}

/* Puts the answer's object into the store of its kind. That there is none says nothing of an object
 * that came, or changed, after this began: the watch tells what becomes of it. */
static void absorb(struct world *w, const struct write *wr, struct kube_result *res)
{
    struct store *s = world_store(w, wr->kind);
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    if (res->reason == KUBE_OK && res->object && is_selected(wr->kind, res->object))
        store_put(s, kube_result_take_object(res));
    else if (res->reason == KUBE_NOT_FOUND && is_unchanged(w, wr))
        store_remove(s, key, wr->uid, NULL);
}

static enum write_next end(struct world *w, struct write *wr, const struct kube_result *res,
                           struct now now)
{
    enum write_next next = requeue(w, wr, res, now);

    write_state_move(&wr->state, WRITE_ENDED);
    wake_waiting(w, wr);
    return next;
}

/* ---- what an answer tells -------------------------------------------------------------------- */

static const char unanswered[] = "no answer came, and it was not done";

/* why: the API server will not have it; NULL: that is not known, or was otherwise. */
static void note_refusal(struct world *w, const struct write *wr, const char *why, struct now now)
{
    struct sandbox_state *st = map_get(&w->sandbox_states, wr->sandbox_key);

    if (!st)
        return;
    st->claims_refused = why ? st->claims_refused + 1 : 0;
    if (st->claims_refused <= 1)
        str_set(&st->claim_error, xstrdup(why));
    /* One lost answer is no reason to wait. */
    if (why == unanswered && st->claims_refused == 1)
        why = NULL;
    world_pause(w, wr->sandbox_key, why ? now.mono_ns + plan_backoff_ns(st->claims_refused) : 0);
}

/* The planner did not see the sandbox's pod, and asked. If it still does not, it never will. */
static void note_read(struct world *w, const struct write *wr, enum kube_reason answer)
{
    const struct sandbox *s = world_sandbox(w, wr->sandbox_key);
    const struct pod *named = s ? world_promised_pod(w, s) : NULL;
    struct sandbox_state *st;

    if (!s || world_sandbox_pod(w, s) || (named && named->ours && pod_idle(named)))
        return;
    st = world_sandbox_state(w, wr->sandbox_key);
    str_set(&st->lost_pod_uid, xstrdup(wr->uid));
    st->lost_pod_why = answer == KUBE_NOT_FOUND
                           ? "is gone"
                           : "is not the sandbox's any more: its labels or its owner were changed, "
                             "or another pod has its name";
}

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

static void note_create(struct world *w, struct write *wr, const struct kube_result *res,
                        struct now now)
{
    struct pool_state *st = world_pool_state(w, wr->pool_key);

    if (res->reason == KUBE_OK && res->object)
        world_pod_made(w, res->object);
    if (res->reason == KUBE_OK)
        refill_made(&st->refill, wr->at_once, wr->begun_mono_ns, now.mono_ns);
    if (res->reason == KUBE_OK || res->reason == KUBE_ALREADY_EXISTS) {
        plan_create_ok(st, now.mono_ns);
        return;
    }
    if (!is_refusal(res->reason))
        refill_failed(&st->refill, wr->begun_mono_ns, now.mono_ns);
    st->created -= !st->proven && st->created > 0 && !res->maybe_applied;
    if (plan_pod_failed(st, wr->begun_mono_ns)) {
        st->next_create_mono_ns = now.mono_ns + plan_backoff_ns(st->failures);
        st->refusals++;
    }
    st->next_create_mono_ns =
        MAX(st->next_create_mono_ns, now.mono_ns + res->retry_after_ms * NSEC_PER_MSEC);
    str_set(&st->create_error_reason, xstrdup(kube_reason_str(res->reason)));
    str_set(&st->create_error, refusal_text(wr, res->message));
}

static void note_claim(struct world *w, struct write *wr, const struct kube_result *res,
                       struct now now)
{
    /* Without an answer nothing is known, and a pod that is gone is no refusal. */
    bool refused = res->http_status > 0 && res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND;
    struct pool_state *st = world_pool_state(w, wr->pool_key);

    w->claim_mono_ns = now.mono_ns;
    refill_claimed(&st->refill, res->reason == KUBE_OK, now.mono_ns);
    if (res->reason == KUBE_OK || is_refusal(res->reason))
        st->claims_work = res->reason == KUBE_OK;
    if (res->maybe_applied && res->http_status == 0)
        wr->lost_claim = unanswered;
    else if (res->reason != KUBE_CONFLICT) /* both are judged when the pod has been read */
        note_refusal(w, wr, refused ? res->message : NULL, now);
}

/* A deleted pod stays for its grace period, and the answer does not show that. The cached pod is
 * marked until the watch does. Other kinds are gone at once. */
static void note_delete(struct world *w, struct write *wr, const struct kube_result *res,
                        struct now now)
{
    struct store *s = world_store(w, wr->kind);
    char key[META_KEY_MAX];
    struct meta *m;

    if (wr->pool_key)
        refill_deleted(&world_pool_state(w, wr->pool_key)->refill, is_refusal(res->reason),
                       now.mono_ns - wr->begun_mono_ns);
    if (res->reason != KUBE_OK)
        return;
    meta_key(key, wr->ns, wr->name);
    m = store_get(s, key);
    if (wr->kind != &api_pod)
        store_remove(s, key, wr->uid, NULL);
    else if (m && str_eq(m->uid, wr->uid))
        m->deleting = true;
}

static enum run_refusal refusal_of(enum kube_reason r)
{
    return r == KUBE_TOO_LARGE ? RUN_TOO_LARGE : r == KUBE_INVALID ? RUN_INVALID : RUN_FORBIDDEN;
}

static void note_task_status(struct world *w, const struct write *wr, const char *key,
                             const struct kube_result *res, struct now now)
{
    struct run *run = world_run(w, key);

    if (run)
        world_result_written(w, run);
    if (!is_refusal(res->reason))
        return;
    if (run && run->over)
        run_status_refused(run, refusal_of(res->reason), res->message, now);
    else if (!run && res->reason == KUBE_TOO_LARGE)
        world_task_unwritable(w, key, wr->uid);
}

static void note_status(struct world *w, struct write *wr, const struct kube_result *res,
                        struct now now)
{
    char key[META_KEY_MAX];

    meta_key(key, wr->ns, wr->name);
    if (wr->kind == &api_sandbox && res->reason == KUBE_OK &&
        (str_eq(wr->reason, "PodReady") || str_eq(wr->reason, "PodNotReady")))
        world_nothing_ran(w, key);
    if (wr->kind == &api_task)
        note_task_status(w, wr, key, res, now);
}

/* ---- reading back ---------------------------------------------------------------------------- */

void write_reads(struct write *wr)
{
    write_state_move(&wr->state, WRITE_READING);
}

/* Other statuses and deletes are just repeated. A second pod for a claim or a create would be one
 * too many, and so would one for a sandbox whose status names another. */
static bool outcome_matters(const struct write *wr)
{
    return wr->verb == LEDGER_CLAIM || wr->verb == LEDGER_CREATE ||
           (wr->verb == LEDGER_STATUS && wr->kind == &api_sandbox);
}

/* Somebody has changed the pod first. The sandbox takes the next pod at once. This pod is read, so
 * that nobody tries to claim its old version again. */
static void become_read(struct world *w, struct write *wr, struct now now)
{
    char key[META_KEY_MAX];

    assert(wr->verb == LEDGER_CLAIM && wr->kind == &api_pod);
    wake_waiting(w, wr);
    meta_key(key, wr->ns, wr->name);
    ledger_begin(w->ledger, LEDGER_READ, &api_pod, key, wr->pool_key);
    wr->verb = LEDGER_READ;
    str_set(&wr->plan_key, NULL);
    str_set(&wr->uid, NULL);
    wr->begun_mono_ns = now.mono_ns;
    wr->lost_claim = "Conflict, although nobody has changed it";
}

static enum write_next read_answered(struct world *w, struct write *wr, struct kube_result *res,
                                     struct now now, int64_t *ret_due)
{
    if (res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND) {
        write_state_move(&wr->state, WRITE_PAUSING);
        *ret_due =
            now.mono_ns + backoff_ns(READ_AGAIN_FIRST_MS, READ_AGAIN_MAX_MS, ++wr->reads_failed);
        return WRITE_PAUSE;
    }
    absorb(w, wr, res);
    if (wr->lost_claim)
        note_refusal(w, wr, is_unchanged(w, wr) ? wr->lost_claim : NULL, now);
    else if (wr->verb == LEDGER_READ && wr->sandbox_key)
        note_read(w, wr, res->reason);
    return end(w, wr, res, now);
}

/* ---- all of it ------------------------------------------------------------------------------- */

enum write_next write_answered(struct world *w, struct write *wr, struct kube_result *res,
                               struct now now, int64_t *ret_due)
{
    static void (*const notes[LEDGER_VERBS])(struct world *, struct write *,
                                             const struct kube_result *, struct now) = {
        [LEDGER_CREATE] = note_create,
        [LEDGER_CLAIM] = note_claim,
        [LEDGER_DELETE] = note_delete,
        [LEDGER_STATUS] = note_status,
    };

    if (wr->state == WRITE_READING)
        return read_answered(w, wr, res, now, ret_due);
    assert(wr->state == WRITE_BEGUN && notes[wr->verb]);
    notes[wr->verb](w, wr, res, now);
    if (wr->verb == LEDGER_CLAIM && res->reason == KUBE_CONFLICT) {
        become_read(w, wr, now);
        return WRITE_READ;
    }
    wr->unanswered = res->maybe_applied;
    wr->read_back = res->reason == KUBE_CONFLICT || (res->maybe_applied && outcome_matters(wr));
    if (wr->read_back)
        return WRITE_READ;
    absorb(w, wr, res);
    return end(w, wr, res, now);
}
