#include "operator/api/pod_build.h"

#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/wire/task_proto.h"
#include "operator/api/pod.h"
#include "operator/api/pod_check.h"
#include "operator/api/pod_seal.h"

#define RESERVED_PREFIX "arl.infra.io/"
#define TERMINATION_GRACE_S 5 /* the runner gives the main command 2 s */
#define WORKSPACE "workspace"
#define WORKSPACE_PATH "/workspace"
#define COPY_TARGET "/.arl-workspace" /* where the volume is while the image's files are copied */
/* Of the template: "false" does not copy the image's files below the workspace, "true" is the
 * default. */
#define ANNOTATION_COPY "arl.infra.io/copy-workspace"
#define DEFAULT_CONTAINER "executor"

/* Parsed once and shared by many pods: nobody may change the tree. */
struct constant {
    const char *text;
    struct json_object *tree;
};

/* The sidecar and the init container need nothing: no root, no capability, no writable root. */
#define RESTRICTED                                                                                 \
    "\"runAsNonRoot\":true,\"privileged\":false,\"allowPrivilegeEscalation\":false,"               \
    "\"readOnlyRootFilesystem\":true,\"capabilities\":{\"drop\":[\"ALL\"]},"                       \
    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"
static struct constant restricted = {"{\"runAsUser\":65532,\"runAsGroup\":65532," RESTRICTED, NULL};
static struct constant restricted_any_user = {"{" RESTRICTED, NULL};
/* Measured well below 4 MiB; the limit leaves room for the output of a busy task. */
static struct constant resources = {
    "{\"requests\":{\"cpu\":\"10m\",\"memory\":\"8Mi\"},\"limits\":{\"memory\":\"64Mi\"}}", NULL};
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

/* As text: annotations are nothing else. */
static void put_number(struct json_object *o, const char *name, int value)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", value);
    put_str(o, name, text);
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

/* ---- the parts of the pod -------------------------------------------------------------------- */

struct builder {
    const struct warmpool *pool;
    const struct pod_build_opts *opts;
    struct json_object *spec;
    struct json_object *users[LIMIT_CONTAINERS]; /* the default container first */
    size_t user_count;
    const char *workspace; /* where the volume is mounted in users[0]; belongs to the tree */
    const char *work_dir;  /* in which steps begin; belongs to the tree */
    bool own_workspace;    /* the template has the volume */
    bool copy;             /* the image's files into it */
    char *sidecar_image;
    struct json_object *sidecar_resources;
};

static void builder_done(struct builder *b)
{
    free(b->sidecar_image);
    json_free(&b->sidecar_resources);
}

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

/* Absolute ones, however many slashes are between and behind the names. */
static bool is_same_path(const char *a, const char *b)
{
    size_t len;

    do {
        a += strspn(a, "/");
        b += strspn(b, "/");
        len = strcspn(a, "/");
        if (len != strcspn(b, "/") || memcmp(a, b, len) != 0)
            return false;
        a += len;
        b += len;
    } while (len > 0);
    return true;
}

/* The mount of the volume at the path; either may be NULL, for any. */
static struct json_object *find_mount(struct json_object *c, const char *volume, const char *path)
{
    struct json_object *mounts = json_get(c, "volumeMounts");

    for (size_t i = 0; i < json_array_len(mounts); i++) {
        struct json_object *m = json_object_array_get_idx(mounts, i);
        const char *at = json_get_str(m, "mountPath");

        if (at && (!path || is_same_path(at, path)) &&
            (!volume || str_eq(json_get_str(m, "name"), volume)))
            return m;
    }
    return NULL;
}

/* NULL: it mounts no workspace. */
static struct json_object *workspace_mount(struct json_object *c)
{
    struct json_object *m = find_mount(c, WORKSPACE, WORKSPACE_PATH);

    return m ? m : find_mount(c, WORKSPACE, NULL);
}

static void put_default(struct json_object *o, const char *name, struct json_object *value)
{
    if (has(o, name))
        json_object_put(value);
    else
        put(o, name, value);
}

/* Puts the last words of a container into the status of its pod, for conditions. */
static void tell_last_words(struct json_object *c)
{
    put_default(c, "terminationMessagePolicy", json_object_new_string("FallbackToLogsOnError"));
}

