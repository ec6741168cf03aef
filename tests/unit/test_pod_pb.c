/* Pods in protobuf: each is the same pod as from JSON, field by field. */
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/pod.h"
#include "operator/kube/encoding.h"
#include "tests/pb_write.h"

#include "tests/unit/unit.h"

#define TOO_MANY 40000 /* values for a tree */
#define KEY "YlixYooR7snTD4Nq7li5n-bkwwPwN_08f_uu2ucuH1g"
#define META                                                                                       \
    "\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"u-1\",\"resourceVersion\":\"7\"," \
    "\"creationTimestamp\":\"2026-01-02T03:04:05Z\""
#define MARKS                                                                                      \
    ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\",\"empty\":\"\"},"   \
    "\"annotations\":{\"arl.infra.io/template-hash\":\"h\",\"arl.infra.io/work-dir\":\"/w\","      \
    "\"arl.infra.io/signing-key\":\"k\",\"arl.infra.io/agent-port\":\"8123\","                     \
    "\"arl.infra.io/wire-version\":\"3\",\"arl.infra.io/pool-uid\":\"pu\","                        \
    "\"arl.infra.io/seal\":\"s\"}"
#define OWNER(kind)                                                                                \
    ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Other\",\"name\":\"o\",\"uid\":"      \
    "\"ou\"},{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":\"" kind "\",\"name\":\"box\","    \
    "\"uid\":\"bu\",\"controller\":true,\"blockOwnerDeletion\":false}]"
#define READY                                                                                      \
    "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\"},{\"type\":\"Ready\","         \
    "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-02T03:05:05Z\",\"lastProbeTime\":null}]"
#define TOLD                                                                                       \
    "\"initContainerStatuses\":[{\"name\":\"arl-init\",\"ready\":true,\"restartCount\":0,"         \
    "\"lastState\":{},\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\","         \
    "\"message\":\"arl-agent-key:" KEY "\"}}}]"
#define RUNNING(name, ready)                                                                       \
    "{\"name\":\"" name "\",\"ready\":" ready ",\"restartCount\":0,\"lastState\":{},\"state\":{"   \
    "\"running\":{\"startedAt\":\"2026-01-02T03:04:09Z\"}}}"

static const char *const pods[] = {
    "{" META "}}",
    "{" META MARKS ",\"generation\":3,\"deletionTimestamp\":\"2026-01-02T03:06:05Z\"}}",
    "{" META MARKS OWNER("WarmPool") "},\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Always\","
                                     "\"containers\":[{\"name\":\"c\"},{\"name\":\"sidecar\"}]},"
                                     "\"status\":{\"phase\":\"Running\","
                                     "\"startTime\":\"2026-01-02T03:04:05Z\",\"podIP\":\"10.0.0."
                                     "7\",\"podIPs\":[{\"ip\":"
                                     "\"10.0.0.7\"},{\"ip\":\"fd00::7\"}]," READY "," TOLD
                                     ",\"containerStatuses\":[" RUNNING("c", "true") "," RUNNING(
                                         "sidecar", "true") "]}}",
    "{" META MARKS OWNER("Sandbox") "},\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":"
                                    "\"fd00::7\"}]," TOLD ",\"containerStatuses\":[" RUNNING(
                                        "c", "true") "," RUNNING("sidecar", "false") "]}}",
    /* It waits to be started anew. */
    "{" META MARKS "},\"spec\":{\"containers\":[{\"name\":\"c\"}]},\"status\":{\"phase\":"
    "\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"ready\":false,\"restartCount\":4,"
    "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\",\"message\":\"back-off\"}},"
    "\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\",\"message\":"
    "\"last words\\u00e9\\n\"}}}]}}",
    /* It has ended well, and is not started again; the other one has failed. */
    "{" META MARKS "},\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","
    "\"restartPolicy\":\"OnFailure\"},{\"name\":\"d\"}]},\"status\":{\"phase\":\"Running\","
    "\"containerStatuses\":[{\"name\":\"c\",\"ready\":false,\"restartCount\":0,\"state\":{"
    "\"terminated\":{\"exitCode\":0}}},{\"name\":\"d\",\"ready\":false,\"restartCount\":0,"
    "\"state\":{\"terminated\":{\"exitCode\":-1,\"message\":\"must be run as PID 1\"}}}]}}",
    /* An init container fails. */
    "{" META MARKS "},\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":"
    "\"arl-init\",\"ready\":false,\"restartCount\":2,\"state\":{\"waiting\":{\"reason\":"
    "\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"exitCode\":3,\"message\":\"no\"}}}]}}",
    /* The image is not found; no node takes the pod; the pod was evicted, and has the container
     * that copies. */
    "{" META MARKS "},\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"c\","
    "\"ready\":false,\"restartCount\":0,\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\","
    "\"message\":\"not found\"}}}]}}",
    "{" META MARKS "},\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\","
    "\"status\":\"False\",\"reason\":\"Unschedulable\",\"message\":\"0/1 nodes\"}]}}",
    "{" META MARKS "},\"spec\":{\"initContainers\":[{\"name\":\"arl-workspace\"}]},\"status\":{"
    "\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"ephemeral local storage\","
    "\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":"
    "\"TerminationByKubelet\",\"message\":\"low on disk\"}]}}",
    "{" META ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/sandbox\":\"s\","
    "\"arl.infra.io/status\":\"allocated\"}},\"status\":{\"phase\":\"Succeeded\"}}",
    "{" META ",\"labels\":{\"arl.infra.io/pool\":\"No Name\",\"arl.infra.io/sandbox\":\"-\"}},"
    "\"status\":{\"phase\":\"Unheard\"}}",
};

