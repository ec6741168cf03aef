#include "operator/agent/agent_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/metrics.h"
#include "common/wire/channel.h"
#include "common/wire/signature.h"

#define SEALED_MAX (LIMIT_TASK_REQUEST_BYTES + CHANNEL_SEAL_BYTES)
#define HEADERS 6
#define TARGET_MAX 512

/* The shared secret of this process and the agent of a pod. */
struct secret {
    struct list node; /* in by_use: the one that was used last is the last */
    char *pod_uid;
    char *agent_key;
    struct channel_shared shared;
};

struct agent_caller {
    struct ops *ops;
    struct world *world;
    const struct signing_keys *keys;
    struct channel_pair pair;
    char key[CHANNEL_KEY_TEXT]; /* the public half of the pair */
    struct map secrets;         /* by pod UID */
    struct list by_use;
    uint64_t not_believed;
};

struct agent_call {
    struct agent_caller *c;
    struct ops_call *ops;
    struct agent_handler handler;
    void *arg;
    struct channel_reader reader;
    struct buf body; /* of a whole answer, or of a status that is not 2xx */
    bool stream;
    bool too_long;
    bool busy;      /* it calls its handler, and must not be freed */
    bool cancelled; /* while it was busy */
    /* The sandbox, for the world. */
    char *ns;
    char *sandbox;
    char *sandbox_uid;
};

/* ---- secrets --------------------------------------------------------------------------------- */

static void secret_free(struct secret *s)
{
    if (!s)
        return;
    list_remove(&s->node);
    explicit_bzero(&s->shared, sizeof(s->shared));
    free(s->pod_uid);
    free(s->agent_key);
    free(s);
}

static void on_pod_gone(void *arg, const char *uid)
{
    struct agent_caller *c = arg;

    secret_free(map_del(&c->secrets, uid));
}

static int secret_make(struct agent_caller *c, const struct run_target *t, struct secret **ret)
{
    unsigned char key[CHANNEL_KEY_BYTES];
    struct channel_shared shared;
    struct secret *s;

    if (!t->agent_key || !channel_key_parse(t->agent_key, strlen(t->agent_key), key) ||
        channel_shared_operator(&c->pair, key, t->pod_uid, &shared) < 0)
        return -ENOKEY;
    if (c->secrets.count >= AGENT_SECRETS_MAX)
        on_pod_gone(c, list_first(&c->by_use, struct secret, node)->pod_uid);
    s = xcalloc(1, sizeof(*s));
    s->pod_uid = xstrdup(t->pod_uid);
    s->agent_key = xstrdup(t->agent_key);
    s->shared = shared;
    explicit_bzero(&shared, sizeof(shared));
    list_init(&s->node);
    secret_free(map_put(&c->secrets, t->pod_uid, s));
    assert(c->secrets.count <= AGENT_SECRETS_MAX);
    *ret = s;
    return 0;
}

