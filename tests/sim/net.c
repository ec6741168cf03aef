/* What lies between an operator and the world: calls, streams, faults on the way. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/pb_write.h"
#include "tests/sim/net.h"

#define KEEPALIVE_MS 75000
/* A write takes place so long after its connection was lost: mostly after it was read back. */
#define LATE_MIN_MS 10
#define LATE_MAX_MS 3000
#define REPLY_MAX_BYTES (64u << 20)

static const char *const fault_names[FAULTS] = {"none",       "crash-before",
                                                "crash-sent", "crash-answered",
                                                "reset",      "reset-applied",
                                                "409",        "410",
                                                "429",        "500",
                                                "503",        "504-applied",
                                                "no-answer",  "no-answer-applied",
                                                "reset-late"};

const char *fault_str(enum fault f)
{
    return fault_names[f];
}

void msg_free(struct msg *m)
{
    if (!m)
        return;
    free(m->address);
    free(m->method);
    free(m->path);
    free(m->query);
    free(m->pod_uid);
    free(m->sandbox_uid);
    free(m->path_query);
    free(m->operator_key);
    free(m->signature_input);
    free(m->body);
    free(m->reply);
    free(m);
}

struct ops_call *net_find(struct sim *s, uint64_t number)
{
    for (int i = 0; i < SIM_PROCS; i++)
        list_for_each (it, &s->procs[i].calls) {
            struct ops_call *c = list_entry(it, struct ops_call, link);

            if (c->number == number)
                return c;
        }
    return NULL;
}

/* An operator that stands still gets everything when it goes on, in the order in which it came. */
static bool asleep(struct sim *s, const struct proc *p, sim_fn *fn, struct msg *m, uint64_t a)
{
    if (p->paused_until_ns <= s->now_ns)
        return false;
    sim_at(s, p->paused_until_ns, fn, m, a, 0);
    return true;
}

/* ---- the end of a call ----------------------------------------------------------------------- */

static void call_free(struct ops_call *c)
{
    list_remove(&c->link);
    buf_done(&c->out);
    free(c);
}

static void finish(struct ops_call *c, const struct ops_response *resp, bool crash)
{
    struct proc *p = c->p;

    list_remove(&c->link); /* what on_done() starts must not find it */
    c->handler.on_done(c->arg, resp);
    call_free(c);
    if (crash)
        p->doomed = p->muted = true;
    proc_after_callback(p);
}

static void finish_error(struct ops_call *c, int status, int error, bool maybe_sent)
{
    finish(c,
           &(struct ops_response){.status = status,
                                  .body = "",
                                  .retry_after_ms = -1,
                                  .error = error,
                                  .error_msg = strerror(-error),
                                  .maybe_sent = maybe_sent},
           false);
}

/* How many answers the operator has counted as not the agent's own; -1: it cannot be asked. */
static double disbelieved(const struct proc *p)
{
    static const char name[] = "\narl_agent_not_believed_total ";
    cleanup_buf struct buf out = BUF_INIT(1u << 20);
    const char *at;

    if (!p->m)
        return -1;
    manager_metrics(p->m, &out);
    at = strstr(buf_str(&out), name);
    return at ? strtod(at + strlen(name), NULL) : -1;
}

/* The operator has to count an answer that is not the agent's own. */
static void check_lie(struct sim *s, const struct msg *m, const struct proc *p, double before)
{
    double after = disbelieved(p);

    s->lies++;
    if (after >= 0 && after != before + 1)
        sim_fail(s, "op%d took what was not the agent's for its answer to %s %s", m->proc,
                 m->method, m->path);
}

/* The lease counts from when the operator asked for it: so the operator counts it, too. */
static void note_lease(const struct ops_call *c, const struct msg *m)
{
    if (m->target == OPS_API && m->status / 100 == 2 && !m->error &&
        strcmp(m->method, "GET") != 0 && strstr(m->path, "/leases"))
        c->p->lease_until_ns = c->begun_ns + LEASE_RENEW_DEADLINE_MS * SIM_MS;
}

