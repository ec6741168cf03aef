/*
 * The rules of a Sandbox.
 *
 *   none ──────▶ Pending ──────▶ Ready ◀──────▶ Bound
 *     │             │              ▲              ▲
 *     └─────────────┴──────────────┴──────────────┘
 *
 * Failed follows each of them, and nothing follows Failed. Bound only while the pod is not ready
 * (any more), or somebody else answers in the place of its agent.
 *
 * - The oldest waiting sandbox of a pool gets the oldest idle ready pod. The claim makes the
 *   sandbox the pod's owner; the status goes straight to Ready. Both are written at the same time.
 *   From then on the status decides: the pod that it names is claimed until the claim succeeds, and
 *   is for nobody else. Nothing is said to the agent before that.
 * - Pending is written only after PENDING_AFTER, so that a quick claim costs no third write.
 * - A missing pool, or none of its pods in time, ends in Failed. So does the loss of the pod, and
 *   one that does not get ready again after the claim: a sandbox never gets a second one.
 * - A Ready sandbox whose pod has not been ready for two minutes is Bound until it is again; one
 *   whose pod never will be, since a container has ended for good, fails at once. That, the
 *   restart of a container, and another reason to wait is written at most once in TELL_INTERVAL.
 * - The key of the agent is pinned by the write that says Ready for the first time. Another key
 *   later ends in Failed. So does an agent in whose place only others answer, in time; until then
 *   it is asked again and again.
 * - An expired sandbox is deleted; a sandbox that is gone takes its pod along at once.
 */
#include "operator/core/plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/base/limits.h"
#include "operator/core/sandbox_use.h"

#define POOL_GRACE_NS (10 * NSEC_PER_SEC)
#define PENDING_AFTER_NS (100 * NSEC_PER_MSEC)
#define TELL_INTERVAL_MS 10000
#define NOT_BELIEVED "AgentNotBelieved"
#define AGENT_ANSWERS "the agent in the pod answers"
#define PIN_INTERVAL_MAX_MS (256 * TELL_INTERVAL_MS)
#define TELL_REFUSALS 3 /* one may be an accident */

static const char *const phase_names[SANDBOX_PHASES] = {
    [SANDBOX_PHASE_NONE] = "none", [SANDBOX_PENDING] = "Pending", [SANDBOX_BOUND] = "Bound",
    [SANDBOX_READY] = "Ready",     [SANDBOX_FAILED] = "Failed",
};

static const bool followers[SANDBOX_PHASES][SANDBOX_PHASES] = {
    [SANDBOX_PHASE_NONE] = {[SANDBOX_PENDING] = true,
                            [SANDBOX_BOUND] = true,
                            [SANDBOX_READY] = true,
                            [SANDBOX_FAILED] = true},
    [SANDBOX_PENDING] = {[SANDBOX_BOUND] = true, [SANDBOX_READY] = true, [SANDBOX_FAILED] = true},
    [SANDBOX_BOUND] = {[SANDBOX_READY] = true, [SANDBOX_FAILED] = true},
    [SANDBOX_READY] = {[SANDBOX_BOUND] = true, [SANDBOX_FAILED] = true},
};

const struct sm_table sandbox_table = {"sandbox", phase_names, followers[0], SANDBOX_PHASES};

struct view {
    struct world *w;
    const char *key;
    struct now now;
    struct sandbox *s;
    struct sandbox_state *st;
    struct pod *pod; /* the sandbox's own; NULL: none in the cache */
    struct actions *out;
};

/* Each status that is written comes from here. */
static char *status_body(const struct view *v, const struct sandbox_status *to)
{
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    enum sandbox_phase is = v->s->status.phase;

    if (to->phase != is)
        sm_move(&sandbox_table, (size_t)is, (size_t)to->phase);
    sandbox_status_patch(v->s, to, &body);
    return buf_steal(&body);
}

static struct action *write_status(const struct view *v, const struct sandbox_status *to,
                                   const char *reason)
{
    return action_status(v->out, &api_sandbox, &v->s->meta, status_body(v, to), reason);
}

