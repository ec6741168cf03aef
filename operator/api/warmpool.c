#include "operator/api/warmpool.h"

#include <stdio.h>

#include <json-c/json.h>

#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "operator/api/pod.h"

static const char *const phase_names[] = {
    [WARMPOOL_PHASE_NONE] = "",     [WARMPOOL_PENDING] = "Pending",   [WARMPOOL_READY] = "Ready",
    [WARMPOOL_SCALING] = "Scaling", [WARMPOOL_DEGRADED] = "Degraded",
};

const char *warmpool_phase_str(enum warmpool_phase p)
{
    return phase_names[p];
}

static enum warmpool_phase phase_parse(const char *s)
{
    for (size_t i = 1; i < ARRAY_SIZE(phase_names); i++)
        if (str_eq(s, phase_names[i]))
            return (enum warmpool_phase)i;
    return WARMPOOL_PHASE_NONE;
}

void warmpool_status_done(struct warmpool_status *s)
{
    condition_done(&s->ready);
    condition_done(&s->pods_failing);
}

static void warmpool_free(struct meta *obj)
{
    struct warmpool *p = container_of(obj, struct warmpool, meta);

    if (!obj)
        return;
    warmpool_status_done(&p->status);
    free(p->template_json);
    free(p->invalid);
    meta_done(&p->meta);
    free(p);
}

static const struct json_field fields[] = {
    {"spec.replicas", JSON_INT, offsetof(struct warmpool, replicas)},
    {"status.replicas", JSON_INT, offsetof(struct warmpool, status.replicas)},
    {"status.readyReplicas", JSON_INT, offsetof(struct warmpool, status.ready_replicas)},
    {"status.allocatedReplicas", JSON_INT, offsetof(struct warmpool, status.allocated_replicas)},
    {"status.observedGeneration", JSON_INT, offsetof(struct warmpool, status.observed_generation)},
    {NULL},
};

/* The fields that map names to texts, wherever a template has them. */
static bool is_text_map(const char *field)
{
    static const char *const fields_of_texts[] = {"labels",      "annotations",      "nodeSelector",
                                                  "matchLabels", "volumeAttributes", "options"};

    for (size_t i = 0; i < ARRAY_SIZE(fields_of_texts); i++)
        if (strcmp(field, fields_of_texts[i]) == 0)
            return true;
    return false;
}

/* A label or an annotation without a value, `app:` in YAML, is an empty text to Kubernetes. */
static void fill_nulls(struct json_object *texts)
{
    json_object_object_foreach(texts, key, value)
    {
        if (!value)
            json_object_object_add(texts, key, json_object_new_string(""));
    }
}

/* Elsewhere null is the same as leaving a field out, and no other template for it. */
static void drop_nulls(struct json_object *o)
{
    if (json_object_is_type(o, json_type_array))
        for (size_t i = 0; i < json_object_array_length(o); i++)
            drop_nulls(json_object_array_get_idx(o, i));
    if (!json_object_is_type(o, json_type_object))
        return;
    json_object_object_foreach(o, key, value)
    {
        if (!value)
            json_object_object_del(o, key);
        else if (is_text_map(key) && json_object_is_type(value, json_type_object))
            fill_nulls(value);
        else
            drop_nulls(value);
    }
}

static void decode_spec(struct json_object *obj, struct warmpool *p)
{
    struct json_object *template = json_get_path(obj, "spec.template");
    struct err err = {0};
    const char *text;

    if (json_decode(obj, fields, p, &err) < 0)
        p->invalid = xstrdup(err.msg);
    else if (p->replicas < 0)
        p->invalid = xasprintf("spec.replicas: %lld is negative", (long long)p->replicas);
    else if (!is_dns_label(p->meta.name) || strlen(p->meta.name) > LIMIT_POOL_NAME_BYTES)
        p->invalid =
            xasprintf("metadata.name must be a DNS label of at most %d characters, because "
                      "the names of pods begin with it",
                      LIMIT_POOL_NAME_BYTES);
    else if (!json_object_is_type(template, json_type_object))
        p->invalid = xstrdup("spec.template is missing");
    p->replicas = MIN(p->replicas, INT32_MAX);
    if (p->invalid)
        return;
    drop_nulls(template);
    text = json_object_to_json_string_ext(template, JSON_C_TO_STRING_NOSLASHESCAPE);
    if (strlen(text) > LIMIT_TEMPLATE_BYTES) {
        p->invalid = xasprintf("spec.template takes %zu bytes, %u are the limit: put what is large "
                               "into the image or a ConfigMap",
                               strlen(text), LIMIT_TEMPLATE_BYTES);
        return;
    }
    p->template_json = xstrdup(text);
    snprintf(p->template_hash, sizeof(p->template_hash), "%016llx",
             (unsigned long long)hash_text(HASH_INIT, p->template_json));
}

static int warmpool_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    struct warmpool *p = xcalloc(1, sizeof(*p));
    struct json_object *status = json_get(obj, "status");
    int r = meta_decode(obj, &p->meta, err);

    if (r < 0) {
        free(p);
        return r;
    }
    decode_spec(obj, p);
    p->status.phase = phase_parse(json_get_str(status, "phase"));
    condition_decode(json_get(status, "conditions"), "Ready", &p->status.ready);
    condition_decode(json_get(status, "conditions"), "PodsFailing", &p->status.pods_failing);
    *ret = &p->meta;
    return 0;
}

void warmpool_selector(const struct warmpool *p, char *ret, size_t size)
{
    snprintf(ret, size, POD_LABEL_POOL "=%s," POD_LABEL_STATUS "=idle", p->meta.name);
}

int warmpool_status_patch(const struct warmpool *p, const struct warmpool_status *s,
                          struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);
    char selector[512];

    warmpool_selector(p, selector, sizeof(selector));
    meta_patch_begin(&w, &p->meta, false);
    json_w_object(&w, "status");
    json_w_str(&w, "phase", warmpool_phase_str(s->phase));
    json_w_int(&w, "replicas", s->replicas);
    json_w_int(&w, "readyReplicas", s->ready_replicas);
    json_w_int(&w, "allocatedReplicas", s->allocated_replicas);
    json_w_int(&w, "observedGeneration", s->observed_generation);
    json_w_str(&w, "selector", selector);
    json_w_array(&w, "conditions");
    condition_write(&w, "Ready", &s->ready, s->observed_generation);
    condition_write(&w, "PodsFailing", &s->pods_failing, s->observed_generation);
    json_w_end_array(&w);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}

const struct api_kind api_warmpool = {
    .kind = "WarmPool",
    .plural = "warmpools",
    .api_prefix = "/apis/arl.infra.io/v1alpha1",
    .api_version = "arl.infra.io/v1alpha1",
    .decode = warmpool_decode,
    .free = warmpool_free,
};
