/*
 *         acknowledgement
 *   NEW ────────────────────▶ GATHERING ────────────────────▶ ASKING
 *    │      audit                           its turn          ▲ │ ▲
 *    ├────────────────────▶ IN_LINE ──────────────────────────┘ │ │ cancel,
 *    │                       │ ▲ ▲                              │ │ acknowledgement
 *    │           a cancel is │ │ │                        audit ▼ │
 *    │             under way ▼ │ └───────────────────────────── PAUSING
 *    │                       HELD
 *    │  cancel, doubt
 *    └────────────────────▶ ASKING
 *
 * OVER follows ASKING, and NEW, IN_LINE and PAUSING where nothing is left to be asked: the pod or
 * the sandbox is gone. The end of the operator drops errands in any state.
 */
#include "operator/agent/errands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "common/base/backoff.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "operator/agent/agent.h"
#include "operator/kube/client.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000
/* A cancel is repeated until the attempt is over or the pod is gone. Only refusals are counted:
 * after so many the cancel is given up, and the next audit finds the attempt if it still runs. */
#define CANCEL_REFUSALS 20
/* How many attempts of one answer are looked at. The answer comes from a pod, and may name any
 * number. The others are looked at after the next audit. */
#define AUDIT_ATTEMPTS 8
/* After a start there is an audit for every sandbox. Agents that have not answered are asked again
 * in a line of their own, so that they hold up only each other. */
#define AUDITS_AT_ONCE 16
#define ACK_TRIES 2
/* Acknowledgements wait for others to the same pod: each request costs the pod more than what it
 * frees. The sidecar's memory for results is bounded anyway. */
#define ACK_WAIT_MS 1000
#define ACK_BATCH_BYTES 4096

enum { LINE_FIRST, LINE_AGAIN, LINES };

struct line {
    struct list waiting;
    unsigned under_way;
};

struct errands {
    struct ops *ops;
    struct world *world;
    struct agent_caller *agents;
    struct list errands;
    struct line audits[LINES];
    bool in_audits;
    bool closing;
    uint64_t cancels;
};

enum errand_kind {
    ERRAND_CANCEL,
    ERRAND_ACK,
    ERRAND_AUDIT,
    ERRAND_DOUBT, /* reads the Task of an attempt that an audit has found */
};

static const char *const kind_names[] = {
    [ERRAND_CANCEL] = "cancel",
    [ERRAND_ACK] = "acknowledgement",
    [ERRAND_AUDIT] = "audit",
    [ERRAND_DOUBT] = "doubt",
};

enum errand_state {
    ERRAND_NEW,
    ERRAND_GATHERING, /* acknowledgement: others for the same pod join it */
    ERRAND_IN_LINE,   /* audit: waits for its turn */
    ERRAND_HELD,      /* audit: waits until cancels and doubts of its pod are over */
    ERRAND_ASKING,    /* the request is under way */
    ERRAND_PAUSING,   /* before it is asked again */
    ERRAND_OVER,
    ERRAND_STATES,
};

static const char *const state_names[ERRAND_STATES] = {
    [ERRAND_NEW] = "new",   [ERRAND_GATHERING] = "gathering", [ERRAND_IN_LINE] = "in-line",
    [ERRAND_HELD] = "held", [ERRAND_ASKING] = "asking",       [ERRAND_PAUSING] = "pausing",
    [ERRAND_OVER] = "over",
};

static const bool followers[ERRAND_STATES][ERRAND_STATES] = {
    [ERRAND_NEW] = {[ERRAND_GATHERING] = true,
                    [ERRAND_IN_LINE] = true,
                    [ERRAND_ASKING] = true,
                    [ERRAND_OVER] = true},
    [ERRAND_GATHERING] = {[ERRAND_ASKING] = true},
    [ERRAND_IN_LINE] = {[ERRAND_HELD] = true, [ERRAND_ASKING] = true, [ERRAND_OVER] = true},
    [ERRAND_HELD] = {[ERRAND_IN_LINE] = true},
    [ERRAND_ASKING] = {[ERRAND_PAUSING] = true, [ERRAND_OVER] = true},
    [ERRAND_PAUSING] = {[ERRAND_IN_LINE] = true, [ERRAND_ASKING] = true, [ERRAND_OVER] = true},
};

const struct sm_table errand_table = {"errand", state_names, followers[0], ERRAND_STATES};

