/*
 * The whole operator above the seam: reflectors, planners, executor and sidecar client against
 * answers that the test makes, lost and refused ones among them.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>

#include "common/json.h"
#include "common/task_proto.h"
#include "operator/manager.h"
#include "tests/unit/fake_ops.h"

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

static char *object(struct rig *r, const char *name, const char *md, const char *rest)
{
    return xasprintf("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\",\"uid\":\"uid-%s\","
                     "\"generation\":1,\"resourceVersion\":\"%u\",\"creationTimestamp\":"
                     "\"2026-01-02T03:04:05Z\"%s},%s}",
                     name, name, ++r->rv, md, rest);
}

static char *pool_object(struct rig *r, int replicas)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                  "\"executor\",\"image\":\"x\"}]}}}",
                  replicas);

    return object(r, "p", "", rest);
}

/* What the operator will call the template of pool_object(). */
static void learn_hash(struct rig *r)
{
    cleanup_free char *text = pool_object(r, 1);
    cleanup_json struct json_object *obj = NULL;
    struct meta *m = NULL;

    assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
    assert_int_equal(api_warmpool.decode(obj, &m, NULL), 0);
    memcpy(r->hash, container_of(m, struct warmpool, meta)->template_hash, sizeof(r->hash));
    api_warmpool.free(m);
}

static char *pod_object(struct rig *r, const char *name, const char *sandbox)
{
    cleanup_free char *label =
        sandbox ? xasprintf(",\"arl.infra.io/sandbox\":\"%s\"", sandbox) : xstrdup("");
    cleanup_free char *md = xasprintf(
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"%s\"%s},"
        "\"annotations\":{\"arl.infra.io/work-dir\":\"/w\",\"arl.infra.io/template-hash\":\"%s\"},"
        "\"ownerReferences\":[{\"kind\":\"%s\","
        "\"uid\":\"uid-%s\",\"controller\":true}]",
        sandbox ? "allocated" : "idle", label, r->hash, sandbox ? "Sandbox" : "WarmPool",
        sandbox ? sandbox : "p");

    return object(r, name, md,
                  "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":["
                  "{\"type\":\"Ready\",\"status\":\"True\"}]}");
}

static char *sandbox_object(struct rig *r, const char *name, const char *status)
{
    cleanup_free char *rest = xasprintf("\"spec\":{\"poolRef\":\"p\"},\"status\":{%s}", status);

    return object(r, name, "", rest);
}

#define READY                                                                                      \
    "\"phase\":\"Ready\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"workDir\":\"/"                   \
    "w\",\"conditions\":["                                                                         \
    "{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"PodReady\",\"message\":\"the agent in "  \
    "the pod answers\",\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]"

static char *task_object(struct rig *r, const char *name, const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"x\",\"type\":\"Command\","
                  "\"command\":[\"true\"]}]},\"status\":{%s}",
                  status);

    return object(r, name, "", rest);
}

/* ---- the rig --------------------------------------------------------------------------------- */

static void turn(struct rig *r)
{
    manager_turn(r->m);
}

static void answer(struct rig *r, const char *what, int status, const char *body)
{
    struct ops_call *c = fake_find(&r->ops, what);

    if (!c)
        fail_msg("no call under way: %s", what);
    fake_answer(c, status, body);
    turn(r);
}

/* An answer that is an object; takes it over. */
static void answer_object(struct rig *r, const char *what, char *body)
{
    answer(r, what, 200, body);
    free(body);
}

static void answer_status(struct rig *r, const char *what, int code, const char *reason)
{
    cleanup_free char *body = xasprintf("{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":%d,"
                                        "\"reason\":\"%s\",\"message\":\"%s happened\"}",
                                        code, reason, reason);

    answer(r, what, code, body);
}

static void lose(struct rig *r, const char *what)
{
    struct ops_call *c = fake_find(&r->ops, what);

    assert_non_null(c);
    fake_fail(c, -ECONNRESET, true);
    turn(r);
}

