/*
 * What the model claims of an API server, as a list of requests and answers. Without arguments it
 * asks the model, with --real the server that KUBECONFIG names; the lines must be the same:
 * tests/model/run compares.
 */
#include <errno.h>
#include <stdio.h>
#include <uv.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "operator/auth/config.h"
#include "operator/kube/encoding.h"
#include "operator/seam/ops_uv.h"
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

/* A pod whose owner has this UID: that of the last object seen, or one that no object has. */
#define CHILD(uid)                                                                                 \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$NAME\","                    \
    "\"ownerReferences\":[{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":\"Sandbox\","         \
    "\"name\":\"$NAME\",\"uid\":\"" uid "\",\"controller\":true}]},\"spec\":{\"schedulerName\":"   \
    "\"none\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"
#define NAMED(name)                                                                                \
    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":"        \
    "\"$NAME-" name "\"},\"spec\":{\"holderIdentity\":\"a\"}}"

/* A row is a request and what is shown of its answer. These are replaced: $NAME, $NS, $UID and $RV
 * (of the last object seen), $OLD (its resourceVersion at creation), $LIST and $MORE
 * (resourceVersion and continue token of the last list). look: the member of the answer that is
 * shown; "rv" shows whether the resourceVersion changed, "items" how many items there are and
 * whether that is all of them. WATCH begins a watch, EVENTS shows so many of its events, GONE waits
 * until the object is not found. */
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
    /* The sandbox becomes Failed at once, so that an operator which runs in the real cluster leaves
     * it alone. */
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
    {"GET", LEASES, NULL, "items"},
    {"POST", LEASES, NAMED("1"), NULL},
    {"POST", LEASES, NAMED("2"), NULL},
    {"POST", LEASES, NAMED("3"), NULL},
    {"GET", LEASES "?limit=2", NULL, "items"},
    {"POST", LEASES, NAMED("4"), NULL}, /* later pages are of the first one's moment */
    {"GET", LEASES "?limit=2&continue=$MORE", NULL, "items"},
    {"GET", LEASES "?limit=2&continue=nonsense", NULL, NULL},
    {"GET", LEASES "?limit=9", NULL, "items"},
    {"WATCH", LEASES "?watch=1&resourceVersion=$LIST", NULL, NULL},
    {"PATCH", LEASES "/$NAME-1", "{\"spec\":{\"holderIdentity\":\"b\"}}", NULL},
    {"PATCH", LEASES "/$NAME-1", "{\"spec\":{\"holderIdentity\":\"b\"}}", NULL}, /* no event */
    {"DELETE", LEASES "/$NAME-2", "{}", NULL},
    {"POST", LEASES, NAMED("5"), NULL},
    {"EVENTS", "3", NULL, NULL},
    {"WATCH", LEASES "?watch=1&resourceVersion=$LIST", NULL, NULL}, /* what was before it, too */
    {"DELETE", LEASES "/$NAME-1", "{}", NULL},
    {"EVENTS", "4", NULL, NULL},
    {"WATCH", LEASES "?watch=1&resourceVersion=1", NULL, NULL},
    {"EVENTS", "1", NULL, NULL},
    {"DELETE", LEASES "/$NAME-3", "{}", NULL},
    {"DELETE", LEASES "/$NAME-4", "{}", NULL},
    {"DELETE", LEASES "/$NAME-5", "{}", NULL},
    {"POST", BOXES, BOX, NULL},
    {"PATCH", BOXES "/$NAME/status", "{\"status\":{\"phase\":\"Failed\"}}", NULL},
    {"POST", PODS, CHILD("$UID"), NULL},
    {"GET", PODS "/$NAME", NULL, NULL},
    {"DELETE", BOXES "/$NAME", "{}", NULL},
    {"GONE", PODS "/$NAME", NULL, NULL},
    {"POST", PODS, CHILD("b8ab1f4a-0000-4000-8000-000000000000"), NULL},
    {"GONE", PODS "/$NAME", NULL, NULL},
};