/* An errand under way. It frees itself at its end. */
struct errand {
    struct list node;
    struct errands *es;
    enum errand_kind kind;
    enum errand_state state;
    struct run_target target;
    int64_t attempt;
    struct agent_call *call;
    struct ops_timer *timer;
    unsigned failures;
    int tries_left;         /* cancel: after refusals; acknowledgement: after any failure */
    char *ns;               /* of the pod; acknowledgement: NULL */
    char *name;             /* audit: of the sandbox; doubt: of the task */
    struct kube_call *read; /* doubt */
    struct buf acks;        /* "uid/attempt" in quotes, comma-separated */
    /* audit */
    struct line *line; /* where it waits for its turn, and counts while it asks */
    bool clean;        /* the answer had nothing that no Task wants */
    char *running;     /* the UID of a task that runs there */
};

static void audits_go_on(struct errands *es);

static void errand_move(struct errand *e, enum errand_state to)
{
    assert(e->kind == ERRAND_ACK || to != ERRAND_GATHERING);
    assert(e->kind == ERRAND_AUDIT || (to != ERRAND_IN_LINE && to != ERRAND_HELD));
    assert(e->kind != ERRAND_DOUBT || to != ERRAND_PAUSING);
    sm_move(&errand_table, (size_t)e->state, (size_t)to);
    log_debug("errand", "kind", kind_names[e->kind], "pod", str_or_empty(e->target.pod_uid), "from",
              state_names[e->state], "to", state_names[to], NULL);
    if (e->line && e->state == ERRAND_ASKING) {
        assert(e->line->under_way > 0);
        e->line->under_way--;
    }
    if (e->line && to == ERRAND_ASKING)
        e->line->under_way++;
    e->state = to;
}

static void audit_wait(void *arg);

/* Whether audits of the pod wait for this errand. While a cancel or a doubt is under way, an audit
 * would only find the same attempt again. */
static bool holds_audit(const struct errand *e, const char *pod_uid)
{
    return (e->kind == ERRAND_CANCEL || e->kind == ERRAND_DOUBT) &&
           str_eq(e->target.pod_uid, pod_uid);
}

static bool audit_held(const struct errands *es, const char *pod_uid)
{
    list_for_each (it, &es->errands)
        if (holds_audit(list_entry(it, struct errand, node), pod_uid))
            return true;
    return false;
}

static void release_audits(struct errands *es, const char *pod_uid)
{
    if (es->closing || audit_held(es, pod_uid))
        return;
    list_for_each (it, &es->errands) {
        struct errand *e = list_entry(it, struct errand, node);

        if (e->state != ERRAND_HELD || !str_eq(e->target.pod_uid, pod_uid))
            continue;
        audit_wait(e);
        return; /* a pod has one audit at most */
    }
}

static void errand_free(struct errand *e)
{
    struct errands *es = e->es;
    struct ops *ops = es->ops;

    agent_call_cancel(e->call);
    kube_cancel(e->read);
    ops->v->timer_free(ops, e->timer);
    list_remove(&e->node);
    buf_done(&e->acks);
    if (!es->closing)
        errand_move(e, ERRAND_OVER);
    if (e->kind == ERRAND_AUDIT)
        world_audit_over(es->world, e->ns, e->name, e->target.sandbox_uid,
                         e->clean ? AGENT_EV_CLEAN : AGENT_EV_ABANDONED, e->running);
    else if (holds_audit(e, e->target.pod_uid))
        release_audits(es, e->target.pod_uid);
    run_target_done(&e->target);
    free(e->ns);
    free(e->name);
    free(e->running);
    free(e);
}

static void errand_again(struct errand *e)
{
    int64_t wait_ns = backoff_ns(RETRY_FIRST_MS, RETRY_MAX_MS, ++e->failures);

    assert(!e->call && !e->read);
    errand_move(e, ERRAND_PAUSING);
    e->es->ops->v->timer_set(e->es->ops, e->timer, ops_now(e->es->ops).mono_ns + wait_ns);
}

static void errand_refused(struct errand *e)
{
    assert(e->tries_left > 0);
    if (--e->tries_left <= 0)
        errand_free(e);
    else
        errand_again(e);
}

static void errand_request(struct errand *e, const char *method, const char *path,
                           const struct buf *body, const struct agent_handler *handler)
{
    const struct agent_request req = {
        .target = &e->target, .method = method, .path = path, .body = body};

    assert(!e->call);
    errand_move(e, ERRAND_ASKING);
    if (agent_call_start(e->es->agents, &req, handler, e, &e->call, NULL) < 0)
        errand_free(e);
}

