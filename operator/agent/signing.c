#include "operator/agent/signing.h"

#include <errno.h>
#include <stdio.h>

#include <sodium.h>

#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/base/json.h"
#include "operator/kube/client.h"

#define KEY_TEXT_MAX 128
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 30000

const struct signature_key *signing_find(const struct signing_keys *k, const char *id)
{
    if (!id || !*id)
        return k->count ? &k->keys[0] : NULL;
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->keys[i].id, id) == 0)
            return &k->keys[i];
    return NULL;
}

void signing_public_text(const struct signing_keys *k, char *ret, size_t size)
{
    struct signature_keyring ring = {.count = k->count};

    for (size_t i = 0; i < k->count; i++)
        signature_key_public(&k->keys[i], &ring.keys[i]);
    signature_keyring_format(&ring, ret, size);
}

static int signing_add(struct signing_keys *k, const char *text, struct err *err)
{
    int r;

    assert(k->count < SIGNATURE_KEYS_MAX);
    r = signature_key_parse(text, &k->keys[k->count], err);
    if (r == 0)
        k->count++;
    return r;
}

int signing_load_file(const char *path, struct signing_keys *ret, struct err *err)
{
    struct signing_keys k = {0};
    char line[KEY_TEXT_MAX + 2];
    FILE *f = fopen(path, "re");
    int r = 0;

    if (!f)
        return err_errno(err, errno, "signing key %s", path);
    while (r == 0 && k.count < SIGNATURE_KEYS_MAX && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (*line)
            r = signing_add(&k, line, err);
    }
    fclose(f);
    sodium_memzero(line, sizeof(line));
    if (r == 0 && k.count == 0)
        r = err_set(err, -EINVAL, "the file is empty");
    if (r < 0)
        return err_prefix(err, "signing key %s", path);
    *ret = k;
    return 0;
}

/* ---- the Secret ---------------------------------------------------------------------------- */

struct signing_load {
    struct ops *ops;
    struct signing_load_opts opts;
    char *ns;
    char *name;
    struct ops_call *call;
    struct ops_timer *timer;
    unsigned failures;
};

static void load_get(struct signing_load *l);

/* Tries again later, and says why. */
static void load_retry(struct signing_load *l, const char *what, const char *why)
{
    cleanup_free char *msg = xasprintf("%s Secret %s/%s: %s", what, l->ns, l->name, why);
    int64_t wait_ns = backoff_ns(RETRY_FIRST_MS, RETRY_MAX_MS, ++l->failures);

    assert(!l->call);
    if (l->opts.on_note)
        l->opts.on_note(l->opts.arg, msg);
    l->ops->v->timer_set(l->ops, l->timer, ops_now(l->ops).mono_ns + wait_ns);
}

/* The error of an answer, for people. */
static void answer_text(const struct ops_response *resp, char *ret, size_t size)
{
    cleanup_json struct json_object *status = NULL;
    const char *msg = NULL;

    if (resp->error == 0 && json_parse(resp->body, resp->body_len, &status, NULL) == 0)
        msg = json_get_str(status, "message");
    if (resp->error)
        snprintf(ret, size, "%s", resp->error_msg);
    else
        snprintf(ret, size, "HTTP status %d%s%s", resp->status, msg ? ": " : "", str_or_empty(msg));
}

/* Adds the key in data.<field> of the Secret to k. An optional field may be missing. */
static int load_field(struct json_object *secret, const char *field, bool optional,
                      struct signing_keys *k, struct err *err)
{
    const char *b64 = json_get_str(json_get(secret, "data"), field);
    char text[KEY_TEXT_MAX];
    size_t len;
    int r;

