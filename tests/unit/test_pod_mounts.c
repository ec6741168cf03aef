/* Which mounts the containers of a pod get, and whether the image's files are copied. */
#include "tests/unit/pod_template.h"

/* The pod of a template with this spec. */
static struct json_object *build(const char *spec)
{
    cleanup_free char *template = xasprintf("{\"spec\":{%s}}", spec);
    struct json_object *pod = NULL;

    assert_int_equal(build_pod(template, &plain, &pod, NULL), 0);
    return pod;
}

/* A row: the mounts of two containers in the template, and all but arl's own in the pod. */
struct row {
    const char *first, *second;
    const char *want_first, *want_second;
    const char *volumes; /* beside the one of the name data */
    const char *work_dir;
    bool copies;
};

#define MOUNT(name, path, more) "{\"name\":\"" name "\",\"mountPath\":\"" path "\"" more "}"
#define SUB(path) ",\"subPath\":\"" path "\""
#define READ_ONLY ",\"readOnly\":true"
#define OWN ",{\"name\":\"workspace\",\"emptyDir\":{}}"

static void check_mounts(struct json_object *pod, size_t i, const char *name, const char *want)
{
    struct json_object *c = json_object_array_get_idx(json_get_path(pod, "spec.containers"), i);
    cleanup_free char *all =
        xasprintf("[%s,{\"name\":\"arl\",\"mountPath\":\"/.arl\",\"subPath\":\"%s\",\"readOnly\":"
                  "true}]",
                  want, name);

    assert_string_equal(
        json_object_to_json_string_ext(json_get(c, "volumeMounts"),
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        all);
}

static void check(const struct row *row)
{
    cleanup_free char *spec = xasprintf(
        "\"containers\":[{\"name\":\"executor\",\"image\":\"x\",\"volumeMounts\":[%s]},{\"name\":"
        "\"b\",\"image\":\"y\",\"volumeMounts\":[%s]}],\"volumes\":[{\"name\":\"data\","
        "\"emptyDir\":{}}%s]",
        row->first, row->second, row->volumes);
    cleanup_json struct json_object *pod = build(spec);

    check_mounts(pod, 0, "executor", row->want_first);
    check_mounts(pod, 1, "b", row->want_second);
    assert_string_equal(
        json_get_str(json_get_path(pod, "metadata.annotations"), "arl.infra.io/work-dir"),
        row->work_dir);
    assert_int_equal(json_array_len(json_get_path(pod, "spec.initContainers")), 1 + row->copies);
}

static void test_paths_are_compared_without_their_slashes(void **state)
{
    static const struct row rows[] = {
        {MOUNT("data", "/workspace/", ""), MOUNT("data", "//workspace", ""),
         MOUNT("data", "/workspace/", ""), MOUNT("data", "//workspace", ""), "", "/workspace",
         false},
        {MOUNT("data", "/workspace/in", ""), MOUNT("data", "/work", ""),
         MOUNT("data", "/workspace/in", "") "," MOUNT("workspace", "/workspace", ""),
         MOUNT("data", "/work", "") "," MOUNT("workspace", "/workspace", ""), "", "/workspace",
         true},
        {MOUNT("workspace", "/a//b/", ""), MOUNT("data", "/a/b", ""),
         MOUNT("workspace", "/a//b/", ""), MOUNT("data", "/a/b", ""), OWN, "/a//b/", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check(&rows[i]);
}

static void test_the_others_get_the_mount_of_the_first(void **state)
{
    static const struct row rows[] = {
        {MOUNT("data", "/workspace", SUB("s") READ_ONLY), "",
         MOUNT("data", "/workspace", SUB("s") READ_ONLY),
         MOUNT("data", "/workspace", SUB("s") READ_ONLY), "", "/workspace", false},
        {MOUNT("workspace", "/w", SUB("s")), MOUNT("data", "/workspace", ""),
         MOUNT("workspace", "/w", SUB("s")),
         MOUNT("data", "/workspace", "") "," MOUNT("workspace", "/w", SUB("s")), OWN, "/w", false},
        {MOUNT("data", "/workspace", ",\"mountPropagation\":\"Bidirectional\""), "",
         MOUNT("data", "/workspace", ",\"mountPropagation\":\"Bidirectional\""),
         MOUNT("data", "/workspace", ""), "", "/workspace", false},
        {"", MOUNT("data", "/workspace", ""), MOUNT("workspace", "/workspace", ""),
         MOUNT("data", "/workspace", ""), "", "/workspace", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check(&rows[i]);
}

static void test_of_two_mounts_the_one_at_the_workspace_counts(void **state)
{
#define TWO MOUNT("workspace", "/var/cache", SUB("cache")) ","
    static const struct row rows[] = {
        {TWO MOUNT("workspace", "/workspace", SUB("src")), "",
         TWO MOUNT("workspace", "/workspace", SUB("src")),
         MOUNT("workspace", "/workspace", SUB("src")), OWN, "/workspace", false},
        {TWO MOUNT("workspace", "/data", ""), "", TWO MOUNT("workspace", "/data", ""),
         MOUNT("workspace", "/var/cache", SUB("cache")), OWN, "/var/cache", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check(&rows[i]);
}

/* The container that copies does not have the variables of the path. */
static void test_no_copy_where_the_path_is_of_the_environment(void **state)
{
#define EXPR MOUNT("workspace", "/workspace", ",\"subPathExpr\":\"$(A)\"")
    static const struct row row = {EXPR, EXPR, EXPR, EXPR, "", "/workspace", false};

    check(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_compared_without_their_slashes),
        cmocka_unit_test(test_the_others_get_the_mount_of_the_first),
        cmocka_unit_test(test_of_two_mounts_the_one_at_the_workspace_counts),
        cmocka_unit_test(test_no_copy_where_the_path_is_of_the_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
