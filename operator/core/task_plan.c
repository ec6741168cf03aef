/*
 * The rules of a Task.
 *
 *   none ──────▶ Pending ──────▶ Running
 *     │                             ▲
 *     └─────────────────────────────┘
 *
 * Succeeded and Failed follow each of them, and nothing follows these two.
 *
 * - The oldest unfinished task of a sandbox runs, the others wait. Attempt 1 starts without a write
 *   before it: the sandbox's pod never changes, so the sidecar's journal is the record. A further
 *   attempt is written to the status first.
 * - Running is written only when the task outlives RUNNING_AFTER; the end is one write, repeated
 *   until it succeeds.
 * - While a task runs, its status shows the end of its output: at most once in PROGRESS_INTERVAL
 *   for each task, and at most LIMIT_PROGRESS_BYTES_PER_S for all of them.
 * - A final status is made when it is about to be written. All that are made take at most
 *   LIMIT_RESULTS_BYTES at once.
 * - What can never run ends in Failed with a sentence on stderr.
 */
#include "operator/core/plan.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/base/limits.h"

#define SANDBOX_GRACE_NS (10 * NSEC_PER_SEC)
#define SAY_AFTER_NS (100 * NSEC_PER_MSEC)
/* A task that waits behind others says so after this time. Most tasks wait for less. */
#define SAY_QUEUED_AFTER_NS (800 * NSEC_PER_MSEC)
/* Clients look at once and then after 500 ms (arl-env), so an earlier write would tell nobody; on a
 * full machine, where tasks take longer, it would cost the others time. */
#define RUNNING_AFTER_NS (400 * NSEC_PER_MSEC)
#define PROGRESS_INTERVAL_NS NSEC_PER_SEC
#define CLOCKS_DIFFER_NS (CLOCKS_DIFFER_MS * NSEC_PER_MSEC)
/* In this time the agent has to report the end of a cancelled attempt. It sends SIGKILL half a
 * second after SIGTERM. */
#define CANCEL_LIMIT_NS (4 * NSEC_PER_SEC)
/* The exit code of a killed command in a shell. */
#define CODE_CANCELED 137
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000

static const char *const state_names[TASK_STATES] = {
    [TASK_STATE_NONE] = "none",     [TASK_PENDING] = "Pending", [TASK_RUNNING] = "Running",
    [TASK_SUCCEEDED] = "Succeeded", [TASK_FAILED] = "Failed",
};

static const bool followers[TASK_STATES][TASK_STATES] = {
    [TASK_STATE_NONE] = {[TASK_PENDING] = true,
                         [TASK_RUNNING] = true,
                         [TASK_SUCCEEDED] = true,
                         [TASK_FAILED] = true},
    [TASK_PENDING] = {[TASK_RUNNING] = true, [TASK_SUCCEEDED] = true, [TASK_FAILED] = true},
    [TASK_RUNNING] = {[TASK_SUCCEEDED] = true, [TASK_FAILED] = true},
};

const struct sm_table task_table = {"task", state_names, followers[0], TASK_STATES};

struct view {
    struct world *w;
    const char *key;
    struct now now;
    struct task *t;
    struct run *run;
    struct actions *out;
};

/* Every write of a status goes through here. Takes over what is in body, a patch to the state `to`.
 */
static struct action *write_status(const struct view *v, enum task_state to, struct buf *body,
                                   const char *reason)
{
    if (to != v->t->state)
        sm_move(&task_table, (size_t)v->t->state, (size_t)to);
    return action_status(v->out, &api_task, &v->t->meta, buf_steal(body), reason);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void finish(const struct view *v, const struct task_result *r, const struct task_end *end,
                   const char *sentence)
{
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);

    assert(end->state == TASK_SUCCEEDED || end->state == TASK_FAILED);
    task_result_patch(v->t, r, end, sentence, v->now.wall_ns, &body);
    write_status(v, end->state, &body, end->reason)->trace = xstrdup(v->t->trace_id);
}

/* Whether an Event reports that an attempt has ended for this reason: it was no fault of the steps,
 * and no Event of the sandbox tells of it. */
static bool deserves_event(const char *reason)
{
    static const char *const reasons[] = {"AgentRestarted", "AgentUnavailable", "AgentRefused",
                                          "ResultLost"};

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (strcmp(reasons[i], reason) == 0)
            return true;
    return false;
}

static void end_early(const struct view *v, const struct task_end *end)
{
    cleanup_free char *line = xasprintf("%s\n", end->message);

    finish(v, NULL, end, line);
}

