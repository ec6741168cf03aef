/* What a template may not have, what is taken from its container `sidecar`, and what its nulls
 * mean. */
#include "tests/unit/pod_template.h"

#include <errno.h>
#include <stdio.h>

/* rest: further members of the template's spec; metadata: its metadata, NULL: none. */
static int build(const char *metadata, const char *containers, const char *rest, bool allowed,
                 struct json_object **ret, struct err *err)
{
    cleanup_free char *template =
        xasprintf("{\"metadata\":%s,\"spec\":{\"containers\":[%s]%s%s}}",
                  metadata ? metadata : "{}", containers, *rest ? "," : "", rest);
    struct pod_build_opts opts = plain;

    opts.allow_privileged = allowed;
    return build_pod(template, &opts, ret, err);
}

#define USER "{\"name\":\"e\",\"image\":\"x\"}"

static void expect_refused(const char *metadata, const char *containers, const char *rest,
                           const char *where, const char *field)
{
    struct err err = {0};

    if (build(metadata, containers, rest, false, NULL, &err) != -EPERM)
        fail_msg("not refused: %s %s %s", str_or_empty(metadata), containers, rest);
    if (!strstr(err.msg, where) || !strstr(err.msg, field) ||
        !strstr(err.msg, "--allow-privileged-templates"))
        fail_msg("%s %s is not named: %s", where, field, err.msg);
    assert_int_equal(build(metadata, containers, rest, true, NULL, &err), 0);
}