static void on_reply(struct sim *s, struct msg *m, uint64_t a, uint64_t b)
{
    struct ops_call *c = net_find(s, m->call);
    const char *body = str_or_empty(m->reply);
    bool lied = m->lied && m->error == 0 && m->fault == FAULT_NONE;
    struct proc *p = c ? c->p : NULL;
    double before = -1;

    if (!c) {
        msg_free(m);
        return;
    }
    if (asleep(s, c->p, on_reply, m, 0))
        return;
    if (m->target == OPS_AGENT && (m->fault || m->lied))
        agent_ill(s, m->address);
    sim_note(s, "op%d %s %s -> %d%s", m->proc, m->method, m->path, m->status ? m->status : m->error,
             m->fault ? fault_str(m->fault) : "");
    note_lease(c, m);
    if (lied)
        before = disbelieved(p);
    finish(c,
           &(struct ops_response){.status = m->status,
                                  .body = body,
                                  .body_len = m->reply_len ? m->reply_len : strlen(body),
                                  .retry_after_ms = m->retry_after_ms,
                                  .error = m->error,
                                  .error_msg = m->error ? strerror(-m->error) : "",
                                  .maybe_sent = m->maybe_sent},
           m->fault == FAULT_CRASH_ANSWERED);
    if (lied)
        check_lie(s, m, p, before);
    msg_free(m);
}

/* ---- streams --------------------------------------------------------------------------------- */

bool stream_alive(struct sim *s, uint64_t call)
{
    const struct ops_call *c = net_find(s, call);

    return c && c->end == END_NOT;
}

static void pump(struct sim *s, struct msg *m, uint64_t number, uint64_t b);

static void pump_later(struct ops_call *c)
{
    struct sim *s = c->p->s;

    if (c->pumping)
        return;
    c->pumping = true;
    sim_at(s, s->now_ns + net_delay_ns(s), pump, NULL, c->number, 0);
}

/* Hands out n bytes of what waits; NULL: the call is no more. */
static struct ops_call *hand_out(struct ops_call *c, size_t n)
{
    struct proc *p = c->p;
    struct sim *s = p->s;
    uint64_t number = c->number;
    char *data;

    if (n == 0)
        return c;
    data = xmemdup0(c->out.data, n);
    buf_consume(&c->out, n);
    c->last_byte_ns = s->now_ns;
    c->handler.on_data(c->arg, data, n);
    free(data);
    proc_after_callback(p);
    return net_find(s, number);
}

static void pump(struct sim *s, struct msg *m, uint64_t number, uint64_t b)
{
    struct ops_call *c = net_find(s, number);
    size_t n;
    bool cut;

    if (!c || asleep(s, c->p, pump, NULL, number))
        return;
    c->pumping = false;
    cut = !s->quiet && c->out.len > 0 && sim_chance(s, s->cfg.cuts);
    if (cut && c->agent)
        c->agent->ill_ns = s->now_ns;
    n = c->out.len;
    if (cut || (n > 1 && sim_chance(s, 200)))
        n = sim_below(s, n + 1);
    c = hand_out(c, n);
    if (!c)
        return;
    if (cut || (c->out.len == 0 && c->end == END_CUT))
        finish_error(c, 200, -ECONNRESET, true);
    else if (c->out.len == 0 && c->end == END_CLEAN)
        finish(c,
               &(struct ops_response){
                   .status = 200, .body = "", .retry_after_ms = -1, .error_msg = ""},
               false);
    else if (c->out.len > 0)
        pump_later(c);
}

void stream_write(struct sim *s, uint64_t call, const char *data, size_t len)
{
    struct ops_call *c = net_find(s, call);

    if (!c || c->end != END_NOT)
        return;
    buf_append(&c->out, data, len);
    pump_later(c);
}

static void end_stream(struct sim *s, uint64_t call, enum stream_end how)
{
    struct ops_call *c = net_find(s, call);

    if (!c || c->end != END_NOT)
        return;
    c->end = how;
    pump_later(c);
}

void stream_end(struct sim *s, uint64_t call)
{
    end_stream(s, call, END_CLEAN);
}

void stream_reset(struct sim *s, uint64_t call)
{
    end_stream(s, call, END_CUT);
}

void stream_silence(struct sim *s, uint64_t call)
{
    struct ops_call *c = net_find(s, call);

    if (c && c->end == END_NOT)
        c->end = END_SILENT;
}