/* Ends a task that never ran. Its stderr has this sentence, and nothing else. */
static void fail_early(const struct view *v, const char *reason, const char *sentence)
{
    struct task_end end = {.state = TASK_FAILED, .reason = reason, .message = sentence};

    end_early(v, &end);
}

/* The object has no room for a status that has the ends of the steps. It may have room for a status
 * without them. */
static void spec_too_large(const struct view *v)
{
    cleanup_free char *sentence =
        xasprintf("the Task takes %zu bytes, and etcd keeps objects of %u bytes with their status: "
                  "split it, or put files into the image or a volume",
                  v->t->spec_bytes, LIMIT_ETCD_OBJECT_BYTES);

    if (v->t->unwritable)
        action_event(v->out, &api_task, &v->t->meta, true, "SpecTooLarge", sentence);
    else
        fail_early(v, "SpecTooLarge", sentence);
}

static bool retry(const struct view *v, const struct task_end *end)
{
    const struct task_result *r = v->run->result;
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    int64_t due = v->run->over_mono_ns +
                  backoff_ns(RETRY_FIRST_MS, RETRY_MAX_MS, (unsigned)MIN(r->attempt, UINT_MAX));

    if (end->state == TASK_SUCCEEDED || !v->run->retryable || r->attempt > v->t->retries)
        return false;
    if (v->now.mono_ns < due) {
        action_after(v->out, due);
        return true;
    }
    task_retry_patch(v->t, r, end, v->run->target.sandbox_uid, v->now.wall_ns, &body);
    write_status(v, TASK_RUNNING, &body, "Retrying");
    return true;
}

/* Whether it is too early to write the final status again. Until it is written, nobody can read the
 * end there. So an Event tells it, once. */
static bool write_waits(const struct view *v)
{
    struct run *run = v->run;
    cleanup_free char *message = NULL;

    if (run->next_write_mono_ns && !run->refusal_told) {
        message =
            xasprintf("the task has ended (%s), but the API server does not take its status: %s",
                      run->reason, str_or_empty(run->refused_why));
        action_event(v->out, &api_task, &v->t->meta, true, "StatusRefused", message)->note =
            NOTE_REFUSAL;
    }
    if (v->now.mono_ns >= run->next_write_mono_ns)
        return false;
    action_after(v->out, run->next_write_mono_ns);
    return true;
}

/* Writes the end without steps and their output. Every API server has room for that. */
static void finish_bare(const struct view *v, struct task_end *end)
{
    struct task_result bare = *v->run->result;

    bare.steps = NULL;
    bare.step_count = bare.output_bytes = 0;
    end->message = "the API server refused the full result";
    finish(v, &bare, end, "arl: the API server refused the full result\n");
}

static struct task_end end_of(const struct run *run)
{
    return (struct task_end){
        .state = strcmp(run->reason, "Completed") == 0 ? TASK_SUCCEEDED : TASK_FAILED,
        .reason = run->reason,
        .message = run->message,
        .code = strcmp(run->reason, "Canceled") == 0 ? CODE_CANCELED : 0,
    };
}

/* Whether the final status may be made now. If not, the task is planned again when it may. A run
 * whose memory is not counted is not in the world: it has no output, and need not wait. */
static bool may_be_encoded(const struct view *v)
{
    struct run *run = v->run;

    run->result->room = run->room;
    return run->memory.state != TURN_HAS ||
           world_result_turn(v->w, v->key, run,
                             v->t->spec_bytes + task_result_status_bytes(v->t, run->result));
}

static void write_end(const struct view *v)
{
    struct run *run = v->run;
    struct task_end end = end_of(run);
    cleanup_free char *line = run->message ? xasprintf("arl: %s\n", run->message) : NULL;

    if (run->bare) {
        finish_bare(v, &end);
        return;
    }
    finish(v, run->result, &end, line);
    if (deserves_event(end.reason))
        action_event(v->out, &api_task, &v->t->meta, true, end.reason, str_or_empty(end.message));
}

static void plan_over(const struct view *v)
{
    struct task_end end = end_of(v->run);

    assert(v->run->over && v->run->reason);
    if (!write_waits(v) && !retry(v, &end) && may_be_encoded(v))
        write_end(v);
}

/* Whether the sandbox has failed because its agent cannot be asked. Then nobody knows what became
 * of the attempt. */