    if (!b64)
        return optional ? 0 : err_set(err, -EINVAL, "data.%s is missing", field);
    if (sodium_base642bin((unsigned char *)text, sizeof(text) - 1, b64, strlen(b64), "\n", &len,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return err_set(err, -EINVAL, "data.%s is not base64 of a key", field);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    text[len] = '\0';
    r = signing_add(k, text, err);
    sodium_memzero(text, sizeof(text));
    return r < 0 ? err_prefix(err, "data.%s", field) : 0;
}

static int load_parse(const struct ops_response *resp, struct signing_keys *ret, struct err *err)
{
    cleanup_json struct json_object *secret = NULL;
    int r = json_parse(resp->body, resp->body_len, &secret, err);

    if (r == 0)
        r = load_field(secret, "key", false, ret, err);
    if (r == 0)
        r = load_field(secret, "previous", true, ret, err);
    return r;
}

static void load_got(struct signing_load *l, const struct ops_response *resp)
{
    struct signing_keys keys = {0};
    struct err err;

    if (load_parse(resp, &keys, &err) < 0)
        load_retry(l, "reading", err.msg);
    else
        l->opts.on_loaded(l->opts.arg, &keys);
    sodium_memzero(&keys, sizeof(keys));
}

static void load_create_done(void *arg, const struct ops_response *resp)
{
    struct signing_load *l = arg;
    char why[ERR_MSG_MAX];

    l->call = NULL;
    if (resp->error == 0 && (resp->status == 201 || resp->status == 200)) {
        load_got(l, resp);
    } else if (resp->status == 409) { /* another operator was first: its key is the key */
        load_get(l);
    } else {
        answer_text(resp, why, sizeof(why));
        load_retry(l, "making", why);
    }
}

static void load_create(struct signing_load *l)
{
    static const struct ops_handler handler = {.on_done = load_create_done};
    cleanup_free char *path = xasprintf("/api/v1/namespaces/%s/secrets", l->ns);
    cleanup_buf struct buf body = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct signature_key key;
    char text[KEY_TEXT_MAX];

    signature_key_generate(&key);
    signature_key_format(&key, text, sizeof(text));
    json_w_object(&w, NULL);
    json_w_str(&w, "apiVersion", "v1");
    json_w_str(&w, "kind", "Secret");
    json_w_object(&w, "metadata");
    json_w_str(&w, "name", l->name);
    json_w_object(&w, "labels");
    json_w_str(&w, "app.kubernetes.io/name", "arl");
    json_w_end_object(&w);
    json_w_end_object(&w);
    json_w_object(&w, "stringData");
    json_w_str(&w, "key", text);
    json_w_end_object(&w);
    json_w_end_object(&w);
    l->call = ops_start(l->ops,
                        &(struct ops_request){.target = OPS_API,
                                              .method = "POST",
                                              .path = path,
                                              .content_type = "application/json",
                                              .body = body.data,
                                              .body_len = body.len,
                                              .timeout_ms = KUBE_CALL_TIMEOUT_MS},
                        &handler, l);
    sodium_memzero(&key, sizeof(key));
    sodium_memzero(text, sizeof(text));
    sodium_memzero(body.data, body.len);
}

static void load_get_done(void *arg, const struct ops_response *resp)
{
    struct signing_load *l = arg;
    char why[ERR_MSG_MAX];

    l->call = NULL;
    if (resp->error == 0 && resp->status == 200) {
        load_got(l, resp);
    } else if (resp->error == 0 && resp->status == 404) {
        load_create(l);
    } else {
        answer_text(resp, why, sizeof(why));
        load_retry(l, "reading", why);
    }
}

static void load_get(struct signing_load *l)
{
    static const struct ops_handler handler = {.on_done = load_get_done};
    cleanup_free char *path = xasprintf("/api/v1/namespaces/%s/secrets/%s", l->ns, l->name);

    l->call = ops_start(
        l->ops,
        &(struct ops_request){
            .target = OPS_API, .method = "GET", .path = path, .timeout_ms = KUBE_CALL_TIMEOUT_MS},
        &handler, l);
}

static void load_timer(void *arg)
{
    load_get(arg);
}

struct signing_load *signing_load_start(struct ops *ops, const struct signing_load_opts *opts)
{
    struct signing_load *l = xcalloc(1, sizeof(*l));

    l->ops = ops;
    l->opts = *opts;
    l->ns = xstrdup(opts->ns);
    l->name = xstrdup(opts->name);
    l->timer = ops->v->timer_new(ops, load_timer, l);
    load_get(l);
    return l;
}

void signing_load_cancel(struct signing_load *l)
{
    if (!l)
        return;
    if (l->call)
        ops_cancel(l->ops, l->call);
    l->ops->v->timer_free(l->ops, l->timer);
    free(l->ns);
    free(l->name);
    free(l);
}
