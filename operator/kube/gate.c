#include "operator/kube/gate.h"

#include <errno.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "operator/kube/client.h"
#include "operator/kube/gate_step.h"
#include "operator/kube/status.h"
#include "operator/seam/request.h"

struct gate {
    struct ops ops;
    struct ops *inner;
    struct gate_opts opts;
    struct gate_machine machine;
    struct ops_timer *timer;
    struct list line;    /* calls that wait */
    struct list refused; /* calls that found the line full; they fail from the loop */
    struct list sent;
    unsigned line_len;
    size_t line_bytes;
    uint64_t outages;
};

enum call_state { CALL_IN_LINE, CALL_REFUSED, CALL_SENT, CALL_ENDED };

/* In the order in which they may go. */
enum priority { PRIORITY_LEASE, PRIORITY_READ, PRIORITY_WRITE, PRIORITY_WATCH, PRIORITY_EVENT };

struct gate_call {
    struct list link;
    struct gate *gate;
    enum call_state state;
    struct ops_call *call; /* SENT: the inner one */
    struct ops_handler handler;
    void *arg;
    struct ops_request *req; /* a copy of a request that has been in the line; NULL: it never was */
    enum priority priority;
    unsigned tries;
    uint64_t path;
    uint64_t ns; /* a write's: the same number for all objects of a namespace */
    bool is_api;
    bool is_read;
    bool stream;
    bool opened; /* a stream that has told something */
};

static void let_go(struct gate *g, unsigned count);

/* ---- requests -------------------------------------------------------------------------------- */

/* The path without the parts that differ from one try to the next. */
static uint64_t path_number(const char *path)
{
    return hash_bytes(HASH_INIT, path, strcspn(path, "?"));
}

/* The namespace of a path; without one: the path. */
static uint64_t ns_number(const char *path)
{
    static const char word[] = "/namespaces/";
    const char *ns = strstr(path, word);

    if (!ns)
        return path_number(path);
    ns += strlen(word);
    return hash_bytes(HASH_INIT, ns, MIN(strcspn(ns, "/?"), LIMIT_NAME_BYTES));
}

static enum priority priority_of(const struct ops_request *req)
{
    if (request_is_lease(req))
        return PRIORITY_LEASE;
    if (req->stream)
        return PRIORITY_WATCH;
    if (strcmp(req->method, "GET") == 0)
        return PRIORITY_READ;
    return strcmp(req->method, "POST") == 0 && strstr(req->path, "/events?") ? PRIORITY_EVENT
                                                                             : PRIORITY_WRITE;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void note(struct gate *g, int level, const char *what, const char *why)
{
    cleanup_free char *msg = xasprintf("%s%s", what, why);

    if (g->opts.on_note)
        g->opts.on_note(g->opts.arg, level, msg);
}

static void note_move(struct gate *g, enum gate_state from, const char *why)
{
    char took[DURATION_MAX];

    if (from == GATE_OPEN && g->machine.state == GATE_SHUT) {
        g->outages++;
        note(g, LOG_WARN, why, "");
        if (g->opts.on_turn)
            g->opts.on_turn(g->opts.arg);
    } else if (from == GATE_SHUT && g->machine.state != GATE_SHUT) {
        duration_format(took, (ops_now(g->inner).mono_ns - g->machine.shut_ns) / NSEC_PER_MSEC *
                                  NSEC_PER_MSEC);
        note(g, LOG_INFO, "the API server is back after ", took);
        if (g->opts.on_turn)
            g->opts.on_turn(g->opts.arg);
    }
}

static unsigned step(struct gate *g, struct gate_event ev, const char *why)
{
    enum gate_state from = g->machine.state;
    uint64_t jitter = 0;
    unsigned count;

    /* Nothing by chance while all is well. */
    if (from != GATE_OPEN || ev.type == GATE_EV_BAD)
        ops_random(g->inner, &jitter, sizeof(jitter));
    ev.held = g->line_len;
    count = gate_step(&g->machine, &ev, ops_now(g->inner), jitter);
    note_move(g, from, why);
    return count;
}

static void arm(struct gate *g)
{
    int64_t due_ns = g->line_len > 0 ? g->machine.next_ns : 0;

    if (!list_empty(&g->refused))
        due_ns = ops_now(g->inner).mono_ns;
    g->inner->v->timer_set(g->inner, g->timer, due_ns);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct gate_call *c)
{
    list_remove(&c->link);
    request_free(c->req);
    free(c);
}

static void call_end(struct gate_call *c, const struct ops_response *resp)
{
    c->state = CALL_ENDED;
    c->handler.on_done(c->arg, resp);
    call_free(c);
}

static void line_add(struct gate_call *c)
{
    struct gate *g = c->gate;

    c->state = CALL_IN_LINE;
    list_remove(&c->link);
    list_push_back(&g->line, &c->link);
    g->line_len++;
    g->line_bytes += c->req->body_len;
}

static void line_remove(struct gate_call *c)
{
    c->gate->line_len--;
    c->gate->line_bytes -= c->req->body_len;
    list_remove(&c->link);
}

static struct gate_call *line_first(const struct gate *g)
{
    struct gate_call *best = NULL;