/* What the status says of a sandbox that has this pod; p is NULL: of one that has none. */
static void status_to(const struct view *v, const struct pod *p, enum sandbox_phase phase,
                      const char *reason, const char *message, struct sandbox_status *to)
{
    /* None is never written, and Ready says which pod it is. */
    assert(phase != SANDBOX_PHASE_NONE);
    assert(phase != SANDBOX_READY || (p && (p->agent_key || v->s->status.agent_key)));
    sandbox_status_copy(to, &v->s->status);
    to->phase = phase;
    condition_set(&to->ready, phase == SANDBOX_READY ? CONDITION_TRUE : CONDITION_FALSE, reason,
                  message, v->now.wall_ns);
    if (!p || phase == SANDBOX_FAILED)
        return;
    str_set(&to->pod_name, xstrdup(p->meta.name));
    str_set(&to->pod_uid, xstrdup(p->meta.uid));
    str_set(&to->pod_ip, xstrdup(p->ip));
    str_set(&to->work_dir, xstrdup(p->work_dir));
    if (v->s->status.phase < SANDBOX_BOUND) /* what came before is nobody's loss */
        to->container_restarts = p->restarts;
    if (phase == SANDBOX_READY && !to->agent_key)
        str_set(&to->agent_key, xstrdup(p->agent_key));
}

/* why: for the log and for what note_status() does; the reason is for the condition. NULL: that is
 * what the status says already. */
static struct action *move_as(const struct view *v, enum sandbox_phase phase, const char *reason,
                              const char *message, const char *why)
{
    struct sandbox_status to;
    struct action *a;

    if (v->s->status.phase == phase && str_eq(v->s->status.ready.reason, reason) &&
        str_eq(v->s->status.ready.message, message))
        return NULL;
    status_to(v, v->pod, phase, reason, message, &to);
    a = write_status(v, &to, why);
    if (phase == SANDBOX_FAILED)
        action_event(v->out, &api_sandbox, &v->s->meta, true, reason, message);
    sandbox_status_done(&to);
    return a;
}

static void move(const struct view *v, enum sandbox_phase phase, const char *reason,
                 const char *message)
{
    move_as(v, phase, reason, message, reason);
}

/* As the condition says it. */
static bool is_told(const struct view *v, enum sandbox_phase phase, const char *message)
{
    return v->s->status.phase == phase && str_eq(v->s->status.ready.message, message);
}

/* A pod, the code in it, or who may change a pool that many wait for, may change what is to be told
 * as often as he likes. */
static bool may_tell(const struct view *v)
{
    int64_t due = v->st->told_mono_ns + TELL_INTERVAL_MS * NSEC_PER_MSEC;

    if (v->st->told_mono_ns && v->now.mono_ns < due) {
        action_after(v->out, due);
        return false;
    }
    return true;
}

/* Like move_as(), but only when it may be told. */
static void tell_as(const struct view *v, enum sandbox_phase phase, const char *reason,
                    const char *message, const char *why)
{
    struct action *a = may_tell(v) ? move_as(v, phase, reason, message, why) : NULL;

    if (a)
        a->note = NOTE_TELLING;
}

/* ---- waiting for a pod ----------------------------------------------------------------------- */

static struct action *claim(const struct view *v, struct pod *p)
{
    struct action *a = action_add(v->out, ACTION_CLAIM_POD, &api_pod, &p->meta);
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);

    pod_claim_patch(p, &v->s->meta, &body);
    a->body = buf_steal(&body);
    a->other_name = xstrdup(v->s->meta.name);
    a->other_uid = xstrdup(v->s->meta.uid);
    a->pool = xstrdup(p->pool);
    return a;
}

/* The status goes out together with the claim, so that a client waits for one write and not for
 * two. But where the API server refuses claims, no sandbox is to be Ready before its pod is taken:
 * the first claim of a pool goes alone, and so does one that was refused before. */