static void list(struct rig *r, const char *what, char *items)
{
    char *body = xasprintf("{\"metadata\":{\"resourceVersion\":\"%u\"},\"items\":[%s]}", ++r->rv,
                           items ? items : "");

    answer_object(r, what, body);
    free(items);
}

static void watch(struct rig *r, const char *plural, const char *type, char *obj)
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
    turn(r);
}

static void assert_call(struct rig *r, const char *what)
{
    if (!fake_find(&r->ops, what))
        fail_msg("expected a call: %s", what);
}

static void assert_no_call(struct rig *r, const char *what)
{
    if (fake_find(&r->ops, what))
        fail_msg("unexpected call: %s", what);
}

static int setup(void **state)
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
                                .output_limit = 262144};
    learn_hash(r);
    r->m = manager_new(&r->ops.ops, &opts);
    manager_set_active(r->m, true);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    manager_free(r->m);
    fake_ops_done(&r->ops);
    free(r);
    return 0;
}

/* The first lists: what the cluster holds when the operator starts. All texts are taken over. */
static void start(struct rig *r, char *pods, char *pools, char *sandboxes, char *tasks)
{
    list(r, "/pods?", pods);
    list(r, "/warmpools?", pools);
    list(r, "/sandboxes?", sandboxes);
    assert_false(manager_synced(r->m));
    list(r, "/tasks?", tasks);
    assert_true(manager_synced(r->m));
    turn(r);
}

static char *join(char *a, char *b)
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

static void start_with_two_pods(struct rig *r)
{
    start(r, join(pod_object(r, "a", NULL), pod_object(r, "b", NULL)), pool_object(r, 2), NULL,
          NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 2));
}

/* ---- claims ---------------------------------------------------------------------------------- */

static void test_claim_is_two_writes(void **state)
{
    struct rig *r = *state;
    unsigned before;

    start_with_two_pods(r);
    before = r->ops.started;
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    assert_call(r, POD_A);
    assert_no_call(r, SANDBOX_STATUS);
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_call(r, SANDBOX_STATUS);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"phase\":\"Ready\""));
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", READY));
    assert_int_equal(r->ops.started - before, 2);
    assert_no_call(r, CREATE_POD); /* held back */
    fake_advance(&r->ops, 300);
    assert_call(r, CREATE_POD);
}

static void test_claim_conflict_takes_the_next_pod(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    answer_status(r, POD_A, 409, "Conflict");
    assert_call(r, POD_B);
    assert_no_call(r, POD_A);
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", "other"));
    answer_object(r, POD_B, pod_object(r, "b", "s"));
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"b\""));
}

static void test_claim_whose_answer_is_lost_takes_no_second_pod(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    lose(r, POD_A);
    assert_no_call(r, POD_B);
    lose(r, "GET /api/v1/namespaces/ns/pods/a");
    assert_no_call(r, POD_B);
    fake_advance(&r->ops, 5000);
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", "s"));
    assert_no_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"a\""));
}

static void test_claim_after_a_crash_is_finished(void **state)
{
    struct rig *r = *state;

    start(r, join(pod_object(r, "a", "s"), pod_object(r, "b", NULL)), pool_object(r, 1),
          sandbox_object(r, "s", ""), NULL);
    assert_no_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, SANDBOX_STATUS)->body, "\"podName\":\"a\""));
}

static void test_two_sandboxes_two_pods(void **state)
{
    struct rig *r = *state;

    start_with_two_pods(r);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s2", ""));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s3", ""));
    assert_call(r, POD_A);
    assert_call(r, POD_B);
    assert_non_null(strstr(fake_find(&r->ops, POD_B)->body, "\"uid\":\"uid-s2\""));
}