static bool failed_by_agent(const struct sandbox *s)
{
    static const char *const reasons[] = {"AgentNotBelieved", "AgentKeyChanged", "AgentTooOld"};

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq(s->status.ready.reason, reasons[i]))
            return true;
    return false;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void progress(const struct view *v, enum task_state state, const char *sandbox_uid,
                     const char *reason, const char *message, int64_t start_wall_ns)
{
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct condition fin = {0};

    assert(state == TASK_PENDING || state == TASK_RUNNING);
    condition_copy(&fin, &v->t->finished);
    if (condition_set(&fin, CONDITION_FALSE, reason, message, v->now.wall_ns) ||
        v->t->state != state) {
        task_progress_patch(v->t, state, sandbox_uid, &fin, start_wall_ns, NULL, &body);
        write_status(v, state, &body, reason);
    }
    condition_done(&fin);
}

static void say_waiting(const struct view *v, int64_t after_ns, const char *reason,
                        const char *message)
{
    int64_t due = v->t->meta.seen_mono_ns + after_ns;

    /* It runs. What this process knows of its sandbox, or of earlier tasks, is older than that. */
    if (v->t->state == TASK_RUNNING && v->t->attempt <= 1)
        return;
    if (v->t->state == TASK_STATE_NONE && v->now.mono_ns < due)
        action_after(v->out, due);
    else
        progress(v, v->t->attempt > 1 ? TASK_RUNNING : TASK_PENDING, NULL, reason, message, 0);
}

/* Whether the task was made after this process began to act. Then this process knows whether it has
 * begun. */
static bool known_from_birth(const struct view *v)
{
    return v->t->meta.created_wall_ns >= v->w->active_wall_ns + v->w->ahead_ns + CLOCKS_DIFFER_NS;
}

/* The task is deleted, but a finalizer keeps it. Its status gets an end, for those who wait for
 * one, and its attempt is stopped. */
static void end_deleted(const struct view *v)
{
    static const char sentence[] = "the Task was deleted";
    struct run_target nowhere = {0};
    struct view lost = *v;
    bool kept =
        v->run && may_be_encoded(v); /* if not, the output is lost: the attempt is stopped now */

    if (v->t->unwritable)
        return;
    if (!v->run && v->t->state != TASK_RUNNING) {
        fail_early(v, "Deleted", sentence);
        return;
    }
    if (!kept)
        lost.run = run_new(nowhere, MAX(v->t->attempt, 1), v->t->step_count, v->now);
    run_fail(lost.run, "Deleted", sentence, true, v->now);
    write_end(&lost);
    if (!kept)
        run_free(lost.run);
}

static void sandbox_missing(const struct view *v)
{
    int64_t deadline = plan_missed_until(&v->t->meta, v->now, SANDBOX_GRACE_NS);
    cleanup_free char *message = NULL;

    if (v->now.mono_ns >= deadline) {
        message = xasprintf("sandbox %s not found", v->t->sandbox);
        fail_early(v, "SandboxNotFound", message);
        return;
    }
    message = xasprintf("waiting for Sandbox %s, which does not exist", v->t->sandbox);
    action_after(v->out, deadline);
    /* Pending means that the task has not begun: see may_have_begun_elsewhere(). It is written at
     * once, so that an operator after this one knows that, too. */
    if (v->t->state != TASK_STATE_NONE || known_from_birth(v))
        say_waiting(v, 0, "WaitingForSandbox", message);
}

static char *failure_text(const struct sandbox *s)
{
    return xasprintf("sandbox %s failed: %s", s->meta.name, str_or_empty(s->status.ready.message));
}

static const char *failure_reason(const struct sandbox *s)
{
    if (failed_by_agent(s))
        return "AgentUnavailable";
    return str_eq(s->status.ready.reason, "PodLost") ? "PodLost" : "SandboxFailed";
}

static void sandbox_failed(const struct view *v, const struct sandbox *s)
{
    cleanup_free char *message = failure_text(s);

    fail_early(v, failure_reason(s), message);
}

static void sandbox_pending(const struct view *v, const struct sandbox *s)
{
    cleanup_free char *message = xasprintf("Sandbox %s is %s: %s", s->meta.name,
                                           s->status.phase == SANDBOX_BOUND ? "Bound" : "Pending",
                                           str_or_empty(s->status.ready.message));

    say_waiting(v, SAY_AFTER_NS, "WaitingForSandbox", message);
}

/* ---- running --------------------------------------------------------------------------------- */

