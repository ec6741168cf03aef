#include "operator/api/sandbox.h"

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/wire/channel.h"

static const char *const phase_names[] = {
    [SANDBOX_PHASE_NONE] = "", [SANDBOX_PENDING] = "Pending", [SANDBOX_BOUND] = "Bound",
    [SANDBOX_READY] = "Ready", [SANDBOX_FAILED] = "Failed",
};

const char *sandbox_phase_str(enum sandbox_phase p)
{
    return phase_names[p];
}

static enum sandbox_phase phase_parse(const char *s)
{
    for (size_t i = 1; i < ARRAY_SIZE(phase_names); i++)
        if (str_eq(s, phase_names[i]))
            return (enum sandbox_phase)i;
    return SANDBOX_PHASE_NONE;
}

void sandbox_status_done(struct sandbox_status *s)
{
    free(s->pod_name);
    free(s->pod_uid);
    free(s->pod_ip);
    free(s->work_dir);
    free(s->agent_key);
    condition_done(&s->ready);
    condition_done(&s->restarted);
    *s = (struct sandbox_status){0};
}

void sandbox_status_copy(struct sandbox_status *to, const struct sandbox_status *from)
{
    *to = *from;
    to->pod_name = xstrdup(from->pod_name);
    to->pod_uid = xstrdup(from->pod_uid);
    to->pod_ip = xstrdup(from->pod_ip);
    to->work_dir = xstrdup(from->work_dir);
    to->agent_key = xstrdup(from->agent_key);
    to->ready = to->restarted = (struct condition){0};
    condition_copy(&to->ready, &from->ready);
    condition_copy(&to->restarted, &from->restarted);
}

static void sandbox_free(struct meta *obj)
{
    struct sandbox *s = container_of(obj, struct sandbox, meta);

    if (!obj)
        return;
    sandbox_status_done(&s->status);
    free(s->pool);
    free(s->env_json);
    free(s->invalid);
    meta_done(&s->meta);
    free(s);
}

static const struct json_field spec_fields[] = {
    {"spec.poolRef", JSON_STRING, offsetof(struct sandbox, pool)},
    {"spec.keepAlive", JSON_BOOL, offsetof(struct sandbox, keep_alive)},
    {"spec.idleTimeoutSeconds", JSON_INT, offsetof(struct sandbox, idle_timeout_s)},
    {"spec.maxLifetimeSeconds", JSON_INT, offsetof(struct sandbox, max_lifetime_s)},
    {NULL},
};

/* A name that can be no label of a pod, or of no pool, is not kept: no key is made of it. */
static void check_names(struct sandbox *s)
{
    if (strlen(s->meta.name) > LIMIT_LABEL_BYTES)
        s->invalid = xasprintf("metadata.name has %zu characters, %d are the limit: it becomes the "
                               "label of a pod",
                               strlen(s->meta.name), LIMIT_LABEL_BYTES);
    else if (!is_dns_name(s->pool))
        s->invalid = xstrdup("spec.poolRef is not the name of a WarmPool");
}

static void decode_spec(struct json_object *obj, struct sandbox *s)
{
    struct json_object *env = json_get_path(obj, "spec.env");
    struct err err = {0};

    if (json_array_len(env) > LIMIT_SANDBOX_ENV)
        s->invalid = xasprintf("spec.env: %zu variables, %d are the limit", json_array_len(env),
                               LIMIT_SANDBOX_ENV);
    else if (json_array_len(env) > 0)
        s->env_json = xstrdup(json_object_to_json_string_ext(env, JSON_C_TO_STRING_NOSLASHESCAPE));
    s->env_bytes = s->env_json ? strlen(s->env_json) : 0;
    if (json_decode(obj, spec_fields, s, &err) < 0)
        str_set(&s->invalid, xstrdup(err.msg));
    else if (!s->pool || !*s->pool)
        str_set(&s->invalid, xstrdup("spec.poolRef is missing"));
    else if (s->idle_timeout_s < -1 || s->max_lifetime_s < -1)
        str_set(&s->invalid, xstrdup("spec.idleTimeoutSeconds and spec.maxLifetimeSeconds must "
                                     "not be negative"));
    if (!s->invalid)
        check_names(s);
    if (s->invalid)
        str_set(&s->pool, NULL);
    s->idle_timeout_s = MIN(s->idle_timeout_s, INT32_MAX);
    s->max_lifetime_s = MIN(s->max_lifetime_s, INT32_MAX);
}

/* An invalid key counts as none: the next plan writes the pod's key again. */
static char *decode_key(const char *s)
{
    unsigned char key[CHANNEL_KEY_BYTES];

    return s && channel_key_parse(s, strnlen(s, CHANNEL_KEY_TEXT), key) ? xstrdup(s) : NULL;
}