/* Steps of every container begin in the workspace, so each container mounts it at the path of the
 * first one. */
static void mount_workspace(struct builder *b, struct json_object *c)
{
    struct json_object *first = find_mount(b->users[0], NULL, b->workspace), *m = NULL;

    if (workspace_mount(c) || find_mount(c, NULL, b->workspace))
        return;
    if (!first) {
        append_mount(c, WORKSPACE, b->workspace, NULL);
        return;
    }
    json_object_deep_copy(first, &m, NULL);
    json_object_object_del(m, "mountPropagation"); /* for which it may lack the privileges */
    json_object_array_add(ensure(c, "volumeMounts", json_type_array), m);
}

static void build_users(struct builder *b)
{
    const char *own_dir = json_get_str(b->users[0], "workingDir");
    const char *own_path = json_get_str(workspace_mount(b->users[0]), "mountPath");

    b->workspace = own_path ? own_path : WORKSPACE_PATH;
    b->work_dir = own_dir && own_dir[0] == '/' ? own_dir : b->workspace;
    for (size_t i = 0; i < b->user_count; i++) {
        mount_workspace(b, b->users[i]);
        wrap_command(b->users[i]);
        tell_last_words(b->users[i]);
        append_mount(b->users[i], POD_VOLUME_ARL, "/.arl", json_get_str(b->users[i], "name"));
    }
}

static int agent_port(const struct builder *b)
{
    return b->opts->sidecar_port > 0 ? b->opts->sidecar_port : AGENT_PORT;
}

/* Everywhere, in IPv4 and IPv6. */
static struct json_object *sidecar_args(const struct builder *b)
{
    cleanup_free char *text = xasprintf("[\"serve\",\"--listen\",\"[::]:%d\"]", agent_port(b));

    return parse(text);
}

static struct json_object *sidecar_ports(const struct builder *b)
{
    cleanup_free char *text = xasprintf(
        "[{\"name\":\"arl-agent\",\"containerPort\":%d,\"protocol\":\"TCP\"}]", agent_port(b));

    return parse(text);
}

static struct json_object *sidecar_probe(const struct builder *b, int period_s, int failures)
{
    cleanup_free char *text =
        xasprintf("{\"httpGet\":{\"path\":\"/readyz\",\"port\":%d},\"periodSeconds\":%d,"
                  "\"timeoutSeconds\":5,\"failureThreshold\":%d}",
                  agent_port(b), period_s, failures);

    return parse(text);
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

/* The members that the sidecar and the init container share. */
static struct json_object *new_container(const struct builder *b, const char *name)
{
    struct json_object *c = json_object_new_object();

    put_str(c, "name", name);
    put_str(c, "image", b->sidecar_image);
    put_str(c, "imagePullPolicy", "IfNotPresent");
    put(c, "securityContext", shared(b->opts->platform_users ? &restricted_any_user : &restricted));
    put(c, "resources", json_object_get(b->sidecar_resources));
    append_mount(c, POD_VOLUME_ARL, "/arl", NULL);
    append_mount(c, POD_VOLUME_JOURNAL, "/var/lib/arl", NULL);
    return c;
}

/* Only the resources of the template's container `sidecar` are used, and the image if it is to be
 * kept. With anything else, such as a command, an environment, mounts or a security context, the
 * tenant would control a container that has the agent's key. */
static void find_sidecar(struct builder *b)
{
    struct json_object *c = find_named(json_get(b->spec, "containers"), POD_SIDECAR);
    struct json_object *own = json_get(c, "resources");
    const char *image = json_get_str(c, "image");

    b->sidecar_image =
        xstrdup(b->opts->keep_sidecar_image && image && *image ? image : b->opts->sidecar_image);
    b->sidecar_resources =
        json_object_is_type(own, json_type_object) && json_object_object_length(own) > 0
            ? json_object_get(own)
            : shared(&resources);
}

/* Where the template has it, or at the end. */
static void build_sidecar(struct builder *b)
{
    struct json_object *containers = json_get(b->spec, "containers");
    struct json_object *c = new_container(b, POD_SIDECAR);
    size_t at = 0;

    put(c, "args", sidecar_args(b));
    put(c, "env", sidecar_env(b));
    put(c, "ports", sidecar_ports(b));
    put(c, "startupProbe", sidecar_probe(b, 1, 300));
    put(c, "readinessProbe", sidecar_probe(b, 10, 3));
    while (at < json_array_len(containers) &&
           !str_eq(json_get_str(json_object_array_get_idx(containers, at), "name"), POD_SIDECAR))
        at++;
    json_object_array_put_idx(containers, at, c);
}

/* Only into the volume that is added. subPathExpr needs the environment of the container. */
static bool is_copied(const struct builder *b)
{
    struct json_object *m = workspace_mount(b->users[0]);

    return b->copy && !b->own_workspace && m && !has(m, "subPathExpr");
}

/* Where the copy's container has the workspace. */
static struct json_object *build_copy_mount(const struct builder *b)
{
    struct json_object *user = workspace_mount(b->users[0]), *m = json_object_new_object();