static void start(const struct view *v)
{
    struct action *a = action_add(v->out, ACTION_RUN_START, &api_task, &v->t->meta);

    a->other_name = xstrdup(v->t->sandbox);
    a->number = MAX(v->t->attempt, 1);
}

/*
 * Whether the task may have begun in an earlier sandbox of the same name, with an earlier operator.
 * Then it must not begin again in this sandbox. What is known of that:
 * - status.sandboxUID names the sandbox, at the latest when the status says Running.
 * - A Pending task has not begun: before it begins, status.sandboxUID is written.
 * - A task that is not older than this sandbox can have begun only here, where a second beginning
 *   does nothing.
 * - A task that was made after this process began to act has not begun: this process would know.
 */
static bool may_have_begun_elsewhere(const struct view *v, const struct sandbox *s)
{
    const struct task *t = v->t;

    if (t->sandbox_uid)
        return !str_eq(t->sandbox_uid, s->meta.uid);
    return t->state != TASK_PENDING && t->meta.created_wall_ns < s->meta.created_wall_ns &&
           !known_from_birth(v);
}

static void begin(const struct view *v, const struct sandbox *s)
{
    assert(!v->run && s->status.phase == SANDBOX_READY);
    if (v->t->state == TASK_PENDING)
        progress(v, TASK_RUNNING, s->meta.uid, "Running", "", v->now.wall_ns);
    else
        start(v);
}

static void queued(const struct view *v)
{
    if (v->t->state != TASK_STATE_NONE || known_from_birth(v))
        say_waiting(v, SAY_QUEUED_AFTER_NS, "Queued", "waiting for earlier tasks of the sandbox");
}

/* The task has waited for an audit as long as a task that was sent waits for its agent. */
static void agent_lost(const struct view *v)
{
    struct view given_up = *v;
    struct run_target nowhere = {0};

    given_up.run = run_new(nowhere, MAX(v->t->attempt, 1), v->t->step_count, v->now);
    run_fail(given_up.run, "AgentUnavailable",
             "the agent in the pod does not tell that nothing runs there any more", true, v->now);
    plan_over(&given_up);
    run_free(given_up.run);
}

/* The task waits for the audit. Only a task that has not begun may say so by Pending. */
static void agent_awaited(const struct view *v, const struct sandbox_state *st)
{
    bool just_used = st->task_ended || st->task_dropped; /* the sandbox's plan has yet to note it */
    int64_t used_ns = just_used ? v->now.mono_ns : st->used_mono_ns;
    int64_t vain_ns = st->agent.in_vain_since_mono_ns;
    int64_t due =
        MAX(MAX(vain_ns, v->t->meta.seen_mono_ns), used_ns) + AGENT_LOST_MS * NSEC_PER_MSEC;
    /* While others answer in the agent's place, the task waits as long as its sandbox. */
    bool silent = vain_ns && !st->agent.not_believed_since_mono_ns;

    if (silent && v->now.mono_ns >= due) {
        agent_lost(v);
        return;
    }
    if (silent)
        action_after(v->out, due);
    if (v->t->state == TASK_PENDING || (v->t->state == TASK_STATE_NONE && known_from_birth(v)))
        say_waiting(v, SAY_QUEUED_AFTER_NS, "WaitingForAgent",
                    "waiting for the agent in the pod to tell what runs there");
}

static void plan_idle(const struct view *v)
{
    const struct sandbox_state *st;
    const struct sandbox *s;
    char key[META_KEY_MAX];

    meta_key(key, v->t->meta.ns, v->t->sandbox);
    s = world_sandbox(v->w, key);
    st = s ? world_sandbox_state(v->w, key) : NULL;
    if (s && !s->meta.deleting)
        v->t->meta.missed_mono_ns = 0;
    if (!s || s->meta.deleting)
        sandbox_missing(v);
    else if (may_have_begun_elsewhere(v, s))
        fail_early(v, "SandboxDeleted",
                   "the Sandbox was made anew, and the task may have begun in the earlier one");
    else if (s->status.phase == SANDBOX_FAILED)
        sandbox_failed(v, s);
    else if (world_task_head(v->w, key) != &v->t->meta)
        queued(v);
    else if (s->status.phase != SANDBOX_READY)
        sandbox_pending(v, s);
    else if (st->agent.state == AGENT_CLEAN && world_sandbox_pod(v->w, s))
        begin(v, s);
    else
        agent_awaited(v, st);
}

