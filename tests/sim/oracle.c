/* What must hold after every change of an object, and what must be so at rest. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"

/* What is asked of each pod again and again, as of rv. The texts belong to the tree of the pod. */
struct facts {
    uint64_t rv;           /* 0: nothing was read yet */
    const char *pool;      /* by its label; NULL: none */
    const char *owner_uid; /* "": it has no owner */
    bool idle;
    bool ready;
    bool failed;
    bool deleting;
};

/* What an object was when it changed last. */
struct shadow {
    unsigned number; /* pods: in order of creation, from 1 */
    char phase[16];  /* of a pool or sandbox; state of a task; of a pod: see pod_phase() */
    char pod_name[128];
    char pod_uid[128];
    char agent_key[64];
    char owner[128];
    bool bound;      /* the owner is a Sandbox */
    bool known;      /* of a forged pod: it was seen before */
    int64_t used_ns; /* of a sandbox: when it got ready or failed, or a task of it was over */
    char *final;
    struct facts facts; /* of a pod */
};

static const char *const nouns[] = {
    [SIM_POD] = "pod", [SIM_POOL] = "pool", [SIM_SANDBOX] = "sandbox", [SIM_TASK] = "task"};

#define EXPIRY_DOUBT_S 20

struct pool_most {
    int64_t replicas; /* the most that it ever had */
};

/* ---- reading --------------------------------------------------------------------------------- */

static const char *status_str(const struct obj *o, const char *name)
{
    return str_or_empty(json_get_str(json_get(o->j, "status"), name));
}

static const char *label(const struct obj *o, const char *name)
{
    return json_get_str(json_get_path(o->j, "metadata.labels"), name);
}

static bool is_deleting(const struct obj *o)
{
    return json_get_str(json_get(o->j, "metadata"), "deletionTimestamp") != NULL;
}

static struct json_object *owner(const struct obj *o)
{
    struct json_object *refs = json_get_path(o->j, "metadata.ownerReferences");

    return json_array_len(refs) > 0 ? json_object_array_get_idx(refs, 0) : NULL;
}

static const char *condition_text(const struct obj *o, const char *type, const char *member)
{
    struct json_object *conditions = json_get_path(o->j, "status.conditions");

    for (size_t i = 0; i < json_array_len(conditions); i++) {
        struct json_object *c = json_object_array_get_idx(conditions, i);

        if (str_eq(json_get_str(c, "type"), type))
            return str_or_empty(json_get_str(c, member));
    }
    return "";
}

static const char *condition_reason(const struct obj *o, const char *type)
{
    return condition_text(o, type, "reason");
}

static bool pod_is_ready(const struct obj *o)
{
    struct json_object *conditions = json_get_path(o->j, "status.conditions");

    return json_array_len(conditions) > 0 &&
           str_eq(json_get_str(json_object_array_get_idx(conditions, 0), "status"), "True");
}

/* A tree that was committed is never changed: so one look at each resourceVersion is enough. */
static const struct facts *facts_of(const struct obj *pod)
{
    struct facts *f = &((struct shadow *)pod->shadow)->facts;

    if (f->rv == pod->rv)
        return f;
    *f = (struct facts){.rv = pod->rv,
                        .pool = label(pod, POD_LABEL_POOL),
                        .owner_uid = str_or_empty(json_get_str(owner(pod), "uid")),
                        .ready = pod_is_ready(pod),
                        .failed = strcmp(status_str(pod, "phase"), "Failed") == 0,
                        .deleting = is_deleting(pod)};
    f->idle = str_eq(label(pod, POD_LABEL_STATUS), "idle") && !f->deleting;
    return f;
}

static const char *pod_phase(const struct obj *o)
{
    return is_deleting(o)                                  ? "deleting"
           : strcmp(status_str(o, "phase"), "Failed") == 0 ? "failed"
           : pod_is_ready(o)                               ? "ready"
           : *status_str(o, "phase")                       ? "not ready"
                                                           : "made";
}

bool oracle_task_final(const struct obj *o)
{
    const char *state = status_str(o, "state");

    return strcmp(state, "Succeeded") == 0 || strcmp(state, "Failed") == 0;
}

bool oracle_same_second(const struct obj *a, const struct obj *b)
{
    return str_eq(json_get_str(json_get(a->j, "metadata"), "creationTimestamp"),
                  json_get_str(json_get(b->j, "metadata"), "creationTimestamp"));
}

