#include "operator/ops_uv.h"

#include <errno.h>
#include <sys/random.h>

#include <uv.h>

#include "common/http_client.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/log.h"

/* What a sidecar may answer besides its stream. */
#define AGENT_RESPONSE_BYTES (1u << 20)
/* The text of an error instead of a stream. */
#define STREAM_ERROR_BYTES (64u << 10)
#define HEADERS_MAX 16
/* Idle connections to sidecars: the next task of the same sandbox needs no new one. */
#define AGENT_CONNECTIONS_KEPT 32

struct ops_uv {
    struct ops ops;
    uv_loop_t *loop;
    struct http_client *http;   /* to the API server */
    struct http_client *agents; /* to sidecars */
    struct kube_config config;
    struct ops_uv_opts opts;
    struct list calls;
    uv_timer_t refresh;
    int64_t tls_read_ns; /* when certificates were last read */
    unsigned handles;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct ops_call {
    struct list link;
    struct ops_uv *u;
    enum ops_target target;
    struct http_call *http;
    struct ops_handler handler;
    void *arg;
};

struct ops_timer {
    uv_timer_t uv;
    void (*cb)(void *arg);
    void *arg;
    int64_t due_ns;
};

static struct ops_uv *uv_of(struct ops *ops)
{
    return container_of(ops, struct ops_uv, ops);
}

/* ---- credentials ----------------------------------------------------------------------------- */

static void apply_tls(struct ops_uv *u)
{
    http_client_set_tls(u->http,
                        &(struct http_tls){.ca_pem = u->config.ca_pem,
                                           .cert_pem = u->config.cert_pem,
                                           .key_pem = u->config.key_pem,
                                           .server_name = u->config.server_name,
                                           .insecure_skip_verify = u->config.insecure_skip_verify});
}

static void refresh(struct ops_uv *u, unsigned what)
{
    struct err err = {0};
    unsigned changed = kube_config_refresh(&u->config, what, &err);

    if (err.code && u->opts.on_note)
        u->opts.on_note(u->opts.arg, LOG_WARN, err.msg);
    if (changed & KUBE_CONFIG_TLS)
        apply_tls(u);
    /* A new token alone ends no watch: the old one was good when the watch began. */
    if (changed & KUBE_CONFIG_TLS && u->opts.on_credentials)
        u->opts.on_credentials(u->opts.arg);
}

static void on_refresh(uv_timer_t *timer)
{
    struct ops_uv *u = timer->data;
    int64_t now_ns = clock_read().mono_ns;
    unsigned what = KUBE_CONFIG_TOKEN;

    if (now_ns - u->tls_read_ns >= OPS_TLS_REFRESH_MS * NSEC_PER_MSEC) {
        u->tls_read_ns = now_ns;
        what |= KUBE_CONFIG_TLS;
    }
    refresh(u, what);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct ops_call *call)
{
    list_remove(&call->link);
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

    /* Whoever asked asks again: with the new token then. */
    if (call->target == OPS_API && r->status == 401)
        refresh(call->u, KUBE_CONFIG_TOKEN);
    call->http = NULL;
    call->handler.on_done(call->arg, &resp);
    call_free(call);
}

/* The request's own headers, and what this side knows. */
struct headers {
    const char *list[HEADERS_MAX + 1];
    size_t count;
    char *type;
    char *auth;
};

static void headers_add(struct headers *h, const char *line)
{
    assert(h->count < HEADERS_MAX);
    h->list[h->count++] = line;
}

static void headers_init(struct headers *h, const struct ops_uv *u, const struct ops_request *req)
{
    *h = (struct headers){0};
    for (const char *const *line = req->headers; line && *line; line++)
        headers_add(h, *line);
    if (req->content_type) {
        h->type = xasprintf("Content-Type: %s", req->content_type);
        headers_add(h, h->type);
    }
    if (req->target != OPS_API)
        return;
    headers_add(h, "Accept: application/json");
    if (u->config.token) {
        h->auth = xasprintf("Authorization: Bearer %s", u->config.token);
        headers_add(h, h->auth);
    }
}

static void headers_done(struct headers *h)
{
    free(h->type);
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

static struct ops_call *ops_uv_start(struct ops *ops, const struct ops_request *req,
                                     const struct ops_handler *handler, void *arg)
{
    const struct http_handler http_handler = {
        .on_open = handler->on_open ? on_open : NULL, .on_data = on_data, .on_done = on_done};
    struct ops_uv *u = uv_of(ops);
    struct ops_call *call = xcalloc(1, sizeof(*call));
    bool is_api = req->target == OPS_API;
    cleanup_free char *url = xasprintf("%s%s%s", is_api ? u->config.server : "http://",
                                       is_api ? "" : req->address, req->path);
    struct headers headers;

    call->u = u;
    call->target = req->target;
    call->handler = *handler;
    call->arg = arg;
    list_push_back(&u->calls, &call->link);
    headers_init(&headers, u, req);
    call->http = http_client_start(is_api ? u->http : u->agents,
                                   &(struct http_request){.method = req->method,
                                                          .url = url,
                                                          .headers = headers.list,
                                                          .body = req->body,
                                                          .body_len = req->body_len,
                                                          .stream = req->stream,
                                                          .own_connection = is_api && req->stream,
                                                          .proxy = is_api ? u->config.proxy : NULL,
                                                          .timeout_ms = req->timeout_ms,
                                                          .idle_timeout_ms = req->idle_timeout_ms,
                                                          .max_response = response_max(req)},
                                   &http_handler, call);
    headers_done(&headers);
    return call;
}

static void ops_uv_cancel(struct ops *ops, struct ops_call *call)
{
    if (!call->http) /* inside its own on_done */
        return;
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

/* The loop's clock lags behind the real one, so that its timers may fire a little early; ours never
 * do, or whoever looks at the clock would find nothing to do. */
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

int ops_uv_new(struct uv_loop_s *loop, struct kube_config *config, const struct ops_uv_opts *opts,
               struct ops_uv **ret, struct err *err)
{
    static const struct http_client_opts agents = {.cache_max = AGENT_CONNECTIONS_KEPT};
    struct ops_uv *u = xcalloc(1, sizeof(*u));
    int r = http_client_new(loop, NULL, &u->http, err);

    if (r == 0)
        r = http_client_new(loop, &agents, &u->agents, err);
    if (r < 0) {
        http_client_close(u->http, NULL, NULL);
        free(u);
        return r;
    }
    u->ops.v = &vtable;
    u->loop = loop;
    u->config = *config;
    *config = (struct kube_config){0};
    if (opts)
        u->opts = *opts;
    list_init(&u->calls);
    apply_tls(u);
    u->tls_read_ns = clock_read().mono_ns;
    uv_timer_init(loop, &u->refresh);
    u->refresh.data = u;
    /* Without files there is nothing to read again, and no reason to wake up. */
    if (u->config.token_file || u->config.ca_file || u->config.cert_file || u->config.key_file)
        uv_timer_start(&u->refresh, on_refresh, OPS_TOKEN_REFRESH_MS, OPS_TOKEN_REFRESH_MS);
    u->handles = 3;
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
    kube_config_done(&u->config);
    free(u);
    if (cb)
        cb(cb_arg);
}

static void on_refresh_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

void ops_uv_close(struct ops_uv *u, void (*cb)(void *arg), void *arg)
{
    if (!u)
        return;
    u->close_cb = cb;
    u->close_arg = arg;
    list_for_each_safe (it, &u->calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (call->http)
            ops_uv_cancel(&u->ops, call);
    }
    http_client_close(u->http, on_part_closed, u);
    http_client_close(u->agents, on_part_closed, u);
    uv_close((uv_handle_t *)&u->refresh, on_refresh_closed);
}