/* status.stdout and stderr show the end of what the steps have printed so far. */
static void show_output(const struct view *v)
{
    struct run *run = v->run;
    int64_t due =
        MAX(run->progress_mono_ns, run->begun_mono_ns + RUNNING_AFTER_NS) + PROGRESS_INTERVAL_NS;
    struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct action *a;
    size_t bytes;

    if (run->output_events == run->output_events_told || run->ended)
        return;
    if (v->now.mono_ns < due || !world_progress_turn(v->w, run, v->now, &due)) {
        action_after(v->out, due);
        return;
    }
    task_progress_patch(v->t, TASK_RUNNING, NULL, &v->t->finished, v->t->start_wall_ns, run->result,
                        &body);
    bytes = v->t->spec_bytes + body.len;
    a = write_status(v, TASK_RUNNING, &body, "Progress");
    a->note = NOTE_OUTPUT;
    a->output_events = run->output_events;
    a->stored_bytes = bytes;
}

/* s: the sandbox, which has failed and says why; NULL: it was deleted. */
static void fail_lost(const struct view *v, const struct sandbox *s)
{
    const char *pod = str_or_empty(v->run->target.pod_name);
    const char *why = s ? str_or_empty(s->status.ready.message) : "";
    cleanup_free char *prefix = xasprintf("pod %s ", pod);
    cleanup_free char *message = NULL;

    if (strncmp(why, prefix, strlen(prefix)) == 0)
        why += strlen(prefix);
    message = s ? xasprintf("pod %s was lost while the task ran%s%s", pod, *why ? ": " : "", why)
                : xstrdup("the sandbox was deleted while the task ran");
    run_fail(v->run, s ? "PodLost" : "SandboxDeleted", message, true, v->now);
    plan_over(v);
}

/* The pod is there, but of no use. The sandbox says why. */
static void fail_with_sandbox(const struct view *v, const struct sandbox *s)
{
    cleanup_free char *message = failure_text(s);

    run_fail(v->run, failure_reason(s), message, true, v->now);
    plan_over(v);
}

/* The attempt runs, as far as is known. It fails if its pod is lost. Otherwise the status says that
 * it runs, and shows its output. */
static void plan_active(const struct view *v)
{
    const struct sandbox *s;
    const struct pod *p = NULL;
    char key[META_KEY_MAX];

    meta_key(key, v->t->meta.ns, v->t->sandbox);
    s = world_sandbox(v->w, key);
    if (s && str_eq(s->meta.uid, v->run->target.sandbox_uid))
        p = world_sandbox_pod(v->w, s);
    if (p && !s->meta.deleting && s->status.phase == SANDBOX_FAILED &&
        !str_eq(failure_reason(s), "PodLost")) {
        fail_with_sandbox(v, s);
        return;
    }
    if (!s || s->meta.deleting || !str_eq(s->meta.uid, v->run->target.sandbox_uid)) {
        fail_lost(v, NULL);
        return;
    }
    if (s->status.phase == SANDBOX_FAILED) {
        fail_lost(v, s);
        return;
    }
    if (!p) /* the sandbox's plan finds out what became of the pod */
        return;
    if (v->run->result_gone) {
        /* The task was read meanwhile, and is not final: nobody has written the result. */
        run_fail(v->run, "ResultLost", "the agent dropped the result before it was written", false,
                 v->now);
        plan_over(v);
        return;
    }
    if (v->t->state == TASK_RUNNING) {
        show_output(v);
        return;
    }
    if (v->run->held)
        return;
    if (v->now.mono_ns < v->run->begun_mono_ns + RUNNING_AFTER_NS) {
        action_after(v->out, v->run->begun_mono_ns + RUNNING_AFTER_NS);
        return;
    }
    progress(v, TASK_RUNNING, v->run->target.sandbox_uid, "Running", "", v->run->begun_wall_ns);
}

/* ---- spec.cancel ----------------------------------------------------------------------------- */

#define CANCELED "the Task was canceled (spec.cancel)"

/* The attempt runs. The agent reports its end, with what it has printed. If no end comes in time,
 * the task ends without the agent. Then the agent is told again to stop the attempt, and the next
 * task begins only when nothing runs there. */
static void cancel_active(const struct view *v)
{
    struct run *run = v->run;
    int64_t since = run->stop_mono_ns ? run->stop_mono_ns : v->now.mono_ns;

    if (!run->result_gone && v->now.mono_ns < since + CANCEL_LIMIT_NS) {
        if (!run->stop_mono_ns)
            action_add(v->out, ACTION_RUN_STOP, &api_task, &v->t->meta);
        action_after(v->out, since + CANCEL_LIMIT_NS);
        return;
    }
    run_fail(run, "Canceled", CANCELED, !run->result_gone, v->now);
    plan_over(v);
}

