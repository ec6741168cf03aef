/* What /metrics and /debug/state show: that it is true, enough to see why a key is stuck, and
 * bounded. */
#include "tests/unit/unit.h"

#include <json-c/json.h>

#include "operator/app/observe.h"
#include "tests/unit/manager_rig.h"

/* ---- reading --------------------------------------------------------------------------------- */

static struct json_object *debug(struct rig *r, const char *key)
{
    cleanup_buf struct buf out = BUF_INIT(256 << 10);
    struct json_object *obj = NULL;

    if (!key)
        manager_debug(r->m, &out);
    else if (!manager_debug_key(r->m, key, &out))
        return NULL;
    assert_int_equal(json_parse(buf_str(&out), out.len, &obj, NULL), 0);
    return obj;
}

static void assert_text(struct json_object *obj, const char *path, const char *want)
{
    struct json_object *v = json_get_path(obj, path);
    const char *is = v ? json_object_get_string(v) : "(null)";

    if (strcmp(is, want) != 0)
        fail_msg("%s is %s, not %s, in %s", path, is, want, json_object_to_json_string(obj));
}

static char *metrics(struct rig *r)
{
    struct buf out = BUF_INIT(256 << 10);

    manager_metrics(r->m, &out);
    return buf_steal(&out);
}

static void assert_metric(struct rig *r, const char *series, const char *value)
{
    cleanup_free char *text = metrics(r), *line = xasprintf("\n%s %s", series, value);
    const char *found = strstr(text, line);

    if (!found || !strchr("\n ", found[strlen(line)])) /* an exemplar may follow */
        fail_msg("no%s in%s", line, text);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void test_metrics_of_states(void **state)
{
    struct rig *r = *state;

    start(r, join(pod_object(r, "a", "s"), pod_object(r, "b", NULL)), pool_object(r, 3),
          join(sandbox_object(r, "s", READY),
               sandbox_object(r, "old", "\"phase\":\"Failed\",\"conditions\":[]")),
          join(task_object(r, "t", "\"state\":\"Succeeded\""),
               task_object(r, "u", "\"state\":\"Running\"")));
    assert_metric(r, "arl_pods{state=\"IdleReady\"}", "1");
    assert_metric(r, "arl_pods{state=\"Allocated\"}", "1");
    assert_metric(r, "arl_pods{state=\"Ending\"}", "0");
    assert_metric(r, "arl_pools{phase=\"New\"}", "1");
    assert_metric(r, "arl_sandboxes{phase=\"Ready\"}", "1");
    assert_metric(r, "arl_sandboxes{phase=\"Failed\"}", "1");
    assert_metric(r, "arl_tasks{state=\"Succeeded\"}", "1");
    assert_metric(r, "arl_tasks{state=\"Running\"}", "1");
    assert_metric(r, "arl_tasks{state=\"New\"}", "0");
    assert_metric(r, "arl_sandbox_longest_wait_seconds", "0");
    watch(r, "pods", "DELETED", pod_object(r, "b", NULL));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "waits", ""));
    fake_advance(&r->ops, 60000);
    assert_metric(r, "arl_pods{state=\"IdleReady\"}", "0");
    assert_metric(r, "arl_sandbox_longest_wait_seconds", "60");
}

/* From the sandbox to the pod to the end of its task. */
static void test_metrics_of_what_happened(void **state)
{
    struct rig *r = *state;
    cleanup_free char *text = NULL;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s", ""));
    fake_advance(&r->ops, 80);
    assert_metric(r, "arl_sandbox_wait_seconds_count", "0");
    watch(r, "pods", "ADDED", pod_object(r, "a", NULL));
    answer_object(r, POD_A, pod_object(r, "a", "s"));
    assert_metric(r, "arl_claim_seconds_count", "1");
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", READY));
    assert_metric(r, "arl_sandbox_wait_seconds_count", "1");
    assert_metric(r, "arl_sandbox_wait_seconds_sum", "0.080000000");
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    lose(r, TASK_STATUS);
    assert_metric(r, "arl_ends_total{kind=\"Task\",reason=\"Completed\"}", "0");
    fake_advance(&r->ops, 1000);
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_metric(r, "arl_ends_total{kind=\"Task\",reason=\"Completed\"}", "1");
    assert_metric(r, "arl_api_answers_total{reason=\"NoAnswer\"}", "1");
    assert_metric(r, "arl_task_seconds_count", "1");
    text = metrics(r);
    assert_non_null(strstr(text, " # {trace_id=\"trace-1\"} "));
}

