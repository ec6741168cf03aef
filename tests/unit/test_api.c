/* Results as they are written to a Task, and pods as they are built from templates. */
#include "tests/unit/pod_template.h"

#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/pod.h"
#include "operator/api/pod_build.h"
#include "operator/api/task_result.h"

/* ---- results --------------------------------------------------------------------------------- */

static struct task *make_task(size_t steps)
{
    cleanup_buf struct buf text = BUF_INIT(1 << 20);
    cleanup_json struct json_object *obj = NULL;
    struct meta *m = NULL;

    buf_puts(&text, "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"t\",\"uid\":\"u\","
                    "\"resourceVersion\":\"1\"},\"spec\":{\"sandboxRef\":\"s\",\"steps\":[");
    for (size_t i = 0; i < steps; i++)
        buf_printf(&text, "%s{\"name\":\"n%zu\",\"type\":\"Command\"}", i ? "," : "", i);
    buf_puts(&text, "]}}");
    assert_int_equal(json_parse(text.data, text.len, &obj, NULL), 0);
    assert_int_equal(api_task.decode(obj, &m, NULL), 0);
    return container_of(m, struct task, meta);
}

static void out(struct task_result *r, size_t step, const char *data, size_t len)
{
    r->steps[step].started = true;
    task_result_add_output(r, step, 1, data, len);
}

/* The status of the patch that a result becomes; its text length goes to *ret_len. */
static struct json_object *written(const struct task *t, const struct task_result *r,
                                   size_t *ret_len)
{
    cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct task_end end = {.state = TASK_SUCCEEDED, .reason = "Completed"};
    struct json_object *patch = NULL;

    assert_int_equal(task_result_patch(t, r, &end, NULL, 1767323045000000000, &body), 0);
    assert_int_equal(json_parse(body.data, body.len, &patch, NULL), 0);
    if (ret_len)
        *ret_len = body.len;
    return patch;
}

static const char *text_of(struct json_object *patch, const char *path)
{
    struct json_object *o = json_get_path(patch, path);

    assert_true(json_object_is_type(o, json_type_string));
    return json_object_get_string(o);
}

/* The condition names the first step that failed, and what the agent said of it. */
static void test_failed_step_is_named(void **state)
{
    static const struct {
        const char *error, *want;
    } rows[] = {
        {NULL, "step \"n1\" (2 of 3): exit code 9"},
        {"x: command not found", "step \"n1\" (2 of 3): exit code 9: x: command not found"},
        {"step \"n1\" was killed by signal 9 (SIGKILL)",
         "step \"n1\" (2 of 3): exit code 9: killed by signal 9 (SIGKILL)"},
        {"step \"n1\" timed out after 1s", "step \"n1\" (2 of 3): exit code 9: timed out after 1s"},
        {"step \"n1\": stdin is not base64",
         "step \"n1\" (2 of 3): exit code 9: stdin is not base64"},
    };
    const struct task_end end = {.state = TASK_FAILED, .reason = "StepFailed"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct task *t = make_task(3);
        struct task_result *r = task_result_new(3);
        cleanup_buf struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
        cleanup_json struct json_object *patch = NULL;

        r->steps[0].ended = r->steps[1].ended = r->steps[2].ended = true;
        r->steps[1].code = 9;
        r->steps[2].code = 8;
        task_result_set_error(r, 1, rows[i].error);
        assert_int_equal(task_result_patch(t, r, &end, NULL, 1767323045000000000, &body), 0);
        assert_int_equal(json_parse(body.data, body.len, &patch, NULL), 0);
        assert_string_equal(
            json_get_str(json_object_array_get_idx(json_get_path(patch, "status.conditions"), 0),
                         "message"),
            rows[i].want);
        task_result_free(r);
        api_task.free(&t->meta);
    }
}

