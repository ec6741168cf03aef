#include "operator/sidecar_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/task_proto.h"
#include "operator/agent.h"
#include "operator/core/plan.h"
#include "operator/errands.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000

struct sidecar_client {
    struct ops *ops;
    struct sidecar_client_opts opts;
    struct list streams;
    struct errands *errands;
    uint64_t started;
    uint64_t attached_again;
    uint64_t lost;
    struct metrics_histogram task_time;
    struct metrics_exemplars task_traces;
};

/* The connection of a run to its sidecar. */
struct stream {
    struct list node;
    struct sidecar_client *c;
    struct run *run;
    char *task_key;
    struct ops_call *call;
    struct ops_timer *timer;
    struct buf line;
    struct buf scratch;
    bool attach_only; /* GET: the sidecar knows the attempt, under another body */
    int64_t retry_ms;
    int64_t silent_since_mono_ns; /* no event since; 0: the stream works */
};

/* ---- streams --------------------------------------------------------------------------------- */

static void attach(struct stream *s);

static void stream_free(struct stream *s)
{
    struct ops *ops = s->c->ops;

    if (s->call)
        ops_cancel(ops, s->call);
    ops->v->timer_free(ops, s->timer);
    list_remove(&s->node);
    buf_done(&s->line);
    buf_done(&s->scratch);
    free(s->task_key);
    free(s);
}

static void over(struct stream *s)
{
    const struct task *t = world_task(s->c->opts.world, s->task_key);
    struct run *r = s->run;

    if (r->reason && strcmp(r->reason, "AgentUnavailable") == 0)
        s->c->lost++;
    metrics_observe_traced(&s->c->task_time, &s->c->task_traces, r->result->duration_ns,
                           t ? t->trace_id : NULL, ops_now(s->c->ops).wall_ns);
    world_queue(s->c->opts.world, PLAN_TASK, s->task_key);
}

static void fail(struct stream *s, const char *reason, const char *message, bool may_go_on)
{
    log_warn("task attempt failed", "task", s->task_key, "reason", reason, "message", message,
             NULL);
    run_fail(s->run, reason, message, may_go_on, ops_now(s->c->ops));
    over(s);
}

/* Attaches again later, or gives the agent up. */
static void again(struct stream *s, const char *why)
{
    int64_t now = ops_now(s->c->ops).mono_ns;

    if (s->silent_since_mono_ns == 0)
        s->silent_since_mono_ns = now;
    if (now - s->silent_since_mono_ns > AGENT_LOST_MS * NSEC_PER_MSEC) {
        cleanup_free char *message = xasprintf("the agent in the pod does not answer: %s", why);

        fail(s, "AgentUnavailable", message, true);
        return;
    }
    log_debug("attaching again", "task", s->task_key, "why", why, NULL);
    s->c->attached_again++;
    s->c->ops->v->timer_set(s->c->ops, s->timer, now + s->retry_ms * NSEC_PER_MSEC);
    s->retry_ms = MIN(2 * s->retry_ms, RETRY_MAX_MS);
}

/* One line of the stream; false: the stream is of no more use. */
static bool take_line(struct stream *s, const char *line, size_t len)
{
    struct task_event ev;
    struct err err = {0};
    int r;

    if (len == 0) { /* a heartbeat */
        s->silent_since_mono_ns = 0;
        return true;
    }
    r = task_event_decode(line, len, &s->scratch, &ev, &err);
    if (r == 0)
        r = run_event(s->run, &ev, ops_now(s->c->ops), &err);
    if (r < 0) {
        log_warn("bad event from a sidecar", "task", s->task_key, "error", err.msg, NULL);
        return false;
    }
    s->silent_since_mono_ns = 0;
    s->retry_ms = RETRY_FIRST_MS;
    return true;
}

static void drop_call(struct stream *s)
{
    if (s->call)
        ops_cancel(s->c->ops, s->call);
    s->call = NULL;
    buf_clear(&s->line);
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
        if (!take_line(s, start, (size_t)(end - start)))
            return false;
        from = (size_t)(end - buf_str(&s->line)) + 1;
        if (s->run->over)
            break;
    }
    buf_consume(&s->line, from);
    return true;
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct stream *s = arg;

    while (len > 0 && !s->run->over) {
        size_t n = MIN(len, s->line.max - s->line.len);

        buf_append(&s->line, data, n);
        data += n;
        len -= n;
        if (!take_lines(s) || s->line.len == s->line.max) {
            drop_call(s);
            again(s, "it sent a malformed event");
            return;
        }
    }
    if (s->run->over)
        over(s);
    else if (s->run->output_events != s->run->output_events_told)
        world_queue(s->c->opts.world, PLAN_TASK, s->task_key); /* to show it in time */
}