static void test_metrics_of_failures(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "pods", "DELETED", pod_object(r, "a", "s"));
    answer(r, "GET /api/v1/namespaces/ns/pods/a", 404, "{\"reason\":\"NotFound\"}");
    answer_object(r, SANDBOX_STATUS, sandbox_object(r, "s", "\"phase\":\"Failed\""));
    assert_metric(r, "arl_ends_total{kind=\"Sandbox\",reason=\"PodLost\"}", "1");
    answer_status(r, "POST /api/v1/namespaces/ns/events", 403, "Forbidden");
    assert_metric(r, "arl_events_dropped_total", "1");
    answer_status(r, "/tasks?watch", 403, "Forbidden");
    assert_metric(r, "arl_watch_failures_total{reason=\"Forbidden\"}", "1");
    assert_metric(r, "arl_watch_errors_total{kind=\"Task\"}", "1");
}

static size_t lines_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Neither the number of objects nor their names make more series. */
static void test_metrics_are_bounded(void **state)
{
    struct rig *r = *state;
    cleanup_free char *before = NULL, *after = NULL;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    before = metrics(r);
    for (int i = 0; i < 100; i++) {
        cleanup_free char *name = xasprintf("somebody-%d", i);

        watch(r, "pods", "ADDED", pod_object(r, name, NULL));
        watch(r, "sandboxes", "ADDED", sandbox_object(r, name, ""));
        watch(r, "tasks", "ADDED", task_object(r, name, ""));
    }
    after = metrics(r);
    assert_int_equal(lines_of(after), lines_of(before));
    assert_null(strstr(after, "somebody"));
}

/* ---- the debug state ------------------------------------------------------------------------- */

static void test_debug_of_a_sandbox_that_waits(void **state)
{
    struct rig *r = *state;
    struct json_object *s;

    start(r, NULL, pool_object(r, 0), sandbox_object(r, "s", ""), NULL);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "s2", ""));
    fake_advance(&r->ops, 1000);
    s = debug(r, "sandbox/ns/s2");
    assert_text(s, "known", "true");
    assert_text(s, "status", "New");
    assert_text(s, "pool", "p");
    assert_text(s, "poolKnown", "true");
    assert_text(s, "waitingAhead", "1");
    assert_text(s, "pod", "(null)");
    assert_int_equal(json_array_len(json_get(s, "writes")), 1);
    assert_text(json_object_array_get_idx(json_get(s, "writes"), 0), "verb", "status");
    assert_text(json_object_array_get_idx(json_get(s, "writes"), 0), "reason", "WaitingForPod");
    assert_text(json_object_array_get_idx(json_get(s, "writes"), 0), "ageMs", "900");
    json_object_put(s);
    s = debug(r, "pool/ns/p");
    assert_text(s, "waitingSandboxes", "2");
    assert_text(s, "replicas", "0");
    assert_text(s, "claimable", "0");
    json_object_put(s);
}

static void test_debug_of_a_write_that_fails(void **state)
{
    struct rig *r = *state;
    struct json_object *s;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
    for (int i = 0; i < 3; i++) {
        if (!fake_find(&r->ops, TASK_STATUS))
            fake_advance(&r->ops, 1000);
        answer_status(r, TASK_STATUS, 500, "InternalError");
    }
    s = debug(r, "task/ns/t");
    assert_text(s, "queue.state", "delayed");
    assert_text(s, "queue.failures", "3");
    assert_in_range(json_object_get_int(json_get_path(s, "queue.dueMs")), 300, 400);
    assert_text(s, "run.over", "true");
    assert_text(s, "run.reason", "Completed");
    json_object_put(s);
    s = debug(r, NULL);
    assert_text(s, "failingTotal", "1");
    assert_text(json_object_array_get_idx(json_get(s, "failing"), 0), "key", "task/ns/t");
    json_object_put(s);
}

static void test_debug_of_a_create_that_is_refused(void **state)
{
    struct rig *r = *state;
    struct json_object *s;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    answer_object(r, POOL_STATUS, pool_object(r, 1));
    answer_status(r, CREATE_POD, 403, "Forbidden");
    s = debug(r, "pool/ns/p");
    assert_text(s, "failures", "1");
    assert_text(s, "nextCreateMs", "1000");
    assert_text(s, "createError", "a pod could not be created: Forbidden happened");
    json_object_put(s);
    fake_advance(&r->ops, 1000);
    answer_object(r, POOL_STATUS, pool_object(r, 1));
    lose(r, CREATE_POD);
    lose(r, "GET /api/v1/namespaces/ns/pods/p-");
    s = debug(r, "pool/ns/p");
    assert_text(s, "creating", "1");
    assert_text(json_object_array_get_idx(json_get(s, "writes"), 0), "verb", "create");
    assert_text(json_object_array_get_idx(json_get(s, "writes"), 0), "readingBack", "true");
    json_object_put(s);
}