    put_str(m, "name", WORKSPACE);
    put_str(m, "mountPath", COPY_TARGET);
    if (has(user, "subPath"))
        put(m, "subPath", json_object_get(json_get(user, "subPath")));
    return m;
}

/* The added volume hides the image's files at its path. A container of the same image, as its user,
 * copies them into the volume. It runs only the runner. */
static struct json_object *build_copy(const struct builder *b)
{
    static const char *const kept[] = {"image", "imagePullPolicy", "securityContext", "resources"};
    struct json_object *user = b->users[0], *c = json_object_new_object();
    struct json_object *command = parse("[\"/.arl/runner\",\"copy-workspace\"]");

    put_str(c, "name", POD_COPY);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (has(user, kept[i]))
            put(c, kept[i], json_object_get(json_get(user, kept[i])));
    json_object_array_add(command, json_object_new_string(b->workspace));
    json_object_array_add(command, json_object_new_string(COPY_TARGET));
    put(c, "command", command);
    tell_last_words(c);
    append_mount(c, POD_VOLUME_ARL, "/.arl", json_get_str(user, "name"));
    json_object_array_add(ensure(c, "volumeMounts", json_type_array), build_copy_mount(b));
    return c;
}

/* The first init container, before any code of the user: it makes the agent's key, and its
 * termination message has the public half. Only it and the sidecar see the volume of the journal.
 */
static void build_init(struct builder *b)
{
    struct json_object *before = json_get(b->spec, "initContainers");
    struct json_object *inits = json_object_new_array();
    struct json_object *c = new_container(b, POD_INIT);
    struct json_object *args = parse("[\"install\",\"--dir\",\"/arl\"]");

    for (size_t i = 0; i < b->user_count; i++) {
        json_object_array_add(args, json_object_new_string("--container"));
        json_object_array_add(args, json_object_new_string(json_get_str(b->users[i], "name")));
    }
    put(c, "args", args);
    put_str(c, "terminationMessagePath", "/dev/termination-log");
    put_str(c, "terminationMessagePolicy", "File");
    json_object_array_add(inits, c);
    if (is_copied(b))
        json_object_array_add(inits, build_copy(b));
    for (size_t i = 0; i < json_array_len(before); i++) {
        c = json_object_array_get_idx(before, i);
        tell_last_words(c);
        json_object_array_add(inits, json_object_get(c));
    }
    put(b->spec, "initContainers", inits);
}

static void build_volumes(struct builder *b)
{
    static const char *const names[] = {POD_VOLUME_ARL, POD_VOLUME_JOURNAL, WORKSPACE};
    struct json_object *volumes = ensure(b->spec, "volumes", json_type_array);

    b->own_workspace = find_named(volumes, WORKSPACE) != NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct json_object *v;

        if (find_named(volumes, names[i])) /* a workspace of the template's own */
            continue;
        v = parse("{\"emptyDir\":{}}");
        put_str(v, "name", names[i]);
        json_object_array_add(volumes, v);
    }
}

/* The sidecar's image is for Linux, so a pod must not come to another kind of node. */
static void build_node_selector(struct builder *b)
{
    struct json_object *selector = ensure(b->spec, "nodeSelector", json_type_object);

    put_default(selector, "kubernetes.io/os", json_object_new_string("linux"));
}