/* What an answer other than a stream means. */
static void on_refusal(struct stream *s, const struct ops_response *resp)
{
    cleanup_free char *message =
        xasprintf("the agent refused the task: HTTP status %d: %s", resp->status, resp->body);

    switch (resp->status) {
    case 409: /* the same steps, under other flags than ours: an operator before us began it */
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

static void on_done(void *arg, const struct ops_response *resp)
{
    struct stream *s = arg;

    s->call = NULL;
    buf_clear(&s->line);
    if (s->run->over)
        return;
    if (resp->error)
        again(s, resp->error_msg);
    else if (resp->status / 100 != 2)
        on_refusal(s, resp);
    else
        again(s, "it ended the stream early");
}

static int encode(const struct stream *s, const struct task *t, struct buf *out, struct err *err)
{
    const struct policy *policy = s->c->opts.world->policy;
    const struct sandbox *sandbox;
    char key[META_KEY_MAX];
    struct task_request_head head = {
        .sandbox_uid = s->run->target.sandbox_uid,
        .task_name = s->task_key,
        .trace_id = t->trace_id,
        .timeout_ms = t->timeout_ms > 0 ? t->timeout_ms : policy->task_timeout_ms,
        .output_limit = policy->output_limit,
    };

    meta_key(key, t->meta.ns, t->sandbox);
    sandbox = world_sandbox(s->c->opts.world, key);
    head.env_json = sandbox ? sandbox->env_json : NULL;
    head.work_dir = sandbox && sandbox->status.work_dir ? sandbox->status.work_dir : "/";
    return task_request_encode(&head, t->steps_json, out, err);
}

static void attach(struct stream *s)
{
    static const struct ops_handler handler = {on_data, on_done};
    struct task *t = world_task(s->c->opts.world, s->task_key);
    cleanup_buf struct buf body = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    struct agent_request sr = {0};
    struct ops_request req = {.target = OPS_AGENT,
                              .method = "PUT",
                              .path = sr.target,
                              .content_type = s->attach_only ? NULL : "application/json",
                              .headers = sr.headers,
                              .stream = true,
                              .idle_timeout_ms = AGENT_SILENCE_MS};
    struct err err = {0};
    int r;

    /* Deleted or ended meanwhile: the plan of its key drops the run. */
    if (s->run->over || !t || !t->steps_json || !str_eq(t->meta.uid, s->run->target.task_uid))
        return;
    agent_follow(s->c->opts.world, t->meta.ns, &s->run->target);
    agent_task_path(sr.path, s->run->target.task_uid, s->run->result->attempt);
    if (s->run->last_seq > 0)
        snprintf(sr.query, sizeof(sr.query), "after=%" PRIu64, s->run->last_seq);
    if (s->attach_only)
        req.method = "GET";
    r = s->attach_only ? 0 : encode(s, t, &body, &err);
    if (r == 0)
        r = agent_sign(s->c->ops, s->c->opts.keys, &s->run->target, req.method, body.data, body.len,
                       &sr, &err);
    if (r < 0) {
        fail(s, r == -ENOKEY ? "AgentUnavailable" : "InvalidSpec", err.msg, true);
        return;
    }
    req.address = s->run->target.address;
    req.body = body.data;
    req.body_len = body.len;
    s->call = ops_start(s->c->ops, &req, &handler, s);
}

static void on_attach_timer(void *arg)
{
    attach(arg);
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
    if (!t || !t->steps_json || world_run(w, task_key))
        return;
    meta_key(sandbox_key, ns, t->sandbox);
    sandbox = world_sandbox(w, sandbox_key);
    pod = sandbox ? world_sandbox_pod(w, sandbox) : NULL;
    if (!pod || !pod->ip)
        return;
    s = xcalloc(1, sizeof(*s));
    s->c = c;
    s->task_key = xstrdup(task_key);
    s->run = run_new(agent_target(t, sandbox, pod), attempt, t->step_count, ops_now(c->ops));
    s->run->stream = s;
    s->retry_ms = RETRY_FIRST_MS;
    s->timer = c->ops->v->timer_new(c->ops, on_attach_timer, s);
    buf_init(&s->line, LIMIT_EVENT_LINE_BYTES);
    buf_init(&s->scratch, LIMIT_EVENT_LINE_BYTES);
    list_push_back(&c->streams, &s->node);
    map_put(&w->runs, task_key, s->run);
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
    r = map_del(&c->opts.world->runs, key);
    if (!r)
        return;
    target = r->target;
    r->target = (struct run_target){0};
    stream_free(r->stream);
    if (cancel)
        errands_cancel(c->errands, ns, target, r->result->attempt);
    else
        errands_ack(c->errands, target, r->result->attempt);
    run_free(r);
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
    c->errands = errands_new(ops, opts->world, opts->keys);
    return c;
}

void sidecar_client_free(struct sidecar_client *c)
{
    if (!c)
        return;
    list_for_each_safe (it, &c->streams)
        stream_free(list_entry(it, struct stream, node));
    errands_free(c->errands);
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
        {"arl_agents_lost_total", "Attempts that ended because the agent did not answer.", c->lost},
        {"arl_task_cancels_total", "Attempts that were cancelled.", errands_cancels(c->errands)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metrics_head(out, rows[i].name, "counter", rows[i].help);
        metrics_value(out, rows[i].name, NULL, (double)rows[i].value);
    }
    metrics_head(out, "arl_task_seconds", "histogram", "How long attempts ran.");
    metrics_histogram(out, "arl_task_seconds", &c->task_time, &c->task_traces);
}

void sidecar_client_debug(const struct run *r, struct now now, struct json_writer *w)
{
    const struct stream *s = r->stream;

    if (!s)
        return;
    json_w_bool(w, "connected", s->call != NULL);
    if (s->silent_since_mono_ns)
        json_w_int(w, "silentMs", (now.mono_ns - s->silent_since_mono_ns) / NSEC_PER_MSEC);
}