/* ---- pods ------------------------------------------------------------------------------------ */

static void check_binding(struct sim *s, const struct obj *o, const char *sandbox_uid)
{
    const char *before = map_get(&s->bindings, sandbox_uid);
    const struct obj *sandbox = api_find_uid(s, SIM_SANDBOX, sandbox_uid);
    const char *named = sandbox ? status_str(sandbox, "podUID") : "";

    sim_move(s, "pod %u: bound to %s", ((struct shadow *)o->shadow)->number,
             str_or_empty(label(o, POD_LABEL_SANDBOX)));
    if (!before) {
        map_put(&s->bindings, sandbox_uid, xstrdup(o->uid));
        return;
    }
    /* A second pod is right if the first one is gone and the sandbox's status never named it (the
     * status may name this one already), or if the sandbox is gone as well and the operator has yet
     * to hear of that. */
    if (!api_find_uid(s, SIM_POD, before) && (!*named || strcmp(named, o->uid) == 0))
        return;
    /* Two operators that act at once may bind two pods, and so may a write of an operator that has
     * died since, or a claim that took place after it was read back. One of the pods has to go. */
    s->doubles++;
    if (s->lives == 1 && s->doubles > s->late_claims)
        sim_fail(s, "sandbox %s got a second pod, %s", sandbox_uid, o->name);
}

/* No operator gives a pod that no operator has made to a sandbox. */
static void check_forged(struct sim *s, const struct obj *o, struct shadow *was)
{
    const char *uid = str_or_empty(json_get_str(owner(o), "uid"));

    if (was->known && *uid && strcmp(was->owner, uid) != 0)
        sim_fail(s, "%s, which no operator has made, is taken", o->name);
    was->known = true;
    snprintf(was->owner, sizeof(was->owner), "%s", uid);
}

static void check_pod(struct sim *s, const struct obj *o, struct shadow *was)
{
    struct json_object *ref = owner(o);
    const char *uid = str_or_empty(json_get_str(ref, "uid"));
    bool bound = str_eq(json_get_str(ref, "kind"), "Sandbox");
    const char *phase = pod_phase(o);

    if (json_array_len(json_get_path(o->j, "metadata.ownerReferences")) > 1)
        sim_fail(s, "pod %s has two owners", o->name);
    if (strcmp(was->owner, uid) != 0) {
        if (was->bound && *uid)
            sim_fail(s, "pod %s went from one sandbox to another", o->name);
        else if (bound)
            check_binding(s, o, uid);
    }
    snprintf(was->owner, sizeof(was->owner), "%s", uid);
    was->bound |= bound;
    if (strcmp(was->phase, phase) != 0)
        sim_move(s, "pod %u: %s", was->number, phase);
    snprintf(was->phase, sizeof(was->phase), "%s", phase);
}

enum count { ALL, READY, NOT_DOOMED };

/* Counts idle pods. uid: of the pool that owns them; NULL: of any pool that has or had the name. */
static size_t count_idle(struct sim *s, const char *pool, const char *uid, enum count what)
{
    size_t n = 0;

    for (size_t i = 0; i < s->api.count[SIM_POD]; i++) {
        const struct obj *o = s->api.objs[SIM_POD][i];
        const struct facts *f = facts_of(o);

        n += f->idle && !f->failed && !forged_name(o->name) && str_eq(f->pool, pool) &&
             (!uid || strcmp(f->owner_uid, uid) == 0) &&
             (what != NOT_DOOMED || !map_get(&s->doomed_pods, o->name)) &&
             (what != READY || f->ready);
    }
    return n;
}

/* The most idle pods that a pool may have. Each life of an operator may fill the pool, since it may
 * not know what the life before it has made. For each sandbox one more pod may have been made in
 * place of one that was about to be claimed; and one more in place of each whose create took place
 * only when it had been read back. Pods of an earlier pool of the name are not counted:
 * they stay until the operator or the collector has heard of its end. */
static void check_surplus(struct sim *s, const struct obj *pod)
{
    const char *pool = str_or_empty(label(pod, POD_LABEL_POOL));
    const struct pool_most *most = map_get(&s->most, pool);
    size_t idle = count_idle(s, pool, facts_of(pod)->owner_uid, NOT_DOOMED);
    size_t bound =
        (most ? (size_t)most->replicas : 0) * MAX(s->lives, 1u) + s->boxes + s->late_pods;

    if (idle > bound)
        sim_fail(s, "pool %s has %zu idle pods, %zu are the most", pool, idle, bound);
}