static int build_spec(struct builder *b, struct json_object *template, struct err *err)
{
    int r = b->opts->allow_privileged ? 0 : pod_check_baseline(template, err);

    if (r == 0)
        r = pod_check_volumes(b->spec, err);
    if (r == 0)
        r = pod_check_ports(b->spec, agent_port(b), err);
    if (r == 0)
        r = find_users(b, err);
    if (r < 0)
        return r;
    find_sidecar(b);
    build_volumes(b);
    build_users(b);
    build_sidecar(b);
    build_init(b);
    build_node_selector(b);
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

static void put_seal(const struct builder *b, const char *name, struct json_object *annotations,
                     int64_t wall_ns)
{
    const struct seal_key *key =
        b->opts->seal ? seal_key_find(b->opts->seal, b->opts->key_id) : NULL;
    char text[SEAL_TEXT_MAX];

    if (!key)
        return;
    pod_seal_make(key, b->pool->meta.ns, name, annotations, wall_ns, text);
    put_str(annotations, POD_ANNOTATION_SEAL, text);
}

static struct json_object *build_metadata(const struct builder *b, const char *name,
                                          struct json_object *template_md, int64_t wall_ns)
{
    struct json_object *md = json_object_new_object();
    struct json_object *labels = without_reserved(json_get(template_md, "labels"));
    struct json_object *annotations = without_reserved(json_get(template_md, "annotations"));

    put_str(labels, POD_LABEL_POOL, b->pool->meta.name);
    put_str(labels, POD_LABEL_STATUS, "idle");
    put_str(annotations, POD_ANNOTATION_HASH, b->pool->template_hash);
    put_str(annotations, POD_ANNOTATION_WORK_DIR, b->work_dir);
    put_str(annotations, POD_ANNOTATION_KEY_ID, b->opts->key_id);
    put_number(annotations, POD_ANNOTATION_PORT, agent_port(b));
    put_number(annotations, POD_ANNOTATION_WIRE, WIRE_VERSION);
    put_str(annotations, POD_ANNOTATION_POOL_UID, b->pool->meta.uid);
    put_seal(b, name, annotations, wall_ns); /* the last one */
    put_str(md, "name", name);
    put_str(md, "namespace", b->pool->meta.ns);
    put(md, "labels", labels);
    put(md, "annotations", annotations);
    put(md, "ownerReferences", build_owner(&b->pool->meta));
    return md;
}

static int find_copy(struct builder *b, struct json_object *template_md, struct err *err)
{
    const char *copy = json_get_str(json_get(template_md, "annotations"), ANNOTATION_COPY);

    b->copy = !copy || strcmp(copy, "true") == 0;
    if (b->copy || strcmp(copy, "false") == 0)
        return 0;
    return err_set(err, -EINVAL,
                   "the template's annotation " ANNOTATION_COPY " is \"%.32s\"; "
                   "it must be \"true\" or \"false\"",
                   copy);
}

int pod_build(const struct warmpool *p, const char *name, const struct pod_build_opts *opts,
              int64_t wall_ns, struct buf *out, struct err *err)
{
    cleanup_json struct json_object *template = NULL;
    cleanup_json struct json_object *pod = json_object_new_object();
    struct builder b CLEANUP(builder_done) = {.pool = p, .opts = opts};
    int r = json_parse(p->template_json, strlen(p->template_json), &template, err);

    if (r < 0)
        return r;
    b.spec = json_get(template, "spec");
    if (!json_object_is_type(b.spec, json_type_object))
        return err_set(err, -EINVAL, "spec.template.spec is missing");
    r = find_copy(&b, json_get(template, "metadata"), err);
    if (r < 0)
        return r;
    r = build_spec(&b, template, err);
    if (r < 0)
        return r;
    put_str(pod, "apiVersion", "v1");
    put_str(pod, "kind", "Pod");
    put(pod, "metadata", build_metadata(&b, name, json_get(template, "metadata"), wall_ns));
    put(pod, "spec", json_object_get(b.spec));
    r = buf_puts(out, json_object_to_json_string_ext(pod, JSON_C_TO_STRING_NOSLASHESCAPE));
    return r < 0 ? err_set(err, -ENOBUFS, "the pod is too large") : 0;
}
