#include "operator/api/pod_build.h"

#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "operator/api/pod.h"

#define RESERVED_PREFIX "arl.infra.io/"
#define TERMINATION_GRACE_S 5 /* the runner gives the main command 2 s */
#define WORKSPACE "workspace"
#define WORKSPACE_PATH "/workspace"
#define DEFAULT_CONTAINER "executor"

/* Parsed once, and part of many pods: nobody may change the tree. */
struct constant {
    const char *text;
    struct json_object *tree;
};

/* The sidecar and the init container need nothing: no root, no capability, no writable root. */
static struct constant restricted = {
    "{\"runAsUser\":65532,\"runAsGroup\":65532,\"runAsNonRoot\":true,\"privileged\":false,"
    "\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,"
    "\"capabilities\":{\"drop\":[\"ALL\"]},\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}",
    NULL};
/* Measured well below 4 MiB; the limit leaves room for the output of a busy task. */
static struct constant resources = {
    "{\"requests\":{\"cpu\":\"10m\",\"memory\":\"8Mi\"},\"limits\":{\"memory\":\"64Mi\"}}", NULL};
static struct constant startup_probe = {
    "{\"httpGet\":{\"path\":\"/readyz\",\"port\":8080},\"periodSeconds\":1,\"timeoutSeconds\":5,"
    "\"failureThreshold\":300}",
    NULL};
static struct constant readiness_probe = {
    "{\"httpGet\":{\"path\":\"/readyz\",\"port\":8080},\"periodSeconds\":10,\"timeoutSeconds\":5,"
    "\"failureThreshold\":3}",
    NULL};
static struct constant ports = {"[{\"name\":\"http\",\"containerPort\":8080,\"protocol\":\"TCP\"}]",
                                NULL};

/* ---- json-c in short ------------------------------------------------------------------------- */

static struct json_object *parse(const char *text)
{
    struct json_object *o = NULL;
    int r = json_parse(text, strlen(text), &o, NULL);

    assert(r == 0);
    return o;
}

static struct json_object *shared(struct constant *c)
{
    if (!c->tree)
        c->tree = parse(c->text);
    return json_object_get(c->tree);
}

static void put(struct json_object *o, const char *name, struct json_object *value)
{
    json_object_object_add(o, name, value);
}

static void put_str(struct json_object *o, const char *name, const char *value)
{
    put(o, name, json_object_new_string(value));
}

static bool has(struct json_object *o, const char *name)
{
    return json_get(o, name) != NULL;
}

/* The member as an object or array of this type, made if there is none. */
static struct json_object *ensure(struct json_object *o, const char *name, enum json_type type)
{
    struct json_object *v = json_get(o, name);

    if (!json_object_is_type(v, type)) {
        v = type == json_type_array ? json_object_new_array() : json_object_new_object();
        put(o, name, v);
    }
    return v;
}

static struct json_object *find_named(struct json_object *array, const char *name)
{
    for (size_t i = 0; i < json_array_len(array); i++) {
        struct json_object *o = json_object_array_get_idx(array, i);

        if (str_eq(json_get_str(o, "name"), name))
            return o;
    }
    return NULL;
}

static void append_env(struct json_object *env, const char *name, const char *value)
{
    struct json_object *e = json_object_new_object();

    put_str(e, "name", name);
    put_str(e, "value", value);
    json_object_array_add(env, e);
}

static void append_mount(struct json_object *container, const char *volume, const char *path,
                         const char *sub_path)
{
    struct json_object *m = json_object_new_object();

    put_str(m, "name", volume);
    put_str(m, "mountPath", path);
    if (sub_path) {
        put_str(m, "subPath", sub_path);
        put(m, "readOnly", json_object_new_boolean(true));
    }
    json_object_array_add(ensure(container, "volumeMounts", json_type_array), m);
}

/* ---- what a template may not have ------------------------------------------------------------ */

static int check_containers(struct json_object *containers, struct err *err)
{
    for (size_t i = 0; i < json_array_len(containers); i++) {
        struct json_object *c = json_object_array_get_idx(containers, i);

        if (json_get_bool(json_get(c, "securityContext"), "privileged", false))
            return err_set(err, -EPERM,
                           "spec.template.spec: container %s: securityContext.privileged is not "
                           "allowed (see --allow-privileged-templates)",
                           str_or_empty(json_get_str(c, "name")));
    }
    return 0;
}