static void test_newline_between_steps(void **state)
{
    static const struct {
        const char *outs[3];
        const char *joined;
    } rows[] = {
        {{"abc", "def", "ghi\n"}, "abc\ndef\nghi\n"},
        {{"abc\n", "def\n", "ghi"}, "abc\ndef\nghi"},
        {{"abc", "", ""}, "abc"},
        {{"", "", "abc"}, "abc"},
        {{"\n", "", "x"}, "\nx"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct task *t = make_task(3);
        struct task_result *r = task_result_new(3);
        cleanup_json struct json_object *patch = NULL;

        for (size_t k = 0; k < 3; k++)
            out(r, k, rows[i].outs[k], strlen(rows[i].outs[k]));
        patch = written(t, r, NULL);
        assert_string_equal(text_of(patch, "status.stdout"), rows[i].joined);
        task_result_free(r);
        api_task.free(&t->meta);
    }
}

static void test_object_stays_below_its_limit(void **state)
{
    static const unsigned char fills[] = {'x', 0x01, 0xff, '"'};

    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        struct task *t = make_task(4);
        struct task_result *r = task_result_new(4);
        cleanup_json struct json_object *patch = NULL;
        char *data = xmalloc(LIMIT_OUTPUT_BYTES_DEFAULT);
        const char *text;
        size_t len = 0;

        memset(data, fills[i], LIMIT_OUTPUT_BYTES_DEFAULT);
        for (size_t k = 0; k < 4; k++)
            out(r, k, data, LIMIT_OUTPUT_BYTES_DEFAULT);
        patch = written(t, r, &len);
        assert_true(len < LIMIT_TASK_OBJECT_BYTES);
        assert_true(len > LIMIT_TASK_OBJECT_BYTES / 2); /* nothing is cut without need */
        text = text_of(patch, "status.stdout");
        assert_non_null(strstr(text, " bytes dropped ...]\n"));
        free(data);
        task_result_free(r);
        api_task.free(&t->meta);
    }
}

static void test_cut_keeps_head_and_tail_and_counts(void **state)
{
    struct task_result *r = task_result_new(1);
    struct task *t = make_task(1);
    cleanup_json struct json_object *patch = NULL;

    out(r, 0, "0123456789", 10);
    task_result_trim(r, 4);
    patch = written(t, r, NULL);
    assert_string_equal(text_of(patch, "status.stdout"), "01\n[... 6 bytes dropped ...]\n89");
    task_result_free(r);
    api_task.free(&t->meta);
}

static void test_output_file(void **state)
{
    static const struct {
        const char *given, *written;
    } rows[] = {
        {"/var/lib/arl/output/u-1.1.0.1", "/var/lib/arl/output/u-1.1.0.1"},
        {"/a/b_c.1 /a/b_c.2", "/a/b_c.1 /a/b_c.2"},
        /* It comes from a pod. */
        {"", NULL},
        {"/a\n", NULL},
        {"/\"", NULL},
        {"/\xc3\xa4", NULL},
    };
    char longest[600];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct task_result *r = task_result_new(1);
        struct task *t = make_task(1);
        cleanup_json struct json_object *patch = NULL;
        struct json_object *step;

        out(r, 0, "x", 1);
        task_result_set_output_file(r, 0, rows[i].given);
        task_result_set_output_file(r, 1, "/none");
        patch = written(t, r, NULL);
        step = json_object_array_get_idx(json_get_path(patch, "status.steps"), 0);
        assert_true(str_eq(json_get_str(step, "outputFile"), rows[i].written));
        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        task_result_set_output_file(r, 0, longest);
        assert_true(str_eq(r->steps[0].output_file, rows[i].written));
        task_result_free(r);
        api_task.free(&t->meta);
    }
}

static void test_cut_after_a_gap_adds_up(void **state)
{
    struct task_result *r = task_result_new(1);
    struct task *t = make_task(1);
    cleanup_json struct json_object *patch = NULL;

    out(r, 0, "01234", 5);
    task_result_add_gap(r, 0, 1, 100);
    out(r, 0, "56789", 5);
    task_result_trim(r, 4);
    patch = written(t, r, NULL);
    assert_string_equal(text_of(patch, "status.stdout"), "01\n[... 106 bytes dropped ...]\n89");
    task_result_free(r);
    api_task.free(&t->meta);
}

static void test_cut_splits_no_character(void **state)
{
    struct task_result *r = task_result_new(1);
    struct task *t = make_task(1);
    cleanup_json struct json_object *patch = NULL;

    out(r, 0, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 12); /* four euro signs */
    task_result_trim(r, 8);
    patch = written(t, r, NULL);
    assert_string_equal(text_of(patch, "status.stdout"),
                        "\xe2\x82\xac\n[... 6 bytes dropped ...]\n\xe2\x82\xac");
    task_result_free(r);
    api_task.free(&t->meta);
}

