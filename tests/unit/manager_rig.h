/*
 * For tests of the whole operator above the seam: a manager over fake_ops, objects as the API
 * server would send them, and short ways to answer what is under way. Header only.
 */
#ifndef ARL_TESTS_MANAGER_RIG_H
#define ARL_TESTS_MANAGER_RIG_H

#include <errno.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/wire/task_proto.h"
#include "operator/app/manager.h"
#include "tests/unit/fake_ops.h"

/* Streams of tasks at once; 0: as many as by default. */
#ifndef RIG_STREAMS
#define RIG_STREAMS 0
#endif

struct rig {
    struct fake_ops ops;
    struct policy policy;
    struct signing_keys keys;
    char public_keys[256];
    struct manager *m;
    unsigned rv;
    char hash[17]; /* of the pool's template */
};

/* ---- objects --------------------------------------------------------------------------------- */

static inline char *object(struct rig *r, const char *name, const char *md, const char *rest)
{
    return xasprintf("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\",\"uid\":\"uid-%s\","
                     "\"generation\":1,\"resourceVersion\":\"%u\",\"creationTimestamp\":"
                     "\"2026-01-02T03:04:05Z\"%s},%s}",
                     name, name, ++r->rv, md, rest);
}

static inline char *pool_object(struct rig *r, int replicas)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                  "\"executor\",\"image\":\"x\"}]}}}",
                  replicas);

    return object(r, "p", "", rest);
}

/* Learns the hash that the operator gives the template of pool_object(). */
static inline void learn_hash(struct rig *r)
{
    cleanup_free char *text = pool_object(r, 1);
    cleanup_json struct json_object *obj = NULL;
    struct meta *m = NULL;

    assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
    assert_int_equal(api_warmpool.decode(obj, &m, NULL), 0);
    memcpy(r->hash, container_of(m, struct warmpool, meta)->template_hash, sizeof(r->hash));
    api_warmpool.free(m);
}

/* Of a pod that is Ready. */
#define POD_STATUS(ip)                                                                             \
    "\"status\":{\"phase\":\"Running\",\"podIP\":\"" ip "\",\"conditions\":["                      \
    "{\"type\":\"Ready\",\"status\":\"True\"}]," AGENT_SIDE_TOLD(AGENT_SIDE_KEY) "}"

static inline char *pod_object(struct rig *r, const char *name, const char *sandbox)
{
    cleanup_free char *label =
        sandbox ? xasprintf(",\"arl.infra.io/sandbox\":\"%s\"", sandbox) : xstrdup("");
    cleanup_free char *md =
        xasprintf(",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"%s\"%s},"
                  "\"annotations\":{\"arl.infra.io/wire-version\":\"2\",\"arl.infra.io/"
                  "work-dir\":\"/w\",\"arl.infra.io/template-hash\":\"%s\"},"
                  "\"ownerReferences\":[{\"kind\":\"%s\","
                  "\"uid\":\"uid-%s\",\"controller\":true}]",
                  sandbox ? "allocated" : "idle", label, r->hash, sandbox ? "Sandbox" : "WarmPool",
                  sandbox ? sandbox : "p");

    return object(r, name, md, POD_STATUS("10.0.0.1"));
}

static inline char *sandbox_object(struct rig *r, const char *name, const char *status)
{
    cleanup_free char *rest = xasprintf("\"spec\":{\"poolRef\":\"p\"},\"status\":{%s}", status);

    return object(r, name, "", rest);
}

#define READY                                                                                      \
    "\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY                                           \
    "\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"workDir\":\"/"                                    \
    "w\",\"conditions\":["                                                                         \
    "{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"PodReady\",\"message\":\"the agent in "  \
    "the pod answers\",\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]"

static inline char *task_object(struct rig *r, const char *name, const char *status)
{
    cleanup_free char *rest = xasprintf(
        "\"spec\":{\"sandboxRef\":\"s\",\"traceID\":\"trace-1\",\"steps\":[{\"name\":\"x\","
        "\"type\":\"Command\",\"command\":[\"true\"]}]},\"status\":{%s}",
        status);

    return object(r, name, "", rest);
}

/* ---- the rig --------------------------------------------------------------------------------- */

static inline void turn(struct rig *r)
{
    manager_turn(r->m);
}

static inline void answer(struct rig *r, const char *what, int status, const char *body)
{
    struct ops_call *c = fake_find(&r->ops, what);

    if (!c)
        fail_msg("no call under way: %s", what);
    fake_answer(c, status, body);
    turn(r);
}

/* An answer that is an object; takes it over. */
static inline void answer_object(struct rig *r, const char *what, char *body)
{
    answer(r, what, 200, body);
    free(body);
}

static inline void answer_status(struct rig *r, const char *what, int code, const char *reason)
{
    cleanup_free char *body = xasprintf("{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":%d,"
                                        "\"reason\":\"%s\",\"message\":\"%s happened\"}",
                                        code, reason, reason);

    answer(r, what, code, body);
}