static int check_privileged(struct json_object *spec, struct err *err)
{
    static const char *const flags[] = {"hostPID", "hostIPC", "hostNetwork",
                                        "shareProcessNamespace"};
    struct json_object *volumes = json_get(spec, "volumes");
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (json_get_bool(spec, flags[i], false))
            return err_set(
                err, -EPERM,
                "spec.template.spec.%s is not allowed (see --allow-privileged-templates)",
                flags[i]);
    for (size_t i = 0; i < json_array_len(volumes); i++) {
        struct json_object *v = json_object_array_get_idx(volumes, i);

        if (has(v, "hostPath"))
            return err_set(err, -EPERM,
                           "spec.template.spec.volumes: %s: hostPath is not allowed (see "
                           "--allow-privileged-templates)",
                           str_or_empty(json_get_str(v, "name")));
    }
    r = check_containers(json_get(spec, "containers"), err);
    return r < 0 ? r : check_containers(json_get(spec, "initContainers"), err);
}

/* ---- the parts of the pod -------------------------------------------------------------------- */

struct builder {
    const struct warmpool *pool;
    const struct pod_build_opts *opts;
    struct json_object *spec;
    struct json_object *users[LIMIT_CONTAINERS]; /* the default container first */
    size_t user_count;
    const char *work_dir; /* belongs to the tree */
};

static void add_user(struct builder *b, struct json_object *c)
{
    bool first = str_eq(json_get_str(c, "name"), DEFAULT_CONTAINER);

    if (first) {
        memmove(b->users + 1, b->users, b->user_count * sizeof(b->users[0]));
        b->users[0] = c;
    } else {
        b->users[b->user_count] = c;
    }
    b->user_count++;
}

static int find_users(struct builder *b, struct err *err)
{
    struct json_object *containers = json_get(b->spec, "containers");

    for (size_t i = 0; i < json_array_len(containers); i++) {
        struct json_object *c = json_object_array_get_idx(containers, i);

        /* As the API server demands of pods, but not of templates: the sidecar gets a list of them.
         */
        if (!is_dns_label(json_get_str(c, "name")))
            return err_set(err, -EINVAL,
                           "spec.template.spec.containers[%zu].name is missing, or no name of at "
                           "most %d lower case letters, digits and hyphens",
                           i, LIMIT_LABEL_BYTES);
        if (str_eq(json_get_str(c, "name"), POD_SIDECAR))
            continue;
        if (b->user_count == LIMIT_CONTAINERS)
            return err_set(err, -EINVAL, "spec.template.spec.containers: more than %d",
                           LIMIT_CONTAINERS);
        add_user(b, c);
    }
    if (b->user_count == 0)
        return err_set(err, -EINVAL,
                       "spec.template.spec.containers: none beside the sidecar: where should "
                       "tasks run?");
    return 0;
}

/* The runner becomes the container's first process; without a command of its own it just stays. */
static void wrap_command(struct json_object *c)
{
    struct json_object *command =
        parse("[\"/.arl/runner\",\"run\",\"--socket\",\"/.arl/sock\",\"--\"]");
    struct json_object *own = json_get(c, "command");
    struct json_object *args = json_get(c, "args");

    for (size_t i = 0; i < json_array_len(own); i++)
        json_object_array_add(command, json_object_get(json_object_array_get_idx(own, i)));
    for (size_t i = 0; json_array_len(own) > 0 && i < json_array_len(args); i++)
        json_object_array_add(command, json_object_get(json_object_array_get_idx(args, i)));
    put(c, "command", command);
    json_object_object_del(c, "args");
}

static const char *workspace_path(struct json_object *c)
{
    struct json_object *mounts = json_get(c, "volumeMounts");

    for (size_t i = 0; i < json_array_len(mounts); i++) {
        struct json_object *m = json_object_array_get_idx(mounts, i);

        if (str_eq(json_get_str(m, "name"), WORKSPACE) && json_get_str(m, "mountPath"))
            return json_get_str(m, "mountPath");
    }
    return NULL;
}

static bool has_mount_at(struct json_object *c, const char *path)
{
    struct json_object *mounts = json_get(c, "volumeMounts");

    for (size_t i = 0; i < json_array_len(mounts); i++)
        if (str_eq(json_get_str(json_object_array_get_idx(mounts, i), "mountPath"), path))
            return true;
    return false;
}