/* Takes over the texts of target. ns may be NULL. */
static struct errand *errand_new(struct errands *es, enum errand_kind kind, const char *ns,
                                 struct run_target target, void (*send)(void *arg))
{
    struct errand *e = xcalloc(1, sizeof(*e));

    e->es = es;
    e->kind = kind;
    e->ns = xstrdup(ns);
    e->target = target;
    e->timer = es->ops->v->timer_new(es->ops, send, e);
    buf_init(&e->acks, ACK_BATCH_BYTES);
    list_push_back(&es->errands, &e->node);
    return e;
}

/* ---- cancels --------------------------------------------------------------------------------- */

static bool refused(int status)
{
    return status == 403 || status == 429 || status >= 500;
}

/* 202: the attempt is being killed. The cancel is sent again until the agent answers that the
 * attempt is over. */
static void on_cancelled(void *arg, const struct agent_answer *answer)
{
    struct errand *e = arg;

    e->call = NULL;
    if (answer->outcome != AGENT_ANSWERED || answer->status == 202)
        errand_again(e);
    else if (refused(answer->status))
        errand_refused(e);
    else
        errand_free(e);
}

static void cancel_send(void *arg)
{
    static const struct agent_handler handler = {NULL, on_cancelled};
    struct errand *e = arg;
    char path[AGENT_PATH_MAX];

    if (!agent_follow(e->es->world, e->ns, &e->target)) {
        errand_free(e);
        return;
    }
    agent_task_path(path, e->target.task_uid, e->attempt);
    errand_request(e, "DELETE", path, NULL, &handler);
}