static inline void lose(struct rig *r, const char *what)
{
    struct ops_call *c = fake_find(&r->ops, what);

    assert_non_null(c);
    fake_fail(c, -ECONNRESET, true);
    turn(r);
}

static inline void list(struct rig *r, const char *what, char *items)
{
    char *body = xasprintf("{\"metadata\":{\"resourceVersion\":\"%u\"},\"items\":[%s]}", ++r->rv,
                           items ? items : "");

    answer_object(r, what, body);
    free(items);
}

/* The watch brings an object; the operator has no turn after it. */
static inline void watch_only(struct rig *r, const char *plural, const char *type, char *obj)
{
    cleanup_free char *line = xasprintf("{\"type\":\"%s\",\"object\":%s}", type, obj);
    struct ops_call *c = NULL;

    for (struct list *it = r->ops.calls.next; it != &r->ops.calls; it = it->next) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (strstr(call->path, plural) && strstr(call->path, "watch"))
            c = call;
    }
    assert_non_null(c);
    assert_true(fake_line(&r->ops, c, line));
    free(obj);
}

static inline void watch(struct rig *r, const char *plural, const char *type, char *obj)
{
    watch_only(r, plural, type, obj);
    turn(r);
}

static inline void assert_call(struct rig *r, const char *what)
{
    if (!fake_find(&r->ops, what))
        fail_msg("expected a call: %s", what);
}

static inline void assert_no_call(struct rig *r, const char *what)
{
    if (fake_find(&r->ops, what))
        fail_msg("unexpected call: %s", what);
}

static inline int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    struct manager_opts opts = {.instance = "test", .policy = &r->policy, .keys = &r->keys};

    assert_int_equal(signature_init(), 0);
    r->rv = 100;
    fake_ops_init(&r->ops);
    signature_key_generate(&r->keys.keys[0]);
    r->keys.count = 1;
    signing_public_text(&r->keys, r->public_keys, sizeof(r->public_keys));
    r->policy = (struct policy){.pod = {.sidecar_image = "arl-sidecar:test",
                                        .public_keys = r->public_keys,
                                        .key_id = r->keys.keys[0].id,
                                        .output_limit = 262144},
                                .task_timeout_ms = 300000,
                                .idle_timeout_s = 600,
                                .keepalive_idle_timeout_s = 3600,
                                .sandbox_wait_ms = 300000,
                                .output_limit = 262144,
                                .streams = RIG_STREAMS};
    learn_hash(r);
    r->m = manager_new(&r->ops.ops, &opts);
    manager_set_active(r->m, true);
    *state = r;
    return 0;
}

static inline int teardown(void **state)
{
    struct rig *r = *state;

    manager_free(r->m);
    fake_ops_done(&r->ops);
    free(r);
    return 0;
}

/* The first lists: what the cluster holds when the operator starts. All texts are taken over. */
static inline void start(struct rig *r, char *pods, char *pools, char *sandboxes, char *tasks)
{
    list(r, "/pods?", pods);
    list(r, "/warmpools?", pools);
    list(r, "/sandboxes?", sandboxes);
    assert_false(manager_synced(r->m));
    list(r, "/tasks?", tasks);
    assert_true(manager_synced(r->m));
    turn(r);
}

static inline char *join(char *a, char *b)
{
    char *both = xasprintf("%s,%s", a, b);

    free(a);
    free(b);
    return both;
}

#define POD_A "PATCH /api/v1/namespaces/ns/pods/a"
#define POD_B "PATCH /api/v1/namespaces/ns/pods/b"
#define SANDBOX_STATUS "PATCH /apis/arl.infra.io/v1alpha1/namespaces/ns/sandboxes/s/status"
#define POOL_STATUS "PATCH /apis/arl.infra.io/v1alpha1/namespaces/ns/warmpools/p/status"
#define TASK_STATUS "PATCH /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t/status"
#define CREATE_POD "POST /api/v1/namespaces/ns/pods"

#define PUT "PUT /v1/tasks/uid-t/1"

static inline void start_with_sandbox(struct rig *r)
{
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
}

static inline bool event(struct rig *r, const char *call, struct task_event ev)
{
    cleanup_buf struct buf line = BUF_INIT(1 << 16);
    bool alive;

    assert_int_equal(task_event_encode(&ev, &line), 0);
    alive = fake_data(&r->ops, fake_find(&r->ops, call), line.data, line.len);
    turn(r);
    return alive;
}

static inline void run_events(struct rig *r, uint64_t from)
{
    const struct task_event all[] = {
        {.type = TASK_EVENT_ACCEPTED},
        {.type = TASK_EVENT_STEP, .time_unix_ms = 1767323045000},
        {.type = TASK_EVENT_OUT, .fd = 1, .data = "hi\n", .data_len = 3},
        {.type = TASK_EVENT_EXIT, .duration_ns = 1000000},
        {.type = TASK_EVENT_END, .duration_ns = 1000000},
    };

    for (uint64_t i = from; i <= ARRAY_SIZE(all); i++) {
        struct task_event ev = all[i - 1];

        ev.seq = i;
        event(r, PUT, ev);
    }
}

#endif