static void test_sandbox_deleted_takes_its_pod(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
    assert_call(r, "DELETE /api/v1/namespaces/ns/pods/a");
    assert_non_null(
        strstr(fake_find(&r->ops, "DELETE /api/v1/namespaces/ns/pods/a")->body, "uid-a"));
    answer(r, "DELETE /api/v1/namespaces/ns/pods/a", 200, "{\"kind\":\"Status\"}");
    assert_no_call(r, "DELETE");
}

static void test_create_whose_answer_is_lost_is_not_repeated(void **state)
{
    struct rig *r = *state;
    cleanup_free char *path = NULL;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    assert_call(r, CREATE_POD);
    lose(r, CREATE_POD);
    assert_no_call(r, CREATE_POD);
    path = xstrdup(fake_find(&r->ops, "GET /api/v1/namespaces/ns/pods/p-")->path);
    answer_object(r, path, pod_object(r, strrchr(path, '/') + 1, NULL));
    fake_advance(&r->ops, 60000);
    assert_no_call(r, CREATE_POD);
}

static void test_create_refused_backs_off_and_says_why(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 1));
    answer_status(r, CREATE_POD, 403, "Forbidden");
    assert_no_call(r, CREATE_POD);
    fake_advance(&r->ops, 1000);
    assert_call(r, CREATE_POD);
    assert_non_null(strstr(fake_find(&r->ops, POOL_STATUS)->body, "Forbidden happened"));
}

/* ---- tasks ----------------------------------------------------------------------------------- */

#define PUT "PUT /v1/tasks/uid-t/1"

static void start_with_sandbox(struct rig *r)
{
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
}

static bool event(struct rig *r, const char *call, struct task_event ev)
{
    cleanup_buf struct buf line = BUF_INIT(1 << 16);
    bool alive;

    assert_int_equal(task_event_encode(&ev, &line), 0);
    alive = fake_data(&r->ops, fake_find(&r->ops, call), line.data, line.len);
    turn(r);
    return alive;
}

static void run_events(struct rig *r, uint64_t from)
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

static void test_task_is_one_write(void **state)
{
    struct rig *r = *state;
    struct ops_call *put;
    unsigned before;

    start_with_sandbox(r);
    before = r->ops.started;
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    put = fake_find(&r->ops, PUT);
    assert_non_null(put);
    assert_string_equal(put->address, "10.0.0.1:8080");
    assert_non_null(strstr(put->headers, "Signature-Input: arl=("));
    assert_non_null(strstr(put->headers, "Arl-Pod-Uid: uid-a"));
    assert_non_null(strstr(put->headers, "Arl-Sandbox-Uid: uid-s"));
    run_events(r, 1);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"stdout\":\"hi\\n\""));
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_int_equal(r->ops.started - before, 2);
    fake_advance(&r->ops, 1000);
    assert_string_equal(fake_find(&r->ops, "POST /v1/acknowledged")->body,
                        "{\"attempts\":[\"uid-t/1\"]}");
    answer(r, "POST /v1/acknowledged", 204, "");
}

static void test_task_stream_that_breaks_is_attached_to_again(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    event(r, PUT, (struct task_event){.seq = 2, .type = TASK_EVENT_STEP});
    lose(r, PUT);
    assert_no_call(r, TASK_STATUS);
    fake_advance(&r->ops, 50);
    assert_call(r, PUT "?after=2");
    run_events(r, 3);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
}

static void test_task_write_is_repeated_the_task_is_not(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    for (int i = 0; i < 3; i++) {
        lose(r, TASK_STATUS);
        fake_advance(&r->ops, 30000);
    }
    assert_call(r, TASK_STATUS);
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_no_call(r, "after=");
    assert_no_call(r, TASK_STATUS);
}

static void test_task_status_that_is_refused_is_cut_down(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    answer_status(r, TASK_STATUS, 422, "Invalid");
    fake_advance(&r->ops, 1000);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "refused the full result"));
}

static void test_task_after_an_operator_restart_attaches(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", "\"state\":\"Running\",\"startTime\":\"2026-01-02T03:04:05Z\""));
    assert_no_call(r, PUT); /* before it is known what runs there */
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"}]}");
    assert_call(r, PUT);
    run_events(r, 1);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
}