static void on_idle(struct sim *s, struct msg *m, uint64_t number, uint64_t b)
{
    struct ops_call *c = net_find(s, number);

    if (!c || asleep(s, c->p, on_idle, NULL, number))
        return;
    if (s->now_ns - c->last_byte_ns >= c->idle_ns)
        finish_error(c, c->answered ? 200 : 0, -ETIMEDOUT, true);
    else
        sim_at(s, c->last_byte_ns + c->idle_ns, on_idle, NULL, number, 0);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Turns the reply into protobuf if the operator asked for that, which it does for pods alone. */
static void encode(struct msg *m)
{
    cleanup_buf struct buf out = BUF_INIT(REPLY_MAX_BYTES);

    if (!m->pb || !m->reply)
        return;
    pb_write_answer(&out, &api_pod, m->reply, strlen(m->reply));
    m->reply_len = out.len;
    str_set(&m->reply, buf_steal(&out));
}

static void answer_later(struct sim *s, struct msg *m)
{
    encode(m);
    sim_at(s, s->now_ns + net_delay_ns(s), on_reply, m, 0, 0);
}

static void fail_later(struct sim *s, struct msg *m, int error, int64_t ms)
{
    m->status = 0;
    m->error = error;
    m->maybe_sent = true;
    sim_at(s, s->now_ns + ms * SIM_MS, on_reply, m, 0, 0);
}

/* TCP keepalive finds a dead connection sooner than the time-out of a watch. */
static int64_t hang_ms(const struct msg *m)
{
    return MIN(m->timeout_ms, KEEPALIVE_MS);
}

static bool refused_on_the_way(struct sim *s, struct msg *m)
{
    static const struct {
        enum fault fault;
        int code;
        const char *reason;
    } rows[] = {{FAULT_409, 409, "Conflict"},
                {FAULT_410, 410, "Expired"},
                {FAULT_429, 429, "TooManyRequests"},
                {FAULT_500, 500, "InternalError"},
                {FAULT_503, 503, "ServiceUnavailable"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (m->fault != rows[i].fault)
            continue;
        api_status(m, rows[i].code, rows[i].reason, "by chance");
        if (rows[i].code == 429)
            m->retry_after_ms = 1000;
        return true;
    }
    return false;
}

static bool refused_for_long(struct sim *s, struct msg *m)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{403, "Forbidden"}, {409, "Conflict"}, {422, "Invalid"}, {500, "InternalError"}};
    const char *path = s->cfg.refuse ? strchr(s->cfg.refuse, ' ') : NULL;

    if (!path || !strstr(m->path, path + 1) ||
        strlen(m->method) != (size_t)(path - s->cfg.refuse) ||
        strncmp(m->method, s->cfg.refuse, strlen(m->method)) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == s->cfg.refuse_status)
            api_status(m, s->cfg.refuse_status, reasons[i].reason, "by a policy");
    s->refused++;
    return true;
}

static void serve(struct sim *s, struct msg *m)
{
    m->retry_after_ms = -1;
    if (m->target == OPS_API)
        api_handle(s, m);
    else
        agent_handle(s, m);
}

/* The server had taken the request in, and acts on it long after the connection was lost. */
static void serve_late(struct sim *s, struct msg *m, uint64_t a, uint64_t b)
{
    s->late_pods += strcmp(m->method, "POST") == 0;
    s->late_claims += strcmp(m->method, "PATCH") == 0 && strstr(m->path, "/pods/");
    serve(s, m);
    sim_note(s, "op%d %s %s late -> %d", m->proc, m->method, m->path, m->status);
    msg_free(m);
}

static bool is_write(const struct msg *m)
{
    return m->target == OPS_API && strcmp(m->method, "GET") != 0;
}

static void lose_answer(struct sim *s, const struct msg *m)
{
    struct msg *lost = xcalloc(1, sizeof(*lost));

    lost->target = m->target;
    lost->call = m->call;
    lost->proc = m->proc;
    lost->method = xstrdup(m->method);
    lost->path = xstrdup(m->path);
    lost->fault = m->fault;
    lost->retry_after_ms = -1;
    fail_later(s, lost, -ECONNRESET, 1);
}