void errands_cancel(struct errands *es, const char *ns, struct run_target target, int64_t attempt)
{
    struct errand *e = errand_new(es, ERRAND_CANCEL, ns, target, cancel_send);

    e->attempt = attempt;
    e->tries_left = CANCEL_REFUSALS;
    es->cancels++;
    cancel_send(e);
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

static void on_acknowledged(void *arg, const struct agent_answer *answer)
{
    struct errand *e = arg;

    e->call = NULL;
    if (answer->outcome == AGENT_ANSWERED && answer->status < 500)
        errand_free(e);
    else
        errand_refused(e);
}

static void ack_send(void *arg)
{
    static const struct agent_handler handler = {NULL, on_acknowledged};
    cleanup_buf struct buf body = BUF_INIT(ACK_BATCH_BYTES + 64);
    struct errand *e = arg;

    assert(e->kind == ERRAND_ACK && e->acks.len > 0);
    buf_printf(&body, "{\"attempts\":[%s]}", buf_str(&e->acks));
    errand_request(e, "POST", "/v1/acknowledged", &body, &handler);
}

/* The batch for a pod that has not been sent yet. */
static struct errand *ack_batch(struct errands *es, const char *pod_uid)
{
    list_for_each (it, &es->errands) {
        struct errand *e = list_entry(it, struct errand, node);

        if (e->state == ERRAND_GATHERING && str_eq(e->target.pod_uid, pod_uid))
            return e;
    }
    return NULL;
}

void errands_ack(struct errands *es, struct run_target target, int64_t attempt)
{
    struct errand *e = ack_batch(es, target.pod_uid);
    cleanup_free char *label = xasprintf("\"%s/%" PRId64 "\"", target.task_uid, attempt);

    if (e) {
        run_target_done(&target);
    } else {
        e = errand_new(es, ERRAND_ACK, NULL, target, ack_send);
        e->tries_left = ACK_TRIES;
        errand_move(e, ERRAND_GATHERING);
        es->ops->v->timer_set(es->ops, e->timer,
                              ops_now(es->ops).mono_ns + ACK_WAIT_MS * NSEC_PER_MSEC);
    }
    buf_printf(&e->acks, "%s%s", e->acks.len ? "," : "", label);
    if (e->acks.len > ACK_BATCH_BYTES - 128) {
        es->ops->v->timer_set(es->ops, e->timer, 0);
        ack_send(e);
    }
}

/* ---- auditing -------------------------------------------------------------------------------- */

static void on_doubt(void *arg, struct kube_result *res)
{
    struct errand *e = arg;
    const struct task *t =
        res->reason == KUBE_OK ? container_of(res->object, struct task, meta) : NULL;

    e->read = NULL;
    if ((t || res->reason == KUBE_NOT_FOUND) &&
        !world_task_wants(t, e->target.task_uid, e->attempt)) {
        log_warn("cancelling what belongs to no task", "task", e->name, "uid", e->target.task_uid,
                 "address", e->target.address, NULL);
        errands_cancel(e->es, e->ns, run_target_copy(&e->target, xstrdup(e->target.task_uid)),
                       e->attempt);
    }
    errand_free(e);
}

/* An attempt runs, and the cache has no such Task. Another operator may have begun it a moment ago,
 * and the watch has not told of it yet. So the API server is asked for the Task. If it does not
 * answer, or the cache is still behind after the answer, the next audit asks it again. */
static void doubt(struct errand *audit, char *uid, int64_t attempt, const char *name)
{
    struct errand *e =
        errand_new(audit->es, ERRAND_DOUBT, audit->ns, run_target_copy(&audit->target, uid), NULL);

    e->attempt = attempt;
    e->name = xstrdup(name);
    errand_move(e, ERRAND_ASKING);
    e->read = kube_get(e->es->ops, KUBE_TO_FINISH, &api_task, e->ns, e->name, on_doubt, e);
}

/* Decodes one attempt of an answer, which comes from a pod and may be anything. *ret_name points
 * into the answer; the caller frees *ret_uid. false: no operator can have sent such an attempt. */
static bool running_decode(struct json_object *running, const char **ret_name, char **ret_uid,
                           int64_t *ret_attempt)
{
    const char *label = str_or_empty(json_get_str(running, "attempt"));
    const char *name = strchr(str_or_empty(json_get_str(running, "task")), '/');
    const char *slash = strchr(label, '/');
    int64_t attempt = slash ? strtoll(slash + 1, NULL, 10) : 0;
    cleanup_free char *uid = slash ? xmemdup0(label, (size_t)(slash - label)) : NULL;

    if (!name || !is_dns_name(name + 1) || !meta_is_uid(uid) || attempt < 1 ||
        attempt > LIMIT_RETRIES + 1)
        return false;
    *ret_name = name + 1;
    *ret_uid = uid;
    uid = NULL;
    *ret_attempt = attempt;
    return true;
}

/* Looks at one attempt that runs. false: no Task is known that wants it. */
static bool audit_one(struct errand *e, struct json_object *running)
{
    cleanup_free char *uid = NULL;
    const char *name;
    char key[META_KEY_MAX];
    const struct task *t;
    int64_t attempt;

    if (!running_decode(running, &name, &uid, &attempt))
        return false;
    meta_key(key, e->ns, name);
    t = world_task(e->es->world, key);
    if (world_task_wants(t, uid, attempt)) {
        str_set(&e->running, xstrdup(uid));
        return true;
    }
    world_was_used(e->es->world, e->ns, e->name, e->target.sandbox_uid);
    if (t && str_eq(t->meta.uid, uid)) /* it has ended, or its next attempt has begun */
        errands_cancel(e->es, e->ns, run_target_copy(&e->target, xstrdup(uid)), attempt);
    else
        doubt(e, xstrdup(uid), attempt, name);
    return false;
}

static enum agent_event audit_all(struct errand *e, const struct agent_answer *answer)
{
    cleanup_json struct json_object *obj = NULL;
    struct json_object *running;
    bool clean = true;

    if (answer->outcome != AGENT_ANSWERED || answer->status != 200 ||
        json_parse_max(answer->body, answer->body_len, LIMIT_AGENT_ANSWER_TREE_BYTES, &obj, NULL) <
            0)
        return AGENT_EV_SILENT;
    str_set(&e->running, NULL);
    running = json_get(obj, "running");
    for (size_t i = 0; i < json_array_len(running); i++)
        clean = i < AUDIT_ATTEMPTS && audit_one(e, json_object_array_get_idx(running, i)) && clean;
    return clean ? AGENT_EV_CLEAN : AGENT_EV_UNWANTED;
}

/* Tells the world how far the audit is. While audits bring nothing, the next task waits, but not
 * for ever: see agent_awaited() in core/task_plan.c. */
static void audit_tell(struct errand *e, enum agent_event ev)
{
    world_audit(e->es->world, e->ns, e->name, e->target.sandbox_uid, ev,
                ops_now(e->es->ops).mono_ns);
}

static void on_audited(void *arg, const struct agent_answer *answer)
{
    struct errand *e = arg;
    struct errands *es = e->es;
    const struct agent_view *agent =
        world_agent_view(es->world, e->ns, e->name, e->target.sandbox_uid);
    enum agent_event ev = AGENT_EV_ABANDONED;

    assert(e->kind == ERRAND_AUDIT && e->state == ERRAND_ASKING);
    e->call = NULL;
    if (agent && agent->state != AGENT_OUTDATED)
        ev = audit_all(e, answer);
    e->clean = ev == AGENT_EV_CLEAN;
    if (e->clean || ev == AGENT_EV_ABANDONED) {
        errand_free(e); /* the plan asks for another audit, if one is needed */
    } else {
        audit_tell(e, ev);
        errand_again(e);
        if (ev == AGENT_EV_SILENT)
            e->line = &es->audits[LINE_AGAIN];
    }
    audits_go_on(es);
}

/* Whether the audit has no purpose any more: the sandbox or its pod is gone, or the sandbox cannot
 * run tasks. A sandbox that is Bound and has an agent key was Ready, and its agent is not believed.
 * The next answer of the agent itself ends that, so the audit goes on. */
static bool in_vain(struct errand *e)
{
    const struct sandbox *s;
    char key[META_KEY_MAX];

    meta_key(key, e->ns, e->name);
    s = world_sandbox(e->es->world, key);
    return !s || !str_eq(s->meta.uid, e->target.sandbox_uid) ||
           !(s->status.phase == SANDBOX_READY ||
             (s->status.phase == SANDBOX_BOUND && s->status.agent_key)) ||
           !agent_follow(e->es->world, e->ns, &e->target);
}

static void audit_send(struct errand *e)
{
    static const struct agent_handler handler = {NULL, on_audited};

    if (in_vain(e)) {
        errand_free(e);
    } else if (audit_held(e->es, e->target.pod_uid)) {
        errand_move(e, ERRAND_HELD);
        audit_tell(e, AGENT_EV_UNWANTED);
    } else {
        audit_tell(e, AGENT_EV_SENT);
        /* If this operator lacks the key that the pod knows, it can ask nothing, and the audit ends
         * as clean. It can send no task either: the next task fails, and says why. */
        e->clean = true;
        errand_request(e, "GET", "/v1/tasks", NULL, &handler);
    }
}

/* Sends the audits whose turn has come. An audit that cannot be signed ends at once and calls this
 * function again, from inside: that call does nothing. */
static void audits_go_on(struct errands *es)
{
    if (es->in_audits)
        return;
    es->in_audits = true;
    for (struct line *l = es->audits; l < es->audits + LINES; l++)
        while (l->under_way < AUDITS_AT_ONCE && !list_empty(&l->waiting)) {
            struct errand *e = list_first(&l->waiting, struct errand, node);

            list_remove(&e->node);
            list_push_back(&es->errands, &e->node);
            audit_send(e);
            assert(l->under_way <= AUDITS_AT_ONCE);
        }
    es->in_audits = false;
}

/* Puts the audit at the end of its line: the first time, and after each pause. */
static void audit_wait(void *arg)
{
    struct errand *e = arg;

    errand_move(e, ERRAND_IN_LINE);
    list_remove(&e->node);
    list_push_back(&e->line->waiting, &e->node);
    audits_go_on(e->es);
}

void errands_audit(struct errands *es, const char *ns, const char *sandbox)
{
    char key[META_KEY_MAX];
    const struct sandbox *s;
    const struct pod *p;
    struct errand *e;

    meta_key(key, ns, sandbox);
    s = world_sandbox(es->world, key);
    p = s ? world_sandbox_pod(es->world, s) : NULL;
    if (!p || !p->ip) { /* an earlier action of the same plan has changed the sandbox */
        world_audit_over(es->world, ns, sandbox, s ? s->meta.uid : NULL, AGENT_EV_ABANDONED, NULL);
        return;
    }
    e = errand_new(es, ERRAND_AUDIT, ns, agent_target(NULL, s, p), audit_wait);
    e->name = xstrdup(sandbox);
    e->line = &es->audits[LINE_FIRST];
    audit_wait(e);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct errands *errands_new(struct ops *ops, struct world *w, struct agent_caller *agents)
{
    struct errands *es = xcalloc(1, sizeof(*es));

    es->ops = ops;
    es->world = w;
    es->agents = agents;
    list_init(&es->errands);
    for (size_t i = 0; i < LINES; i++)
        list_init(&es->audits[i].waiting);
    return es;
}

void errands_free(struct errands *es)
{
    if (!es)
        return;
    es->closing = true;
    for (size_t i = 0; i < LINES; i++)
        list_for_each_safe (it, &es->audits[i].waiting)
            errand_free(list_entry(it, struct errand, node));
    list_for_each_safe (it2, &es->errands)
        errand_free(list_entry(it2, struct errand, node));
    free(es);
}

uint64_t errands_cancels(const struct errands *es)
{
    return es->cancels;
}