static void test_pods_that_reach_out(void **state)
{
    static const struct {
        const char *member, *field;
    } rows[] = {
        {"\"hostNetwork\":true", "hostNetwork"},
        {"\"hostPID\":true", "hostPID"},
        {"\"hostIPC\":true", "hostIPC"},
        {"\"shareProcessNamespace\":true", "shareProcessNamespace"},
        {"\"volumes\":[{\"name\":\"a\",\"emptyDir\":{}},{\"name\":\"v\",\"hostPath\":{\"path\":"
         "\"/\"}}]",
         "hostPath"},
        {"\"nodeName\":\"node-1\"", "nodeName node-1"},
        {"\"priorityClassName\":\"system-node-critical\"", "system-node-critical"},
        {"\"priorityClassName\":\"system-cluster-critical\"", "system-cluster-critical"},
        {"\"securityContext\":{\"windowsOptions\":{\"hostProcess\":true}}", "hostProcess"},
        {"\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}}",
         "seccompProfile.type Unconfined"},
        {"\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}",
         "appArmorProfile.type Unconfined"},
        {"\"securityContext\":{\"seLinuxOptions\":{\"type\":\"spc_t\"}}", "type spc_t"},
        {"\"securityContext\":{\"seLinuxOptions\":{\"user\":\"root\"}}", "user root"},
        {"\"securityContext\":{\"seLinuxOptions\":{\"role\":\"sysadm_r\"}}", "role sysadm_r"},
        {"\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_syncookies\",\"value\":\"1\"},"
         "{\"name\":\"kernel.msgmax\",\"value\":\"1\"}]}",
         "sysctls[].name kernel.msgmax"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_refused(NULL, USER, rows[i].member, "spec.template.spec.", rows[i].field);
}

#define CONTEXT(text) "\"securityContext\":{" text "}"

static void test_containers_that_reach_out(void **state)
{
    static const struct {
        const char *member, *field;
    } rows[] = {
        {CONTEXT("\"privileged\":true"), "securityContext.privileged"},
        {CONTEXT("\"capabilities\":{\"add\":[\"CHOWN\",\"SYS_ADMIN\"]}"), "SYS_ADMIN"},
        {CONTEXT("\"capabilities\":{\"add\":[\"NET_RAW\"]}"), "NET_RAW"},
        {CONTEXT("\"capabilities\":{\"add\":[\"ALL\"]}"), "ALL"},
        {CONTEXT("\"capabilities\":{\"add\":[\"CAP_SYS_PTRACE\"]}"), "CAP_SYS_PTRACE"},
        {CONTEXT("\"windowsOptions\":{\"hostProcess\":true}"), "hostProcess"},
        {CONTEXT("\"seccompProfile\":{\"type\":\"Unconfined\"}"), "seccompProfile"},
        {CONTEXT("\"appArmorProfile\":{\"type\":\"Unconfined\"}"), "appArmorProfile"},
        {CONTEXT("\"procMount\":\"Unmasked\""), "procMount Unmasked"},
        {CONTEXT("\"seLinuxOptions\":{\"type\":\"unconfined_t\"}"), "unconfined_t"},
        {CONTEXT("\"seLinuxOptions\":{\"user\":\"u\"}"), "seLinuxOptions.user"},
        {CONTEXT("\"seLinuxOptions\":{\"role\":\"r\"}"), "seLinuxOptions.role"},
        {"\"ports\":[{\"containerPort\":80},{\"containerPort\":81,\"hostPort\":81}]", "hostPort"},
        {"\"livenessProbe\":{\"httpGet\":{\"host\":\"10.0.0.1\"}}", "livenessProbe.httpGet.host"},
        {"\"livenessProbe\":{\"tcpSocket\":{\"host\":\"h\"}}", "livenessProbe.tcpSocket.host"},
        {"\"readinessProbe\":{\"httpGet\":{\"host\":\"h\"}}", "readinessProbe.httpGet.host"},
        {"\"readinessProbe\":{\"tcpSocket\":{\"host\":\"h\"}}", "readinessProbe.tcpSocket.host"},
        {"\"startupProbe\":{\"httpGet\":{\"host\":\"h\"}}", "startupProbe.httpGet.host"},
        {"\"startupProbe\":{\"tcpSocket\":{\"host\":\"h\"}}", "startupProbe.tcpSocket.host"},
        {"\"lifecycle\":{\"postStart\":{\"httpGet\":{\"host\":\"h\"}}}", "postStart.httpGet.host"},
        {"\"lifecycle\":{\"postStart\":{\"tcpSocket\":{\"host\":\"h\"}}}",
         "postStart.tcpSocket.host"},
        {"\"lifecycle\":{\"preStop\":{\"httpGet\":{\"host\":\"h\"}}}", "preStop.httpGet.host"},
        {"\"lifecycle\":{\"preStop\":{\"tcpSocket\":{\"host\":\"h\"}}}", "preStop.tcpSocket.host"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *bad = xasprintf("{\"name\":\"bad\",\"image\":\"x\",%s}", rows[i].member);
        cleanup_free char *first = xasprintf("%s,%s", USER, bad);
        cleanup_free char *init = xasprintf("\"initContainers\":[%s]", bad);
        cleanup_free char *ephemeral = xasprintf("\"ephemeralContainers\":[%s]", bad);

        expect_refused(NULL, first, "", "container bad: ", rows[i].field);
        expect_refused(NULL, USER, init, "container bad: ", rows[i].field);
        expect_refused(NULL, USER, ephemeral, "container bad: ", rows[i].field);
    }
}

static void test_annotations_that_reach_out(void **state)
{
    expect_refused("{\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/e\":"
                   "\"unconfined\"}}",
                   USER, "", "spec.template.metadata.annotations", "unconfined");
    assert_int_equal(build("{\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/e\":"
                           "\"localhost/mine\",\"note\":\"unconfined\"}}",
                           USER, "", false, NULL, NULL),
                     0);
}

static void test_what_the_baseline_lets_pass(void **state)
{
    static const char *const rest[] = {
        "\"hostNetwork\":false,\"hostPID\":null,\"nodeName\":\"\",\"priorityClassName\":\"high\"",
        "\"securityContext\":{\"runAsUser\":0,\"seccompProfile\":{\"type\":\"RuntimeDefault\"},"
        "\"appArmorProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"p\"},"
        "\"seLinuxOptions\":{\"type\":\"container_t\",\"level\":\"s0:c1,c2\"},\"sysctls\":[{"
        "\"name\":\"net.ipv4.ip_unprivileged_port_start\",\"value\":\"0\"}]}",
        "\"initContainers\":[{\"name\":\"i\",\"image\":\"x\",\"securityContext\":{\"privileged\":"
        "false,\"procMount\":\"Default\",\"capabilities\":{\"add\":[\"NET_BIND_SERVICE\","
        "\"SYS_CHROOT\"],\"drop\":[\"ALL\"]}},\"ports\":[{\"containerPort\":80,\"hostPort\":0}],"
        "\"livenessProbe\":{\"httpGet\":{\"port\":80,\"host\":\"\"}}}]",
        "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
        struct err err = {0};

        if (build(NULL, USER, rest[i], false, NULL, &err) != 0)
            fail_msg("%s: %s", rest[i], err.msg);
    }
}

static void test_values_of_other_types_do_not_slip_through(void **state)
{
    expect_refused(NULL, USER, "\"hostNetwork\":\"true\"", "", "hostNetwork");
    expect_refused(NULL, USER, "\"hostPID\":1", "", "hostPID");
    expect_refused(NULL, "{\"name\":\"e\",\"image\":\"x\",\"ports\":[{\"hostPort\":\"80\"}]}", "",
                   "container e", "hostPort");
}

static void test_volumes_of_arl(void **state)
{
    static const struct {
        const char *containers, *rest, *text;
    } rows[] = {
        {USER, "\"volumes\":[{\"name\":\"arl\",\"emptyDir\":{}}]", "the name arl is reserved"},
        {USER, "\"volumes\":[{\"name\":\"arl-journal\",\"emptyDir\":{}}]",
         "the name arl-journal is reserved"},
        {"{\"name\":\"e\",\"volumeMounts\":[{\"name\":\"arl\",\"mountPath\":\"/x\"}]}", "",
         "container e: volumeMounts: the volume arl is arl's own"},
        {"{\"name\":\"e\",\"volumeMounts\":[{\"name\":\"a\",\"mountPath\":\"/y\"},{\"name\":"
         "\"arl-journal\",\"mountPath\":\"/x\"}]}",
         "", "container e: volumeMounts: the volume arl-journal"},
        {USER,
         "\"initContainers\":[{\"name\":\"i\",\"volumeMounts\":[{\"name\":\"arl-journal\","
         "\"mountPath\":\"/x\"}]}]",
         "container i: volumeMounts: the volume arl-journal"},
        {USER,
         "\"ephemeralContainers\":[{\"name\":\"g\",\"volumeMounts\":[{\"name\":\"arl\","
         "\"mountPath\":\"/x\"}]}]",
         "container g: volumeMounts: the volume arl"},
        {"{\"name\":\"e\",\"volumeDevices\":[{\"name\":\"arl\",\"devicePath\":\"/x\"}]}", "",
         "container e: volumeDevices: the volume arl"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int allowed = 0; allowed < 2; allowed++) {
            struct err err = {0};

            assert_int_equal(build(NULL, rows[i].containers, rows[i].rest, allowed, NULL, &err),
                             -EINVAL);
            if (!strstr(err.msg, rows[i].text))
                fail_msg("%s is not in %s", rows[i].text, err.msg);
        }
}

static void test_the_agents_port(void **state)
{
    static const struct {
        const char *containers, *rest, *text; /* NULL: it may */
    } rows[] = {
        {"{\"name\":\"e\",\"ports\":[{\"containerPort\":80},{\"containerPort\":27182}]}", "",
         "container e: ports: 27182 is the port of arl's agent"},
        {USER,
         "\"initContainers\":[{\"name\":\"i\",\"ports\":[{\"containerPort\":27182,\"protocol\":"
         "\"TCP\"}]}]",
         "container i: ports: 27182"},
        {"{\"name\":\"e\",\"ports\":[{\"containerPort\":27182,\"protocol\":\"UDP\"}]}", "", NULL},
        {USER ",{\"name\":\"sidecar\",\"ports\":[{\"containerPort\":27182}]}", "", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        int r = build(NULL, rows[i].containers, rows[i].rest, true, NULL, &err);

        assert_int_equal(r, rows[i].text ? -EINVAL : 0);
        if (rows[i].text && !strstr(err.msg, rows[i].text))
            fail_msg("%s is not in %s", rows[i].text, err.msg);
    }
}

/* ---- the container sidecar ------------------------------------------------------------------- */

static const char *text_of(struct json_object *o, const char *path)
{
    return json_object_to_json_string_ext(json_get_path(o, path),
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static struct json_object *find(struct json_object *pod, const char *list, const char *name)
{
    struct json_object *a = json_get_path(pod, list);

    for (size_t i = 0; i < json_array_len(a); i++)
        if (str_eq(json_get_str(json_object_array_get_idx(a, i), "name"), name))
            return json_object_array_get_idx(a, i);
    fail_msg("no container %s", name);
    return NULL;
}

#define RESOURCES                                                                                  \
    "{\"requests\":{\"cpu\":\"50m\",\"memory\":\"64Mi\"},\"limits\":{\"cpu\":\"100m\",\"memory\":" \
    "\"64Mi\"}}"

static void test_only_resources_are_taken_of_the_sidecar(void **state)
{
    cleanup_json struct json_object *bare = NULL, *pod = NULL;
    struct json_object *want, *got;

    assert_int_equal(build(NULL, USER, "", false, &bare, NULL), 0);
    assert_int_equal(
        build(
            NULL,
            "{\"name\":\"sidecar\",\"image\":\"evil\",\"imagePullPolicy\":\"Always\",\"command\":"
            "[\"/evil\"],\"args\":[\"x\"],\"env\":[{\"name\":\"LD_PRELOAD\",\"value\":\"/e.so\"}],"
            "\"envFrom\":[{\"secretRef\":{\"name\":\"s\"}}],\"workingDir\":\"/evil\","
            "\"volumeMounts\":[{\"name\":\"workspace\",\"mountPath\":\"/w\"},{\"name\":\"arl\","
            "\"mountPath\":\"/usr\"}],\"volumeDevices\":[],\"ports\":[{\"containerPort\":9090}],"
            "\"securityContext\":{\"runAsUser\":0},\"lifecycle\":{\"postStart\":{\"exec\":{"
            "\"command\":[\"/evil\"]}}},\"livenessProbe\":{\"exec\":{\"command\":[\"/evil\"]}},"
            "\"readinessProbe\":{\"exec\":{\"command\":[\"/true\"]}},\"stdin\":true,\"tty\":true,"
            "\"terminationMessagePath\":\"/evil\",\"restartPolicy\":\"Always\",\"resizePolicy\":"
            "[],\"resources\":" RESOURCES "}," USER,
            "", false, &pod, NULL),
        0);
    want = find(bare, "spec.containers", "sidecar");
    got = find(pod, "spec.containers", "sidecar");
    assert_ptr_equal(got, json_object_array_get_idx(json_get_path(pod, "spec.containers"), 0));
    assert_string_equal(text_of(got, "resources"), RESOURCES);
    json_object_object_add(want, "resources", json_object_get(json_get(got, "resources")));
    assert_true(json_object_equal(want, got));
}

/* A LimitRange with a minimum, or a quota on limits.cpu, is to be met by what a user can set. */
static void test_the_init_container_has_the_resources_of_the_sidecar(void **state)
{
    cleanup_json struct json_object *bare = NULL, *pod = NULL;

    assert_int_equal(build(NULL, USER, "", false, &bare, NULL), 0);
    assert_true(
        json_object_equal(json_get(find(bare, "spec.containers", "sidecar"), "resources"),
                          json_get(find(bare, "spec.initContainers", "arl-init"), "resources")));
    assert_int_equal(build(NULL, "{\"name\":\"sidecar\",\"resources\":" RESOURCES "}," USER, "",
                           false, &pod, NULL),
                     0);
    assert_string_equal(text_of(find(pod, "spec.initContainers", "arl-init"), "resources"),
                        RESOURCES);
}

/* The template of a pool as it is kept; owned. */
static char *kept_template(const char *template)
{
    cleanup_free char *text =
        xasprintf("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"uid\":"
                  "\"u\",\"resourceVersion\":\"1\"},\"spec\":{\"template\":%s}}",
                  template);
    cleanup_json struct json_object *obj = NULL;
    struct meta *m;
    char *kept;

    assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
    assert_int_equal(api_warmpool.decode(obj, &m, NULL), 0);
    kept = xstrdup(container_of(m, struct warmpool, meta)->template_json);
    api_warmpool.free(m);
    return kept;
}

#define CLAIM(metadata, labels)                                                                    \
    "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"ephemeral\":{\"volumeClaimTemplate\":{"             \
    "\"metadata\":{" metadata "},\"spec\":{\"selector\":{\"matchLabels\":" labels "}}}}}]}}"
#define SPEC(disk, more, attribute)                                                                \
    "{\"spec\":{\"nodeSelector\":{\"disk\":" disk                                                  \
    "},\"dnsConfig\":{\"options\":[{\"name\":\"x\"" more                                           \
    "}]},\"volumes\":[{\"csi\":{\"volumeAttributes\":{\"f\":" attribute "}}}]}}"

/* A null where Kubernetes takes it for an empty text, and one that stands for nothing. */
static void test_nulls_of_a_template(void **state)
{
    static const struct {
        const char *with, *same;
    } rows[] = {
        {"{\"metadata\":{\"labels\":{\"a\":null},\"annotations\":null,\"creationTimestamp\":null}}",
         "{\"metadata\":{\"labels\":{\"a\":\"\"}}}"},
        {CLAIM("\"labels\":{\"a\":null,\"b\":\"c\"},\"annotations\":{\"d\":null},"
               "\"creationTimestamp\":null",
               "{\"e\":null}"),
         CLAIM("\"labels\":{\"a\":\"\",\"b\":\"c\"},\"annotations\":{\"d\":\"\"}", "{\"e\":\"\"}")},
        {SPEC("null", ",\"value\":null", "null"), SPEC("\"\"", "", "\"\"")},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *with = kept_template(rows[i].with);
        cleanup_free char *same = kept_template(rows[i].same);

        assert_string_equal(with, same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pods_that_reach_out),
        cmocka_unit_test(test_containers_that_reach_out),
        cmocka_unit_test(test_annotations_that_reach_out),
        cmocka_unit_test(test_what_the_baseline_lets_pass),
        cmocka_unit_test(test_values_of_other_types_do_not_slip_through),
        cmocka_unit_test(test_volumes_of_arl),
        cmocka_unit_test(test_the_agents_port),
        cmocka_unit_test(test_only_resources_are_taken_of_the_sidecar),
        cmocka_unit_test(test_the_init_container_has_the_resources_of_the_sidecar),
        cmocka_unit_test(test_nulls_of_a_template),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