static void claim_first(const struct view *v, const char *pool_key, struct pod *p)
{
    struct action *a = claim(v, p);
    struct sandbox_status to;

    if (!world_pool_state(v->w, pool_key)->claims_work || v->st->claims_refused > 0)
        return;
    status_to(v, p, SANDBOX_READY, "PodReady", AGENT_ANSWERS, &to);
    a->ready_body = status_body(v, &to);
    sandbox_status_done(&to);
}

/* Says why it waits, once that takes longer than a person would notice. */
static void say_pending(const struct view *v, const char *reason, const char *message)
{
    const struct sandbox_status *status = &v->s->status;
    int64_t due = v->st->seen_mono_ns + PENDING_AFTER_NS;
    bool first = status->phase == SANDBOX_PHASE_NONE || !status->ready.message;

    if (status->phase == SANDBOX_PHASE_NONE && v->now.mono_ns < due)
        action_after(v->out, due);
    else if (first)
        move(v, SANDBOX_PENDING, reason, message);
    else if (!is_told(v, SANDBOX_PENDING, message))
        tell_as(v, SANDBOX_PENDING, reason, message, reason);
}

static int64_t patience_ns(const struct view *v)
{
    return v->w->policy->sandbox_wait_ms * NSEC_PER_MSEC;
}

static void wait_for_pod(const struct view *v, const struct warmpool *pool)
{
    int64_t wait_ns = patience_ns(v);
    int64_t deadline = plan_deadline(&v->s->meta, v->s->meta.created_wall_ns, wait_ns);
    const struct condition *failing = &pool->status.pods_failing;
    bool fails = failing->status == CONDITION_TRUE, none = pool->replicas == 0;
    cleanup_free char *message = NULL;
    char wait[DURATION_MAX];

    duration_format(wait, wait_ns);
    if (v->now.mono_ns >= deadline) {
        message = xasprintf("no pod of WarmPool %s became free within %s%s%s", pool->meta.name,
                            wait, fails || none ? ": " : "",
                            fails  ? failing->message
                            : none ? "its spec.replicas is 0"
                                   : "");
        move(v, SANDBOX_FAILED, "NoPodAvailable", message);
        return;
    }
    /* What the pods say changes often, and many sandboxes may wait: they only say where it is told.
     */
    message =
        xasprintf("waiting for an idle pod of WarmPool %s, %s at most%s", pool->meta.name, wait,
                  fails  ? ": its pods fail, see its condition PodsFailing"
                  : none ? ": it keeps none, its spec.replicas is 0"
                         : "");
    action_after(v->out, deadline);
    say_pending(v, "WaitingForPod", message);
}

static void pool_missing(const struct view *v)
{
    int64_t deadline = plan_missed_until(&v->s->meta, v->now, POOL_GRACE_NS);
    cleanup_free char *message = NULL;

    if (v->now.mono_ns >= deadline) {
        message = xasprintf("WarmPool %s not found in namespace %s", v->s->pool, v->s->meta.ns);
        move(v, SANDBOX_FAILED, "PoolNotFound", message);
        return;
    }
    message = xasprintf("waiting for WarmPool %s, which does not exist", v->s->pool);
    action_after(v->out, deadline);
    say_pending(v, "WaitingForPool", message);
}

/* The API server refuses that its pods are taken. Returns whether it is time to try again: not
 * before that is told, as this phase, and not for ever. */
static bool may_claim(const struct view *v, enum sandbox_phase phase)
{
    int64_t deadline = plan_deadline(&v->s->meta, v->s->meta.created_wall_ns, patience_ns(v));
    const struct condition *told = &v->s->status.ready;
    bool due = v->now.mono_ns >= v->st->next_claim_mono_ns;
    cleanup_free char *message = NULL;

    if (!due)
        action_after(v->out, v->st->next_claim_mono_ns);
    if (v->st->claims_refused < TELL_REFUSALS)
        return due;
    message = xasprintf("a pod of WarmPool %s cannot be taken: %s", v->s->pool, v->st->claim_error);
    if (v->now.mono_ns >= deadline) {
        move(v, SANDBOX_FAILED, "NoPodAvailable", message);
        return false;
    }
    action_after(v->out, deadline);
    if (str_eq(told->reason, "ClaimRefused") && str_eq(told->message, message))
        return due;
    move(v, phase, "ClaimRefused", message);
    return false;
}