struct asker {
    struct ops *ops;
    const char *ns;
    char name[64], uid[64], rv[32], old_rv[32], list_rv[32], more[512];
    bool done;
    int status;
    struct ops_call *watch;
    struct buf events; /* of the watch, a line each */
    bool quiet;        /* the answer is not shown */
    bool pods;         /* the answer is asked for as the operator asks for pods */
    bool real;
    const char *look;
};

static char *fill(const struct asker *a, const char *text)
{
    const struct {
        const char *name, *value;
    } words[] = {{"$NAME", a->name},  {"$NS", a->ns},        {"$UID", a->uid},  {"$RV", a->rv},
                 {"$OLD", a->old_rv}, {"$LIST", a->list_rv}, {"$MORE", a->more}};
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
    } else if (a->look && strcmp(a->look, "items") == 0) {
        text = str_or_empty(json_get_str(json_get(obj, "metadata"), "continue"));
        printf(" %zu items, %s", json_array_len(json_get(obj, "items")), *text ? "more" : "all");
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

static void keep(struct asker *a, const struct ops_response *resp, struct json_object *obj)
{
    struct json_object *md = json_get(obj, "metadata");

    if (json_get_str(md, "uid")) {
        snprintf(a->uid, sizeof(a->uid), "%s", json_get_str(md, "uid"));
        snprintf(a->rv, sizeof(a->rv), "%s", json_get_str(md, "resourceVersion"));
        if (resp->status == 201)
            snprintf(a->old_rv, sizeof(a->old_rv), "%s", a->rv);
    } else if (json_get(obj, "items")) {
        snprintf(a->list_rv, sizeof(a->list_rv), "%s", json_get_str(md, "resourceVersion"));
        snprintf(a->more, sizeof(a->more), "%s", str_or_empty(json_get_str(md, "continue")));
    }
}

/* Answers about pods have to come in protobuf, failures too. */
static struct json_object *tree_of(const struct asker *a, const struct ops_response *resp)
{
    struct json_object *obj = NULL;

    if (a->pods && !encoding_is_pb(resp->body, resp->body_len))
        printf(" (not in protobuf)");
    if (a->pods && resp->status < 300)
        encoding_object(&api_pod, resp->body, resp->body_len, &obj, NULL);
    else
        encoding_status(resp->body, resp->body_len, &obj);
    return obj;
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct asker *a = arg;
    cleanup_json struct json_object *obj = NULL;

    a->done = true;
    a->status = resp->status;
    if (a->quiet)
        return;
    printf(" -> %d", resp->error ? resp->error : resp->status);
    obj = tree_of(a, resp);
    if (!obj) {
        printf("\n");
        return;
    }
    if (resp->status >= 300)
        printf(" %s", str_or_empty(json_get_str(obj, "reason")));
    else
        show(a, obj);
    printf("\n");
    if (resp->status < 300)
        keep(a, resp, obj);
}

/* ---- watches --------------------------------------------------------------------------------- */

static void show_event(const struct asker *a, const char *line, size_t len)
{
    cleanup_json struct json_object *ev = NULL;
    const char *type, *name;
    int64_t code;

    if (json_parse(line, len, &ev, NULL) < 0)
        return;
    type = json_get_str(ev, "type");
    name = json_get_str(json_get_path(ev, "object.metadata"), "name");
    if (json_get_int(json_get(ev, "object"), "code", &code))
        printf(" %s=%d", type, (int)code);
    else if (name && strncmp(name, a->name, strlen(a->name)) == 0)
        printf(" %s=$NAME%s", type, name + strlen(a->name));
}

static void on_events(void *arg, const char *data, size_t len)
{
    struct asker *a = arg;

    buf_append(&a->events, data, len);
}

static void on_watch_over(void *arg, const struct ops_response *resp)
{
    struct asker *a = arg;

    a->watch = NULL;
    if (resp->status >= 300)
        buf_printf(&a->events, "{\"type\":\"ANSWER\",\"object\":{\"code\":%d}}\n", resp->status);
}

static void unwatch(struct asker *a)
{
    if (a->watch)
        ops_cancel(a->ops, a->watch);
    a->watch = NULL;
    buf_clear(&a->events);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void start(struct asker *a, const char *method, const char *path_text, const char *body_text)
{
    static const struct ops_handler handler = {.on_done = on_done};
    static const struct ops_handler watching = {.on_data = on_events, .on_done = on_watch_over};
    cleanup_free char *path = fill(a, path_text), *body = fill(a, body_text);
    struct ops_request req = {.target = OPS_API,
                              .method = method,
                              .path = path,
                              .body = body,
                              .body_len = strlen(body),
                              .timeout_ms = 10000};

    a->pods = strstr(path, "/pods") != NULL;
    req.accept = a->pods ? encoding_accept(&api_pod) : NULL;
    if (strcmp(method, "WATCH") == 0) {
        unwatch(a);
        req.method = "GET";
        req.stream = true;
        req.timeout_ms = 0;
        req.idle_timeout_ms = 60000;
        a->watch = ops_start(a->ops, &req, &watching, a);
        return;
    }
    if (body_text)
        req.content_type =
            strcmp(method, "PATCH") == 0 ? "application/merge-patch+json" : "application/json";
    a->done = false;
    ops_start(a->ops, &req, &handler, a);
}

static size_t events_of(const struct asker *a)
{
    size_t n = 0;

    for (size_t i = 0; i < a->events.len; i++)
        n += a->events.data[i] == '\n';
    return n;
}

static void show_events(struct asker *a)
{
    const char *p = buf_str(&a->events);

    printf(" ->");
    for (const char *end; (end = strchr(p, '\n')); p = end + 1)
        show_event(a, p, (size_t)(end - p));
    printf("\n");
}

/* wait(arg): lets something happen; false: nothing will. */
static int ask_all(struct asker *a, bool (*wait)(void *arg), void *arg)
{
    buf_init(&a->events, 1u << 20);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *method = rows[i].method;

        printf("%zu %s %s %s", i, method, rows[i].path, str_or_empty(rows[i].body));
        a->look = rows[i].look;
        a->quiet = strcmp(method, "GONE") == 0;
        if (strcmp(method, "EVENTS") == 0) {
            while (events_of(a) < (size_t)atoi(rows[i].path) && wait(arg))
                ;
            show_events(a);
            continue;
        }
        do {
            if (a->real && a->quiet)
                uv_sleep(50);
            start(a, a->quiet ? "GET" : method, rows[i].path, rows[i].body);
            while (!a->done && wait(arg))
                ;
        } while (a->quiet && a->status != 404 && wait(arg));
        if (a->quiet || strcmp(method, "WATCH") == 0)
            printf("\n");
    }
    unwatch(a);
    buf_done(&a->events);
    return 0;
}

static bool wait_model(void *arg)
{
    return sim_step(arg);
}

static int ask_model(void)
{
    struct sim_config cfg = {.seed = 1, .calm = true};
    struct sim *s = sim_new(&cfg);
    struct asker a = {.ops = &s->procs[0].ops, .ns = SIM_NS, .name = "behaviour"};
    int r;

    s->api.floor[SIM_LEASE] = 2; /* no server still has its first changes */
    r = ask_all(&a, wait_model, s);
    sim_free(s);
    return r;
}

static bool wait_real(void *arg)
{
    uv_run(arg, UV_RUN_ONCE);
    return true;
}

static int ask_real(void)
{
    struct kube_config_env env;
    struct kube_config config = {0};
    struct ops_uv_opts opts = {0};
    struct asker a = {.ns = "default", .real = true};
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
    ask_all(&a, wait_real, &loop);
    ops_uv_close(u, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) ? 1 : 0;
}

int main(int argc, char **argv)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    return argc == 2 && strcmp(argv[1], "--real") == 0 ? ask_real() : ask_model();
}
