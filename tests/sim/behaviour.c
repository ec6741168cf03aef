/*
 * What the model claims of an API server, as a list of requests and answers. Without arguments it
 * asks the model, with --real the server that KUBECONFIG names; the lines must be the same:
 * tests/model/run compares.
 */
#include <errno.h>
#include <stdio.h>
#include <uv.h>

#include "common/json.h"
#include "common/log.h"
#include "operator/kube/config.h"
#include "operator/ops_uv.h"
#include "tests/sim/sim.h"

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/$NS/leases"
#define BOXES "/apis/arl.infra.io/v1alpha1/namespaces/$NS/sandboxes"
#define PODS "/api/v1/namespaces/$NS/pods"
#define LEASE                                                                                      \
    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":"        \
    "\"$NAME\"},\"spec\":{\"holderIdentity\":\"a\"}}"
#define BOX                                                                                        \
    "{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":\"Sandbox\",\"metadata\":{\"name\":"       \
    "\"$NAME\"},\"spec\":{\"poolRef\":\"none\"},\"status\":{\"phase\":\"Ready\"}}"
#define POD                                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$NAME\",\"labels\":{\"x\":"  \
    "\"1\"}},\"spec\":{\"schedulerName\":\"none\",\"containers\":[{\"name\":\"c\",\"image\":"      \
    "\"i\"}]}}"

/* $NAME, $NS, $UID and $RV (as last seen), $OLD (the resourceVersion at creation) are replaced;
 * look: a member of the answer that is shown; "rv" shows whether the resourceVersion changed. */
static const struct {
    const char *method, *path, *body, *look;
} rows[] = {
    {"GET", LEASES "/$NAME", NULL, NULL},
    {"POST", LEASES, LEASE, "spec.holderIdentity"},
    {"POST", LEASES, LEASE, NULL},
    {"POST", LEASES, "{\"metadata\":", NULL},
    {"GET", LEASES "/$NAME", NULL, "rv"},
    {"PATCH", LEASES "/$NAME", "{\"spec\":{\"holderIdentity\":\"a\"}}", "rv"},
    {"PATCH", LEASES "/$NAME", "{\"spec\":{\"holderIdentity\":\"b\"}}", "rv"},
    {"PATCH", LEASES "/$NAME", "{\"metadata\":{\"uid\":\"u\"},\"spec\":{}}", NULL},
    {"PATCH", LEASES "/$NAME",
     "{\"metadata\":{\"resourceVersion\":\"$OLD\"},\"spec\":{\"holderIdentity\":\"c\"}}", NULL},
    {"PATCH", LEASES "/$NAME",
     "{\"metadata\":{\"uid\":\"$UID\",\"resourceVersion\":\"$RV\"},\"spec\":{\"holderIdentity\":"
     "\"d\"}}",
     "spec.holderIdentity"},
    {"PATCH", LEASES "/$NAME", "{\"spec\":{\"holderIdentity\":null}}", "spec.holderIdentity"},
    {"PATCH", LEASES "/$NAME-other", "{\"spec\":{}}", NULL},
    {"DELETE", LEASES "/$NAME", "{\"preconditions\":{\"uid\":\"u\"}}", NULL},
    {"DELETE", LEASES "/$NAME", "{\"preconditions\":{\"resourceVersion\":\"$OLD\"}}", NULL},
    {"DELETE", LEASES "/$NAME", "{\"preconditions\":{\"uid\":\"$UID\"}}", NULL},
    {"DELETE", LEASES "/$NAME", "{}", NULL},
    {"GET", LEASES "/$NAME", NULL, NULL},
    /* Failed at once, so that an operator that looks on leaves it alone. */
    {"POST", BOXES, BOX, "status.phase"},
    {"PATCH", BOXES "/$NAME/status", "{\"status\":{\"phase\":\"Failed\"}}", "status.phase"},
    {"PATCH", BOXES "/$NAME", "{\"spec\":{\"keepAlive\":true},\"status\":{\"phase\":\"Ready\"}}",
     "status.phase"},
    {"GET", BOXES "/$NAME", NULL, "metadata.generation"},
    {"PATCH", BOXES "/$NAME/status",
     "{\"spec\":{\"keepAlive\":false},\"status\":{\"workDir\":\"p\"}}", "spec.keepAlive"},
    {"GET", BOXES "/$NAME", NULL, "metadata.generation"},
    {"PATCH", BOXES "/$NAME/status",
     "{\"metadata\":{\"resourceVersion\":\"$OLD\"},\"status\":{\"workDir\":\"q\"}}", NULL},
    {"PATCH", BOXES "/$NAME/status",
     "{\"metadata\":{\"uid\":\"u\"},\"status\":{\"workDir\":\"q\"}}", NULL},
    {"PATCH", BOXES "/$NAME/status",
     "{\"metadata\":{\"uid\":\"$UID\",\"resourceVersion\":\"$RV\"},\"status\":{\"workDir\":\"q\"}}",
     "status.workDir"},
    {"DELETE", BOXES "/$NAME", "{\"preconditions\":{\"uid\":\"$UID\"}}", NULL},
    {"GET", BOXES "/$NAME", NULL, NULL},
    {"POST", PODS, POD, "metadata.labels.x"},
    {"PATCH", PODS "/$NAME", "{\"metadata\":{\"labels\":{\"x\":null,\"y\":\"2\"}}}",
     "metadata.labels.x"},
    {"PATCH", PODS "/$NAME", "{\"status\":{\"podIP\":\"10.0.0.9\"}}", "status.podIP"},
    {"PATCH", PODS "/$NAME/status", "{\"status\":{\"message\":\"m\"}}", "status.message"},
    {"DELETE", PODS "/$NAME", "{\"preconditions\":{\"uid\":\"$UID\"}}", NULL},
    {"GET", PODS "/$NAME", NULL, NULL}, /* it was on no node: gone at once */
    {"GET", "/api/v1/nonsense", NULL, NULL},
};