static int secret_get(struct agent_caller *c, const struct run_target *t,
                      const struct channel_shared **ret)
{
    struct secret *s = map_get(&c->secrets, t->pod_uid);
    int r = s && str_eq(s->agent_key, t->agent_key) ? 0 : secret_make(c, t, &s);

    if (r < 0)
        return r;
    list_remove(&s->node);
    list_push_back(&c->by_use, &s->node);
    *ret = &s->shared;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void call_free(struct agent_call *call)
{
    if (call->ops)
        ops_cancel(call->c->ops, call->ops);
    channel_reader_done(&call->reader);
    buf_done(&call->body);
    free(call->ns);
    free(call->sandbox);
    free(call->sandbox_uid);
    free(call);
}

void agent_call_cancel(struct agent_call *call)
{
    if (call && call->busy)
        call->cancelled = true;
    else if (call)
        call_free(call);
}

static void finish(struct agent_call *call, enum agent_outcome outcome, const char *error)
{
    struct agent_caller *c = call->c;
    struct agent_answer answer = {.outcome = outcome, .body = "", .error = error};

    assert(!call->busy && error);
    if (outcome == AGENT_ANSWERED) {
        answer.status = call->reader.status;
        answer.body = buf_str(&call->body);
        answer.body_len = call->body.len;
    } else if (outcome == AGENT_NOT_BELIEVED) {
        c->not_believed++;
        world_agent_forged(c->world, call->ns, call->sandbox, call->sandbox_uid, error,
                           ops_now(c->ops).mono_ns);
    }
    call->busy = true; /* on_done() may cancel the call, which is freed here */
    call->handler.on_done(call->arg, &answer);
    call_free(call);
}

/* The answer is not sealed. The agent itself answers so only while it starts (5xx), and to callers
 * that it takes for strangers (401, 426). */
static void finish_unsealed(struct agent_call *call, int status)
{
    bool may_be_agent = status == 401 || status == 426 || status / 100 == 5;
    cleanup_free char *error =
        xasprintf("an answer that is not sealed, with HTTP status %d%s", status,
                  status == 401   ? ": it does not know our signature"
                  : status == 426 ? ": it takes this operator for one of an earlier release"
                                  : "");

    finish(call, may_be_agent ? AGENT_NO_ANSWER : AGENT_NOT_BELIEVED, error);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void on_status(void *arg, int status)
{
    struct agent_call *call = arg;

    world_agent_answered(call->c->world, call->ns, call->sandbox, call->sandbox_uid);
}

static void on_plain(void *arg, const char *data, size_t len)
{
    struct agent_call *call = arg;

    if (call->stream && call->reader.status / 100 == 2)
        call->handler.on_data(call->arg, data, len);
    else if (buf_append(&call->body, data, len) < 0)
        call->too_long = true;
}

static bool wanted(void *arg)
{
    const struct agent_call *call = arg;

    return !call->cancelled && !call->too_long;
}

/* false: the call is over. */
static bool feed(struct agent_call *call, const char *data, size_t len)
{
    static const struct channel_reader_handler handler = {on_status, on_plain, wanted};
    int r;

    assert(!call->busy && !call->cancelled);
    call->busy = true;
    r = channel_reader_feed(&call->reader, data, len, &handler, call);
    call->busy = false;
    if (call->cancelled)
        call_free(call);
    else if (r < 0)
        finish(call, AGENT_NOT_BELIEVED, "the answer was not made by the agent for this request");
    else if (call->too_long)
        finish(call, AGENT_NO_ANSWER, "the answer is longer than it may be");
    else
        return true;
    return false;
}

static void on_data(void *arg, const char *data, size_t len)
{
    feed(arg, data, len);
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct agent_call *call = arg;

    call->ops = NULL;
    if (resp->error == 0 && resp->status / 100 != 2) {
        finish_unsealed(call, resp->status);
        return;
    }
    if (resp->error == 0 && !call->stream && !feed(call, resp->body, resp->body_len))
        return;
    if (call->reader.final)
        finish(call, AGENT_ANSWERED, "");
    else if (resp->error)
        finish(call, AGENT_NO_ANSWER, resp->error_msg);
    else /* HTTP calls the answer complete, and the agent's own would have its last frame */
        finish(call, AGENT_NOT_BELIEVED,
               "the answer is cut off: the agent's sealed end is missing");
}

/* ---- requests -------------------------------------------------------------------------------- */

struct lines {
    char text[HEADERS][SIGNATURE_HEADER_MAX + 32];
    const char *list[HEADERS + 1];
};

/* Signs the request with its sealed body: *ret gets the headers. */
static int sign(const struct agent_caller *c, const struct agent_request *req,
                const struct buf *sealed, const unsigned char nonce[SIGNATURE_NONCE_BYTES],
                struct lines *ret, struct err *err)
{
    const struct run_target *t = req->target;
    const struct signature_key *key = signing_find(c->keys, t->key_id);
    const struct signature_input in = {.method = req->method,
                                       .path = req->path,
                                       .query = str_or_empty(req->query),
                                       .pod_uid = t->pod_uid,
                                       .sandbox_uid = t->sandbox_uid,
                                       .operator_key = c->key,
                                       .body = sealed->data,
                                       .body_len = sealed->len};
    struct signature_headers h;
    int r;

    if (!key)
        return err_set(err, -ENOKEY,
                       "the pod knows the signing key %s, and this operator does not have it",
                       t->key_id);
    r = signature_sign(key, &in, ops_now(c->ops).wall_ns / NSEC_PER_SEC, nonce, &h, err);
    if (r < 0)
        return r;
    const struct {
        const char *name, *value;
    } rows[HEADERS] = {{"Signature-Input", h.signature_input}, {"Signature", h.signature},
                       {"Content-Digest", h.content_digest},   {"Arl-Pod-Uid", t->pod_uid},
                       {"Arl-Sandbox-Uid", t->sandbox_uid},    {"Arl-Operator-Key", c->key}};

    for (size_t i = 0; i < HEADERS; i++) {
        snprintf(ret->text[i], sizeof(ret->text[i]), "%s: %s", rows[i].name, rows[i].value);
        ret->list[i] = ret->text[i];
    }
    ret->list[HEADERS] = NULL;
    return 0;
}

static struct agent_call *call_new(struct agent_caller *c, const struct agent_request *req,
                                   const struct agent_handler *handler, void *arg,
                                   const unsigned char key[CHANNEL_KEY_BYTES])
{
    struct agent_call *call = xcalloc(1, sizeof(*call));

    assert(handler->on_done && (!req->stream || handler->on_data));
    assert(req->target->sandbox_uid && req->target->pod_uid);
    call->c = c;
    call->handler = *handler;
    call->arg = arg;
    call->stream = req->stream;
    call->ns = xstrdup(req->target->ns);
    call->sandbox = xstrdup(req->target->sandbox);
    call->sandbox_uid = xstrdup(req->target->sandbox_uid);
    channel_reader_init(&call->reader, key);
    buf_init(&call->body, LIMIT_AGENT_ANSWER_BYTES);
    return call;
}

static void send(struct agent_call *call, const struct agent_request *req, const struct buf *sealed,
                 const struct lines *lines)
{
    static const struct ops_handler handler = {.on_data = on_data, .on_done = on_done};
    char path[TARGET_MAX];
    struct ops_request ops = {.target = OPS_AGENT,
                              .address = req->target->address,
                              .method = req->method,
                              .path = path,
                              .content_type = sealed->len ? CHANNEL_CONTENT_TYPE : NULL,
                              .headers = lines->list,
                              .body = sealed->data,
                              .body_len = sealed->len,
                              .stream = req->stream,
                              .timeout_ms = req->stream ? 0 : AGENT_TIMEOUT_MS,
                              .idle_timeout_ms = req->stream ? AGENT_SILENCE_MS : 0};
    int n = snprintf(path, sizeof(path), "%s%s%s", req->path, req->query && *req->query ? "?" : "",
                     str_or_empty(req->query));

    assert(n > 0 && (size_t)n < sizeof(path));
    call->ops = ops_start(call->c->ops, &ops, &handler, call);
}

static void wipe_key(unsigned char (*key)[CHANNEL_KEY_BYTES])
{
    explicit_bzero(*key, sizeof(*key));
}

int agent_call_start(struct agent_caller *c, const struct agent_request *req,
                     const struct agent_handler *handler, void *arg, struct agent_call **ret,
                     struct err *err)
{
    CLEANUP(wipe_key) unsigned char key[CHANNEL_KEY_BYTES];
    cleanup_buf struct buf sealed = BUF_INIT(SEALED_MAX);
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    char nonce_text[SIGNATURE_NONCE_TEXT];
    const struct channel_exchange x = {req->method, req->path, str_or_empty(req->query),
                                       req->target->sandbox_uid, nonce_text};
    const struct channel_shared *shared;
    struct lines lines;
    int r = secret_get(c, req->target, &shared);

    if (r < 0)
        return err_set(err, r, "pod %s has not reported the key of its agent",
                       req->target->pod_name);
    ops_random(c->ops, nonce, sizeof(nonce));
    signature_nonce_format(nonce, nonce_text);
    if (req->body) {
        channel_derive(shared, &x, CHANNEL_REQUEST, key);
        r = channel_seal(key, req->body->data, req->body->len, &sealed);
        if (r < 0)
            return err_set(err, -EINVAL, "the request is too large");
    }
    r = sign(c, req, &sealed, nonce, &lines, err);
    if (r < 0)
        return r;
    channel_derive(shared, &x, CHANNEL_ANSWER, key);
    *ret = call_new(c, req, handler, arg, key);
    send(*ret, req, &sealed, &lines);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct agent_caller *agent_caller_new(struct ops *ops, struct world *w,
                                      const struct signing_keys *keys)
{
    CLEANUP(wipe_key) unsigned char secret[CHANNEL_KEY_BYTES];
    struct agent_caller *c = xcalloc(1, sizeof(*c));

    c->ops = ops;
    c->world = w;
    c->keys = keys;
    list_init(&c->by_use);
    ops_random(ops, secret, sizeof(secret));
    channel_pair_init(&c->pair, secret);
    channel_key_format(c->pair.public_key, c->key);
    w->on_pod_gone = on_pod_gone;
    w->on_pod_gone_arg = c;
    return c;
}

void agent_caller_free(struct agent_caller *c)
{
    if (!c)
        return;
    c->world->on_pod_gone = NULL;
    while (!list_empty(&c->by_use))
        on_pod_gone(c, list_first(&c->by_use, struct secret, node)->pod_uid);
    map_done(&c->secrets);
    channel_pair_wipe(&c->pair);
    free(c);
}

void agent_caller_metrics(const struct agent_caller *c, struct buf *out)
{
    metrics_head(
        out, "arl_agent_not_believed_total", "counter",
        "Answers in an agent's place that the agent did not make, or not for the request.");
    metrics_value(out, "arl_agent_not_believed_total", NULL, (double)c->not_believed);
    metrics_head(out, "arl_agent_secrets", "gauge", "Pods whose agents share a secret with us.");
    metrics_value(out, "arl_agent_secrets", NULL, (double)c->secrets.count);
}