static void build_users(struct builder *b)
{
    if (!workspace_path(b->users[0]))
        append_mount(b->users[0], WORKSPACE, WORKSPACE_PATH, NULL);
    b->work_dir = workspace_path(b->users[0]);
    for (size_t i = 0; i < b->user_count; i++) {
        /* Steps of every container begin in the workspace. */
        if (!workspace_path(b->users[i]) && !has_mount_at(b->users[i], b->work_dir))
            append_mount(b->users[i], WORKSPACE, b->work_dir, NULL);
        wrap_command(b->users[i]);
        append_mount(b->users[i], "arl", "/.arl", json_get_str(b->users[i], "name"));
    }
}

static struct json_object *sidecar_env(const struct builder *b)
{
    struct json_object *env = parse(
        "[{\"name\":\"ARL_POD_UID\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.uid\"}}}"
        "]");
    char number[24], names[LIMIT_CONTAINERS * (LIMIT_LABEL_BYTES + 1) + 1];
    size_t len = 0;

    for (size_t i = 0; i < b->user_count; i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? "," : "",
                                json_get_str(b->users[i], "name"));
    snprintf(number, sizeof(number), "%zu", b->opts->output_limit);
    append_env(env, "ARL_CONTAINERS", names);
    append_env(env, "ARL_PUBLIC_KEYS", b->opts->public_keys);
    append_env(env, "ARL_OUTPUT_LIMIT", number);
    return env;
}

static const char *sidecar_image(const struct builder *b, struct json_object *sidecar)
{
    const char *own = json_get_str(sidecar, "image");

    return b->opts->keep_sidecar_image && own && *own ? own : b->opts->sidecar_image;
}

/* What the sidecar and the init container have in common. Replaces what a template says of it. */
static void dress(struct json_object *c, const char *image)
{
    put_str(c, "image", image);
    put_str(c, "imagePullPolicy", "IfNotPresent");
    put(c, "securityContext", shared(&restricted));
    if (json_object_object_length(ensure(c, "resources", json_type_object)) == 0)
        put(c, "resources", shared(&resources));
}

static void build_sidecar(struct builder *b)
{
    static const char *const ours[] = {"command", "livenessProbe", "lifecycle", "envFrom",
                                       "workingDir"};
    struct json_object *containers = json_get(b->spec, "containers");
    struct json_object *c = find_named(containers, POD_SIDECAR);
    cleanup_free char *image = xstrdup(sidecar_image(b, c));

    if (!c) {
        c = json_object_new_object();
        put_str(c, "name", POD_SIDECAR);
        json_object_array_add(containers, c);
    }
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        json_object_object_del(c, ours[i]);
    dress(c, image);
    put(c, "args", parse("[\"serve\"]"));
    put(c, "env", sidecar_env(b));
    put(c, "ports", shared(&ports));
    put(c, "startupProbe", shared(&startup_probe));
    put(c, "readinessProbe", shared(&readiness_probe));
    append_mount(c, "arl", "/arl", NULL);
    append_mount(c, "arl-journal", "/var/lib/arl", NULL);
}

static void build_init(struct builder *b)
{
    struct json_object *before = json_get(b->spec, "initContainers");
    struct json_object *inits = json_object_new_array();
    struct json_object *c = json_object_new_object();
    struct json_object *args = parse("[\"install\",\"--dir\",\"/arl\"]");

    for (size_t i = 0; i < b->user_count; i++) {
        json_object_array_add(args, json_object_new_string("--container"));
        json_object_array_add(args, json_object_new_string(json_get_str(b->users[i], "name")));
    }
    put_str(c, "name", "arl-init");
    dress(c, sidecar_image(b, find_named(json_get(b->spec, "containers"), POD_SIDECAR)));
    put(c, "args", args);
    append_mount(c, "arl", "/arl", NULL);
    append_mount(c, "arl-journal", "/var/lib/arl", NULL);
    json_object_array_add(inits, c);
    for (size_t i = 0; i < json_array_len(before); i++)
        json_object_array_add(inits, json_object_get(json_object_array_get_idx(before, i)));
    put(b->spec, "initContainers", inits);
}