static void plan_waiting(const struct view *v)
{
    char pool_key[META_KEY_MAX];
    struct warmpool *pool;
    struct pod *p;

    meta_key(pool_key, v->s->meta.ns, v->s->pool);
    pool = world_pool(v->w, pool_key);
    world_end_pauses(v->w, pool_key, v->now.mono_ns);
    if (v->st->outside && v->now.mono_ns >= v->st->next_claim_mono_ns)
        world_pause(v->w, v->key, 0);
    if (v->st->outside)
        action_after(v->out, v->st->next_claim_mono_ns);
    if (!pool) {
        pool_missing(v);
        return;
    }
    v->s->meta.missed_mono_ns = 0;
    p = world_pod_for(v->w, v->key, v->s);
    if (!p)
        wait_for_pod(v, pool);
    else if (may_claim(v, SANDBOX_PENDING))
        claim_first(v, pool_key, p);
}

/* ---- with a pod ------------------------------------------------------------------------------ */

/* A pod that was ready when it was taken gets ready again soon, or never. */
static bool bound_for_too_long(const struct view *v)
{
    int64_t deadline;

    if (v->s->status.phase != SANDBOX_BOUND)
        return false;
    if (v->st->bound_mono_ns == 0)
        v->st->bound_mono_ns = v->now.mono_ns;
    deadline = v->st->bound_mono_ns + patience_ns(v);
    action_after(v->out, deadline);
    return v->now.mono_ns >= deadline;
}

static bool knows_key(const struct view *v)
{
    return v->s->status.agent_key || v->pod->agent_key;
}

static void plan_unready(const struct view *v)
{
    const char *trouble = v->pod->trouble_message          ? v->pod->trouble_message
                          : !knows_key(v) && v->pod->ready ? "the pod's init container " POD_INIT
                                                             " has told no key of it"
                                                           : NULL;
    bool over = bound_for_too_long(v);
    cleanup_free char *message =
        xasprintf("the agent in the pod does not answer%s%s%s", over ? "" : " yet",
                  trouble ? ": " : "", str_or_empty(trouble));

    if (over)
        move(v, SANDBOX_FAILED, "PodNotReady", message);
    else if (v->s->status.phase < SANDBOX_BOUND)
        move(v, SANDBOX_BOUND, "PodNotReady", message);
    else if (!is_told(v, SANDBOX_BOUND, message))
        /* Another word than that of the first time: tasks may have run there. */
        tell_as(v, SANDBOX_BOUND, "PodNotReady", message, "PodUnready");
}

static void plan_claimed(const struct view *v)
{
    bool first = v->s->status.phase < SANDBOX_BOUND;
    /* That an agent is not believed is told seldom enough. */
    bool was_forged = str_eq(v->s->status.ready.reason, NOT_BELIEVED);
    const char *why = first ? "PodReady" : "PodReadyAgain";

    if (!v->pod->ready || !v->pod->ip || !knows_key(v))
        plan_unready(v);
    else if (first || was_forged || !v->st->was_ready)
        move_as(v, SANDBOX_READY, "PodReady", AGENT_ANSWERS, why);
    else
        tell_as(v, SANDBOX_READY, "PodReady", AGENT_ANSWERS, why);
}

static void fail_lost(const struct view *v, const char *what)
{
    cleanup_free char *message = xasprintf("pod %s %s", str_or_empty(v->s->status.pod_name), what);

    move(v, SANDBOX_FAILED, "PodLost", message);
}

static void fail_broken(const struct view *v, const struct pod *p)
{
    cleanup_free char *message = xasprintf("pod %s is of no use any more: %s",
                                           str_or_empty(v->s->status.pod_name), p->broken);

    move(v, SANDBOX_FAILED, "PodBroken", message);
}

static bool is_dead(const struct pod *p)
{
    return p->meta.deleting || pod_terminal(p) || p->broken;
}