static void plan_cancel(const struct view *v)
{
    struct task_end end = {
        .state = TASK_FAILED, .reason = "Canceled", .message = CANCELED, .code = CODE_CANCELED};

    if (v->run && v->run->over)
        plan_over(v);
    else if (v->run)
        cancel_active(v);
    else if (!v->t->unwritable)
        /* Another operator may have begun it. Then an audit of the sandbox finds it. */
        end_early(v, &end);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* When the task is to be deleted. The time counts from when this process saw the task end; for a
 * task that had ended before, see plan_deadline(). completionTime has no fractions of a second. So
 * a second is added, and the task is never deleted too early. */
static int64_t ttl_end(const struct view *v, int64_t ttl_s)
{
    int64_t ttl_ns = (ttl_s + (ttl_s > 0)) * NSEC_PER_SEC;

    if (v->t->open_seen && v->t->ended_mono_ns == 0)
        v->t->ended_mono_ns = v->now.mono_ns;
    if (v->t->ended_mono_ns)
        return v->t->ended_mono_ns + ttl_ns;
    return plan_deadline(&v->t->meta, v->t->completion_wall_ns, ttl_ns);
}

static void plan_final(const struct view *v)
{
    int64_t preset_s = v->w->policy->task_ttl_s;
    int64_t ttl_s = v->t->ttl_s < 0 && preset_s > 0 ? preset_s : v->t->ttl_s;
    int64_t due;

    /* An attempt that was given up may still run, until its pod has ended: it is cancelled. */
    if (v->run)
        action_add(v->out, run_may_go_on(v->run) ? ACTION_RUN_CANCEL : ACTION_RUN_FORGET, &api_task,
                   &v->t->meta);
    if (ttl_s < 0)
        return;
    due = ttl_end(v, ttl_s);
    if (v->now.mono_ns < due)
        action_after(v->out, due);
    else if (!v->t->meta.deleting)
        action_delete(v->out, &api_task, &v->t->meta, "TTLExpired");
}

/* Whether nobody wants the run: its task is deleted, or is another one of the same name, or has
 * begun a later attempt. */
static bool run_is_stale(const struct view *v)
{
    return v->run &&
           (!v->t || v->t->meta.deleting || !str_eq(v->t->meta.uid, v->run->target.task_uid) ||
            (!task_final(v->t) && v->t->attempt > v->run->result->attempt));
}

/* Whether the task of the run is deleted but still there, so that its end can be written. */
static bool ends_with_run(const struct view *v)
{
    return v->t && v->t->meta.deleting && !task_final(v->t) &&
           str_eq(v->t->meta.uid, v->run->target.task_uid) &&
           !ledger_busy(v->w->ledger, &api_task, v->key);
}

static void cancel_stale(struct view *v)
{
    struct action *a = action_add(v->out, ACTION_RUN_CANCEL, &api_task, NULL);
    const char *slash = strchr(v->key, '/');

    a->ns = xmemdup0(v->key, (size_t)(slash - v->key));
    a->name = xstrdup(slash + 1);
    v->run = NULL;
}

void task_plan(struct world *w, const char *key, struct now now, struct actions *out)
{
    struct view v = {
        .w = w,
        .key = key,
        .now = now,
        .t = world_task(w, key),
        .run = world_run(w, key),
        .out = out,
    };

    if (v.t && !task_final(v.t))
        v.t->open_seen = true;
    if (run_is_stale(&v)) {
        if (ends_with_run(&v))
            end_deleted(&v);
        cancel_stale(&v);
        action_after(out, now.mono_ns);
        return;
    }
    if (!v.t || ledger_busy(w->ledger, &api_task, key))
        return;
    if (task_final(v.t))
        plan_final(&v);
    else if (v.t->meta.deleting)
        end_deleted(&v);
    else if (v.t->cancel)
        plan_cancel(&v);
    else if (v.t->invalid && !v.t->unwritable)
        fail_early(&v, "InvalidSpec", v.t->invalid);
    else if (v.t->too_large && !v.run)
        spec_too_large(&v);
    else if (v.run && v.run->over)
        plan_over(&v);
    else if (v.run)
        plan_active(&v);
    else
        plan_idle(&v);
}
