#include "operator/seam/ops_uv.h"

#include <errno.h>
#include <sys/random.h>

#include <uv.h>

#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/io/http_client.h"
#include "operator/auth/credentials.h"
#include "operator/seam/request.h"

/* The most bytes of an agent's answer that is not a stream: sealed, with room for frames. */
#define AGENT_RESPONSE_BYTES (LIMIT_AGENT_ANSWER_BYTES + 4096)
/* The text of an error instead of a stream. */
#define STREAM_ERROR_BYTES (64u << 10)
#define HEADERS_MAX (REQUEST_HEADERS_MAX + 3) /* and what this side knows */
/* Idle connections to sidecars: the next task of the same sandbox needs no new one. */
#define AGENT_CONNECTIONS_KEPT 32

struct ops_uv {
    struct ops ops;
    uv_loop_t *loop;
    struct http_client *http;   /* to the API server */
    struct http_client *lease;  /* the same, for the lease alone: never behind other requests */
    struct http_client *agents; /* to sidecars */
    struct credentials *credentials;
    struct ops_uv_opts opts;
    struct list calls;
    struct list held; /* calls that wait for the first credential */
    unsigned held_len;
    bool new_tls; /* and nobody was told yet */
    uv_timer_t tell;
    unsigned handles;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct ops_call {
    struct list link;
    struct ops_uv *u;
    enum ops_target target;
    struct http_call *http;
    struct ops_request *held; /* a copy, while it waits */
    bool too_many;
    unsigned serial; /* of the credential that it was sent with */
    struct ops_handler handler;
    void *arg;
};

struct ops_timer {
    uv_timer_t uv;
    void (*cb)(void *arg);
    void *arg;
    int64_t due_ns;
};

static void on_tell(uv_timer_t *timer);

static struct ops_uv *uv_of(struct ops *ops)
{
    return container_of(ops, struct ops_uv, ops);
}

/* ---- credentials ----------------------------------------------------------------------------- */

static void apply_tls(struct ops_uv *u)
{
    const struct kube_config *config = credentials_config(u->credentials);
    const struct http_tls tls = {.ca_pem = config->ca_pem,
                                 .cert_pem = config->cert_pem,
                                 .key_pem = config->key_pem,
                                 .server_name = config->server_name,
                                 .insecure_skip_verify = config->insecure_skip_verify};

    http_client_set_tls(u->http, &tls);
    http_client_set_tls(u->lease, &tls);
}

/* Watches are begun again with the new certificates, from the loop: an answer may be on its way to
 * one of them. A new token alone ends none: the old one was good when it began. */
static void on_tls(void *arg)
{
    struct ops_uv *u = arg;

    apply_tls(u);
    u->new_tls = true;
    uv_timer_start(&u->tell, on_tell, 0, 0);
}

static void on_note(void *arg, int level, const char *msg)
{
    struct ops_uv *u = arg;

    if (u->opts.on_note)
        u->opts.on_note(u->opts.arg, level, msg);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct ops_call *call)
{
    list_remove(&call->link);
    if (call->held)
        call->u->held_len--;
    request_free(call->held);
    free(call);
}

static void on_open(void *arg)
{
    struct ops_call *call = arg;

    call->handler.on_open(call->arg);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct ops_call *call = arg;

    call->handler.on_data(call->arg, data, len);
}

static void on_done(void *arg, const struct http_response *r)
{
    struct ops_call *call = arg;
    struct ops_response resp = {
        .status = r->status,
        .body = r->body,
        .body_len = r->body_len,
        .retry_after_ms = r->retry_after_ms,
        .error = r->error,
        .error_msg = r->error_msg,
        .maybe_sent = r->maybe_sent,
    };

    /* The caller sends it again, with the new credential then. */
    if (call->target == OPS_API && r->status == 401)
        credentials_refused(call->u->credentials, call->serial);
    else if (call->target == OPS_API && r->error == -EPROTO)
        credentials_doubted(call->u->credentials);
    call->http = NULL;
    call->handler.on_done(call->arg, &resp);
    call_free(call);
}

/* The request's own headers, and what this side knows. */
struct headers {
    const char *list[HEADERS_MAX + 1];
    size_t count;
    char *type;
    char *accept;
    char *auth;
};

static void headers_add(struct headers *h, const char *line)
{
    assert(h->count < HEADERS_MAX);
    h->list[h->count++] = line;
}

static void headers_init(struct headers *h, const struct ops_uv *u, const struct ops_request *req)
{
    const struct kube_config *config = credentials_config(u->credentials);

    *h = (struct headers){0};
    for (const char *const *line = req->headers; line && *line; line++)
        headers_add(h, *line);
    if (req->content_type) {
        h->type = xasprintf("Content-Type: %s", req->content_type);
        headers_add(h, h->type);
    }
    if (req->target != OPS_API)
        return;
    h->accept = xasprintf("Accept: %s", req->accept ? req->accept : "application/json");
    headers_add(h, h->accept);
    if (config->token) {
        h->auth = xasprintf("Authorization: Bearer %s", config->token);
        headers_add(h, h->auth);
    }
}

static void headers_done(struct headers *h)
{
    free(h->type);
    free(h->accept);
    if (h->auth)
        explicit_bzero(h->auth, strlen(h->auth));
    free(h->auth);
}

static size_t response_max(const struct ops_request *req)
{
    if (req->stream)
        return STREAM_ERROR_BYTES;
    return req->target == OPS_API ? LIMIT_RESPONSE_BYTES : AGENT_RESPONSE_BYTES;
}

static struct http_client *client_of(const struct ops_uv *u, const struct ops_request *req)
{
    if (req->target != OPS_API)
        return u->agents;
    return request_is_lease(req) && !req->stream ? u->lease : u->http;
}

static void call_send(struct ops_call *call, const struct ops_request *req)
{
    struct ops_uv *u = call->u;
    const struct http_handler http_handler = {
        .on_open = call->handler.on_open ? on_open : NULL, .on_data = on_data, .on_done = on_done};
    const struct kube_config *config = credentials_config(u->credentials);
    bool is_api = req->target == OPS_API;
    cleanup_free char *url = xasprintf("%s%s%s", is_api ? config->server : "http://",
                                       is_api ? "" : req->address, req->path);
    struct headers headers;

    call->serial = credentials_serial(u->credentials);
    list_push_back(&u->calls, &call->link);
    headers_init(&headers, u, req);
    call->http =
        http_client_start(client_of(u, req),
                          &(struct http_request){.method = req->method,
                                                 .url = url,
                                                 .headers = headers.list,
                                                 .body = req->body,
                                                 .body_len = req->body_len,
                                                 .stream = req->stream,
                                                 .own_connection = is_api && req->stream,
                                                 .urgency = req->urgency,
                                                 .group = req->group,
                                                 .proxy = is_api ? config->proxy : NULL,
                                                 .timeout_ms = req->timeout_ms,
                                                 .answer_timeout_ms = req->answer_timeout_ms,
                                                 .idle_timeout_ms = req->idle_timeout_ms,
                                                 .max_response = response_max(req)},
                          &http_handler, call);
    headers_done(&headers);
}

/* ---- calls that wait for a credential -------------------------------------------------------- */

static void call_hold(struct ops_call *call, const struct ops_request *req)
{
    struct ops_uv *u = call->u;

    call->held = request_copy(req);
    call->too_many = ++u->held_len > OPS_HELD_MAX;
    list_push_back(&u->held, &call->link);
    if (call->too_many || credentials_way(u->credentials) != EXEC_WAIT)
        uv_timer_start(&u->tell, on_tell, 0, 0);
}

static void call_fail(struct ops_call *call)
{
    const struct ops_response resp = {
        .body = "",
        .retry_after_ms = -1,
        .error = call->too_many ? -EAGAIN : -EACCES,
        .error_msg = call->too_many ? "too many requests wait for a credential already"
                                    : credentials_why(call->u->credentials),
    };

    call->u->held_len--;
    request_free(call->held);
    call->held = NULL;
    call->handler.on_done(call->arg, &resp);
    call_free(call);
}

static void call_release(struct ops_call *call)
{
    struct ops_request *req = call->held;

    call->held = NULL;
    call->u->held_len--;
    list_remove(&call->link);
    call_send(call, req);
    request_free(req);
}

/* A call that ends may cancel other calls, and its callback may send new ones: so this is done
 * later. */
static void settle_held(struct ops_uv *u)
{
    struct list waiting;

    list_init(&waiting);
    while (!list_empty(&u->held)) {
        struct list *first = u->held.next;

        list_remove(first);
        list_push_back(&waiting, first);
    }
    while (!list_empty(&waiting)) {
        struct ops_call *call = list_first(&waiting, struct ops_call, link);
        enum exec_way way = credentials_way(u->credentials);

        if (call->too_many || way == EXEC_FAIL) {
            call_fail(call);
        } else if (way == EXEC_SEND) {
            call_release(call);
        } else {
            list_remove(&call->link);
            list_push_back(&u->held, &call->link);
        }
    }
}

static void on_tell(uv_timer_t *timer)
{
    struct ops_uv *u = timer->data;
    bool new_tls = u->new_tls;

    u->new_tls = false;
    if (new_tls && u->opts.on_credentials)
        u->opts.on_credentials(u->opts.arg);
    settle_held(u);
}

static void on_settled(void *arg)
{
    settle_held(arg);
}

static struct ops_call *ops_uv_start(struct ops *ops, const struct ops_request *req,
                                     const struct ops_handler *handler, void *arg)
{
    struct ops_uv *u = uv_of(ops);
    struct ops_call *call = xcalloc(1, sizeof(*call));

    call->u = u;
    call->target = req->target;
    call->handler = *handler;
    call->arg = arg;
    if (req->target == OPS_API && credentials_way(u->credentials) != EXEC_SEND)
        call_hold(call, req);
    else
        call_send(call, req);
    return call;
}

static void ops_uv_cancel(struct ops *ops, struct ops_call *call)
{
    if (!call->http && !call->held) /* inside its own on_done */
        return;
    if (call->http)
        http_client_cancel(call->http);
    call_free(call);
}

/* ---- time and chance ------------------------------------------------------------------------- */

static struct now ops_uv_now(struct ops *ops)
{
    return clock_read();
}

static void ops_uv_random(struct ops *ops, void *out, size_t len)
{
    unsigned char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        assert(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static struct ops_timer *ops_uv_timer_new(struct ops *ops, void (*cb)(void *arg), void *arg)
{
    struct ops_timer *t = xcalloc(1, sizeof(*t));

    t->cb = cb;
    t->arg = arg;
    t->uv.data = t;
    uv_timer_init(uv_of(ops)->loop, &t->uv);
    return t;
}

static void timer_start(struct ops_timer *t, int64_t in_ns);

/* The clock of the loop lags behind the real one, so its timers may fire a little early. Ours never
 * do: a callback that reads the clock would find that nothing is due. */
static void on_timer(uv_timer_t *uv)
{
    struct ops_timer *t = uv->data;
    int64_t left_ns = t->due_ns - clock_read().mono_ns;

    if (left_ns > 0)
        timer_start(t, left_ns);
    else
        t->cb(t->arg);
}

static void timer_start(struct ops_timer *t, int64_t in_ns)
{
    uv_timer_start(&t->uv, on_timer, (uint64_t)((in_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC), 0);
}

static void ops_uv_timer_set(struct ops *ops, struct ops_timer *t, int64_t mono_ns)
{
    t->due_ns = mono_ns;
    if (mono_ns == 0)
        uv_timer_stop(&t->uv);
    else
        timer_start(t, MAX(mono_ns - clock_read().mono_ns, 0));
}

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void ops_uv_timer_free(struct ops *ops, struct ops_timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}

static const struct ops_vtable vtable = {
    .start = ops_uv_start,
    .cancel = ops_uv_cancel,
    .now = ops_uv_now,
    .random = ops_uv_random,
    .timer_new = ops_uv_timer_new,
    .timer_set = ops_uv_timer_set,
    .timer_free = ops_uv_timer_free,
};

/* ---- the whole ------------------------------------------------------------------------------- */

static int clients_new(struct ops_uv *u, struct err *err)
{
    static const struct http_client_opts agents = {.cache_max = AGENT_CONNECTIONS_KEPT};
    static const struct http_client_opts lease = {.cache_max = 1};
    int r = http_client_new(u->loop, NULL, &u->http, err);

    if (r == 0)
        r = http_client_new(u->loop, &lease, &u->lease, err);
    if (r == 0)
        r = http_client_new(u->loop, &agents, &u->agents, err);
    if (r < 0) {
        http_client_close(u->http, NULL, NULL);
        http_client_close(u->lease, NULL, NULL);
    }
    return r;
}

int ops_uv_new(struct uv_loop_s *loop, struct kube_config *config, const struct ops_uv_opts *opts,
               struct ops_uv **ret, struct err *err)
{
    struct ops_uv *u = xcalloc(1, sizeof(*u));
    const struct credentials_opts credentials = {
        .on_tls = on_tls, .on_settled = on_settled, .on_note = on_note, .arg = u};
    int r;

    u->loop = loop;
    r = clients_new(u, err);
    if (r < 0) {
        free(u);
        return r;
    }
    u->ops.v = &vtable;
    if (opts)
        u->opts = *opts;
    list_init(&u->calls);
    list_init(&u->held);
    uv_timer_init(loop, &u->tell);
    u->tell.data = u;
    u->credentials = credentials_new(loop, config, &credentials);
    apply_tls(u);
    u->handles = 5;
    *ret = u;
    return 0;
}

struct ops *ops_uv_ops(struct ops_uv *u)
{
    return &u->ops;
}

static void on_part_closed(void *arg)
{
    struct ops_uv *u = arg;
    void (*cb)(void *) = u->close_cb;
    void *cb_arg = u->close_arg;

    if (--u->handles > 0)
        return;
    free(u);
    if (cb)
        cb(cb_arg);
}

static void on_tell_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

void ops_uv_close(struct ops_uv *u, void (*cb)(void *arg), void *arg)
{
    if (!u)
        return;
    u->close_cb = cb;
    u->close_arg = arg;
    list_for_each_safe (it, &u->calls)
        ops_uv_cancel(&u->ops, list_entry(it, struct ops_call, link));
    list_for_each_safe (it, &u->held)
        ops_uv_cancel(&u->ops, list_entry(it, struct ops_call, link));
    http_client_close(u->http, on_part_closed, u);
    http_client_close(u->lease, on_part_closed, u);
    http_client_close(u->agents, on_part_closed, u);
    credentials_close(u->credentials, on_part_closed, u);
    uv_close((uv_handle_t *)&u->tell, on_tell_closed);
}