struct asker {
    struct ops *ops;
    const char *ns;
    char name[64], uid[64], rv[32], old_rv[32];
    bool done;
    const char *look;
};

static char *fill(const struct asker *a, const char *text)
{
    const struct {
        const char *name, *value;
    } words[] = {
        {"$NAME", a->name}, {"$NS", a->ns}, {"$UID", a->uid}, {"$RV", a->rv}, {"$OLD", a->old_rv}};
    struct buf b = BUF_INIT(1u << 16);

    while (text && *text) {
        size_t i = 0;

        while (i < ARRAY_SIZE(words) && strncmp(text, words[i].name, strlen(words[i].name)) != 0)
            i++;
        if (i < ARRAY_SIZE(words)) {
            buf_puts(&b, words[i].value);
            text += strlen(words[i].name);
        } else {
            buf_putc(&b, *text++);
        }
    }
    return b.len ? buf_steal(&b) : xstrdup("");
}

static void show(struct asker *a, struct json_object *obj)
{
    const char *rv = json_get_str(json_get(obj, "metadata"), "resourceVersion");
    const char *text;

    if (a->look && strcmp(a->look, "rv") == 0) {
        printf(" rv %s", str_eq(rv, a->rv) ? "the same" : "another");
    } else if (a->look) {
        struct json_object *v = json_get_path(obj, a->look);
        cleanup_free char *parent = xstrdup(a->look);
        char *dot = strrchr(parent, '.');
        int64_t n;

        *dot = '\0';
        text = json_get_str(json_get_path(obj, parent), dot + 1);
        if (!text && json_get_int(json_get_path(obj, parent), dot + 1, &n))
            printf(" %s=%d", a->look, (int)n);
        else if (!text && v)
            printf(" %s=%s", a->look,
                   json_get_bool(json_get_path(obj, parent), dot + 1, false) ? "true" : "false");
        else
            printf(" %s=%s", a->look, str_or_empty(text));
    }
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct asker *a = arg;
    cleanup_json struct json_object *obj = NULL;
    struct json_object *md;

    a->done = true;
    printf(" -> %d", resp->error ? resp->error : resp->status);
    if (json_parse(resp->body, resp->body_len, &obj, NULL) < 0) {
        printf("\n");
        return;
    }
    md = json_get(obj, "metadata");
    if (resp->status >= 300)
        printf(" %s", str_or_empty(json_get_str(obj, "reason")));
    else
        show(a, obj);
    printf("\n");
    if (json_get_str(md, "uid") && resp->status < 300) {
        snprintf(a->uid, sizeof(a->uid), "%s", json_get_str(md, "uid"));
        snprintf(a->rv, sizeof(a->rv), "%s", json_get_str(md, "resourceVersion"));
        if (resp->status == 201)
            snprintf(a->old_rv, sizeof(a->old_rv), "%s", a->rv);
    }
}

static void ask(struct asker *a, size_t i)
{
    static const struct ops_handler handler = {.on_done = on_done};
    cleanup_free char *path = fill(a, rows[i].path), *body = fill(a, rows[i].body);
    struct ops_request req = {.target = OPS_API,
                              .method = rows[i].method,
                              .path = path,
                              .body = body,
                              .body_len = strlen(body),
                              .timeout_ms = 10000};

    if (rows[i].body)
        req.content_type = strcmp(rows[i].method, "PATCH") == 0 ? "application/merge-patch+json"
                                                                : "application/json";
    a->done = false;
    a->look = rows[i].look;
    printf("%zu %s %s %s", i, rows[i].method, rows[i].path, str_or_empty(rows[i].body));
    ops_start(a->ops, &req, &handler, a);
}

static int ask_model(void)
{
    struct sim_config cfg = {.seed = 1, .calm = true};
    struct sim *s = sim_new(&cfg);
    struct asker a = {.ops = &s->procs[0].ops, .ns = SIM_NS, .name = "behaviour"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ask(&a, i);
        while (!a.done && sim_step(s))
            ;
    }
    sim_free(s);
    return 0;
}

static int ask_real(void)
{
    struct kube_config_env env;
    struct kube_config config = {0};
    struct ops_uv_opts opts = {0};
    struct asker a = {.ns = "default"};
    struct ops_uv *u;
    struct err err = {0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    kube_config_env_init(&env);
    if (kube_config_load(&env, &config, &err) < 0 ||
        ops_uv_new(&loop, &config, &opts, &u, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    a.ops = ops_uv_ops(u);
    snprintf(a.name, sizeof(a.name), "behaviour-%d", (int)uv_os_getpid());
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ask(&a, i);
        while (!a.done)
            uv_run(&loop, UV_RUN_ONCE);
    }
    ops_uv_close(u, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) ? 1 : 0;
}

int main(int argc, char **argv)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    return argc == 2 && strcmp(argv[1], "--real") == 0 ? ask_real() : ask_model();
}
