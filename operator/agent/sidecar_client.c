#include "operator/agent/sidecar_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/backoff.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/wire/task_proto.h"
#include "operator/agent/agent.h"
#include "operator/agent/errands.h"
#include "operator/agent/inputs.h"
#include "operator/core/bucket.h"
#include "operator/core/plan.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000
/* A stream that sends too much is closed, and opened again after this time. */
#define THROTTLE_MS 1000
/* When the time limit of an attempt is over, its agent is asked once more, and has this time to
 * answer: its last events may not have been read yet. */
#define LAST_ASK_MS 10000
/* A stream's buffer for lines that has grown beyond this size is freed when it is empty. */
#define LINE_KEEP_BYTES 4096

struct sidecar_client {
    struct ops *ops;
    struct sidecar_client_opts opts;
    struct list streams;
    struct agent_caller *agents;
    struct errands *errands;
    uint64_t started;
    uint64_t attached_again;
    uint64_t lost;
    uint64_t throttled;
    uint64_t paused;             /* streams that gave way to others */
    struct ops_timer *way_timer; /* when the next one gives way */
    bool streams_go_on;          /* the function of this name is running */
    struct bucket events;
    struct buf scratch; /* of the event that is decoded */
    struct metrics_histogram task_time;
    struct metrics_exemplars task_traces;
};

/* The connection of a run to its sidecar. */
struct stream {
    struct list node;
    struct sidecar_client *c;
    struct run *run;
    char *task_key;
    struct agent_call *call;
    struct inputs *read; /* under way: what is to be sent, and the caches do not keep */
    struct ops_timer *timer;
    struct ops_timer *deadline;
    bool late;              /* the time limit of the attempt is over */
    int64_t asked_until_ns; /* it was asked once more; 0: it was not */
    int64_t waits_since_ns; /* since when it waits for its turn; 0: it does not */
    struct buf line;
    struct bucket events;
    bool too_many;                /* too many events have come: the stream is to pause */
    bool sent;                    /* to the agent, at least once */
    bool attach_only;             /* GET: the sidecar knows the attempt, under another body */
    unsigned failures;            /* since the last event */
    int64_t silent_since_mono_ns; /* no event since; 0: the stream works */
};

/* ---- streams --------------------------------------------------------------------------------- */

static void attach(struct stream *s);
static void open_stream(struct stream *s);
static void want_stream(struct stream *s);

static void stream_free(struct stream *s)
{
    struct ops *ops = s->c->ops;

    agent_call_cancel(s->call);
    inputs_cancel(s->read);
    ops->v->timer_free(ops, s->timer);
    ops->v->timer_free(ops, s->deadline);
    list_remove(&s->node);
    buf_done(&s->line);
    free(s->task_key);
    free(s);
}

static void hang_up(struct stream *s)
{
    agent_call_cancel(s->call);
    inputs_cancel(s->read);
    s->call = NULL;
    s->read = NULL;
    buf_clear(&s->line);
}

/* Closes the stream, because others wait and it was open for long enough. It stands in the line
 * behind them and goes on later. */
static void give_way(struct stream *s)
{
    struct world *w = s->c->opts.world;

    assert(s->run->stream_turn.state == TURN_HAS);
    log_debug("the stream gives way to others", "task", s->task_key, NULL);
    s->c->paused++;
    hang_up(s);
    world_stream_closed(w, s->run);
    want_stream(s);
}

/* Opens the streams whose turn has come, and closes those that have to give way. A call of this
 * function from inside of it does nothing. */
static void streams_go_on(struct sidecar_client *c)
{
    struct world *w = c->opts.world;
    struct run *r;
    int64_t due = 0;

    if (c->streams_go_on)
        return;
    c->streams_go_on = true;
    do {
        while ((r = world_stream_next(w, ops_now(c->ops))))
            open_stream(r->stream);
        r = world_stream_gives_way(w, ops_now(c->ops), &due);
        if (r)
            give_way(r->stream);
    } while (r);
    c->streams_go_on = false;
    c->ops->v->timer_set(c->ops, c->way_timer, due);
}