    list_for_each (it, &g->line) {
        struct gate_call *c = list_entry(it, struct gate_call, link);

        if (!best || c->tries < best->tries ||
            (c->tries == best->tries && c->priority < best->priority))
            best = c;
    }
    return best;
}

/* A watch that is answered says so long before its first event. */
static void opened(struct gate_call *c)
{
    unsigned count;

    if (c->opened || !c->is_api)
        return;
    c->opened = true;
    count = step(c->gate, (struct gate_event){.type = GATE_EV_GOOD}, "");
    let_go(c->gate, count);
}

static void on_open(void *arg)
{
    struct gate_call *c = arg;

    opened(c);
    if (c->handler.on_open)
        c->handler.on_open(c->arg);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct gate_call *c = arg;

    opened(c);
    c->handler.on_data(c->arg, data, len);
}

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

/* A server that has just begun answers so to watches of a kind until its cache of that kind is
 * filled, and takes everything else. */
static bool is_cache_not_ready(const struct gate_call *c, const struct ops_response *resp)
{
    return c->stream && !resp->error && resp->status == 429;
}

/* Whether the object itself is the reason of the failure: some such failures come as 500. */
static bool is_own_fault(const struct gate_call *c, const struct ops_response *resp)
{
    struct kube_status status;
    bool own;

    if (c->is_read || resp->error || resp->status < 500)
        return false;
    kube_status_of_answer(resp, &status);
    own = status.reason == KUBE_TOO_LARGE || status.reason == KUBE_WEBHOOK_FAILED;
    kube_status_done(&status);
    return own;
}

/* What the end of a call says about the server as a whole. A stream that was accepted and cut later
 * says nothing yet. */
static bool says_good(const struct gate_call *c, const struct ops_response *resp)
{
    if (is_cache_not_ready(c, resp))
        return c->gate->machine.state == GATE_OPENING;
    if (is_own_fault(c, resp))
        return true;
    return !(c->stream && is_success(resp->status)) && !resp->error && resp->status < 500 &&
           resp->status != 429 && resp->status != 401;
}

static bool says_bad(const struct gate_call *c, const struct ops_response *resp)
{
    if (is_success(resp->status))
        return false;
    if (is_cache_not_ready(c, resp))
        return c->gate->machine.state == GATE_SHUT; /* it was let go to find out, and has not */
    /* EINVAL, EMSGSIZE and similar errors are the fault of the request. */
    if (resp->error)
        return resp->error != -EINVAL && resp->error != -EMSGSIZE;
    if (is_own_fault(c, resp))
        return false;
    /* 401 is about who we are, so it concerns all requests alike. */
    return resp->status >= 500 || resp->status == 429 || resp->status == 401;
}

/* The number that stands for the path, for the count of different paths. A write may fail because
 * of its object, or because of its namespace. So all failed writes of a namespace count as one
 * path. A server that is ill also fails the lease, reads and other namespaces. */
static uint64_t bad_path(const struct gate_call *c, const struct ops_response *resp)
{
    bool of_server = c->is_read || c->priority == PRIORITY_LEASE ||
                     (resp->error ? !(resp->error == -ETIMEDOUT && resp->maybe_sent)
                                  : resp->status == 401 || resp->status == 429 ||
                                        resp->status == 502 || resp->status == 503);

    return of_server ? c->path : c->ns;
}

static bool surely_without_effect(const struct gate_call *c, const struct ops_response *resp)
{
    return c->is_read || resp->status == 429 || resp->status == 401 ||
           (resp->error && !resp->maybe_sent);
}

/* For people, if this is what shuts the gate. */
static char *reason(const struct ops_response *resp)
{
    if (resp->error == -EACCES)
        return xasprintf("no credential for the API server, requests wait: %s", resp->error_msg);
    if (resp->error)
        return xasprintf("the API server is down, requests wait: %s", resp->error_msg);
    return xasprintf("the API server %s, requests wait: HTTP status %d",
                     resp->status == 401 ? "refuses our credentials" : "is down", resp->status);
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct gate_call *c = arg;
    struct gate *g = c->gate;
    cleanup_free char *why = NULL;
    bool bad = c->is_api && says_bad(c, resp);
    unsigned count = 0;

    c->call = NULL;
    if (bad) {
        why = reason(resp);
        step(g,
             (struct gate_event){.type = GATE_EV_BAD,
                                 .path = bad_path(c, resp),
                                 .retry_after_ms = resp->retry_after_ms},
             why);
    } else if (c->is_api && says_good(c, resp)) {
        count = step(g, (struct gate_event){.type = GATE_EV_GOOD}, "");
    }
    let_go(g, count);
    if (bad && c->req && g->machine.state != GATE_OPEN && surely_without_effect(c, resp)) {
        c->tries++;
        line_add(c);
        arm(g);
        return;
    }
    call_end(c, resp);
}

static void send(struct gate_call *c, const struct ops_request *req)
{
    const struct ops_handler handler = {.on_open = c->stream ? on_open : NULL,
                                        .on_data = c->stream ? on_data : NULL,
                                        .on_done = on_done};

    c->state = CALL_SENT;
    list_push_back(&c->gate->sent, &c->link);
    c->call = ops_start(c->gate->inner, req, &handler, c);
}

static void let_go(struct gate *g, unsigned count)
{
    struct gate_call *c;

    while (count-- > 0 && (c = line_first(g))) {
        line_remove(c);
        send(c, c->req);
    }
    if (g->machine.state != GATE_OPEN)
        arm(g);
}

static void on_timer(void *arg)
{
    static const struct ops_response full = {
        .body = "",
        .retry_after_ms = -1,
        .error = -EAGAIN,
        .error_msg = "the API server is down, and too many requests wait for it already",
    };
    struct gate *g = arg;
    unsigned count = step(g, (struct gate_event){.type = GATE_EV_TIMER}, "");
    struct list told;

    let_go(g, count);
    /* The callback may send new requests at once, so it is called in the next turn. */
    list_init(&told);
    while (!list_empty(&g->refused)) {
        struct gate_call *c = list_first(&g->refused, struct gate_call, link);

        list_remove(&c->link);
        list_push_back(&told, &c->link);
    }
    while (!list_empty(&told))
        call_end(list_first(&told, struct gate_call, link), &full);
    arm(g);
}

/* ---- struct ops ------------------------------------------------------------------------------ */

static struct gate *gate_of(struct ops *ops)
{
    return container_of(ops, struct gate, ops);
}

static void hold(struct gate_call *c, const struct ops_request *req)
{
    struct gate *g = c->gate;
    unsigned count;

    if (g->line_len >= GATE_LINE_MAX || g->line_bytes + req->body_len > GATE_LINE_BYTES) {
        c->state = CALL_REFUSED;
        list_push_back(&g->refused, &c->link);
        arm(g);
        return;
    }
    c->req = request_copy(req);
    line_add(c);
    count = step(g, (struct gate_event){.type = GATE_EV_ASKED}, "");
    let_go(g, count);
}

static struct ops_call *gate_start(struct ops *ops, const struct ops_request *req,
                                   const struct ops_handler *handler, void *arg)
{
    struct gate *g = gate_of(ops);
    struct gate_call *c = xcalloc(1, sizeof(*c));

    list_init(&c->link);
    c->gate = g;
    c->handler = *handler;
    c->arg = arg;
    c->is_api = req->target == OPS_API;
    c->stream = req->stream;
    if (c->is_api) {
        c->is_read = strcmp(req->method, "GET") == 0;
        c->path = path_number(req->path);
        c->ns = ns_number(req->path);
        c->priority = priority_of(req);
    }
    if (c->is_api && g->machine.state != GATE_OPEN)
        hold(c, req);
    else
        send(c, req);
    return (struct ops_call *)c;
}

static void gate_cancel(struct ops *ops, struct ops_call *call)
{
    struct gate_call *c = (struct gate_call *)call;

    if (c->state == CALL_ENDED) /* inside its own on_done */
        return;
    if (c->state == CALL_SENT)
        ops_cancel(c->gate->inner, c->call);
    else if (c->state == CALL_IN_LINE)
        line_remove(c);
    arm(c->gate);
    call_free(c);
}

static struct now gate_now(struct ops *ops)
{
    return ops_now(gate_of(ops)->inner);
}

static void gate_random(struct ops *ops, void *out, size_t len)
{
    ops_random(gate_of(ops)->inner, out, len);
}

static struct ops_timer *gate_timer_new(struct ops *ops, void (*cb)(void *arg), void *arg)
{
    struct ops *inner = gate_of(ops)->inner;