static void fail_dead(const struct view *v, const struct pod *p)
{
    cleanup_free char *what = NULL;

    if (p->meta.deleting)
        what = xasprintf("is being deleted%s%s", p->disruption ? ": " : "",
                         str_or_empty(p->disruption));
    else if (pod_terminal(p))
        what = xasprintf("has ended: %s",
                         p->trouble_message ? p->trouble_message : "its containers exited");
    if (what)
        fail_lost(v, what);
    else
        fail_broken(v, p);
}

/* Pods outlive operators. Returns whether the sandbox has failed, or fails now. */
static bool plan_old_agent(const struct view *v)
{
    const struct pod *p = v->pod;
    cleanup_free char *message = NULL;

    /* A key that is pinned was told by an agent of this wire version, whatever an annotation says.
     */
    if (p->wire_version < WIRE_VERSION && !v->s->status.agent_key) {
        message = xasprintf("pod %s was made by an earlier release, whose agent this operator does "
                            "not understand: make the Sandbox anew",
                            p->meta.name);
        move(v, SANDBOX_FAILED, "AgentTooOld", message);
    } else if (v->s->status.agent_key && p->agent_key &&
               !str_eq(v->s->status.agent_key, p->agent_key)) {
        message = xasprintf("the agent in pod %s has another key than at first", p->meta.name);
        move(v, SANDBOX_FAILED, "AgentKeyChanged", message);
    }
    return message != NULL;
}

/* Bound or Ready: does the pod still live? */
static bool plan_pod_alive(const struct view *v)
{
    const struct pod *p = v->pod;

    if (!p && !v->s->status.pod_uid) {
        move(v, SANDBOX_FAILED, "PodLost", "status.podName or status.podUID is missing");
        return false;
    }
    if (!p && !str_eq(v->st->lost_pod_uid, v->s->status.pod_uid)) {
        /* Perhaps the watch of pods is behind the one of sandboxes: ask. */
        struct action *a = action_add(v->out, ACTION_READ, &api_pod, NULL);

        a->ns = xstrdup(v->s->meta.ns);
        a->name = xstrdup(v->s->status.pod_name);
        a->uid = xstrdup(v->s->status.pod_uid);
        a->other_name = xstrdup(v->s->meta.name);
        return false;
    }
    if (!p)
        fail_lost(v, v->st->lost_pod_why);
    else if (is_dead(p))
        fail_dead(v, p);
    else
        return true;
    return false;
}

/*
 * The status gives the sandbox a pod, and the pod is not the sandbox's yet: the claim that went out
 * with the status was lost, or was answered with Conflict; or this process has just started. The
 * claim is made again, of the same pod. Returns false if it is not so.
 */
static bool plan_promised(const struct view *v)
{
    struct pod *p = world_promised_pod(v->w, v->s);
    cleanup_free char *message = NULL;

    if (v->pod || !p || !p->ours)
        return false;
    if (ledger_busy_obj(v->w->ledger, &api_pod, &p->meta))
        return true; /* the end of that write plans this sandbox */
    if (p->sandbox && !str_eq(p->sandbox, v->s->meta.name)) {
        message = xasprintf("pod %s was taken by Sandbox %s: two operators acted at the same time",
                            p->meta.name, p->sandbox);
        move(v, SANDBOX_FAILED, "PodTaken", message);
        return true;
    }
    if (!pod_idle(p))
        return false;
    if (is_dead(p)) {
        fail_dead(v, p);
        return true;
    }
    if (may_claim(v, SANDBOX_BOUND))
        claim(v, p);
    return true;
}