static void on_way_timer(void *arg)
{
    streams_go_on(arg);
}

static void arm_deadline(struct stream *s)
{
    int64_t due_ns = s->asked_until_ns ? s->asked_until_ns : run_deadline_ns(s->run);

    s->c->ops->v->timer_set(s->c->ops, s->deadline, due_ns == INT64_MAX ? 0 : due_ns);
}

/* The memory for it was granted. */
static void read_again(struct stream *s)
{
    run_read_again(s->run, ops_now(s->c->ops));
    s->late = false; /* there is time for it, if the steps have taken all of theirs */
    s->asked_until_ns = 0;
    arm_deadline(s);
    attach(s);
}

/* A part of the budget was given back: the next waiting run goes on. */
static void others_go_on(struct sidecar_client *c)
{
    struct world *w = c->opts.world;
    struct turn *turn;
    struct run *r;

    while ((r = world_next_to_read(w)))
        read_again(r->stream);
    while ((turn = turns_next(&w->starts)))
        want_stream(container_of(turn, struct run, start_turn)->stream);
    streams_go_on(c);
}

/* The stream has no request under way any more: it gives its turn back. */
static void closed(struct stream *s)
{
    world_stream_closed(s->c->opts.world, s->run);
    streams_go_on(s->c);
}

/* The large steps were sent, or will not be sent. */
static void start_done(struct stream *s)
{
    if (s->run->start_turn.state == TURN_NONE)
        return;
    turns_end(&s->c->opts.world->starts, &s->run->start_turn);
    others_go_on(s->c);
}

static void drop_call(struct stream *s)
{
    hang_up(s);
    closed(s);
}

static void over(struct stream *s)
{
    const struct task *t = world_task(s->c->opts.world, s->task_key);
    struct run *r = s->run;

    assert(r->over && r->reason);
    if (r->reason && strcmp(r->reason, "AgentUnavailable") == 0)
        s->c->lost++;
    s->c->ops->v->timer_set(s->c->ops, s->deadline, 0);
    world_note_run_memory(s->c->opts.world, s->task_key, r);
    metrics_observe_traced(&s->c->task_time, &s->c->task_traces, r->result->duration_ns,
                           t ? t->trace_id : NULL, ops_now(s->c->ops).wall_ns);
    world_queue(s->c->opts.world, PLAN_TASK, s->task_key);
    start_done(s);
    others_go_on(s->c);
}

static void fail(struct stream *s, const char *reason, const char *message, bool may_go_on)
{
    log_warn("task attempt failed", "task", s->task_key, "reason", reason, "message", message,
             NULL);
    drop_call(s);
    run_fail(s->run, reason, message, may_go_on, ops_now(s->c->ops));
    over(s);
}

/* Whether somebody else answers in the agent's place. Then the attempt does not fail here: its
 * sandbox decides how long to wait for the agent, and ends the attempt when it fails itself. */
static bool is_forged(const struct stream *s)
{
    const struct run_target *t = &s->run->target;

    return world_agent_is_forged(s->c->opts.world, t->ns, t->sandbox, t->sandbox_uid);
}

/* Whether the run needs nothing more from the open stream. */
static bool has_all(const struct run *r)
{
    return r->over || (r->ended && !r->reading);
}

/* Attaches again later, or gives the agent up. */
static void again(struct stream *s, const char *why)
{
    int64_t now = ops_now(s->c->ops).mono_ns;

    assert(!s->call && !has_all(s->run));
    if (s->silent_since_mono_ns == 0 || is_forged(s))
        s->silent_since_mono_ns = now;
    if (now - s->silent_since_mono_ns > AGENT_LOST_MS * NSEC_PER_MSEC) {
        cleanup_free char *message = xasprintf("the agent in the pod does not answer: %s", why);

        fail(s, "AgentUnavailable", message, true);
        return;
    }
    log_debug("attaching again", "task", s->task_key, "why", why, NULL);
    s->c->attached_again++;
    s->c->ops->v->timer_set(s->c->ops, s->timer,
                            now + backoff_ns(RETRY_FIRST_MS, RETRY_MAX_MS, ++s->failures));
}