/* The request has come to its server. */
static void on_arrival(struct sim *s, struct msg *m, uint64_t a, uint64_t b)
{
    struct ops_call *c;

    if (m->fault == FAULT_RESET || m->fault == FAULT_HANG ||
        (m->fault == FAULT_RESET_LATE && !is_write(m))) {
        m->retry_after_ms = -1;
        fail_later(s, m, m->fault == FAULT_HANG ? -ETIMEDOUT : -ECONNRESET,
                   m->fault == FAULT_HANG ? hang_ms(m) : 1);
        return;
    }
    if (m->fault == FAULT_RESET_LATE && is_write(m)) {
        lose_answer(s, m);
        sim_at(s, s->now_ns + (LATE_MIN_MS + sim_below(s, LATE_MAX_MS - LATE_MIN_MS)) * SIM_MS,
               serve_late, m, 0, 0);
        return;
    }
    m->retry_after_ms = -1;
    if (refused_on_the_way(s, m) || refused_for_long(s, m)) {
        answer_later(s, m);
        return;
    }
    serve(s, m);
    if (m->error) { /* nobody listens at this address */
        fail_later(s, m, m->error, m->error == -ETIMEDOUT ? hang_ms(m) : 1);
        return;
    }
    c = m->stream && m->status == 200 ? net_find(s, m->call) : NULL;
    if (c)
        c->answered = true;
    if (m->fault == FAULT_RESET_APPLIED || m->fault == FAULT_HANG_APPLIED) {
        fail_later(s, m, m->fault == FAULT_RESET_APPLIED ? -ECONNRESET : -ETIMEDOUT,
                   m->fault == FAULT_RESET_APPLIED ? 1 : hang_ms(m));
        return;
    }
    if (m->fault == FAULT_504_APPLIED) {
        m->reply_len = 0;
        api_status(m, 504, "Timeout", "request did not complete within the allotted timeout");
    }
    if (m->stream && m->status == 200)
        msg_free(m); /* what is written to the stream is the answer */
    else
        answer_later(s, m);
}

static enum fault by_chance(struct sim *s, enum ops_target target)
{
    static const enum fault agent[] = {FAULT_RESET,       FAULT_RESET_APPLIED, FAULT_500,
                                       FAULT_503,         FAULT_504_APPLIED,   FAULT_HANG,
                                       FAULT_HANG_APPLIED};

    if (sim_chance(s, s->cfg.crashes))
        return FAULT_CRASH_BEFORE + sim_below(s, 3);
    if (target == OPS_API)
        return sim_chance(s, s->cfg.api_faults) ? FAULT_RESET + sim_below(s, FAULTS - FAULT_RESET)
                                                : FAULT_NONE;
    return sim_chance(s, s->cfg.agent_faults) ? agent[sim_below(s, ARRAY_SIZE(agent))] : FAULT_NONE;
}

static enum fault choose_fault(struct sim *s, const struct ops_request *req)
{
    enum fault f = s->cfg.fault;

    if (s->cfg.fault_at != s->calls)
        return s->quiet ? FAULT_NONE : by_chance(s, req->target);
    /* An agent's 409 and 410 are statements about an attempt, not accidents. */
    if (req->target == OPS_AGENT && (f == FAULT_409 || f == FAULT_410))
        return FAULT_NONE;
    /* A read that hangs keeps all news from the operator for half a minute and more. Sandboxes and
     * tasks are given up meanwhile. */
    if (req->target == OPS_API && strcmp(req->method, "GET") == 0 &&
        (f == FAULT_HANG || f == FAULT_HANG_APPLIED))
        return FAULT_RESET;
    return f;
}

static char *header_of(const struct ops_request *req, const char *name)
{
    size_t len = strlen(name);

    for (const char *const *h = req->headers; h && *h; h++)
        if (strncmp(*h, name, len) == 0 && (*h)[len] == ':')
            return xstrdup(*h + len + 2);
    return NULL;
}

/* In every second run the API server has JSON only. */
static bool takes_pb(const struct sim *s, const struct ops_request *req)
{
    return s->cfg.seed % 2 == 1 && strstr(str_or_empty(req->accept), "protobuf");
}

static struct msg *msg_new(const struct ops_call *c, const struct ops_request *req)
{
    struct msg *m = xcalloc(1, sizeof(*m));
    const char *query = strchr(req->path, '?');

    m->target = req->target;
    m->call = c->number;
    m->proc = c->p->index;
    m->life = c->p->life;
    m->active_ns = c->p->active_ns;
    m->address = xstrdup(req->address);
    m->method = xstrdup(req->method);
    m->path = xmemdup0(req->path, query ? (size_t)(query - req->path) : strlen(req->path));
    m->query = query ? xstrdup(query + 1) : NULL;
    m->pod_uid = header_of(req, "Arl-Pod-Uid");
    m->sandbox_uid = header_of(req, "Arl-Sandbox-Uid");
    m->operator_key = header_of(req, "Arl-Operator-Key");
    m->signature_input = header_of(req, "Signature-Input");
    m->path_query = xstrdup(req->path);
    m->body = xmemdup0(req->body_len ? req->body : "", req->body_len);
    m->body_len = req->body_len;
    m->stream = req->stream;
    m->pb = takes_pb(c->p->s, req);
    m->timeout_ms = req->timeout_ms          ? req->timeout_ms
                    : req->answer_timeout_ms ? req->answer_timeout_ms
                                             : req->idle_timeout_ms;
    m->retry_after_ms = -1;
    return m;
}