/* Returns whether there is anything to write. */
static bool plan_restarts(const struct view *v)
{
    const struct pod *p = v->pod;
    struct sandbox_status to;

    if (p->restarts <= v->s->status.container_restarts || !may_tell(v))
        return false;
    sandbox_status_copy(&to, &v->s->status);
    to.container_restarts = p->restarts;
    cleanup_free char *message = xasprintf(
        "container %s was started anew: what ran in it and what it wrote outside of volumes is "
        "gone (restarts of the pod's containers so far: %" PRId64 ")%s%s",
        p->restarted, p->restarts, p->restart_why ? "; before, it ended with " : "",
        str_or_empty(p->restart_why));
    condition_set(&to.restarted, CONDITION_TRUE, "ContainerRestarted", message, v->now.wall_ns);
    write_status(v, &to, "ContainerRestarted")->note = NOTE_TELLING;
    action_event(v->out, &api_sandbox, &v->s->meta, true, "ContainerRestarted", message);
    sandbox_status_done(&to);
    return true;
}

/* A Ready sandbox's pod may be not ready for a moment; for two minutes is too long. */
static bool plan_readiness(const struct view *v)
{
    int64_t due;
    cleanup_free char *broken = plan_pod_broken(v->pod, v->now, &due);

    v->st->was_ready = true;
    v->st->bound_mono_ns = 0;
    action_after(v->out, due);
    if (!broken)
        return false;
    plan_unready(v);
    return true;
}

/* A sandbox that was Ready before this process knew it may run what was deleted meanwhile; any
 * other one, what was given up or deleted just now. */
static void plan_audit(const struct view *v)
{
    if (v->st->agent.state != AGENT_UNKNOWN || !v->pod->ip || !knows_key(v))
        return;
    action_add(v->out, ACTION_AUDIT, &api_sandbox, &v->s->meta);
}

/* Somebody answers who is not the agent. Nothing is told of what that one says. */
static void plan_not_believed(const struct view *v)
{
    int64_t deadline = v->st->agent.not_believed_since_mono_ns + patience_ns(v);
    bool over = v->now.mono_ns >= deadline;
    cleanup_free char *message = NULL;
    char wait[DURATION_MAX];

    duration_format(wait, patience_ns(v));
    if (over) {
        message = xasprintf("only others have answered in place of the agent in the pod for %s: %s",
                            wait, v->st->not_believed_why);
        move(v, SANDBOX_FAILED, NOT_BELIEVED, message);
        return;
    }
    action_after(v->out, deadline);
    plan_audit(v);
    if (v->s->status.phase == SANDBOX_BOUND && str_eq(v->s->status.ready.reason, NOT_BELIEVED))
        return;
    message = xasprintf("somebody else answers in place of the agent in the pod: %s",
                        v->st->not_believed_why);
    tell_as(v, SANDBOX_BOUND, NOT_BELIEVED, message, NOT_BELIEVED);
}

/* An earlier process has written it. */
static void inherit_disbelief(const struct view *v)
{
    const struct sandbox_status *status = &v->s->status;

    if (status->phase != SANDBOX_BOUND || !str_eq(status->ready.reason, NOT_BELIEVED) ||
        v->st->agent.genuine || v->st->not_believed_why)
        return;
    agent_step(&v->st->agent, AGENT_EV_FORGED, v->now.mono_ns);
    v->st->not_believed_why = xstrdup("an operator before this one has found that");
}

/* Returns whether the sandbox is over. */
static bool plan_expiry(const struct view *v)
{
    const struct sandbox_status *status = &v->s->status;
    bool busy = index_get(&v->w->tasks_by_sandbox, v->key)->count > 0;
    int64_t idle_s = sandbox_idle_limit_s(v->s, v->w->policy);
    int64_t since = MAX(v->st->used_mono_ns, v->st->phase_mono_ns);
    int64_t idle_end = INT64_MAX, life_end = INT64_MAX, end;

    if (!busy && idle_s > 0 && status->phase >= SANDBOX_BOUND)
        /* Times of status have no fractions: a second more, so that it never ends too early. */
        idle_end = since + (idle_s + 1) * NSEC_PER_SEC;
    /* Tasks that ended under an earlier process may be gone, and what it wrote of them be behind.
     */
    if (idle_end != INT64_MAX && v->st->inherited && !v->st->last_task_wall_ns)
        idle_end += sandbox_last_task_slack_ns(v->s, v->w->policy);
    if (v->s->max_lifetime_s >= 0)
        life_end = plan_deadline(&v->s->meta, v->s->meta.created_wall_ns,
                                 v->s->max_lifetime_s * NSEC_PER_SEC);
    end = MIN(idle_end, life_end);
    if (end == INT64_MAX)
        return false;
    if (v->now.mono_ns < end) {
        action_after(v->out, end);
        return false;
    }
    action_event(v->out, &api_sandbox, &v->s->meta, false,
                 end == life_end ? "LifetimeEnded" : "IdleTimeout",
                 end == life_end ? "spec.maxLifetimeSeconds are over"
                                 : "it was not used for the idle timeout");
    action_delete(v->out, &api_sandbox, &v->s->meta,
                  end == life_end ? "LifetimeEnded" : "IdleTimeout");
    return true;
}