/* ---- the other kinds ------------------------------------------------------------------------- */

static void check_pool(struct sim *s, const struct obj *o)
{
    struct pool_most *most = map_get(&s->most, o->name);
    int64_t replicas = 0;

    if (!most) {
        most = xcalloc(1, sizeof(*most));
        map_put(&s->most, o->name, most);
    }
    json_get_int(json_get(o->j, "spec"), "replicas", &replicas);
    most->replicas = MAX(most->replicas, replicas);
}

static void stays(struct sim *s, const struct obj *o, const char *field, char *was, size_t size)
{
    const char *is = status_str(o, field);

    if (*was && strcmp(was, is) != 0)
        sim_fail(s, "sandbox %s: status.%s went from %s to %s", o->name, field, was, is);
    snprintf(was, size, "%s", is);
}

/* The key in a sandbox's status has to be that of the pod's own agent. */
static void check_key(struct sim *s, const struct obj *o)
{
    const struct kpod *k = kubelet_find(s, status_str(o, "podUID"));
    const char *is = status_str(o, "agentKey");
    char real[CHANNEL_KEY_TEXT];

    if (!*is || !k)
        return;
    channel_key_format(k->pair.public_key, real);
    if (strcmp(is, real) != 0)
        sim_fail(s, "sandbox %s believes %s, which is not the key of its agent", o->name, is);
}

static void check_sandbox(struct sim *s, const struct obj *o, struct shadow *was)
{
    stays(s, o, "podName", was->pod_name, sizeof(was->pod_name));
    stays(s, o, "podUID", was->pod_uid, sizeof(was->pod_uid));
    stays(s, o, "agentKey", was->agent_key, sizeof(was->agent_key));
    check_key(s, o);
    if (forged_name(status_str(o, "podName")))
        sim_fail(s, "sandbox %s got a pod that no operator has made", o->name);
    if (s->lives == 1 && strcmp(condition_reason(o, "Ready"), "PodTaken") == 0)
        sim_fail(s, "sandbox %s lost its pod to another, of the same operator", o->name);
    if (strcmp(was->phase, "Failed") == 0 && strcmp(status_str(o, "phase"), "Failed") != 0)
        sim_fail(s, "sandbox %s came back from Failed", o->name);
    if (strcmp(was->phase, "Ready") == 0 && (strcmp(status_str(o, "phase"), "Pending") == 0))
        sim_fail(s, "sandbox %s was Ready and waits again", o->name);
}

static char *final_text(const struct obj *o)
{
    int64_t code = -1;

    json_get_int(json_get(o->j, "status"), "exitCode", &code);
    return xasprintf("%s %" PRId64 " %s", status_str(o, "state"), code, status_str(o, "stdout"));
}

/* A run that could not keep all output keeps at least so many bytes of its last step's. */
#define TAIL_LEAST (RUN_ENDED_TAIL_BYTES / 2)

/* Whether the output is only the end, behind a marker, and the status says so: the pod was gone
 * before the operator had room to read all of it. An operator must not say so while the agent
 * answers. */
static bool is_tail(const struct sim *s, const struct obj *o, const struct agent_truth *truth,
                    int64_t attempt)
{
    const char *message = condition_text(o, "Succeeded", "message");
    bool finished =
        strcmp(truth->reason, "Completed") == 0 || strcmp(truth->reason, "StepFailed") == 0;

    return strstr(message, "only the end of the output is here") &&
           !(strstr(message, "does not answer") &&
             agent_well(s, truth->pod, AGENT_LOST_MS * NSEC_PER_MSEC)) &&
           output_is_tail(status_str(o, "stdout"), o->uid, truth, attempt,
                          finished ? TAIL_LEAST : 0);
}

static bool is_end(struct sim *s, const struct obj *o, const struct agent_truth *truth,
                   const char *reason, int64_t code, int64_t attempt)
{
    const char *out = status_str(o, "stdout");
    bool too_much =
        s->cfg.refuse_status == 422; /* for the API server, which takes no output then */
    const char *whole = str_or_empty(truth->out);

    return str_eq(truth->reason, reason) && truth->code == code &&
           (str_eq(whole, out) || (too_much && !*out) || is_tail(s, o, truth, attempt));
}

