#include "operator/api/task.h"

#include <errno.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"

static const char *const state_names[] = {
    [TASK_STATE_NONE] = "",         [TASK_PENDING] = "Pending", [TASK_RUNNING] = "Running",
    [TASK_SUCCEEDED] = "Succeeded", [TASK_FAILED] = "Failed",
};

const char *task_state_str(enum task_state s)
{
    return state_names[s];
}

static enum task_state state_parse(const char *s)
{
    for (size_t i = 1; i < ARRAY_SIZE(state_names); i++)
        if (str_eq(s, state_names[i]))
            return (enum task_state)i;
    return TASK_STATE_NONE;
}

bool task_final(const struct task *t)
{
    return t->state == TASK_SUCCEEDED || t->state == TASK_FAILED;
}

static void drop_texts(struct task *t)
{
    for (size_t i = 0; t->step_names && i < t->step_count; i++)
        free(t->step_names[i]);
    free(t->step_names);
    t->step_names = NULL;
    str_set(&t->steps_json, NULL);
}

static void drop_steps(struct task *t)
{
    drop_texts(t);
    t->step_count = 0;
}

char **task_take_step_names(struct task *t)
{
    char **names = t->step_names;

    t->step_names = NULL;
    return names;
}

static void task_free(struct meta *obj)
{
    struct task *t = container_of(obj, struct task, meta);

    if (!obj)
        return;
    drop_steps(t);
    free(t->sandbox);
    free(t->trace_id);
    free(t->sandbox_uid);
    free(t->invalid);
    free(t->attempts_json);
    condition_done(&t->finished);
    meta_done(&t->meta);
    free(t);
}

static const struct json_field fields[] = {
    {"spec.sandboxRef", JSON_STRING, offsetof(struct task, sandbox)},
    {"spec.retries", JSON_INT, offsetof(struct task, retries)},
    {"spec.cancel", JSON_BOOL, offsetof(struct task, cancel)},
    {"spec.ttlSecondsAfterFinished", JSON_INT, offsetof(struct task, ttl_s)},
    {NULL},
};

static int decode_timeout(struct json_object *spec, struct task *t, struct err *err)
{
    struct json_object *field = json_get(spec, "timeout");
    const char *text = json_get_str(spec, "timeout");
    int64_t ns = 0;

    if (!field || json_object_is_type(field, json_type_null))
        return 0;
    if (!text || duration_parse(text, &ns) < 0)
        return err_set(err, -EINVAL, "spec.timeout: %s is not a duration such as 300s or 1m30s",
                       text ? text : "the value");
    if (ns < NSEC_PER_MSEC)
        return err_set(err, -EINVAL, "spec.timeout: %s is less than 1ms", text);
    t->timeout_ms = ns / NSEC_PER_MSEC;
    return 0;
}

static int decode_steps(struct json_object *spec, struct task *t, struct err *err)
{
    struct json_object *steps = json_get(spec, "steps");
    size_t n = json_array_len(steps);

    if (n == 0)
        return err_set(err, -EINVAL, "spec.steps is empty");
    if (n > LIMIT_STEPS)
        return err_set(err, -EINVAL, "spec.steps: %zu steps, %d are the limit", n, LIMIT_STEPS);
    t->steps_json = xstrdup(json_object_to_json_string_ext(steps, JSON_C_TO_STRING_NOSLASHESCAPE));
    t->step_names = xcalloc(n, sizeof(*t->step_names));
    t->step_count = n;
    for (size_t i = 0; i < n; i++)
        t->step_names[i] =
            xstrdup_max(str_or_empty(json_get_str(json_object_array_get_idx(steps, i), "name")),
                        LIMIT_STEP_NAME_BYTES);
    return 0;
}

static void decode_spec(struct json_object *obj, struct task *t)
{
    struct json_object *spec = json_get(obj, "spec");
    struct err err = {0};
    int r = json_decode(obj, fields, t, &err);

    t->trace_id = xstrdup_max(json_get_str(spec, "traceID"), LIMIT_TRACE_BYTES);
    t->ttl_s = MIN(t->ttl_s, INT32_MAX);
    if (r == 0 && (!t->sandbox || !*t->sandbox))
        r = err_set(&err, -EINVAL, "spec.sandboxRef is missing");
    if (r == 0 && !is_dns_name(t->sandbox))
        r = err_set(&err, -EINVAL, "spec.sandboxRef is not the name of a Sandbox");
    if (!is_dns_name(t->sandbox))
        str_set(&t->sandbox, NULL); /* no key is made of it */
    if (r == 0 && (t->retries < 0 || t->retries > LIMIT_RETRIES))
        r = err_set(&err, -EINVAL, "spec.retries: %lld is not within 0 and %d",
                    (long long)t->retries, LIMIT_RETRIES);
    if (r == 0)
        r = decode_timeout(spec, t, &err);
    if (r == 0)
        r = decode_steps(spec, t, &err);
    if (r < 0) {
        t->invalid = xstrdup(err.msg);
        drop_steps(t);
    }
}