/* Takes one line of the stream. false: the line is bad, and so the stream is. */
static bool take_line(struct stream *s, const char *line, size_t len)
{
    struct task_event ev;
    struct err err = {0};
    int r;

    if (len == 0) { /* a heartbeat */
        s->silent_since_mono_ns = 0;
        return true;
    }
    r = task_event_decode(line, len, &s->c->scratch, &ev, &err);
    if (r == 0)
        r = run_event(s->run, &ev, ops_now(s->c->ops), &err);
    if (r < 0) {
        log_warn("bad event from a sidecar", "task", s->task_key, "error", err.msg, NULL);
        return false;
    }
    if (s->silent_since_mono_ns || s->run->last_seq <= 1 || s->run->ended)
        arm_deadline(s);
    s->silent_since_mono_ns = 0;
    s->failures = 0;
    world_note_run_memory(s->c->opts.world, s->task_key, s->run);
    return true;
}

/* Whether the limits of this stream, and of all streams together, allow one more line now. */
static bool may_take(struct stream *s, size_t len)
{
    int64_t now_ns = ops_now(s->c->ops).mono_ns;
    int64_t cost = 1 + (int64_t)len / 4096;

    return bucket_take(&s->events, cost, LIMIT_STREAM_EVENTS, LIMIT_STREAM_EVENTS_PER_S, now_ns) &&
           bucket_take(&s->c->events, cost, LIMIT_ALL_EVENTS, LIMIT_ALL_EVENTS_PER_S, now_ns);
}

/* Takes the whole lines out of s->line. Returns false when one is bad. */
static bool take_lines(struct stream *s)
{
    size_t from = 0;

    for (;;) {
        const char *start = buf_str(&s->line) + from;
        const char *end = memchr(start, '\n', s->line.len - from);

        if (!end)
            break;
        s->too_many = !may_take(s, (size_t)(end - start));
        if (s->too_many)
            break;
        if (!take_line(s, start, (size_t)(end - start)))
            return false;
        from = (size_t)(end - buf_str(&s->line)) + 1;
        if (has_all(s->run))
            break;
    }
    buf_consume(&s->line, from);
    if (s->line.len == 0 && s->line.alloc > LINE_KEEP_BYTES)
        buf_done(&s->line);
    return true;
}

/* The attempt has ended, and its output was dropped. All events are read again when there is room.
 */
static void ask_to_read(struct stream *s)
{
    struct world *w = s->c->opts.world;
    struct run *r = s->run;

    assert(r->ended && !r->reading);
    drop_call(s);
    start_done(s);
    if (turns_ask(&w->run_memory, &r->read_turn, s->task_key, run_memory_to_read(r))) {
        read_again(s);
        return;
    }
    do
        others_go_on(s->c);
    while (r->read_turn.state == TURN_WAITS && world_drop_output(w));
}

static void throttle(struct stream *s)
{
    s->too_many = false;
    s->c->throttled++;
    log_debug("too many events", "task", s->task_key, NULL);
    drop_call(s);
    s->c->ops->v->timer_set(s->c->ops, s->timer,
                            ops_now(s->c->ops).mono_ns + THROTTLE_MS * NSEC_PER_MSEC);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct stream *s = arg;

    start_done(s);
    while (len > 0 && s->call && !has_all(s->run)) {
        size_t n = MIN(len, s->line.max - s->line.len);

        buf_append(&s->line, data, n);
        data += n;
        len -= n;
        if (!take_lines(s) || s->line.len == s->line.max) {
            drop_call(s);
            again(s, "it sent a malformed event");
            return;
        }
        if (s->too_many) {
            throttle(s);
            return;
        }
    }
    if (!s->call)
        return; /* it has given way */
    if (s->run->over)
        over(s);
    else if (has_all(s->run))
        ask_to_read(s);
    else if (s->run->output_events != s->run->output_events_told)
        world_queue(s->c->opts.world, PLAN_TASK, s->task_key); /* to show it in time */
}

