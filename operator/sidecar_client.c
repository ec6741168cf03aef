#include "operator/sidecar_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/json.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/signature.h"
#include "common/task_proto.h"
#include "operator/core/plan.h"
#include "operator/kube/client.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000
#define ERRAND_TIMEOUT_MS 5000
#define CANCEL_TRIES 20
#define AUDIT_TRIES 10
#define AUDITS_AT_ONCE 16 /* after a start there is one for every sandbox */
#define ACK_TRIES 2
/* Acknowledgements wait for others to the same pod: each request costs the pod more than what it
 * frees. The sidecar's memory for results is bounded anyway. */
#define ACK_WAIT_MS 1000
#define ACK_BATCH_BYTES 4096
#define PATH_MAX_LEN 256

struct sidecar_client {
    struct ops *ops;
    struct sidecar_client_opts opts;
    struct list streams;
    struct list errands;
    struct list audits_waiting;
    unsigned audits; /* under way */
    bool in_audits;
    uint64_t started;
    uint64_t attached_again;
    uint64_t lost;
    uint64_t cancels;
    struct metrics_histogram task_time;
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

/* A cancel, an acknowledgement, an audit or a doubt that came of one, on its way; lives on its own.
 */
struct errand {
    struct list node;
    struct sidecar_client *c;
    struct run_target target;
    int64_t attempt;
    struct ops_call *call;
    struct ops_timer *timer;
    int tries_left;
    int64_t retry_ms;
    bool sent;
    bool audit;    /* it counts in the client's audits */
    char *ns;      /* audit, doubt: where the sandbox and the task are */
    char *name;    /* audit: of the sandbox; doubt: of the task */
    char *running; /* audit: the UID of a task that runs there */
    struct kube_call *read;
    struct buf acks; /* "uid/attempt" in quotes, comma-separated */
};

/* ---- signed requests ------------------------------------------------------------------------- */

struct signed_request {
    char path[PATH_MAX_LEN];
    char query[32];
    char target[PATH_MAX_LEN + 32];
    char lines[5][SIGNATURE_HEADER_MAX + 32];
    const char *headers[6];
};

static int sign(const struct sidecar_client *c, const struct run_target *t, const char *method,
                const void *body, size_t body_len, struct signed_request *ret, struct err *err)
{
    const struct signature_key *key = signing_find(c->opts.keys, t->key_id);
    struct signature_input in = {method,         ret->path, ret->query, t->pod_uid,
                                 t->sandbox_uid, body,      body_len};
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_headers h;
    int r;

    if (!key)
        return err_set(err, -ENOKEY, "the signing key %s that the pod knows is gone", t->key_id);
    ops_random(c->ops, nonce, sizeof(nonce));
    r = signature_sign(key, &in, ops_now(c->ops).wall_ns / NSEC_PER_SEC, nonce, &h, err);
    if (r < 0)
        return r;
    snprintf(ret->target, sizeof(ret->target), "%s%s%s", ret->path, *ret->query ? "?" : "",
             ret->query);
    snprintf(ret->lines[0], sizeof(ret->lines[0]), "Signature-Input: %s", h.signature_input);
    snprintf(ret->lines[1], sizeof(ret->lines[1]), "Signature: %s", h.signature);
    snprintf(ret->lines[2], sizeof(ret->lines[2]), "Content-Digest: %s", h.content_digest);
    snprintf(ret->lines[3], sizeof(ret->lines[3]), "Arl-Pod-Uid: %s", t->pod_uid);
    snprintf(ret->lines[4], sizeof(ret->lines[4]), "Arl-Sandbox-Uid: %s", t->sandbox_uid);
    for (size_t i = 0; i < ARRAY_SIZE(ret->lines); i++)
        ret->headers[i] = ret->lines[i];
    return 0;
}

static void task_path(char *ret, const char *task_uid, int64_t attempt)
{
    snprintf(ret, PATH_MAX_LEN, "/v1/tasks/%s/%" PRId64, task_uid, attempt);
}

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
    struct run *r = s->run;

    if (r->reason && strcmp(r->reason, "AgentUnavailable") == 0)
        s->c->lost++;
    metrics_observe(&s->c->task_time, r->result->duration_ns);
    world_queue(s->c->opts.world, PLAN_TASK, s->task_key);
}