static void count_write(struct sim *s, const struct ops_request *req)
{
    const char *pod = strstr(req->path, "/pods/"), *box = strstr(req->path, "/sandboxes/");
    bool deletes = strcmp(req->method, "DELETE") == 0;
    cleanup_free char *body = xmemdup0(req->body_len ? req->body : "", req->body_len);

    if (pod && deletes)
        map_put(&s->doomed_pods, pod + strlen("/pods/"), s);
    if (pod && deletes)
        forged_deleted(s, pod + strlen("/pods/"));
    if (box && deletes)
        oracle_expires(s, box + strlen("/sandboxes/"), body);
    if (req->target == OPS_API && strcmp(req->method, "GET") != 0 && !strstr(req->path, "/leases"))
        s->writes++;
}

/* An operator looks at its clock before it writes: one that has stood still must not go on as if no
 * time had passed. What it sent before its lease ran out may still arrive later. */
static void check_lease(struct sim *s, const struct proc *p, const struct ops_request *req)
{
    bool writes = req->target == OPS_API && strcmp(req->method, "GET") != 0 &&
                  !strstr(req->path, "/leases") && !strstr(req->path, "/events");

    if (s->cfg.leases && writes && s->now_ns >= p->lease_until_ns)
        sim_fail(s, "op%d writes %s, though its lease has run out", p->index, req->path);
}

void net_check_streams(struct sim *s, const struct proc *p)
{
    size_t n = 0;

    list_for_each (it, &p->calls)
        n += list_entry(it, struct ops_call, link)->of_task;
    if (s->policy.streams && n > s->policy.streams)
        sim_fail(s, "op%d has %zu streams open, %zu are the most", p->index, n, s->policy.streams);
}

static struct ops_call *net_start(struct ops *ops, const struct ops_request *req,
                                  const struct ops_handler *handler, void *arg)
{
    struct proc *p = container_of(ops, struct proc, ops);
    struct sim *s = p->s;
    struct ops_call *c = xcalloc(1, sizeof(*c));
    struct msg *m;

    c->p = p;
    c->number = ++s->calls;
    c->handler = *handler;
    c->arg = arg;
    c->idle_ns = req->idle_timeout_ms * SIM_MS;
    c->last_byte_ns = c->begun_ns = s->now_ns;
    buf_init(&c->out, 8u << 20);
    list_push_back(&p->calls, &c->link);
    c->of_task = req->target == OPS_AGENT && req->stream;
    if (p->muted)
        return c;
    check_lease(s, p, req);
    m = msg_new(c, req);
    m->fault = choose_fault(s, req);
    sim_note(s, "op%d call %" PRIu64 " %s %s%s%s", p->index, c->number, req->method, req->path,
             m->fault ? " " : "", m->fault ? fault_str(m->fault) : "");
    if (m->fault == FAULT_CRASH_BEFORE || m->fault == FAULT_CRASH_SENT)
        p->doomed = p->muted = true;
    if (m->fault == FAULT_CRASH_BEFORE) {
        msg_free(m);
        return c;
    }
    count_write(s, req);
    if (req->stream)
        sim_at(s, s->now_ns + c->idle_ns, on_idle, NULL, c->number, 0);
    sim_at(s, s->now_ns + net_delay_ns(s), on_arrival, m, 0, 0);
    return c;
}

static void net_cancel(struct ops *ops, struct ops_call *c)
{
    call_free(c);
}

int64_t net_delay_ns(struct sim *s)
{
    return sim_between(s, 300, s->quiet ? 3000 : s->cfg.answer_delay_ms * 1000) * 1000;
}

const struct ops_vtable net_vtable = {
    .start = net_start,
    .cancel = net_cancel,
    .now = proc_now,
    .random = proc_random,
    .timer_new = proc_timer_new,
    .timer_set = proc_timer_set,
    .timer_free = proc_timer_free,
};