/* Handles an answer of the agent that is not a stream. */
static void on_refusal(struct stream *s, const struct agent_answer *answer)
{
    cleanup_free char *why = xstrdup_foreign(answer->body, LIMIT_FOREIGN_MESSAGE_BYTES);
    cleanup_free char *message =
        xasprintf("the agent refused the task: HTTP status %d: %s", answer->status, why);

    switch (answer->status) {
    case 409: /* the same steps with other flags: an earlier operator began the attempt */
        if (s->attach_only) {
            again(s, message);
            return;
        }
        s->attach_only = true;
        attach(s);
        return;
    case 410: {
        const char *slash = strchr(s->task_key, '/');
        cleanup_free char *ns = xmemdup0(s->task_key, (size_t)(slash - s->task_key));

        s->run->result_gone = true;
        s->c->opts.on_stale_task(s->c->opts.arg, ns, slash + 1);
        return;
    }
    case 400:
    case 403:
    case 413:
        fail(s, "AgentRefused", message, false);
        return;
    default:
        again(s, message);
    }
}

static void on_done(void *arg, const struct agent_answer *answer)
{
    struct stream *s = arg;

    s->call = NULL;
    buf_clear(&s->line);
    start_done(s);
    closed(s);
    if (has_all(s->run))
        return;
    if (answer->outcome != AGENT_ANSWERED)
        again(s, answer->error);
    else if (answer->status / 100 != 2)
        on_refusal(s, answer);
    else
        again(s, "it ended the stream early");
}

/* Sends the request of the stream. get: it only attaches; otherwise t must have its steps. */
static void send(struct stream *s, const struct task *t, const char *env_json, bool get)
{
    static const struct agent_handler handler = {on_data, on_done};
    cleanup_buf struct buf body = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    char path[AGENT_PATH_MAX], query[32] = "";
    struct agent_request req = {.target = &s->run->target,
                                .method = get ? "GET" : "PUT",
                                .path = path,
                                .query = query,
                                .body = get ? NULL : &body,
                                .stream = true};
    struct err err = {0};
    int r;

    assert(!s->call && !s->read && s->run->stream_turn.state == TURN_HAS);
    s->sent = true;
    agent_follow(s->c->opts.world, t->meta.ns, &s->run->target);
    agent_task_path(path, s->run->target.task_uid, s->run->result->attempt);
    if (s->run->last_seq > 0)
        snprintf(query, sizeof(query), "after=%" PRIu64, s->run->last_seq);
    r = get ? 0 : inputs_encode(s->c->opts.world, s->task_key, s->run, t, env_json, &body, &err);
    if (r == 0)
        r = agent_call_start(s->c->agents, &req, &handler, s, &s->call, &err);
    if (r < 0)
        fail(s,
             r == -ENOENT   ? "SandboxDeleted"
             : r == -ENOKEY ? "AgentUnavailable"
                            : "InvalidSpec",
             err.msg, true);
}

/* A task that was not sent has not begun: its time begins when it is sent. */
static void hold(struct stream *s)
{
    s->run->held = s->run->held || !s->sent;
}

static void release(struct stream *s)
{
    if (!s->run->held)
        return;
    s->run->held = false;
    s->run->begun_mono_ns = ops_now(s->c->ops).mono_ns;
    s->run->begun_wall_ns = ops_now(s->c->ops).wall_ns;
    arm_deadline(s);
    world_queue(s->c->opts.world, PLAN_TASK, s->task_key); /* to say Running in time */
}