/* Ends that only an agent tells; *reason becomes the agent's own word. */
static bool agent_tells(const char **reason)
{
    static const struct {
        const char *told, *own;
    } rows[] = {{"Completed", "Completed"},
                {"StepFailed", "StepFailed"},
                {"Canceled", "Canceled"},
                {"AgentRestarted", "AgentLost"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(*reason, rows[i].told) == 0) {
            *reason = rows[i].own;
            return true;
        }
    return false;
}

/* The end that was written has to be one that happened. An attempt may have two ends, in two
 * sandboxes: whether it may is for oracle_step_starts() to say. */
static void check_end(struct sim *s, const struct obj *o)
{
    const char *reason = condition_reason(o, "Succeeded");
    struct agent_truth truth = {0};
    int64_t attempt = 1, code = -1;
    size_t pos = 0;

    json_get_int(json_get(o->j, "status"), "attempt", &attempt);
    json_get_int(json_get(o->j, "status"), "exitCode", &code);
    if (strcmp(reason, "ResultLost") == 0)
        sim_fail(s, "task %s: its result was dropped before it was written", o->name);
    if (strcmp(reason, "AgentRefused") == 0 && !agent_refused(s, o->uid))
        sim_fail(s, "task %s: its agent has not refused it", o->name);
    if (!agent_tells(&reason)) {
        if (strcmp(status_str(o, "state"), "Succeeded") == 0)
            sim_fail(s, "task %s succeeded with reason %s", o->name, reason);
        return;
    }
    while (agent_truth(s, &pos, o->uid, attempt, &truth))
        if (is_end(s, o, &truth, reason, code, attempt))
            return;
    sim_fail(s, "task %s: %s with code %d was written, %s with code %d is true%s", o->name, reason,
             (int)code, truth.reason ? truth.reason : "nothing", truth.code,
             truth.reason && truth.code == code ? ", or its output is another" : "");
}

static int64_t time_of(struct json_object *from, const char *name)
{
    int64_t ns = 0;

    rfc3339_parse(str_or_empty(json_get_str(from, name)), &ns);
    return ns;
}

/* Whatever times an agent tells, those in the status have to be possible: the task does not begin
 * before it was made, does not end in the future, and takes no longer than it exists. Clocks may
 * differ. */
static void check_times(struct sim *s, const struct obj *o)
{
    struct json_object *status = json_get(o->j, "status");
    int64_t made = time_of(json_get(o->j, "metadata"), "creationTimestamp");
    int64_t skew = LIMIT_CLOCK_SKEW_MS * SIM_MS + 2 * NSEC_PER_SEC, duration = 0;
    int64_t start = time_of(status, "startTime"), end = time_of(status, "completionTime");

    duration_parse(status_str(o, "duration"), &duration);
    if (start < made - skew || start > end || end > sim_wall_ns(s) + 2 * NSEC_PER_SEC)
        sim_fail(s, "task %s ran from %s to %s", o->name, status_str(o, "startTime"),
                 status_str(o, "completionTime"));
    if (duration < 0 || duration > sim_wall_ns(s) - made + skew)
        sim_fail(s, "task %s ran for %s", o->name, status_str(o, "duration"));
}

static void note_used(struct sim *s, const struct obj *task)
{
    const char *name = str_or_empty(json_get_str(json_get(task->j, "spec"), "sandboxRef"));
    struct obj *sandbox = api_find(s, SIM_SANDBOX, name);

    if (sandbox)
        ((struct shadow *)sandbox->shadow)->used_ns = s->now_ns;
}

static void check_task(struct sim *s, const struct obj *o, struct shadow *was)
{
    cleanup_free char *text = NULL;

    if (!oracle_task_final(o)) {
        progress_written(s, o);
        if (was->final)
            sim_fail(s, "task %s was final and is not", o->name);
        return;
    }
    text = final_text(o);
    if (was->final && strcmp(was->final, text) != 0)
        sim_fail(s, "task %s: its final state changed from %s to %s", o->name, was->final, text);
    if (was->final)
        return;
    was->final = xstrdup(text);
    note_used(s, o);
    check_times(s, o);
    if (!evil_told(s, o->uid))
        check_end(s, o);
}

static void note_phase(struct sim *s, const struct obj *o, struct shadow *was)
{
    const char *is = status_str(o, o->kind == SIM_TASK ? "state" : "phase");

    if (strcmp(was->phase, is) == 0)
        return;
    if (o->kind == SIM_SANDBOX && (strcmp(is, "Ready") == 0 || strcmp(is, "Failed") == 0))
        was->used_ns = s->now_ns;
    phase_moved(s, o, was->phase, is);
    if (oracle_task_final(o) && o->kind == SIM_TASK)
        sim_move(s, "task %s: %s -> %s (%s)", o->name, *was->phase ? was->phase : "new", is,
                 condition_reason(o, "Succeeded"));
    else
        sim_move(s, "%s %s: %s -> %s", nouns[o->kind], o->name, *was->phase ? was->phase : "new",
                 is);
    snprintf(was->phase, sizeof(was->phase), "%s", is);
}

/* Whether an operator has begun the task or written its state. Nobody can know of a task that came
 * and went while no operator looked. */
static bool has_begun(struct sim *s, const struct obj *task, const struct shadow *was)
{
    cleanup_free char *first = xasprintf("%s/1/0", task->uid);

    return *was->phase || map_get(&s->starts, first);
}

static void gone(struct sim *s, struct obj *o)
{
    struct shadow *was = o->shadow;

    if (o->kind == SIM_TASK && !was->final && has_begun(s, o, was))
        note_used(s, o);

    if (o->kind == SIM_POD)
        sim_move(s, "pod %u: gone", was->number);
    else
        sim_move(s, "%s %s: gone", nouns[o->kind], o->name);
    free(was->final);
    was->final = NULL;
}

void oracle_change(struct sim *s, struct obj *o, const char *type)
{
    struct shadow *was = o->shadow;

    if (o->kind >= SIM_LEASE || (o->kind != SIM_POD && nasty_name(o->name)))
        return;
    if (!was) {
        was = o->shadow = xcalloc(1, sizeof(*was));
        was->number = (unsigned)s->pod_count + 1;
        s->boxes += o->kind == SIM_SANDBOX;
    }
    if (strcmp(type, "DELETED") == 0) {
        gone(s, o);
        return;
    }
    if (o->kind == SIM_POD && forged_name(o->name)) {
        check_forged(s, o, was);
        return;
    }
    if (o->kind == SIM_POD) {
        check_pod(s, o, was);
        if (strcmp(type, "ADDED") == 0)
            check_surplus(s, o);
        return;
    }
    if (o->kind == SIM_POOL)
        check_pool(s, o);
    else if (o->kind == SIM_SANDBOX)
        check_sandbox(s, o, was);
    else
        check_task(s, o, was);
    note_phase(s, o, was);
}

/*
 * An operator deletes a sandbox. The sandbox must have been idle for its limit, so that no session
 * loses it between two tasks. That is checked when it is quiet: while watches are late, the
 * operator may not know of the last task. The end of a task may be some seconds older than the
 * status that tells of it.
 */
void oracle_expires(struct sim *s, const char *name, const char *body)
{
    const struct obj *o = api_find(s, SIM_SANDBOX, name);
    struct json_object *spec = o ? json_get(o->j, "spec") : NULL;
    int64_t idle_s = 0, idle_ns;

    /* For an earlier sandbox of this name: the API server refuses it. */
    if (o && *body && !strstr(body, o->uid))
        return;
    json_get_int(spec, "idleTimeoutSeconds", &idle_s);
    if (!s->quiet || idle_s <= EXPIRY_DOUBT_S || json_get(spec, "maxLifetimeSeconds"))
        return;
    idle_ns = s->now_ns - ((struct shadow *)o->shadow)->used_ns;
    if (idle_ns < (idle_s - EXPIRY_DOUBT_S) * NSEC_PER_SEC)
        sim_fail(s, "sandbox %s is deleted as idle for %" PRId64 " s after %" PRId64 " s", name,
                 idle_s, (int64_t)(idle_ns / NSEC_PER_SEC));
}

/* ---- agents ---------------------------------------------------------------------------------- */

/*
 * The one hole that is known: a step may begin once more, in another sandbox of the same name. It
 * may do so
 *
 * - if the first sandbox was already deleted when the step began there: the operator stood still,
 *   had not seen that, and died before it wrote where the task runs;
 * - if one of the two sandboxes was made in the very second in which the task was made;
 * - if several operators act at once.
 *
 * To close it would cost a write before every task.
 */
void oracle_step_starts(struct sim *s, const struct kpod *k, const char *sandbox_uid,
                        const char *task_uid, int64_t attempt, size_t step)
{
    cleanup_free char *key = xasprintf("%s/%" PRId64 "/%zu", task_uid, attempt, step);
    char *before = map_get(&s->starts, key); /* "1 SANDBOX-UID": 1 in time, 0 too late */
    const struct obj *sandbox = api_find_uid(s, SIM_SANDBOX, sandbox_uid);
    const struct obj *task = api_find_uid(s, SIM_TASK, task_uid);
    bool late = !sandbox || (task && oracle_same_second(task, sandbox));
    bool all_act = s->cfg.procs > 1 && (!s->cfg.leases || s->stood_still);

    sim_note(s, "step %s starts in %s", key, k->name);
    if (before && strcmp(before + 2, sandbox_uid) != 0 && (late || all_act || *before == '0'))
        s->known_holes++;
    else if (before)
        sim_fail(s, "step %s started twice", key);
    map_put(&s->starts, key, xasprintf("%d %s", !late, sandbox_uid));
    free(before);
}

void oracle_request(struct sim *s, const struct kpod *k, const char *sandbox_uid)
{
    const struct obj *pod = api_find_uid(s, SIM_POD, k->uid);
    const struct obj *sandbox = api_find_uid(s, SIM_SANDBOX, sandbox_uid);
    const struct shadow *was = sandbox ? sandbox->shadow : NULL;

    if (forged_name(k->name))
        sim_fail(s, "a request of %s came to %s, which no operator has made", sandbox_uid, k->name);
    if (pod && owner(pod) && !str_eq(facts_of(pod)->owner_uid, sandbox_uid))
        sim_fail(s, "a request of %s came to %s, which is another's", sandbox_uid, k->name);
    if (was && *was->pod_uid && strcmp(was->pod_uid, k->uid) != 0)
        sim_fail(s, "a request of %s came to %s, which is not its status' pod", sandbox_uid,
                 k->name);
}

/* ---- at rest --------------------------------------------------------------------------------- */

static bool pool_settled(struct sim *s, const struct obj *o, struct buf *why)
{
    int64_t replicas = 0, told = -1;
    size_t ready = count_idle(s, o->name, NULL, READY), all = count_idle(s, o->name, NULL, ALL);
    const char *trouble = condition_reason(o, "PodsFailing");
    bool fails = *trouble && strcmp(trouble, "NoFailures") != 0;

    json_get_int(json_get(o->j, "spec"), "replicas", &replicas);
    json_get_int(json_get(o->j, "status"), "readyReplicas", &told);
    if (strstr(o->text, "\"bad-image\"") && all == (size_t)replicas)
        return true;
    if (ready == (size_t)replicas && all == ready && told == replicas && !fails)
        return true;
    buf_printf(why, "pool %s: %zu idle, %zu ready, %d told, %d wanted, %s; ", o->name, all, ready,
               (int)told, (int)replicas, trouble);
    return false;
}

static bool sandbox_settled(struct sim *s, const struct obj *o, struct buf *why)
{
    const char *phase = status_str(o, "phase");
    const struct obj *pod = api_find_uid(s, SIM_POD, status_str(o, "podUID"));
    struct json_object *spec = json_get(o->j, "spec");

    if (json_get(spec, "idleTimeoutSeconds") || json_get(spec, "maxLifetimeSeconds")) {
        buf_printf(why, "sandbox %s: it has yet to expire; ", o->name);
        return false;
    }
    if (strcmp(phase, "Failed") == 0)
        return true;
    if (strcmp(phase, "Ready") == 0 && pod && facts_of(pod)->ready && !facts_of(pod)->deleting &&
        strcmp(facts_of(pod)->owner_uid, o->uid) == 0)
        return true;
    buf_printf(why, "sandbox %s: %s, its pod %s; ", o->name, phase, pod ? pod_phase(pod) : "gone");
    return false;
}

static bool pod_settled(struct sim *s, const struct obj *o, struct buf *why)
{
    const char *uid = facts_of(o)->owner_uid;
    const struct obj *sandbox = api_find_uid(s, SIM_SANDBOX, uid);

    if (forged_name(o->name))
        return true;
    if (facts_of(o)->deleting)
        buf_printf(why, "pod %s: deleting; ", o->name);
    else if (!sandbox && !api_find_uid(s, SIM_POOL, uid))
        buf_printf(why, "pod %s: without owner; ", o->name);
    else if (sandbox && strcmp(status_str(sandbox, "podUID"), o->uid) != 0)
        buf_printf(why, "pod %s: a leaked one of sandbox %s; ", o->name, sandbox->name);
    else
        return true;
    return false;
}

/* No status of it fits into etcd: an Event tells of it. */
static bool has_no_room(const struct obj *task)
{
    return strlen(task->text) + TASK_STATUS_LEAST > LIMIT_ETCD_OBJECT_BYTES;
}

bool oracle_settled(struct sim *s, struct buf *why)
{
    bool ok = true;

    for (size_t i = 0; i < s->api.count[SIM_POOL]; i++)
        ok &= pool_settled(s, s->api.objs[SIM_POOL][i], why);
    for (size_t i = 0; i < s->api.count[SIM_SANDBOX]; i++)
        ok &= sandbox_settled(s, s->api.objs[SIM_SANDBOX][i], why);
    for (size_t i = 0; i < s->api.count[SIM_POD]; i++)
        ok &= pod_settled(s, s->api.objs[SIM_POD][i], why);
    for (size_t i = 0; i < s->api.count[SIM_TASK]; i++) {
        const struct obj *o = s->api.objs[SIM_TASK][i];

        if (oracle_task_final(o) || has_no_room(o))
            continue;
        buf_printf(why, "task %s: %s; ", o->name, status_str(o, "state"));
        ok = false;
    }
    for (size_t i = 0; i < s->pod_count; i++) {
        if (s->pods[i]->cut_off && api_find_uid(s, SIM_POD, s->pods[i]->uid)) {
            buf_printf(why, "pod %s: its node is cut off; ", s->pods[i]->name);
            ok = false;
        }
        if (agent_running(s->pods[i]) == 0)
            continue;
        buf_printf(why, "pod %s: something runs; ", s->pods[i]->name);
        ok = false;
    }
    return ok;
}

static double metric(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtod(at + strlen(name), NULL) : -1;
}

/* A standby keeps no keys. No operator keeps a failed key whose objects are gone. */
static void check_queue(struct sim *s, const struct proc *p)
{
    cleanup_buf struct buf out = BUF_INIT(1u << 20);
    cleanup_json struct json_object *state = NULL;
    struct json_object *failing;

    manager_metrics(p->m, &out);
    if (p->lease && !lease_leading(p->lease) &&
        metric(buf_str(&out), "\narl_queue_depth ") +
                metric(buf_str(&out), "\narl_queue_delayed ") +
                metric(buf_str(&out), "\narl_queue_parked ") !=
            0)
        sim_fail(s, "op%d stands by and keeps keys", p->index);
    buf_clear(&out);
    manager_debug(p->m, &out);
    json_parse(buf_str(&out), out.len, &state, NULL);
    failing = json_get(state, "failing");
    for (size_t i = 0; i < json_array_len(failing); i++) {
        const char *key = json_get_str(json_object_array_get_idx(failing, i), "key");
        const char *name = strrchr(str_or_empty(key), '/');
        bool lives = false;

        for (int k = SIM_POOL; name && k <= SIM_TASK; k++)
            lives |= api_find(s, (enum sim_kind)k, name + 1) != NULL;
        if (!lives)
            sim_fail(s, "op%d keeps %s, which is gone", p->index, key);
    }
}

void oracle_queues(struct sim *s)
{
    for (int i = 0; i < s->cfg.procs; i++)
        if (s->procs[i].up && !s->failure)
            check_queue(s, &s->procs[i]);
}

static void free_values(struct map *m)
{
    size_t pos = 0;
    void *v;

    while ((v = map_next(m, &pos, NULL)))
        free(v);
    map_done(m);
}

void oracle_done(struct sim *s)
{
    for (int k = 0; k < SIM_LEASE; k++)
        for (size_t i = 0; i < s->api.count[k]; i++)
            if (s->api.objs[k][i]->shadow)
                free(((struct shadow *)s->api.objs[k][i]->shadow)->final);
    free_values(&s->starts);
    map_done(&s->doomed_pods);
    map_done(&s->refusals);
    map_done(&s->evil_tasks);
    free_values(&s->bindings);
    free_values(&s->most);
}