static void plan_last_task(const struct view *v)
{
    bool busy = index_get(&v->w->tasks_by_sandbox, v->key)->count > 0;
    const struct sandbox_status *status = &v->s->status;
    struct sandbox_status to;
    int64_t due;

    /* Written with seconds: what differs by less is the same. */
    if (v->st->last_task_wall_ns / NSEC_PER_SEC <= status->last_task_wall_ns / NSEC_PER_SEC)
        return;
    due = MAX(status->last_task_wall_ns, status->ready.since_wall_ns) +
          sandbox_last_task_slack_ns(v->s, v->w->policy);
    if (!busy)
        due = MIN(due, v->st->last_task_wall_ns + SANDBOX_QUIET_NS);
    if (v->now.wall_ns < due) {
        action_after(v->out, plan_mono_of(v->now, due));
        return;
    }
    sandbox_status_copy(&to, &v->s->status);
    to.last_task_wall_ns = v->st->last_task_wall_ns;
    write_status(v, &to, "LastTask");
    sandbox_status_done(&to);
}

/* A CRD of an earlier release drops the key from what is written, each time. */
static bool may_pin(const struct view *v)
{
    unsigned pins = v->st->pins;
    int64_t due =
        pins ? v->st->pin_mono_ns + backoff_ns(TELL_INTERVAL_MS, PIN_INTERVAL_MAX_MS, pins) : 0;

    if (v->now.mono_ns < due)
        action_after(v->out, due);
    return v->now.mono_ns >= due;
}

/* A pod whose containers all begin anew, as after a restart of its node, gets another address. And
 * an operator of an earlier release knows of no keys: it may have taken a pod of this one. */
static bool plan_address(const struct view *v)
{
    const struct sandbox_status *is = &v->s->status;
    bool moved = v->pod->ip && is->pod_ip && !str_eq(v->pod->ip, is->pod_ip);
    bool unpinned = !is->agent_key && v->pod->agent_key && may_pin(v);
    struct sandbox_status to;

    if (!moved && !unpinned)
        return false;
    sandbox_status_copy(&to, &v->s->status);
    if (moved)
        str_set(&to.pod_ip, xstrdup(v->pod->ip));
    if (unpinned)
        str_set(&to.agent_key, xstrdup(v->pod->agent_key));
    write_status(v, &to, moved ? "PodAddress" : "AgentKey")->note =
        unpinned ? NOTE_PIN : NOTE_NOTHING;
    sandbox_status_done(&to);
    return true;
}