static void on_inputs(void *arg, struct task *t, const char *env_json, bool gone)
{
    struct stream *s = arg;

    assert(s->read && !s->call);
    s->read = NULL;
    if (has_all(s->run)) {
        closed(s);
        return;
    }
    if (!t || !t->steps_json || t->step_count != s->run->result->step_count) {
        start_done(s);
        closed(s);
        /* If the task is gone, its plan drops the run. Otherwise the API server is asked again. */
        if (!gone && !s->run->over)
            s->c->ops->v->timer_set(s->c->ops, s->timer,
                                    ops_now(s->c->ops).mono_ns + RETRY_MAX_MS * NSEC_PER_MSEC);
        return;
    }
    if (!s->run->result->step_names) {
        task_result_set_names(s->run->result, task_take_step_names(t));
        world_note_run_memory(s->c->opts.world, s->task_key, s->run);
    }
    release(s);
    send(s, t, env_json, false);
}

/* The task of the run. NULL: it was deleted or has ended, and its plan drops the run. */
static const struct task *task_of(const struct stream *s)
{
    const struct task *t = world_task(s->c->opts.world, s->task_key);

    if (s->run->over || !t || !(t->steps_json || t->steps_apart) ||
        !str_eq(t->meta.uid, s->run->target.task_uid))
        return NULL;
    return t;
}

/* An agent that has sent an event has the steps. */
static bool inputs_are_known(const struct stream *s, const struct task *t)
{
    return s->attach_only || inputs_kept(s->c->opts.world, s->run, t) || s->run->accepted_mono_ns;
}

/* The time limit is over, but the last events of the agent may not have been read yet. */
static void ask_for_the_last_time(struct stream *s)
{
    if (!s->late || s->asked_until_ns)
        return;
    s->asked_until_ns = ops_now(s->c->ops).mono_ns + LAST_ASK_MS * NSEC_PER_MSEC;
    arm_deadline(s);
}

/* The time in line does not count as the agent's silence. */
static void waited(struct stream *s)
{
    int64_t now_ns = ops_now(s->c->ops).mono_ns;

    if (s->waits_since_ns && s->silent_since_mono_ns)
        s->silent_since_mono_ns += now_ns - s->waits_since_ns;
    s->waits_since_ns = 0;
}

/* The stream has its turn. */
static void open_stream(struct stream *s)
{
    const struct task *t = task_of(s);

    assert(s->run->stream_turn.state == TURN_HAS);
    if (s->call || s->read)
        return;
    waited(s);
    ask_for_the_last_time(s);
    if (!t) {
        closed(s);
    } else if (inputs_are_known(s, t)) {
        release(s);
        send(s, t, NULL, s->attach_only || !inputs_kept(s->c->opts.world, s->run, t));
    } else {
        s->read = inputs_read(s->c->ops, s->c->opts.world, s->run, t->meta.name, on_inputs, s);
    }
}

static void want_stream(struct stream *s)
{
    struct sidecar_client *c = s->c;

    if (world_stream_turn(c->opts.world, s->task_key, s->run, ops_now(c->ops))) {
        open_stream(s);
        return;
    }
    if (!s->waits_since_ns)
        s->waits_since_ns = ops_now(c->ops).mono_ns;
    hold(s);
    streams_go_on(c);
}

static void attach(struct stream *s)
{
    struct world *w = s->c->opts.world;
    const struct task *t = task_of(s);

    if (s->call || s->read || !t)
        return;
    if (!inputs_are_known(s, t)) {
        hold(s);
        if (!turns_ask(&w->starts, &s->run->start_turn, s->task_key, inputs_bytes(w, s->run, t)))
            return;
    }
    want_stream(s);
}

static void on_attach_timer(void *arg)
{
    attach(arg);
}