static void fail(struct stream *s, const char *reason, const char *message)
{
    log_warn("task attempt failed", "task", s->task_key, "reason", reason, "message", message,
             NULL);
    run_fail(s->run, reason, message, false, ops_now(s->c->ops));
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

        fail(s, "AgentUnavailable", message);
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
        fail(s, "AgentRefused", message);
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

static char *address_of(const struct pod *p)
{
    return xasprintf(strchr(p->ip, ':') ? "[%s]:%d" : "%s:%d", p->ip, POD_SIDECAR_PORT);
}

/* A pod whose containers all begin anew, as after a restart of its node, gets another address. */
static void follow_pod(const struct stream *s, const struct task *t)
{
    struct run_target *target = &s->run->target;
    const struct pod *pod;
    char key[META_KEY_MAX];

    meta_key(key, t->meta.ns, target->pod_name);
    pod = world_pod(s->c->opts.world, key);
    if (pod && pod->ip && str_eq(pod->meta.uid, target->pod_uid))
        str_set(&target->address, address_of(pod));
}

static void attach(struct stream *s)
{
    static const struct ops_handler handler = {on_data, on_done};
    struct task *t = world_task(s->c->opts.world, s->task_key);
    cleanup_buf struct buf body = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    struct signed_request sr = {0};
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
    follow_pod(s, t);
    task_path(sr.path, s->run->target.task_uid, s->run->result->attempt);
    if (s->run->last_seq > 0)
        snprintf(sr.query, sizeof(sr.query), "after=%" PRIu64, s->run->last_seq);
    if (s->attach_only)
        req.method = "GET";
    r = s->attach_only ? 0 : encode(s, t, &body, &err);
    if (r == 0)
        r = sign(s->c, &s->run->target, req.method, body.data, body.len, &sr, &err);
    if (r < 0) {
        fail(s, r == -ENOKEY ? "AgentUnavailable" : "InvalidSpec", err.msg);
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

static struct run_target target_of(const struct task *t, const struct sandbox *s,
                                   const struct pod *p)
{
    return (struct run_target){
        .task_uid = t ? xstrdup(t->meta.uid) : NULL,
        .sandbox_uid = xstrdup(s->meta.uid),
        .pod_uid = xstrdup(p->meta.uid),
        .pod_name = xstrdup(p->meta.name),
        .address = address_of(p),
        .key_id = xstrdup(p->key_id),
    };
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
    s->run = run_new(target_of(t, sandbox, pod), attempt, t->step_count, ops_now(c->ops));
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

/* ---- cancelling and acknowledging ------------------------------------------------------------ */

static void audits_go_on(struct sidecar_client *c);

static void errand_free(struct errand *e)
{
    struct sidecar_client *c = e->c;
    struct ops *ops = c->ops;
    bool audit = e->audit;

    if (e->call)
        ops_cancel(ops, e->call);
    kube_cancel(e->read);
    ops->v->timer_free(ops, e->timer);
    list_remove(&e->node);
    buf_done(&e->acks);
    if (audit)
        world_audited(c->opts.world, e->ns, e->name, e->target.sandbox_uid, e->running);
    run_target_done(&e->target);
    free(e->ns);
    free(e->name);
    free(e->running);
    free(e);
    if (!audit)
        return;
    c->audits--;
    audits_go_on(c);
}

/* Tries again later, a limited number of times. */
static void errand_again(struct errand *e)
{
    if (--e->tries_left <= 0) {
        errand_free(e);
        return;
    }
    e->c->ops->v->timer_set(e->c->ops, e->timer,
                            ops_now(e->c->ops).mono_ns + e->retry_ms * NSEC_PER_MSEC);
    e->retry_ms = MIN(2 * e->retry_ms, RETRY_MAX_MS);
}

static void on_errand_done(void *arg, const struct ops_response *resp)
{
    struct errand *e = arg;

    e->call = NULL;
    if (resp->error == 0 && resp->status < 500)
        errand_free(e);
    else
        errand_again(e);
}

static void errand_request(struct errand *e, const char *method, const struct buf *body,
                           struct signed_request *sr, const struct ops_handler *handler)
{
    struct ops_request req = {.target = OPS_AGENT,
                              .address = e->target.address,
                              .method = method,
                              .path = sr->target,
                              .headers = sr->headers,
                              .timeout_ms = ERRAND_TIMEOUT_MS};

    if (body) {
        req.content_type = "application/json";
        req.body = body->data;
        req.body_len = body->len;
    }
    if (sign(e->c, &e->target, method, req.body, req.body_len, sr, NULL) < 0)
        errand_free(e);
    else
        e->call = ops_start(e->c->ops, &req, handler, e);
}

static void cancel_send(void *arg)
{
    static const struct ops_handler handler = {NULL, on_errand_done};
    struct errand *e = arg;
    struct signed_request sr = {0};

    task_path(sr.path, e->target.task_uid, e->attempt);
    errand_request(e, "DELETE", NULL, &sr, &handler);
}

/* Takes over the texts of target. */
static struct errand *errand_new(struct sidecar_client *c, struct run_target target,
                                 int64_t attempt, int tries, void (*send)(void *arg))
{
    struct errand *e = xcalloc(1, sizeof(*e));

    e->c = c;
    e->target = target;
    e->attempt = attempt;
    e->tries_left = tries;
    e->retry_ms = RETRY_FIRST_MS;
    e->timer = c->ops->v->timer_new(c->ops, send, e);
    buf_init(&e->acks, ACK_BATCH_BYTES);
    list_push_back(&c->errands, &e->node);
    return e;
}

static void cancel_start(struct sidecar_client *c, struct run_target target, int64_t attempt)
{
    c->cancels++;
    cancel_send(errand_new(c, target, attempt, CANCEL_TRIES, cancel_send));
}

static void ack_send(void *arg)
{
    static const struct ops_handler handler = {NULL, on_errand_done};
    cleanup_buf struct buf body = BUF_INIT(ACK_BATCH_BYTES + 64);
    struct signed_request sr = {.path = "/v1/acknowledged"};
    struct errand *e = arg;

    buf_printf(&body, "{\"attempts\":[%s]}", buf_str(&e->acks));
    e->sent = true;
    errand_request(e, "POST", &body, &sr, &handler);
}

/* The batch for a pod that has not been sent yet. */
static struct errand *ack_batch(struct sidecar_client *c, const char *pod_uid)
{
    list_for_each (it, &c->errands) {
        struct errand *e = list_entry(it, struct errand, node);

        if (e->acks.len > 0 && !e->sent && str_eq(e->target.pod_uid, pod_uid))
            return e;
    }
    return NULL;
}

static void ack(struct sidecar_client *c, struct run_target target, int64_t attempt)
{
    struct errand *e = ack_batch(c, target.pod_uid);
    cleanup_free char *label = xasprintf("\"%s/%" PRId64 "\"", target.task_uid, attempt);

    if (e) {
        run_target_done(&target);
    } else {
        e = errand_new(c, target, attempt, ACK_TRIES, ack_send);
        c->ops->v->timer_set(c->ops, e->timer,
                             ops_now(c->ops).mono_ns + ACK_WAIT_MS * NSEC_PER_MSEC);
    }
    buf_printf(&e->acks, "%s%s", e->acks.len ? "," : "", label);
    if (e->acks.len > ACK_BATCH_BYTES - 128) {
        c->ops->v->timer_set(c->ops, e->timer, 0);
        ack_send(e);
    }
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
        cancel_start(c, target, r->result->attempt);
    else
        ack(c, target, r->result->attempt);
    run_free(r);
}

/* ---- auditing -------------------------------------------------------------------------------- */

static bool task_is_wanted(const struct world *w, const char *ns, const char *label)
{
    const struct meta *m;
    size_t pos = 0, len = strcspn(label, "/");

    while ((m = store_next(w->tasks, &pos)))
        if (strcmp(m->ns, ns) == 0 && strlen(m->uid) == len && strncmp(m->uid, label, len) == 0)
            return true;
    return false;
}

static void on_doubt(void *arg, struct kube_result *res)
{
    struct errand *e = arg;

    e->read = NULL;
    if (res->reason != KUBE_OK && res->reason != KUBE_NOT_FOUND) {
        errand_again(e);
        return;
    }
    if (res->reason == KUBE_NOT_FOUND || !str_eq(res->object->uid, e->target.task_uid)) {
        log_warn("cancelling what belongs to no task", "task", e->name, "uid", e->target.task_uid,
                 "address", e->target.address, NULL);
        cancel_start(e->c, e->target, e->attempt);
        e->target = (struct run_target){0};
    }
    errand_free(e);
}

static void doubt_send(void *arg)
{
    struct errand *e = arg;

    e->read = kube_get(e->c->ops, &api_task, e->ns, e->name, on_doubt, e);
}

/* What runs and is not in the cache may be of a task that the watch has yet to tell of: another
 * operator began it a moment ago. Only the API server knows. */
static void audit_one(struct errand *e, struct json_object *running)
{
    const char *label = str_or_empty(json_get_str(running, "attempt"));
    const char *name = strchr(str_or_empty(json_get_str(running, "task")), '/');
    const char *slash = strchr(label, '/');
    struct errand *doubt;

    if (!slash || !name)
        return;
    str_set(&e->running, xmemdup0(label, (size_t)(slash - label)));
    if (task_is_wanted(e->c->opts.world, e->ns, label))
        return;
    doubt = errand_new(e->c, run_target_copy(&e->target, xmemdup0(label, (size_t)(slash - label))),
                       strtoll(slash + 1, NULL, 10), AUDIT_TRIES, doubt_send);
    doubt->ns = xstrdup(e->ns);
    doubt->name = xstrdup(name + 1);
    doubt_send(doubt);
}

static void on_audited(void *arg, const struct ops_response *resp)
{
    cleanup_json struct json_object *obj = NULL;
    struct errand *e = arg;

    e->call = NULL;
    if (resp->error == 0 && resp->status == 200 &&
        json_parse(resp->body, resp->body_len, &obj, NULL) == 0) {
        struct json_object *running = json_get(obj, "running");
        size_t n = json_array_len(running);

        for (size_t i = 0; i < n; i++)
            audit_one(e, json_object_array_get_idx(running, i));
        errand_free(e);
        return;
    }
    errand_again(e);
}

static void audit_send(void *arg)
{
    static const struct ops_handler handler = {NULL, on_audited};
    struct errand *e = arg;
    struct signed_request sr = {.path = "/v1/tasks"};

    errand_request(e, "GET", NULL, &sr, &handler);
}

/* Not entered again from inside: an audit that cannot be signed ends at once. */
static void audits_go_on(struct sidecar_client *c)
{
    if (c->in_audits)
        return;
    c->in_audits = true;
    while (c->audits < AUDITS_AT_ONCE && !list_empty(&c->audits_waiting)) {
        struct errand *e = list_first(&c->audits_waiting, struct errand, node);

        list_remove(&e->node);
        list_push_back(&c->errands, &e->node);
        e->audit = true;
        c->audits++;
        audit_send(e);
    }
    c->in_audits = false;
}

void sidecar_client_audit(struct sidecar_client *c, const char *ns, const char *sandbox)
{
    char key[META_KEY_MAX];
    const struct sandbox *s;
    const struct pod *p;
    struct errand *e;

    meta_key(key, ns, sandbox);
    s = world_sandbox(c->opts.world, key);
    p = s ? world_sandbox_pod(c->opts.world, s) : NULL;
    if (!p || !p->ip) {
        world_audited(c->opts.world, ns, sandbox, s ? s->meta.uid : NULL, NULL);
        return;
    }
    e = errand_new(c, target_of(NULL, s, p), 0, AUDIT_TRIES, audit_send);
    e->ns = xstrdup(ns);
    e->name = xstrdup(sandbox);
    list_remove(&e->node);
    list_push_back(&c->audits_waiting, &e->node);
    audits_go_on(c);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sidecar_client *sidecar_client_new(struct ops *ops, const struct sidecar_client_opts *opts)
{
    struct sidecar_client *c = xcalloc(1, sizeof(*c));

    c->ops = ops;
    c->opts = *opts;
    list_init(&c->streams);
    list_init(&c->errands);
    list_init(&c->audits_waiting);
    return c;
}

void sidecar_client_free(struct sidecar_client *c)
{
    if (!c)
        return;
    list_for_each_safe (it, &c->streams)
        stream_free(list_entry(it, struct stream, node));
    c->in_audits = true; /* no more of them */
    list_for_each_safe (it2, &c->audits_waiting)
        errand_free(list_entry(it2, struct errand, node));
    list_for_each_safe (it3, &c->errands)
        errand_free(list_entry(it3, struct errand, node));
    free(c);
}

void sidecar_client_metrics(const struct sidecar_client *c, struct buf *out)
{
    static const struct {
        const char *name;
        const char *help;
        size_t offset;
    } rows[] = {
        {"arl_task_attempts_total", "Task attempts started or attached to.",
         offsetof(struct sidecar_client, started)},
        {"arl_task_attaches_total", "Streams of tasks that were attached to again.",
         offsetof(struct sidecar_client, attached_again)},
        {"arl_agents_lost_total", "Attempts that ended because the agent did not answer.",
         offsetof(struct sidecar_client, lost)},
        {"arl_task_cancels_total", "Attempts that were cancelled.",
         offsetof(struct sidecar_client, cancels)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metrics_head(out, rows[i].name, "counter", rows[i].help);
        metrics_value(out, rows[i].name, NULL,
                      (double)*(const uint64_t *)(const void *)((const char *)c + rows[i].offset));
    }
    metrics_head(out, "arl_task_seconds", "histogram", "How long attempts ran.");
    metrics_histogram(out, "arl_task_seconds", &c->task_time);
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