static int build_volumes(struct builder *b, struct err *err)
{
    static const char *const names[] = {"arl", "arl-journal", WORKSPACE};
    struct json_object *volumes = ensure(b->spec, "volumes", json_type_array);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct json_object *v = find_named(volumes, names[i]);

        if (v && !str_eq(names[i], WORKSPACE))
            return err_set(err, -EINVAL, "spec.template.spec.volumes: the name %s is reserved",
                           names[i]);
        if (v)
            continue;
        v = parse("{\"emptyDir\":{}}");
        put_str(v, "name", names[i]);
        json_object_array_add(volumes, v);
    }
    return 0;
}

static void put_default(struct json_object *o, const char *name, struct json_object *value)
{
    if (has(o, name))
        json_object_put(value);
    else
        put(o, name, value);
}

static int build_spec(struct builder *b, struct err *err)
{
    int r = b->opts->allow_privileged ? 0 : check_privileged(b->spec, err);

    if (r == 0)
        r = find_users(b, err);
    if (r == 0)
        r = build_volumes(b, err);
    if (r < 0)
        return r;
    build_users(b);
    build_sidecar(b);
    build_init(b);
    put_default(b->spec, "automountServiceAccountToken", json_object_new_boolean(false));
    put_default(b->spec, "enableServiceLinks", json_object_new_boolean(false));
    put_default(b->spec, "terminationGracePeriodSeconds", json_object_new_int(TERMINATION_GRACE_S));
    return 0;
}

/* A copy of labels or annotations without the ones that only the operator may set. */
static struct json_object *without_reserved(struct json_object *from)
{
    struct json_object *to = json_object_new_object();

    if (!json_object_is_type(from, json_type_object))
        return to;
    json_object_object_foreach(from, key, value)
    {
        if (strncmp(key, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) != 0)
            put(to, key, json_object_get(value));
    }
    return to;
}

static struct json_object *build_owner(const struct meta *pool)
{
    struct json_object *ref = parse("{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":"
                                    "\"WarmPool\",\"controller\":true,"
                                    "\"blockOwnerDeletion\":false}");
    struct json_object *refs = json_object_new_array();

    put_str(ref, "name", pool->name);
    put_str(ref, "uid", pool->uid);
    json_object_array_add(refs, ref);
    return refs;
}

static struct json_object *build_metadata(const struct builder *b, const char *name,
                                          struct json_object *template_md)
{
    struct json_object *md = json_object_new_object();
    struct json_object *labels = without_reserved(json_get(template_md, "labels"));
    struct json_object *annotations = without_reserved(json_get(template_md, "annotations"));

    put_str(labels, POD_LABEL_POOL, b->pool->meta.name);
    put_str(labels, POD_LABEL_STATUS, "idle");
    put_str(annotations, POD_ANNOTATION_HASH, b->pool->template_hash);
    put_str(annotations, POD_ANNOTATION_WORK_DIR, b->work_dir);
    put_str(annotations, POD_ANNOTATION_KEY_ID, b->opts->key_id);
    put_str(md, "name", name);
    put_str(md, "namespace", b->pool->meta.ns);
    put(md, "labels", labels);
    put(md, "annotations", annotations);
    put(md, "ownerReferences", build_owner(&b->pool->meta));
    return md;
}

int pod_build(const struct warmpool *p, const char *name, const struct pod_build_opts *opts,
              struct buf *out, struct err *err)
{
    cleanup_json struct json_object *template = NULL;
    cleanup_json struct json_object *pod = json_object_new_object();
    struct builder b = {.pool = p, .opts = opts};
    int r = json_parse(p->template_json, strlen(p->template_json), &template, err);

    if (r < 0)
        return r;
    b.spec = json_get(template, "spec");
    if (!json_object_is_type(b.spec, json_type_object))
        return err_set(err, -EINVAL, "spec.template.spec is missing");
    r = build_spec(&b, err);
    if (r < 0)
        return r;
    put_str(pod, "apiVersion", "v1");
    put_str(pod, "kind", "Pod");
    put(pod, "metadata", build_metadata(&b, name, json_get(template, "metadata")));
    put(pod, "spec", json_object_get(b.spec));
    r = buf_puts(out, json_object_to_json_string_ext(pod, JSON_C_TO_STRING_NOSLASHESCAPE));
    return r < 0 ? err_set(err, -ENOBUFS, "the pod is too large") : 0;
}