/* The time of the steps is over, but the agent cannot be asked, because others answer in its place.
 * Then the run ends with its sandbox. If the agent answers now and then, but never about this run,
 * the sandbox does not end, and the run ends after a further sandbox_wait_ms. */
static bool deadline_waits(const struct stream *s, int64_t now_ns)
{
    int64_t due_ns = run_deadline_ns(s->run);

    return is_forged(s) && due_ns != INT64_MAX &&
           now_ns < due_ns + s->c->opts.world->policy->sandbox_wait_ms * NSEC_PER_MSEC;
}

static void on_deadline(void *arg)
{
    struct stream *s = arg;
    int64_t now_ns = ops_now(s->c->ops).mono_ns;

    if (deadline_waits(s, now_ns)) {
        s->asked_until_ns = 0;
        s->c->ops->v->timer_set(s->c->ops, s->deadline, now_ns + LAST_ASK_MS * NSEC_PER_MSEC);
        return;
    }
    if (s->asked_until_ns) {
        fail(s, "AgentUnavailable",
             s->run->reading ? "the agent in the pod does not send the rest of it"
                             : "the agent in the pod says that the task runs, long after the time "
                               "limits of its steps",
             true);
        return;
    }
    if (now_ns < run_deadline_ns(s->run)) {
        arm_deadline(s);
        return;
    }
    /* If the stream waits for its turn, the agent is asked when the turn comes. */
    s->late = true;
    if (s->run->stream_turn.state == TURN_HAS)
        hang_up(s);
    attach(s);
}

/* What is known of the run's times before its agent tells any. */
static void set_bounds(struct run *r, const struct world *w, const struct task *t)
{
    int64_t timeout_ms = t->timeout_ms > 0 ? t->timeout_ms : w->policy->task_timeout_ms;

    r->limit_ms = MIN(timeout_ms, RUN_LIMIT_MAX_MS) * (int64_t)t->step_count;
    r->fresh = w->active_wall_ns && t->meta.created_wall_ns >= w->active_wall_ns + w->ahead_ns +
                                                                   CLOCKS_DIFFER_MS * NSEC_PER_MSEC;
    r->earliest_wall_ns = r->fresh ? r->begun_wall_ns - CLOCKS_DIFFER_MS * NSEC_PER_MSEC
                                   : t->meta.created_wall_ns - LIMIT_CLOCK_SKEW_MS * NSEC_PER_MSEC;
}

void sidecar_client_run(struct sidecar_client *c, const char *ns, const char *name, int64_t attempt)
{
    struct world *w = c->opts.world;
    char task_key[META_KEY_MAX], sandbox_key[META_KEY_MAX];
    const struct sandbox *sandbox;
    const struct pod *pod;
    const struct task *t;
    struct stream *s;

    meta_key(task_key, ns, name);
    t = world_task(w, task_key);
    if (!t || !(t->steps_json || t->steps_apart) || world_run(w, task_key))
        return;
    meta_key(sandbox_key, ns, t->sandbox);
    sandbox = world_sandbox(w, sandbox_key);
    pod = sandbox ? world_sandbox_pod(w, sandbox) : NULL;
    if (!pod || !pod->ip || !(sandbox->status.agent_key || pod->agent_key))
        return;
    s = xcalloc(1, sizeof(*s));
    s->c = c;
    s->task_key = xstrdup(task_key);
    s->run = run_new(agent_target(t, sandbox, pod), attempt, t->step_count, ops_now(c->ops));
    s->run->stream = s;
    set_bounds(s->run, w, t);
    s->timer = c->ops->v->timer_new(c->ops, on_attach_timer, s);
    s->deadline = c->ops->v->timer_new(c->ops, on_deadline, s);
    buf_init(&s->line, LIMIT_EVENT_LINE_BYTES);
    list_push_back(&c->streams, &s->node);
    world_add_run(w, task_key, s->run);
    world_note_run_memory(w, task_key, s->run);
    arm_deadline(s);
    c->started++;
    log_debug("task started", "task", task_key, "pod", pod->meta.name, "trace",
              str_or_empty(t->trace_id), NULL);
    attach(s);
    world_queue(w, PLAN_TASK, task_key); /* to say Running in time */
}