/* An operator that did not know of the older task has begun the younger one. */
static void test_what_runs_goes_first_after_a_restart(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", ""));
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    answer(r, "GET /v1/tasks", 200, "{\"running\":[{\"attempt\":\"uid-u/1\",\"task\":\"ns/u\"}]}");
    assert_call(r, "PUT /v1/tasks/uid-u/1");
    assert_no_call(r, PUT);
}

/* An agent that does not tell keeps nothing from being tried, in the end. */
static void test_audit_that_fails_holds_nothing_up(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", ""));
    for (int i = 0; i < 20 && fake_find(&r->ops, "GET /v1/tasks"); i++) {
        answer(r, "GET /v1/tasks", 500, "");
        fake_advance(&r->ops, 2000);
        turn(r);
    }
    assert_call(r, PUT);
}

static void test_task_refused_by_the_agent_fails(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 403, "{\"error\":\"another sandbox\"}");
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentRefused"));
}

static void test_task_begun_under_other_flags_is_attached_to(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 409, "{\"error\":\"another body\"}");
    assert_no_call(r, TASK_STATUS);
    assert_string_equal(fake_find(&r->ops, "GET /v1/tasks/uid-t/1")->body, "");
    event(r, "GET /v1/tasks/uid-t/1", (struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED});
    lose(r, "GET /v1/tasks/uid-t/1");
    fake_advance(&r->ops, 50);
    assert_call(r, "GET /v1/tasks/uid-t/1?after=1");
}

static void test_task_whose_result_was_dropped_fails(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 410, "{}");
    answer_object(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t",
                  task_object(r, "t", "\"state\":\"Running\""));
    assert_no_call(r, PUT);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "ResultLost"));
}

#define TASKS_PATH "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/"

static void test_orphan_is_cancelled(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY),
          task_object(r, "t", "\"state\":\"Running\""));
    answer(r, "GET /v1/tasks", 200,
           "{\"running\":[{\"attempt\":\"uid-t/1\",\"task\":\"ns/t\"},"
           "{\"attempt\":\"uid-gone/3\",\"task\":\"ns/gone\"},"
           "{\"attempt\":\"uid-old/1\",\"task\":\"ns/old\"},"
           "{\"attempt\":\"uid-new/1\",\"task\":\"ns/new\"}]}");
    assert_no_call(r, "DELETE /v1/tasks");
    answer(r, TASKS_PATH "gone", 404, "{\"reason\":\"NotFound\"}");
    answer(r, "DELETE /v1/tasks/uid-gone/3", 202, "");
    answer_object(r, TASKS_PATH "old", task_object(r, "t", "")); /* made anew, with another uid */
    answer(r, "DELETE /v1/tasks/uid-old/1", 202, "");
    /* The watch has yet to tell of this one. */
    answer_object(r, TASKS_PATH "new", task_object(r, "new", ""));
    assert_no_call(r, "DELETE /v1/tasks");
}

static void test_task_acknowledged_elsewhere_is_read(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    answer(r, PUT, 410, "{}");
    assert_no_call(r, TASK_STATUS);
    answer_object(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/t",
                  task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_no_call(r, PUT);
    assert_no_call(r, TASK_STATUS);
}

static void test_task_of_a_silent_agent_fails_in_the_end(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (int i = 0; i < 100 && fake_find(&r->ops, PUT); i++) {
        fake_fail(fake_find(&r->ops, PUT), -ECONNREFUSED, false);
        turn(r);
        if (fake_find(&r->ops, TASK_STATUS))
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
        fake_advance(&r->ops, 2000);
    }
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "AgentUnavailable"));
}

