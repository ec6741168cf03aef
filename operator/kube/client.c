#include "operator/kube/client.h"

#include <errno.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "operator/kube/status.h"
#include "operator/kube/encoding.h"

#define PATH_MAX_BYTES 4096
#define MERGE_PATCH "application/merge-patch+json"

struct kube_call {
    struct ops *ops;
    const struct api_kind *kind;
    kube_done_fn *done;
    void *arg;
    struct ops_call *call; /* NULL: has ended */
    bool is_write;
    bool is_delete;
};

struct meta *kube_result_take_object(struct kube_result *res)
{
    struct meta *obj = res->object;

    res->object = NULL;
    return obj;
}

/* The object of a success. An answer that does not decode is a failure of which the effect is
 * there. */
static void result_decode(const struct kube_call *c, const struct ops_response *resp,
                          struct kube_result *res, struct err *err)
{
    cleanup_json struct json_object *obj = NULL;

    if (!c->kind->decode || c->is_delete)
        return;
    if (encoding_object(c->kind, resp->body, resp->body_len, &obj, err) == 0 &&
        c->kind->decode(obj, &res->object, err) == 0)
        return;
    res->reason = KUBE_SERVER_ERROR;
    res->maybe_applied = c->is_write;
    res->message = err->msg;
}

static bool may_have_acted(const struct kube_call *c, const struct kube_result *res,
                           const struct ops_response *resp)
{
    return c->is_write && ((res->reason == KUBE_NO_ANSWER && resp->maybe_sent) ||
                           res->reason == KUBE_SERVER_ERROR);
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct kube_call *c = arg;
    struct kube_status status;
    struct kube_result res;
    struct err err = {0};

    c->call = NULL;
    kube_status_of_answer(resp, &status);
    res = (struct kube_result){.reason = status.reason,
                               .http_status = resp->status,
                               .retry_after_ms = status.retry_after_ms,
                               .message = str_or_empty(status.message)};
    res.maybe_applied = may_have_acted(c, &res, resp);
    if (res.reason == KUBE_OK)
        result_decode(c, resp, &res, &err);
    if (c->done)
        c->done(c->arg, &res);
    if (res.object)
        c->kind->free(res.object);
    kube_status_done(&status);
    free(c);
}

struct verb {
    const char *method;
    const char *content_type;
    const char *body;
    const char *name; /* NULL: the collection */
    const char *subresource;
};

static void build_path(struct buf *b, const struct api_kind *kind, const char *ns,
                       const struct verb *v)
{
    buf_puts(b, kind->api_prefix);
    buf_puts(b, "/namespaces/");
    kube_path_segment(b, ns);
    buf_printf(b, "/%s", kind->plural);
    if (v->name) {
        buf_putc(b, '/');
        kube_path_segment(b, v->name);
    }
    if (v->subresource)
        buf_printf(b, "/%s", v->subresource);
    if (strcmp(v->method, "GET") != 0 && strcmp(v->method, "DELETE") != 0)
        buf_puts(b, "?fieldManager=" KUBE_FIELD_MANAGER);
}

static struct kube_call *start(struct ops *ops, enum kube_purpose purpose,
                               const struct api_kind *kind, const char *ns, const struct verb *v,
                               kube_done_fn *done, void *arg)
{
    static const struct ops_handler handler = {.on_done = on_done};
    struct kube_call *c = xcalloc(1, sizeof(*c));
    cleanup_buf struct buf path = BUF_INIT(PATH_MAX_BYTES);

    c->ops = ops;
    c->kind = kind;
    c->done = done;
    c->arg = arg;
    c->is_write = strcmp(v->method, "GET") != 0;
    c->is_delete = strcmp(v->method, "DELETE") == 0;
    build_path(&path, kind, ns, v);
    c->call = ops_start(ops,
                        &(struct ops_request){.target = OPS_API,
                                              .method = v->method,
                                              .path = buf_str(&path),
                                              .urgency = purpose,
                                              .group = ns,
                                              .content_type = v->content_type,
                                              .accept = encoding_accept(kind),
                                              .body = v->body,
                                              .body_len = v->body ? strlen(v->body) : 0,
                                              .timeout_ms = KUBE_CALL_TIMEOUT_MS},
                        &handler, c);
    return c;
}

struct kube_call *kube_get(struct ops *ops, enum kube_purpose purpose, const struct api_kind *kind,
                           const char *ns, const char *name, kube_done_fn *done, void *arg)
{
    return start(ops, purpose, kind, ns, &(struct verb){.method = "GET", .name = name}, done, arg);
}

struct kube_call *kube_create(struct ops *ops, enum kube_purpose purpose,
                              const struct api_kind *kind, const char *ns, const char *body,
                              kube_done_fn *done, void *arg)
{
    struct verb v = {.method = "POST", .content_type = "application/json", .body = body};

    return start(ops, purpose, kind, ns, &v, done, arg);
}

struct kube_call *kube_patch(struct ops *ops, enum kube_purpose purpose,
                             const struct api_kind *kind, const char *ns, const char *name,
                             const char *subresource, const char *body, kube_done_fn *done,
                             void *arg)
{
    struct verb v = {.method = "PATCH",
                     .content_type = MERGE_PATCH,
                     .body = body,
                     .name = name,
                     .subresource = subresource};

    return start(ops, purpose, kind, ns, &v, done, arg);
}

static void delete_options(struct buf *b, const char *uid, const char *rv, int grace_s)
{
    struct json_writer w = JSON_WRITER_INIT(b);

    json_w_object(&w, NULL);
    json_w_str(&w, "apiVersion", "v1");
    json_w_str(&w, "kind", "DeleteOptions");
    if (grace_s >= 0)
        json_w_int(&w, "gracePeriodSeconds", grace_s);
    if (uid || rv) {
        json_w_object(&w, "preconditions");
        if (uid)
            json_w_str(&w, "uid", uid);
        if (rv)
            json_w_str(&w, "resourceVersion", rv);
        json_w_end_object(&w);
    }
    json_w_end_object(&w);
    assert(w.error == 0);
}

struct kube_call *kube_delete(struct ops *ops, enum kube_purpose purpose,
                              const struct api_kind *kind, const char *ns, const char *name,
                              const char *uid, const char *rv, int grace_s, kube_done_fn *done,
                              void *arg)
{
    cleanup_buf struct buf body = BUF_INIT(PATH_MAX_BYTES);
    struct verb v = {.method = "DELETE", .content_type = "application/json", .name = name};

    delete_options(&body, uid, rv, grace_s);
    v.body = buf_str(&body);
    return start(ops, purpose, kind, ns, &v, done, arg);
}

void kube_cancel(struct kube_call *call)
{
    if (!call || !call->call)
        return;
    ops_cancel(call->ops, call->call);
    free(call);
}