void sidecar_client_drop(struct sidecar_client *c, const char *ns, const char *name, bool cancel)
{
    char key[META_KEY_MAX];
    struct run_target target;
    struct run *r;

    meta_key(key, ns, name);
    r = world_take_run(c->opts.world, key);
    if (!r)
        return;
    target = r->target;
    r->target = (struct run_target){0};
    stream_free(r->stream);
    if (cancel)
        errands_cancel(c->errands, ns, target, r->result->attempt);
    else
        errands_ack(c->errands, target, r->result->attempt);
    world_free_run(c->opts.world, r);
    others_go_on(c);
}

void sidecar_client_stop(struct sidecar_client *c, const char *ns, const char *name)
{
    char key[META_KEY_MAX];
    const struct run *r;

    meta_key(key, ns, name);
    r = world_run(c->opts.world, key);
    if (r)
        errands_cancel(c->errands, ns, run_target_copy(&r->target, xstrdup(r->target.task_uid)),
                       r->result->attempt);
}

void sidecar_client_audit(struct sidecar_client *c, const char *ns, const char *sandbox)
{
    errands_audit(c->errands, ns, sandbox);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sidecar_client *sidecar_client_new(struct ops *ops, const struct sidecar_client_opts *opts)
{
    struct sidecar_client *c = xcalloc(1, sizeof(*c));

    c->ops = ops;
    c->opts = *opts;
    list_init(&c->streams);
    buf_init(&c->scratch, LIMIT_EVENT_LINE_BYTES);
    c->way_timer = ops->v->timer_new(ops, on_way_timer, c);
    c->agents = agent_caller_new(ops, opts->world, opts->keys);
    c->errands = errands_new(ops, opts->world, c->agents);
    return c;
}

void sidecar_client_free(struct sidecar_client *c)
{
    if (!c)
        return;
    list_for_each_safe (it, &c->streams)
        stream_free(list_entry(it, struct stream, node));
    errands_free(c->errands);
    c->ops->v->timer_free(c->ops, c->way_timer);
    buf_done(&c->scratch);
    agent_caller_free(c->agents);
    free(c);
}

void sidecar_client_metrics(const struct sidecar_client *c, struct buf *out)
{
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"arl_task_attempts_total", "Task attempts started or attached to.", c->started},
        {"arl_task_attaches_total", "Streams of tasks that were attached to again.",
         c->attached_again},
        {"arl_task_throttles_total", "Streams that paused because their agent sent too much.",
         c->throttled},
        {"arl_task_pauses_total", "Streams that were closed as others waited for their turn.",
         c->paused},
        {"arl_agents_lost_total", "Attempts that ended because the agent did not answer.", c->lost},
        {"arl_task_cancels_total", "Attempts that were cancelled.", errands_cancels(c->errands)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metrics_head(out, rows[i].name, "counter", rows[i].help);
        metrics_value(out, rows[i].name, NULL, (double)rows[i].value);
    }
    agent_caller_metrics(c->agents, out);
    metrics_head(out, "arl_task_seconds", "histogram", "How long attempts ran.");
    metrics_histogram(out, "arl_task_seconds", &c->task_time, &c->task_traces);
}

void sidecar_client_debug(const struct run *r, struct now now, struct json_writer *w)
{
    const struct stream *s = r->stream;

    if (!s)
        return;
    json_w_bool(w, "connected", s->call != NULL);
    json_w_bool(w, "waitsForStream", r->stream_turn.state == TURN_WAITS);
    if (s->silent_since_mono_ns)
        json_w_int(w, "silentMs", (now.mono_ns - s->silent_since_mono_ns) / NSEC_PER_MSEC);
}