static void test_debug_of_a_line_of_tasks(void **state)
{
    struct rig *r = *state;
    struct json_object *s;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    s = debug(r, "task/ns/t");
    assert_text(s, "sandboxStatus", "Ready");
    assert_text(s, "run.address", "10.0.0.1:8080");
    assert_text(s, "run.connected", "true");
    json_object_put(s);
    lose(r, PUT);
    fake_advance(&r->ops, 40);
    s = debug(r, "task/ns/t");
    assert_text(s, "run.connected", "false");
    assert_text(s, "run.silentMs", "40");
    json_object_put(s);
    s = debug(r, "task/ns/u");
    assert_text(s, "tasksAhead", "1");
    assert_text(s, "firstInLine", "t");
    assert_null(json_get(s, "run"));
    json_object_put(s);
    s = debug(r, "sandbox/ns/s");
    assert_text(s, "unfinishedTasks", "2");
    assert_text(s, "podReady", "true");
    assert_text(s, "agent", "clean");
    json_object_put(s);
}

static void test_debug_of_what_is_not_there(void **state)
{
    static const char *const no_keys[] = {"", "x", "box/ns/s", "sandbox", "sandbox/s", "task/"};
    struct rig *r = *state;
    struct json_object *s;

    start(r, NULL, NULL, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(no_keys); i++)
        assert_null(debug(r, no_keys[i]));
    for (int i = 0; i < 3; i++) {
        static const char *const keys[] = {"pool/ns/no", "sandbox/ns/no", "task/ns/no"};

        s = debug(r, keys[i]);
        assert_text(s, "known", "false");
        assert_text(s, "queue.state", "idle");
        json_object_put(s);
    }
}

static void test_debug_is_bounded(void **state)
{
    /* One alone has not so many writes under way. */
    static const char *const nss[] = {"ns", "nt", "nu"};
    struct rig *r = *state;
    char *sandboxes = NULL, *boxes[120];
    struct json_object *s;

    for (int i = 0; i < 120; i++) {
        cleanup_free char *name = xasprintf("box%d", i);

        boxes[i] = sandbox_object(r, name, "");
        memcpy(strstr(boxes[i], "\"ns\"") + 1, nss[i % 3], 2);
        sandboxes = sandboxes ? join(sandboxes, xstrdup(boxes[i])) : xstrdup(boxes[i]);
    }
    start(r, NULL, pool_object(r, 0), sandboxes, NULL);
    fake_advance(&r->ops, 1000);
    turn(r);
    s = debug(r, NULL);
    assert_true(json_object_get_int(json_get(s, "writesUnderWay")) > OBSERVE_LIST_MAX);
    assert_int_equal(json_array_len(json_get(s, "writes")), OBSERVE_LIST_MAX);
    json_object_put(s);
    for (int i = 0; i < 120; i++) {
        cleanup_free char *path = xasprintf("/%s/sandboxes/box%d/status", nss[i % 3], i);
        struct ops_call *c = fake_find(&r->ops, path);

        assert_non_null(c);
        fake_answer(c, 500, "{}");
    }
    for (int i = 0; i < 120; i++) { /* read back: they are as they were */
        cleanup_free char *read = xasprintf(
            "GET /apis/arl.infra.io/v1alpha1/namespaces/%s/sandboxes/box%d", nss[i % 3], i);

        answer_object(r, read, boxes[i]);
    }
    s = debug(r, NULL);
    assert_text(s, "failingTotal", "120");
    assert_int_equal(json_array_len(json_get(s, "failing")), OBSERVE_LIST_MAX);
    json_object_put(s);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_metrics_of_states),
        T(test_metrics_of_what_happened),
        T(test_metrics_of_failures),
        T(test_metrics_are_bounded),
        T(test_debug_of_a_sandbox_that_waits),
        T(test_debug_of_a_write_that_fails),
        T(test_debug_of_a_create_that_is_refused),
        T(test_debug_of_a_line_of_tasks),
        T(test_debug_of_what_is_not_there),
        T(test_debug_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