static void test_task_of_an_agent_that_only_beats_goes_on(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (int i = 0; i < 10; i++) {
        lose(r, PUT);
        fake_advance(&r->ops, 2000);
        assert_true(fake_data(&r->ops, fake_find(&r->ops, PUT), "\n", 1));
        fake_advance(&r->ops, 30000);
        if (fake_find(&r->ops, TASK_STATUS))
            answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    }
    assert_call(r, PUT);
}

static void test_audits_after_a_start_are_bounded(void **state)
{
    struct rig *r = *state;
    char *pods = NULL, *sandboxes = NULL;
    unsigned audits = 0;

    for (int i = 0; i < 40; i++) {
        cleanup_free char *pod = xasprintf("pod%d", i), *box = xasprintf("box%d", i);
        cleanup_free char *status =
            xasprintf("\"phase\":\"Ready\",\"podName\":\"%s\",\"podUID\":\"uid-%s\"", pod, pod);
        char *p = pod_object(r, pod, box), *s = sandbox_object(r, box, status);

        pods = pods ? join(pods, p) : p;
        sandboxes = sandboxes ? join(sandboxes, s) : s;
    }
    start(r, pods, pool_object(r, 0), sandboxes, NULL);
    for (; fake_find(&r->ops, "GET /v1/tasks"); audits++) {
        assert_true(fake_calls(&r->ops) <= 4 + 16 + 2); /* watches, audits, the pool's status */
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    }
    assert_int_equal(audits, 40);
}

static void test_task_deleted_is_cancelled_until_heard(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    watch(r, "tasks", "DELETED", task_object(r, "t", ""));
    fake_advance(&r->ops, 0);
    assert_no_call(r, PUT);
    lose(r, "DELETE /v1/tasks/uid-t/1");
    fake_advance(&r->ops, 50);
    answer(r, "DELETE /v1/tasks/uid-t/1", 202, "");
    assert_no_call(r, "DELETE");
}

static void test_inactive_operator_does_nothing(void **state)
{
    struct rig *r = *state;

    manager_set_active(r->m, false);
    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_no_call(r, PUT);
    manager_set_active(r->m, true);
    turn(r);
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, PUT);
}

/* Watches that wait to try again do so in the turn after an outage. */
static void test_watches_go_on_when_the_server_is_back(void **state)
{
    struct rig *r = *state;

    start(r, NULL, NULL, NULL, NULL);
    lose(r, "/tasks?watch");
    assert_no_call(r, "/tasks?watch");
    manager_server_back(r->m);
    assert_no_call(r, "/tasks?watch");
    turn(r);
    assert_call(r, "/tasks?watch");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_claim_is_two_writes),
        T(test_claim_conflict_takes_the_next_pod),
        T(test_claim_whose_answer_is_lost_takes_no_second_pod),
        T(test_claim_after_a_crash_is_finished),
        T(test_two_sandboxes_two_pods),
        T(test_sandbox_deleted_takes_its_pod),
        T(test_create_whose_answer_is_lost_is_not_repeated),
        T(test_create_refused_backs_off_and_says_why),
        T(test_task_is_one_write),
        T(test_task_stream_that_breaks_is_attached_to_again),
        T(test_task_write_is_repeated_the_task_is_not),
        T(test_task_status_that_is_refused_is_cut_down),
        T(test_task_after_an_operator_restart_attaches),
        T(test_what_runs_goes_first_after_a_restart),
        T(test_audit_that_fails_holds_nothing_up),
        T(test_task_refused_by_the_agent_fails),
        T(test_task_begun_under_other_flags_is_attached_to),
        T(test_task_whose_result_was_dropped_fails),
        T(test_orphan_is_cancelled),
        T(test_task_acknowledged_elsewhere_is_read),
        T(test_task_of_a_silent_agent_fails_in_the_end),
        T(test_task_of_an_agent_that_only_beats_goes_on),
        T(test_audits_after_a_start_are_bounded),
        T(test_task_deleted_is_cancelled_until_heard),
        T(test_inactive_operator_does_nothing),
        T(test_watches_go_on_when_the_server_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