static void test_bytes_survive(void **state)
{
    struct task_result *r = task_result_new(1);
    struct task *t = make_task(1);
    cleanup_json struct json_object *patch = NULL;
    struct json_object *o;

    out(r, 0, "a\0b\x01\xff", 5);
    patch = written(t, r, NULL);
    o = json_get_path(patch, "status.stdout");
    assert_int_equal(json_object_get_string_len(o), 7);
    assert_memory_equal(json_object_get_string(o), "a\0b\x01\xef\xbf\xbd", 7);
    task_result_free(r);
    api_task.free(&t->meta);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static struct json_object *container(struct json_object *pod, const char *list, size_t i)
{
    return json_object_array_get_idx(json_get(json_get(pod, "spec"), list), i);
}

static const char *line(struct json_object *o, const char *name)
{
    return json_object_to_json_string_ext(json_get(o, name),
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

#define RUNNER "\"/.arl/runner\",\"run\",\"--socket\",\"/.arl/sock\",\"--\""

/* The key is the whole last message of arl-init, in one form, and nothing else. */
static void test_agent_key_of_a_pod(void **state)
{
#define KEY "YlixYooR7snTD4Nq7li5n-bkwwPwN_08f_uu2ucuH1g"
#define ENDED(state, message)                                                                      \
    "\"" state "\":{\"terminated\":{\"exitCode\":0,\"message\":\"" message "\"}}"
    static const struct {
        const char *name, *states;
        bool good;
    } rows[] = {
        {"arl-init", ENDED("state", "arl-agent-key:" KEY), true},
        {"arl-init", "\"state\":{\"running\":{}}," ENDED("lastState", "arl-agent-key:" KEY), true},
        {"arl-init", ENDED("state", "no room") "," ENDED("lastState", "arl-agent-key:" KEY), true},
        {"mine", ENDED("state", "arl-agent-key:" KEY), false},
        {"arl-init", "\"state\":{\"waiting\":{\"message\":\"arl-agent-key:" KEY "\"}}", false},
        {"arl-init", ENDED("state", ""), false},
        {"arl-init", ENDED("state", KEY), false},
        {"arl-init", ENDED("state", "arl-agent-key:"), false},
        {"arl-init", ENDED("state", "arl-agent-key:" KEY "\\n"), false},
        {"arl-init", ENDED("state", "arl-agent-key:" KEY "A"), false},
        {"arl-init", ENDED("state", " arl-agent-key:" KEY), false},
        /* 43 characters, whose last one has bits that no key has. */
        {"arl-init", ENDED("state", "arl-agent-key:YlixYooR7snTD4Nq7li5n-bkwwPwN_08f_uu2ucuH1h"),
         false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json struct json_object *obj = NULL;
        cleanup_free char *text = xasprintf(
            "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"u\","
            "\"resourceVersion\":\"1\",\"annotations\":{\"arl.infra.io/agent-key\":\"" KEY "\"}},"
            "\"status\":{\"initContainerStatuses\":[{\"name\":\"%s\",%s}]}}",
            rows[i].name, rows[i].states);
        struct meta *m = NULL;
        const char *key;

        assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
        assert_int_equal(api_pod.decode(obj, &m, NULL), 0);
        key = container_of(m, struct pod, meta)->agent_key;
        if (rows[i].good ? !str_eq(key, KEY) : key != NULL)
            fail_msg("row %zu: %s", i, key ? key : "none");
        api_pod.free(m);
    }
#undef KEY
#undef ENDED
}

static void test_pod_of_the_python_client(void **state)
{
    cleanup_json struct json_object *pod = NULL;
    struct json_object *user, *sidecar;

    assert_int_equal(
        build_pod(
            "{\"metadata\":{\"labels\":{\"app\":\"a\",\"no\":null,\"arl.infra.io/"
            "status\":\"allocated\"}},"
            "\"spec\":{\"containers\":[{\"name\":\"executor\",\"image\":\"x\",\"command\":["
            "\"/bin/sh\",\"-c\"],\"args\":[\"sleep infinity\"],\"volumeMounts\":[{\"name\":"
            "\"workspace\",\"mountPath\":\"/w\"}]},{\"name\":\"sidecar\",\"image\":"
            "\"your-registry/arl-sidecar:latest\",\"imagePullPolicy\":\"Always\",\"ports\":[{"
            "\"containerPort\":9090}],\"volumeMounts\":[{\"name\":\"workspace\",\"mountPath\":"
            "\"/w\"}]}],\"volumes\":[{\"name\":\"workspace\",\"emptyDir\":{}}]}}",
            &plain, &pod, NULL),
        0);
    user = container(pod, "containers", 0);
    sidecar = container(pod, "containers", 1);
    assert_string_equal(line(user, "command"),
                        "[" RUNNER ",\"/bin/sh\",\"-c\",\"sleep infinity\"]");
    assert_null(json_get(user, "args"));
    assert_string_equal(line(user, "volumeMounts"),
                        "[{\"name\":\"workspace\",\"mountPath\":\"/w\"},{\"name\":\"arl\","
                        "\"mountPath\":\"/.arl\",\"subPath\":\"executor\",\"readOnly\":true}]");
    assert_string_equal(json_get_str(sidecar, "image"), "arl-sidecar:1");
    assert_string_equal(json_get_str(sidecar, "imagePullPolicy"), "IfNotPresent");
    assert_string_equal(line(json_get(pod, "metadata"), "labels"),
                        "{\"app\":\"a\",\"no\":\"\",\"arl.infra.io/pool\":\"p\",\"arl.infra.io/"
                        "status\":\"idle\"}");
    assert_string_equal(
        json_get_str(json_get_path(pod, "metadata.annotations"), "arl.infra.io/work-dir"), "/w");
}

static const char *annotation(struct json_object *pod, const char *name)
{
    return json_get_str(json_get_path(pod, "metadata.annotations"), name);
}

#define ONE "{\"containers\":[{\"name\":\"main\",\"image\":\"x\"}]"

/* The port is in three places of the pod, and none of the template's is among them. */
static void test_pod_port(void **state)
{
    static const char template[] =
        "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\",\"ports\":[{\"name\":"
        "\"http\","
        "\"containerPort\":8080}]},{\"name\":\"sidecar\",\"image\":\"y\",\"ports\":[{\"name\":"
        "\"http\","
        "\"containerPort\":8080},{\"name\":\"grpc\",\"containerPort\":9090}]}]}}";
    static const struct {
        int port;
        const char *text;
    } rows[] = {{0, "27182"}, {8123, "8123"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json struct json_object *pod = NULL;
        struct pod_build_opts opts = plain;
        struct json_object *c;
        cleanup_free char *args = xasprintf("[\"serve\",\"--listen\",\"[::]:%s\"]", rows[i].text);
        cleanup_free char *ports = xasprintf(
            "[{\"name\":\"arl-agent\",\"containerPort\":%s,\"protocol\":\"TCP\"}]", rows[i].text);

        opts.sidecar_port = rows[i].port;
        assert_int_equal(build_pod(template, &opts, &pod, NULL), 0);
        c = container(pod, "containers", 1);
        assert_string_equal(line(c, "args"), args);
        assert_string_equal(line(c, "ports"), ports);
        assert_string_equal(line(json_get_path(c, "startupProbe.httpGet"), "port"), rows[i].text);
        assert_string_equal(line(json_get_path(c, "readinessProbe.httpGet"), "port"), rows[i].text);
        assert_string_equal(annotation(pod, POD_ANNOTATION_PORT), rows[i].text);
        assert_string_equal(annotation(pod, POD_ANNOTATION_WIRE), "2");
    }
}

static void test_pod_node_and_users(void **state)
{
    static const struct {
        const char *template, *selector;
    } rows[] = {
        {"{\"spec\":" ONE "}}", "{\"kubernetes.io/os\":\"linux\"}"},
        {"{\"spec\":" ONE ",\"nodeSelector\":{\"disk\":\"ssd\"}}}",
         "{\"disk\":\"ssd\",\"kubernetes.io/os\":\"linux\"}"},
        {"{\"spec\":" ONE ",\"nodeSelector\":{\"kubernetes.io/os\":\"other\"}}}",
         "{\"kubernetes.io/os\":\"other\"}"},
    };
    struct pod_build_opts opts = plain;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json struct json_object *pod = NULL;
        int64_t uid = 0;

        assert_int_equal(build_pod(rows[i].template, &opts, &pod, NULL), 0);
        assert_string_equal(line(json_get(pod, "spec"), "nodeSelector"), rows[i].selector);
        for (int k = 0; k < 2; k++) {
            struct json_object *c = container(pod, k ? "initContainers" : "containers", k ? 0 : 1);
            struct json_object *context = json_get(c, "securityContext");

            assert_true(json_get_bool(context, "runAsNonRoot", false));
            assert_string_equal(line(context, "capabilities"), "{\"drop\":[\"ALL\"]}");
            assert_int_equal(json_get_int(context, "runAsUser", &uid), !opts.platform_users);
            assert_int_equal(json_get_int(context, "runAsGroup", &uid), !opts.platform_users);
        }
        opts.platform_users = true;
    }
}

/* Pods outlive flags and releases. Whatever somebody writes into annotations and status, no other
 * address comes of it. */
static void test_pod_port_decoded(void **state)
{
    static const struct {
        const char *annotations, *status;
        int port, wire;
        const char *ip;
    } rows[] = {
        {"{}", "{\"podIP\":\"10.0.0.1\"}", 8080, 1, "10.0.0.1"},
        {"{\"arl.infra.io/agent-port\":\"27182\",\"arl.infra.io/wire-version\":\"2\"}",
         "{\"podIP\":\"fd00::1\",\"podIPs\":[{\"ip\":\"fd00::1\"},{\"ip\":\"10.0.0.1\"}]}", 27182,
         2, "fd00::1"},
        {"{\"arl.infra.io/agent-port\":\"65535\",\"arl.infra.io/wire-version\":\"3\"}",
         "{\"podIPs\":[{\"ip\":\"10.0.0.2\"}]}", 65535, 3, "10.0.0.2"},
        {"{\"arl.infra.io/agent-port\":\"65536\",\"arl.infra.io/wire-version\":\"-1\"}",
         "{\"podIPs\":[{}]}", 8080, 1, NULL},
        {"{\"arl.infra.io/agent-port\":\"80@evil:1\",\"arl.infra.io/wire-version\":\"2x\"}",
         "{\"podIPs\":[{\"ip\":\"a/b\"}]}", 8080, 1, NULL},
        {"{\"arl.infra.io/agent-port\":\"0\",\"arl.infra.io/wire-version\":\"\"}", "{}", 8080, 1,
         NULL},
        {"{\"arl.infra.io/agent-port\":\"99999999999999999999\"}", "{}", 8080, 1, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *text = xasprintf("{\"metadata\":{\"namespace\":\"n\",\"name\":\"p\","
                                            "\"uid\":\"u\",\"resourceVersion\":\"1\","
                                            "\"annotations\":%s},\"status\":%s}",
                                            rows[i].annotations, rows[i].status);
        cleanup_json struct json_object *obj = NULL;
        struct meta *m = NULL;
        struct pod *p;

        assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
        assert_int_equal(api_pod.decode(obj, &m, NULL), 0);
        p = container_of(m, struct pod, meta);
        assert_int_equal(p->agent_port, rows[i].port);
        assert_int_equal(p->wire_version, rows[i].wire);
        if (rows[i].ip)
            assert_string_equal(p->ip, rows[i].ip);
        else
            assert_null(p->ip);
        api_pod.free(m);
    }
}

static void test_pod_of_one_container_without_a_command(void **state)
{
    cleanup_json struct json_object *pod = NULL;

    assert_int_equal(
        build_pod(
            "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\"}],\"initContainers\":"
            "[{\"name\":\"mine\",\"image\":\"y\"}]}}",
            &plain, &pod, NULL),
        0);
    assert_string_equal(line(container(pod, "containers", 0), "command"), "[" RUNNER "]");
    assert_string_equal(json_get_str(container(pod, "containers", 1), "name"), "sidecar");
    assert_string_equal(json_get_str(container(pod, "initContainers", 0), "name"), "arl-init");
    assert_string_equal(line(container(pod, "initContainers", 0), "volumeMounts"),
                        "[{\"name\":\"arl\",\"mountPath\":\"/arl\"},{\"name\":\"arl-journal\","
                        "\"mountPath\":\"/var/lib/arl\"}]");
    assert_string_equal(json_get_str(container(pod, "initContainers", 0), "terminationMessagePath"),
                        "/dev/termination-log");
    assert_string_equal(
        json_get_str(container(pod, "initContainers", 0), "terminationMessagePolicy"), "File");
    assert_string_equal(json_get_str(container(pod, "initContainers", 1), "name"), "arl-workspace");
    assert_string_equal(json_get_str(container(pod, "initContainers", 2), "name"), "mine");
    assert_string_equal(
        json_get_str(container(pod, "initContainers", 2), "terminationMessagePolicy"),
        "FallbackToLogsOnError");
    assert_string_equal(line(json_get(pod, "spec"), "volumes"),
                        "[{\"emptyDir\":{},\"name\":\"arl\"},{\"emptyDir\":{},\"name\":"
                        "\"arl-journal\"},{\"emptyDir\":{},\"name\":\"workspace\"}]");
    assert_false(json_get_bool(json_get(pod, "spec"), "automountServiceAccountToken", true));
}

/* The files are copied only into the volume that arl adds, and not if the template forbids it. */
static void test_pod_copies_the_workspace_of_the_image(void **state)
{
#define COPY(value) "\"metadata\":{\"annotations\":{\"arl.infra.io/copy-workspace\":\"" value "\"}}"
#define CONTAINER "\"containers\":[{\"name\":\"e\",\"image\":\"x\"}]"
#define VOLUME(name) "\"volumes\":[{\"name\":\"" name "\",\"emptyDir\":{}}]"
#define MOUNTED(name)                                                                              \
    "\"containers\":[{\"name\":\"e\",\"image\":\"x\",\"volumeMounts\":[{\"name\":\"" name          \
    "\",\"mountPath\":\"/workspace\"}]}]"
    static const struct {
        const char *template;
        bool copies;
    } rows[] = {
        {"{\"spec\":{" CONTAINER "}}", true},
        {"{" COPY("true") ",\"spec\":{" CONTAINER "}}", true},
        {"{" COPY("false") ",\"spec\":{" CONTAINER "}}", false},
        {"{" COPY("true") ",\"spec\":{" CONTAINER "," VOLUME("workspace") "}}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json struct json_object *pod = NULL;

        assert_int_equal(build_pod(rows[i].template, &plain, &pod, NULL), 0);
        assert_int_equal(json_array_len(json_get_path(pod, "spec.initContainers")),
                         1 + rows[i].copies);
    }
}

static void test_pod_copy_says_what_it_may_be(void **state)
{
    cleanup_json struct json_object *pod = NULL;
    struct err err = {0};

    assert_int_equal(build_pod("{" COPY("no") ",\"spec\":{" CONTAINER "}}", &plain, &pod, &err),
                     -EINVAL);
    assert_string_equal(err.msg, "the template's annotation arl.infra.io/copy-workspace is \"no\"; "
                                 "it must be \"true\" or \"false\"");
}

/* A volume that the template itself mounts there is the workspace. */
static void test_pod_own_mount_at_the_workspace(void **state)
{
    cleanup_json struct json_object *pod = NULL;

    assert_int_equal(build_pod("{\"spec\":{" MOUNTED("d") "," VOLUME("d") "}}", &plain, &pod, NULL),
                     0);
    assert_string_equal(line(container(pod, "containers", 0), "volumeMounts"),
                        "[{\"name\":\"d\",\"mountPath\":\"/workspace\"},{\"name\":\"arl\","
                        "\"mountPath\":\"/.arl\",\"subPath\":\"e\",\"readOnly\":true}]");
    assert_int_equal(json_array_len(json_get_path(pod, "spec.initContainers")), 1);
}

static void test_pod_copy_is_a_container_of_that_image(void **state)
{
    cleanup_json struct json_object *pod = NULL;
    struct json_object *c;

    assert_int_equal(
        build_pod("{" COPY("true") ",\"spec\":{\"containers\":[{\"name\":\"e\",\"image\":"
                                   "\"x\",\"imagePullPolicy\":"
                                   "\"Never\",\"command\":[\"mine\"],\"env\":[{\"name\":"
                                   "\"A\"}],\"resources\":{"
                                   "\"limits\":{\"cpu\":1}},\"securityContext\":{"
                                   "\"runAsUser\":7},\"volumeMounts\":[{"
                                   "\"name\":\"workspace\",\"mountPath\":\"/"
                                   "data\",\"subPath\":\"s\",\"readOnly\":false}]}]}}",
                  &plain, &pod, NULL),
        0);
    c = container(pod, "initContainers", 1);
    assert_string_equal(
        json_object_to_json_string_ext(c, JSON_C_TO_STRING_NOSLASHESCAPE),
        "{\"name\":\"arl-workspace\",\"image\":\"x\",\"imagePullPolicy\":\"Never\","
        "\"securityContext\":{\"runAsUser\":7},\"resources\":{\"limits\":{\"cpu\":1}},\"command\":["
        "\"/.arl/runner\",\"copy-workspace\",\"/data\",\"/.arl-workspace\"],"
        "\"terminationMessagePolicy\":\"FallbackToLogsOnError\",\"volumeMounts\":[{\"name\":"
        "\"arl\","
        "\"mountPath\":\"/.arl\",\"subPath\":\"e\",\"readOnly\":true},{\"name\":\"workspace\","
        "\"mountPath\":\"/.arl-workspace\",\"subPath\":\"s\"}]}");
}

/* Steps begin in the workingDir of the template's container; the volume stays where it is. */
static void test_pod_working_dir(void **state)
{
    static const struct {
        const char *dir, *want;
    } rows[] = {{"/app", "/app"}, {"", "/workspace"}, {"app", "/workspace"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json struct json_object *pod = NULL;
        cleanup_free char *template =
            xasprintf("{\"spec\":{\"containers\":[{\"name\":\"e\",\"image\":\"x\","
                      "\"workingDir\":\"%s\"}]}}",
                      rows[i].dir);

        assert_int_equal(build_pod(template, &plain, &pod, NULL), 0);
        assert_string_equal(annotation(pod, "arl.infra.io/work-dir"), rows[i].want);
        assert_string_equal(
            json_get_str(json_object_array_get_idx(
                             json_get(container(pod, "containers", 0), "volumeMounts"), 0),
                         "mountPath"),
            "/workspace");
    }
}

/* What a container that has ended says of itself, in the pool's condition. */
static void test_pod_trouble(void **state)
{
#define ENDED_7 "\"terminated\":{\"exitCode\":7,\"reason\":\"Error\",\"message\":\"a\\nb\\n\"}"
#define LOOPS                                                                                      \
    "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\",\"message\":\"back-off 10s\"}}"
    static const struct {
        const char *status, *reason, *message;
    } rows[] = {
        {"\"initContainerStatuses\":[{\"name\":\"c\",\"state\":{" ENDED_7 "}}]",
         "InitContainerFailed",
         "init container c ended with exit code 7; see kubectl logs a -c c; its last words: a\\nb"},
        {"\"initContainerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{" ENDED_7 "}}]",
         "InitContainerFailed",
         "init container c ended with exit code 7; see kubectl logs a -c c --previous; its last "
         "words: a\\nb"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{" ENDED_7 "}}]",
         "CrashLoopBackOff",
         "container c ended with exit code 7; see kubectl logs a -c c --previous; its last words: "
         "a\\nb"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{\"terminated\":{"
         "\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]",
         "CrashLoopBackOff",
         "container c ended with exit code 137 (OOMKilled: out of memory); see kubectl logs a -c c "
         "--previous"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{\"terminated\":{"
         "\"exitCode\":100,\"message\":\"s6: fatal: can only run as pid 1\"}}}]",
         "CrashLoopBackOff",
         "container c ended with exit code 100; see kubectl logs a -c c --previous; its last "
         "words: "
         "s6: fatal: can only run as pid 1; arl-runner is PID 1 in every container: see \"PID 1\" "
         "in "
         "docs/images-and-templates.md"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{\"terminated\":{"
         "\"exitCode\":111,\"message\":\"runit: fatal: must be run as process no 1.\"}}}]",
         "CrashLoopBackOff",
         "container c ended with exit code 111; see kubectl logs a -c c --previous; its last "
         "words: runit: fatal: must be run as process no 1.; arl-runner is PID 1 in every "
         "container: see \"PID 1\" in docs/images-and-templates.md"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS ",\"lastState\":{\"terminated\":{"
         "\"exitCode\":1,\"message\":\"Trying to run as user instance, but $XDG_RUNTIME_DIR\"}}}]",
         "CrashLoopBackOff",
         "container c ended with exit code 1; see kubectl logs a -c c --previous; its last "
         "words: Trying to run as user instance, but $XDG_RUNTIME_DIR; arl-runner is PID 1 in "
         "every container: see \"PID 1\" in docs/images-and-templates.md"},
        {"\"containerStatuses\":[{\"name\":\"c\"," LOOPS "}]", "CrashLoopBackOff",
         "container c: CrashLoopBackOff: back-off 10s"},
        {"\"reason\":\"Evicted\",\"message\":\"no memory\"", "Evicted", "Evicted: no memory"},
        {"\"reason\":\"Evicted\",\"message\":\"ephemeral local storage\"", "Evicted",
         "Evicted: ephemeral local storage; the image's files that are copied to /workspace count "
         "as well: see \"/workspace\" in docs/images-and-templates.md"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *text =
            xasprintf("{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\",\"uid\":\"u\","
                      "\"resourceVersion\":\"1\"},\"spec\":{\"initContainers\":[{\"name\":\"arl-"
                      "workspace\"}]},\"status\":{%s}}",
                      rows[i].status);
        cleanup_json struct json_object *obj = NULL;
        struct meta *m = NULL;
        struct pod *p;

        assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
        assert_int_equal(api_pod.decode(obj, &m, NULL), 0);
        p = container_of(m, struct pod, meta);
        assert_string_equal(p->trouble_reason, rows[i].reason);
        assert_string_equal(p->trouble_message, rows[i].message);
        api_pod.free(m);
    }
}

static void test_pod_default_container_comes_first(void **state)
{
    cleanup_json struct json_object *pod = NULL;
    struct json_object *env;

    assert_int_equal(
        build_pod("{\"spec\":{\"containers\":[{\"name\":\"db\",\"image\":\"y\"},{\"name\":"
                  "\"executor\",\"image\":\"x\"}]}}",
                  &plain, &pod, NULL),
        0);
    env = json_object_array_get_idx(json_get(container(pod, "containers", 2), "env"), 1);
    assert_string_equal(json_get_str(env, "name"), "ARL_CONTAINERS");
    assert_string_equal(json_get_str(env, "value"), "executor,db");
    assert_string_equal(line(container(pod, "initContainers", 0), "args"),
                        "[\"install\",\"--dir\",\"/arl\",\"--container\",\"executor\","
                        "\"--container\",\"db\"]");
}

static void test_pod_keeps_the_sidecar_image_on_request(void **state)
{
    struct pod_build_opts keep = plain;
    cleanup_json struct json_object *pod = NULL;

    keep.keep_sidecar_image = true;
    assert_int_equal(
        build_pod("{\"spec\":{\"containers\":[{\"name\":\"sidecar\",\"image\":\"own\"},{"
                  "\"name\":\"e\",\"image\":\"x\"}]}}",
                  &keep, &pod, NULL),
        0);
    assert_string_equal(json_get_str(container(pod, "containers", 0), "image"), "own");
    assert_string_equal(json_get_str(container(pod, "initContainers", 0), "image"), "own");
}

static void test_pod_refusals_name_the_field(void **state)
{
    static const struct {
        const char *spec;
        int code;
        const char *field;
    } rows[] = {
        {"\"hostNetwork\":true", -EPERM, "hostNetwork"},
        {"\"hostPID\":true", -EPERM, "hostPID"},
        {"\"hostIPC\":true", -EPERM, "hostIPC"},
        {"\"shareProcessNamespace\":true", -EPERM, "shareProcessNamespace"},
        {"\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}]", -EPERM, "hostPath"},
        {"\"initContainers\":[{\"name\":\"i\",\"securityContext\":{\"privileged\":true}}]", -EPERM,
         "container i: securityContext.privileged"},
        {"\"volumes\":[{\"name\":\"arl\"}]", -EINVAL, "the name arl is reserved"},
    };
    struct pod_build_opts allowed = plain;

    allowed.allow_privileged = true;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *text = xasprintf(
            "{\"spec\":{\"containers\":[{\"name\":\"e\",\"image\":\"x\"}],%s}}", rows[i].spec);
        cleanup_json struct json_object *pod = NULL;
        struct err err = {0};

        assert_int_equal(build_pod(text, &plain, &pod, &err), rows[i].code);
        assert_non_null(strstr(err.msg, rows[i].field));
        if (rows[i].code == -EPERM)
            assert_int_equal(build_pod(text, &allowed, &pod, &err), 0);
    }
}

static void test_pod_needs_a_user_container(void **state)
{
    cleanup_json struct json_object *pod = NULL;
    struct err err = {0};

    assert_int_equal(
        build_pod("{\"spec\":{\"containers\":[{\"name\":\"sidecar\"}]}}", &plain, &pod, &err),
        -EINVAL);
    assert_non_null(strstr(err.msg, "none beside the sidecar"));
}

static void test_pod_refuses_names_that_are_none(void **state)
{
    static const char *const names[] = {"", "-a", "a-", "A", "a.b", "a,b", "a/b"};
    cleanup_free char *longest = xmalloc(LIMIT_LABEL_BYTES + 2);

    memset(longest, 'x', LIMIT_LABEL_BYTES + 1);
    longest[LIMIT_LABEL_BYTES + 1] = '\0';
    for (size_t i = 0; i <= ARRAY_SIZE(names) + 1; i++) {
        const char *name = i < ARRAY_SIZE(names) ? names[i] : longest;
        bool is_good = i == ARRAY_SIZE(names) + 1;
        cleanup_json struct json_object *pod = NULL;
        cleanup_free char *text = NULL;
        struct err err = {0};

        longest[LIMIT_LABEL_BYTES] = is_good ? '\0' : 'x';
        text = xasprintf("{\"spec\":{\"containers\":[{\"name\":\"ok\"},{\"name\":\"%s\"}]}}", name);
        assert_int_equal(build_pod(text, &plain, &pod, &err), is_good ? 0 : -EINVAL);
        if (!is_good)
            assert_non_null(strstr(err.msg, "containers[1].name"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newline_between_steps),
        cmocka_unit_test(test_object_stays_below_its_limit),
        cmocka_unit_test(test_cut_keeps_head_and_tail_and_counts),
        cmocka_unit_test(test_cut_after_a_gap_adds_up),
        cmocka_unit_test(test_output_file),
        cmocka_unit_test(test_cut_splits_no_character),
        cmocka_unit_test(test_bytes_survive),
        cmocka_unit_test(test_agent_key_of_a_pod),
        cmocka_unit_test(test_pod_of_the_python_client),
        cmocka_unit_test(test_pod_of_one_container_without_a_command),
        cmocka_unit_test(test_pod_port),
        cmocka_unit_test(test_pod_node_and_users),
        cmocka_unit_test(test_pod_port_decoded),
        cmocka_unit_test(test_failed_step_is_named),
        cmocka_unit_test(test_pod_copies_the_workspace_of_the_image),
        cmocka_unit_test(test_pod_copy_says_what_it_may_be),
        cmocka_unit_test(test_pod_own_mount_at_the_workspace),
        cmocka_unit_test(test_pod_copy_is_a_container_of_that_image),
        cmocka_unit_test(test_pod_working_dir),
        cmocka_unit_test(test_pod_trouble),
        cmocka_unit_test(test_pod_default_container_comes_first),
        cmocka_unit_test(test_pod_keeps_the_sidecar_image_on_request),
        cmocka_unit_test(test_pod_refusals_name_the_field),
        cmocka_unit_test(test_pod_needs_a_user_container),
        cmocka_unit_test(test_pod_refuses_names_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