/* The operator writes this, or somebody with the same rights. A pod counts only with both name and
 * UID: no pod was ever bound with only one of them. */
static void decode_status(struct json_object *status, struct sandbox_status *s)
{
    const char *ip = json_get_str(status, "podIP"), *dir = json_get_str(status, "workDir");

    s->phase = phase_parse(json_get_str(status, "phase"));
    s->pod_name = meta_name(status, "podName");
    s->pod_uid = meta_uid(status, "podUID");
    if (!s->pod_name || !s->pod_uid) {
        str_set(&s->pod_name, NULL);
        str_set(&s->pod_uid, NULL);
    }
    s->pod_ip = meta_is_ip(ip) ? xstrdup(ip) : NULL;
    if (dir && dir[0] == '/' && strnlen(dir, LIMIT_PATH_BYTES) < LIMIT_PATH_BYTES)
        s->work_dir = xstrdup(dir);
    s->agent_key = decode_key(json_get_str(status, "agentKey"));
    json_get_int(status, "observedGeneration", &s->observed_generation);
    s->last_task_wall_ns = meta_time(status, "lastTaskTime");
    json_get_int(status, "containerRestarts", &s->container_restarts);
    condition_decode(json_get(status, "conditions"), "Ready", &s->ready);
    condition_decode(json_get(status, "conditions"), "ContainerRestarted", &s->restarted);
}

/* Anybody who may use the sandbox writes it. */
static int64_t decode_used_at(struct json_object *obj)
{
    struct json_object *annotations = json_get_path(obj, "metadata.annotations");
    const char *s = json_get_str(annotations, SANDBOX_ANNOTATION_USED_AT);

    if (!s || strnlen(s, SANDBOX_USED_AT_BYTES) == SANDBOX_USED_AT_BYTES)
        return 0;
    return meta_time(annotations, SANDBOX_ANNOTATION_USED_AT);
}

static int decode_whole(struct json_object *obj, struct meta **ret, struct err *err)
{
    struct sandbox *s = xcalloc(1, sizeof(*s));
    int r;

    s->idle_timeout_s = s->max_lifetime_s = -1;
    r = meta_decode(obj, &s->meta, err);
    if (r < 0) {
        sandbox_free(&s->meta);
        return r;
    }
    decode_spec(obj, s);
    s->used_at_wall_ns = decode_used_at(obj);
    decode_status(json_get(obj, "status"), &s->status);
    *ret = &s->meta;
    return 0;
}

static int sandbox_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    int r = decode_whole(obj, ret, err);
    struct sandbox *s;

    if (r < 0)
        return r;
    s = container_of(*ret, struct sandbox, meta);
    if (s->env_bytes > SANDBOX_ENV_KEPT)
        str_set(&s->env_json, NULL);
    return 0;
}

static void write_known(struct json_writer *w, const char *name, const char *value)
{
    if (value)
        json_w_str(w, name, value);
}

int sandbox_status_patch(const struct sandbox *s, const struct sandbox_status *status,
                         struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    char last[RFC3339_MAX];

    meta_patch_begin(&w, &s->meta, true);
    json_w_object(&w, "status");
    json_w_str(&w, "phase", sandbox_phase_str(status->phase));
    write_known(&w, "podName", status->pod_name);
    write_known(&w, "podUID", status->pod_uid);
    write_known(&w, "podIP", status->pod_ip);
    write_known(&w, "workDir", status->work_dir);
    write_known(&w, "agentKey", status->agent_key);
    if (status->last_task_wall_ns > 0) {
        rfc3339_format(last, status->last_task_wall_ns);
        json_w_str(&w, "lastTaskTime", last);
    }
    if (status->container_restarts > 0)
        json_w_int(&w, "containerRestarts", status->container_restarts);
    json_w_int(&w, "observedGeneration", s->meta.generation);
    json_w_array(&w, "conditions");
    condition_write(&w, "Ready", &status->ready, s->meta.generation);
    condition_write(&w, "ContainerRestarted", &status->restarted, s->meta.generation);
    json_w_end_array(&w);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}

const struct api_kind api_sandbox_whole = {
    .kind = "Sandbox",
    .plural = "sandboxes",
    .api_prefix = "/apis/arl.infra.io/v1alpha1",
    .api_version = "arl.infra.io/v1alpha1",
    .decode = decode_whole,
    .free = sandbox_free,
};

const struct api_kind api_sandbox = {
    .kind = "Sandbox",
    .plural = "sandboxes",
    .api_prefix = "/apis/arl.infra.io/v1alpha1",
    .api_version = "arl.infra.io/v1alpha1",
    .decode = sandbox_decode,
    .free = sandbox_free,
};