    return inner->v->timer_new(inner, cb, arg);
}

static void gate_timer_set(struct ops *ops, struct ops_timer *t, int64_t mono_ns)
{
    struct ops *inner = gate_of(ops)->inner;

    inner->v->timer_set(inner, t, mono_ns);
}

static void gate_timer_free(struct ops *ops, struct ops_timer *t)
{
    struct ops *inner = gate_of(ops)->inner;

    inner->v->timer_free(inner, t);
}

static const struct ops_vtable vtable = {
    .start = gate_start,
    .cancel = gate_cancel,
    .now = gate_now,
    .random = gate_random,
    .timer_new = gate_timer_new,
    .timer_set = gate_timer_set,
    .timer_free = gate_timer_free,
};

/* ---- the whole ------------------------------------------------------------------------------- */

struct gate *gate_new(struct ops *inner, const struct gate_opts *opts)
{
    struct gate *g = xcalloc(1, sizeof(*g));

    g->ops.v = &vtable;
    g->inner = inner;
    if (opts)
        g->opts = *opts;
    list_init(&g->line);
    list_init(&g->refused);
    list_init(&g->sent);
    g->timer = inner->v->timer_new(inner, on_timer, g);
    return g;
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    assert(list_empty(&g->line) && list_empty(&g->refused) && list_empty(&g->sent));
    g->inner->v->timer_free(g->inner, g->timer);
    free(g);
}

struct ops *gate_ops(struct gate *g)
{
    return &g->ops;
}

void gate_metrics(const struct gate *g, struct buf *out)
{
    metrics_head(out, "arl_api_down", "gauge",
                 "1 while requests wait for the API server's return.");
    metrics_value(out, "arl_api_down", NULL, g->machine.state != GATE_OPEN);
    metrics_head(out, "arl_api_outages_total", "counter", "Times the API server was found down.");
    metrics_value(out, "arl_api_outages_total", NULL, (double)g->outages);
    metrics_head(out, "arl_api_requests_waiting", "gauge", "Requests that wait for its return.");
    metrics_value(out, "arl_api_requests_waiting", NULL, g->line_len);
}

void gate_debug(const struct gate *g, struct json_writer *w)
{
    json_w_object(w, "api");
    json_w_str(w, "state", gate_state_str(g->machine.state));
    if (g->machine.state != GATE_OPEN)
        json_w_int(w, "downMs", (ops_now(g->inner).mono_ns - g->machine.shut_ns) / NSEC_PER_MSEC);
    json_w_int(w, "requestsWaiting", g->line_len);
    json_w_end_object(w);
}