static void decode_status(struct json_object *obj, struct task *t)
{
    struct json_object *status = json_get(obj, "status");
    struct json_object *attempts = json_get(status, "attempts");
    const char *sandbox_uid = json_get_str(status, "sandboxUID");

    json_get_int(status, "attempt", &t->attempt);
    t->attempt = MIN(MAX(t->attempt, 0), LIMIT_RETRIES + 1);
    /* What no sandbox can have is of another one. */
    t->sandbox_uid = !sandbox_uid || meta_is_uid(sandbox_uid) ? xstrdup(sandbox_uid) : xstrdup("?");
    t->state = state_parse(json_get_str(status, "state"));
    t->start_wall_ns = meta_time(status, "startTime");
    t->completion_wall_ns = meta_time(status, "completionTime");
    condition_decode(json_get(status, "conditions"), "Finished", &t->finished);
    if (json_array_len(attempts) > 0) {
        const char *text = json_object_to_json_string_ext(attempts, JSON_C_TO_STRING_NOSLASHESCAPE);

        t->attempts_json = xmemdup0(text + 1, strlen(text) - 2); /* without the brackets */
    }
}

/* As the API server stores it. */
static size_t text_bytes(struct json_object *obj)
{
    return json_text_stored_len(
        json_object_to_json_string_ext(obj, JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* How many bytes the status takes in the text of the object, with its name and a comma. */
static size_t status_bytes(struct json_object *obj)
{
    struct json_object *status = json_get(obj, "status");

    return status ? text_bytes(status) + strlen(",\"status\":") : 0;
}

/* All of a status but the output. */
static size_t task_status_room(const struct task *t)
{
    size_t sum = TASK_STATUS_BYTES;

    for (size_t i = 0; t->step_names && i < t->step_count; i++)
        sum += TASK_STATUS_STEP_BYTES + json_stored_len(t->step_names[i], strlen(t->step_names[i]));
    return sum;
}

static int decode_whole(struct json_object *obj, struct meta **ret, struct err *err)
{
    struct task *t = xcalloc(1, sizeof(*t));
    int r = meta_decode(obj, &t->meta, err);

    if (r < 0) {
        free(t);
        return r;
    }
    t->timeout_ms = t->ttl_s = -1;
    decode_status(obj, t);
    decode_spec(obj, t);
    if (task_final(t)) {
        drop_steps(t);
        str_set(&t->attempts_json, NULL);
    } else {
        t->spec_bytes = text_bytes(obj) - status_bytes(obj);
        t->unwritable = t->spec_bytes + TASK_STATUS_LEAST > LIMIT_ETCD_OBJECT_BYTES;
        t->too_large = t->spec_bytes + task_status_room(t) > LIMIT_ETCD_OBJECT_BYTES;
    }
    *ret = &t->meta;
    return 0;
}

static int task_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    int r = decode_whole(obj, ret, err);
    struct task *t;

    if (r < 0)
        return r;
    t = container_of(*ret, struct task, meta);
    t->steps_apart = t->steps_json && strlen(t->steps_json) > TASK_STEPS_KEPT;
    if (t->steps_apart)
        drop_texts(t);
    return 0;
}

const struct api_kind api_task_whole = {
    .kind = "Task",
    .plural = "tasks",
    .api_prefix = "/apis/arl.infra.io/v1alpha1",
    .api_version = "arl.infra.io/v1alpha1",
    .decode = decode_whole,
    .free = task_free,
};

const struct api_kind api_task = {
    .kind = "Task",
    .plural = "tasks",
    .api_prefix = "/apis/arl.infra.io/v1alpha1",
    .api_version = "arl.infra.io/v1alpha1",
    .decode = task_decode,
    .free = task_free,
};