static void plan_ready(const struct view *v)
{
    plan_audit(v);
    if (!plan_readiness(v) && !plan_restarts(v) && !plan_address(v))
        plan_last_task(v);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Pods of the sandbox with this uid are of no use to anybody. */
static void drop_pods(const struct view *v, const char *uid, const char *reason)
{
    const struct index_bucket *b = index_get(&v->w->pods_by_sandbox, v->key);

    for (size_t i = 0; i < b->count; i++) {
        const struct pod *p = container_of(b->items[i], struct pod, meta);

        if (!p->meta.deleting && str_eq(p->owner_uid, uid) &&
            !ledger_busy_obj(v->w->ledger, &api_pod, &p->meta))
            action_delete(v->out, &api_pod, &p->meta, reason);
    }
}

static void plan_gone(const struct view *v)
{
    drop_pods(v, v->st->gone_uid, "SandboxDeleted");
    /* A claim that is under way may still give it one. */
    if (!v->s && index_get(&v->w->pods_by_sandbox, v->key)->count == 0 &&
        !ledger_busy(v->w->ledger, &api_sandbox, v->key))
        world_forget_sandbox(v->w, v->key);
}

/* Two operators that act at once, or a claim that a dead one has sent, may bind two pods. Which one
 * is the sandbox's is decided by the status, a compare-and-swap; the other has served nobody. */
static void drop_second_pods(const struct view *v)
{
    const struct index_bucket *b = index_get(&v->w->pods_by_sandbox, v->key);

    if (!v->s->status.pod_uid && v->s->status.phase != SANDBOX_FAILED)
        return;
    for (size_t i = 0; i < b->count; i++) {
        const struct pod *p = container_of(b->items[i], struct pod, meta);

        if (p->ours && str_eq(p->owner_uid, v->s->meta.uid) &&
            !str_eq(p->meta.uid, v->s->status.pod_uid) && !p->meta.deleting &&
            !ledger_busy_obj(v->w->ledger, &api_pod, &p->meta))
            action_delete(v->out, &api_pod, &p->meta, "SecondPod");
    }
}

/* Deleted, and kept by a finalizer: its pod goes, and whoever looks at it is told so. */
static void end_deleted(const struct view *v)
{
    struct sandbox_status to;

    if (v->s->status.phase == SANDBOX_FAILED)
        return;
    sandbox_status_copy(&to, &v->s->status);
    to.phase = SANDBOX_FAILED;
    condition_set(&to.ready, CONDITION_FALSE, "Deleted", "the Sandbox was deleted", v->now.wall_ns);
    write_status(v, &to, "Deleted");
    sandbox_status_done(&to);
}

static void plan_phase(const struct view *v)
{
    switch (v->s->status.phase) {
    case SANDBOX_PHASE_NONE:
    case SANDBOX_PENDING:
        if (!v->pod)
            plan_waiting(v);
        else if (!plan_old_agent(v))
            plan_claimed(v);
        break;
    case SANDBOX_BOUND:
    case SANDBOX_READY:
        if (plan_promised(v) || !plan_pod_alive(v) || plan_old_agent(v))
            break;
        inherit_disbelief(v);
        if (v->st->not_believed_why)
            plan_not_believed(v);
        else if (v->s->status.phase == SANDBOX_READY)
            plan_ready(v);
        else if (!plan_restarts(v))
            plan_claimed(v);
        break;
    case SANDBOX_FAILED:
        break;
    }
}

void sandbox_plan(struct world *w, const char *key, struct now now, struct actions *out)
{
    struct view v = {
        .w = w,
        .key = key,
        .now = now,
        .s = world_sandbox(w, key),
        .st = world_sandbox_state(w, key),
        .out = out,
    };
    bool first;

    if (v.st->gone_uid) {
        plan_gone(&v);
        if (!v.s)
            return;
    }
    if (!v.s) {
        world_forget_sandbox(w, key);
        return;
    }
    first = v.st->seen_mono_ns == 0;
    if (first) {
        v.st->seen_mono_ns = now.mono_ns;
        v.st->inherited = v.s->status.phase >= SANDBOX_BOUND;
    }
    sandbox_note_use(v.s, v.st, now, first);
    if (v.s->meta.deleting)
        drop_pods(&v, v.s->meta.uid, "SandboxDeleted");
    if (ledger_busy(w->ledger, &api_sandbox, key))
        return;
    if (v.s->meta.deleting) {
        end_deleted(&v);
        return;
    }
    if (v.s->invalid) {
        move(&v, SANDBOX_FAILED, "InvalidSpec", v.s->invalid);
        return;
    }
    v.pod = world_sandbox_pod(w, v.s);
    drop_second_pods(&v);
    if (!plan_expiry(&v))
        plan_phase(&v);
}