#define SAME_TEXT(field)                                                                           \
    if (!str_eq(a->field, b->field))                                                               \
    fail_msg("%s: %s: %s, %s", what, #field, str_or_empty(a->field), str_or_empty(b->field))
#define SAME(field)                                                                                \
    if (a->field != b->field)                                                                      \
    fail_msg("%s: %s: %lld, %lld", what, #field, (long long)a->field, (long long)b->field)

static void assert_same_meta(const struct meta *a, const struct meta *b, const char *what)
{
    SAME_TEXT(ns);
    SAME_TEXT(name);
    SAME_TEXT(uid);
    SAME_TEXT(rv);
    SAME(created_wall_ns);
    SAME(generation);
    SAME(deleting);
    SAME(cut);
}

static void assert_same_pod(const struct pod *a, const struct pod *b, const char *what)
{
    assert_same_meta(&a->meta, &b->meta, what);
    SAME_TEXT(pool);
    SAME_TEXT(sandbox);
    SAME_TEXT(owner_kind);
    SAME_TEXT(owner_uid);
    SAME_TEXT(template_hash);
    SAME_TEXT(work_dir);
    SAME_TEXT(key_id);
    SAME(agent_port);
    SAME(wire_version);
    SAME_TEXT(pool_uid);
    SAME_TEXT(seal);
    SAME_TEXT(agent_key);
    SAME_TEXT(ip);
    SAME(phase);
    SAME(owned);
    SAME(allocated);
    SAME(ready);
    SAME(ready_since_wall_ns);
    SAME_TEXT(trouble_reason);
    SAME_TEXT(trouble_message);
    SAME_TEXT(broken);
    SAME(was_ready);
    SAME(has_restarted);
    SAME(lacks_runner);
    SAME(restarts);
    SAME_TEXT(restarted);
    SAME_TEXT(restart_why);
    SAME_TEXT(disruption);
}

static struct pod *decoded(const char *data, size_t len, const char *what)
{
    cleanup_json struct json_object *obj = NULL;
    struct err err = {0};
    struct meta *m = NULL;

    if (encoding_object(&api_pod, data, len, &obj, &err) < 0 || api_pod.decode(obj, &m, &err) < 0)
        fail_msg("%s: %s", what, err.msg);
    return container_of(m, struct pod, meta);
}

static void assert_same(const char *json, size_t json_len, const char *pb, size_t pb_len,
                        const char *what)
{
    struct pod *a = decoded(json, json_len, what), *b = decoded(pb, pb_len, what);

    assert_true(encoding_is_pb(pb, pb_len));
    assert_false(encoding_is_pb(json, json_len));
    assert_same_pod(a, b, what);
    api_pod.free(&a->meta);
    api_pod.free(&b->meta);
}

static void test_same_pods(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
        cleanup_buf struct buf b = BUF_INIT(1u << 20);
        cleanup_free char *what = xasprintf("pod %zu", i);

        pb_write_answer(&b, &api_pod, pods[i], strlen(pods[i]));
        assert_same(pods[i], strlen(pods[i]), b.data, b.len, what);
    }
}

static void read_file(const char *name, const char *end, struct buf *out)
{
    cleanup_free char *path = xasprintf("%s/%s.%s", PODS_DIR, name, end);
    FILE *f = fopen(path, "re");
    char block[4096];
    size_t n;

    if (!f)
        fail_msg("%s is not there", path);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        buf_append(out, block, n);
    fclose(f);
}

/* As kube-apiserver 1.33 gave one and the same pod, in both encodings. */
static void test_real_pods(void **state)
{
    static const struct {
        const char *name;
        const char *key; /* whether there has to be one */
        bool ready;
        const char *trouble;
    } rows[] = {
        {"ready", "any", true, NULL},
        {"crashing", "any", false, "Error"},
        {"unscheduled", NULL, false, "Unschedulable"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf json = BUF_INIT(1u << 20), pb = BUF_INIT(1u << 20);
        struct pod *p;

        read_file(rows[i].name, "json", &json);
        read_file(rows[i].name, "pb", &pb);
        assert_same(json.data, json.len, pb.data, pb.len, rows[i].name);
        p = decoded(pb.data, pb.len, rows[i].name);
        assert_int_equal(p->ready, rows[i].ready);
        assert_int_equal(p->agent_key != NULL, rows[i].key != NULL);
        if (!str_eq(p->trouble_reason, rows[i].trouble))
            fail_msg("%s: %s", rows[i].name, str_or_empty(p->trouble_reason));
        assert_non_null(p->seal);
        assert_true(p->owned && p->meta.created_wall_ns > 0);
        api_pod.free(&p->meta);
    }
}

/* One with too many values has its metadata alone, as from JSON. */
static void test_too_large(void **state)
{
    static const char meta[] = "{" META MARKS "},\"status\":{\"podIPs\":[{}";
    static const char just_meta[] = "{" META MARKS "}}";
    cleanup_buf struct buf json = BUF_INIT(1u << 20), pb = BUF_INIT(1u << 20);
    cleanup_buf struct buf pod = BUF_INIT(1u << 20), ips = BUF_INIT(1u << 20);
    cleanup_json struct json_object *obj = NULL;

    buf_puts(&json, meta);
    for (int i = 0; i < TOO_MANY; i++) {
        buf_puts(&json, ",{}");
        pb_write_bytes(&ips, 12, "", 0);
    }
    buf_puts(&json, "]}}");
    assert_int_equal(json_parse(just_meta, strlen(just_meta), &obj, NULL), 0);
    pb_write_tree(&pod, api_pod.pb, obj);
    pb_write_bytes(&pod, 3, ips.data, ips.len);
    pb_write_envelope(&pb, "Pod", &pod);
    assert_same(json.data, json.len, pb.data, pb.len, "too large");
}

static void test_refused(void **state)
{
    cleanup_buf struct buf good = BUF_INIT(1u << 20), b = BUF_INIT(1u << 20);
    cleanup_buf struct buf none = BUF_INIT(1);
    struct json_object *obj = NULL;
    struct meta *m = NULL;
    struct err err = {0};

    pb_write_answer(&good, &api_pod, pods[2], strlen(pods[2]));
    /* A pod that is cut anywhere is no pod. The last four bytes are two empty texts, which may be
     * missing. */
    for (size_t len = 4; len < good.len - 4; len++) {
        cleanup_free char *exact = xmemdup0(good.data, len);
        cleanup_json struct json_object *part = NULL;

        assert_true(encoding_object(&api_pod, exact, len, &part, &err) < 0 ||
                    api_pod.decode(part, &m, &err) < 0);
    }
    pb_write_envelope(&b, "Node", &none);
    assert_true(encoding_object(&api_pod, b.data, b.len, &obj, &err) < 0);
    assert_string_equal(err.msg, "an object of another kind: Node");
    buf_clear(&b);
    buf_append(&b, good.data, good.len);
    pb_write_bytes(&b, 2, "", 0);
    assert_true(encoding_object(&api_pod, b.data, b.len, &obj, &err) < 0);
    assert_string_equal(err.msg, "raw: it is there twice");
    buf_clear(&b);
    buf_append(&b, good.data, good.len - 4);
    pb_write_bytes(&b, 3, "gzip", 4);
    assert_true(encoding_object(&api_pod, b.data, b.len, &obj, &err) < 0);
    assert_string_equal(err.msg, "an object that is encoded once more");
    assert_null(obj);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_pods),
        cmocka_unit_test(test_real_pods),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
