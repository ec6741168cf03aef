#include "operator/api/pod_seal.h"

#include <stdio.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"

/* The annotations that the seal covers beside namespace and name. A new row does not change the
 * seals of old pods without that annotation, because an absent annotation is left out. */
static const struct {
    const char *annotation;
    size_t offset; /* of the field that it is decoded to */
} sealed[] = {
    {POD_ANNOTATION_POOL_UID, offsetof(struct pod, pool_uid)},
    {POD_ANNOTATION_HASH, offsetof(struct pod, template_hash)},
    {POD_ANNOTATION_KEY_ID, offsetof(struct pod, key_id)},
};
static const struct {
    const char *annotation;
    size_t offset; /* of an int */
} numbers[] = {
    {POD_ANNOTATION_WIRE, offsetof(struct pod, wire_version)},
    {POD_ANNOTATION_PORT, offsetof(struct pod, agent_port)},
};
#define PARTS_MAX (2 + 2 * ARRAY_SIZE(sealed) + 2 * ARRAY_SIZE(numbers))

static void add(const char **parts, size_t *count, const char *name, const char *value)
{
    if (!value)
        return;
    parts[(*count)++] = name;
    parts[(*count)++] = value;
}

void pod_seal_make(const struct seal_key *key, const char *ns, const char *name,
                   struct json_object *annotations, int64_t wall_ns, char ret[SEAL_TEXT_MAX])
{
    const char *parts[PARTS_MAX] = {ns, name};
    size_t count = 2;

    for (size_t i = 0; i < ARRAY_SIZE(sealed); i++)
        add(parts, &count, sealed[i].annotation, json_get_str(annotations, sealed[i].annotation));
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        add(parts, &count, numbers[i].annotation, json_get_str(annotations, numbers[i].annotation));
    seal_make(key, parts, count, wall_ns / NSEC_PER_SEC, ret);
}

static bool made_by_then(const struct pod *p, int64_t unix_s)
{
    int64_t created_s = p->meta.created_wall_ns / NSEC_PER_SEC;

    return created_s >= unix_s - POD_SEAL_WINDOW_S && created_s <= unix_s + POD_SEAL_WINDOW_S;
}

bool pod_seal_fits(const struct seal_keys *keys, const struct pod *p, bool known)
{
    const struct seal_key *key = seal_key_find(keys, p->key_id);
    const char *parts[PARTS_MAX] = {p->meta.ns, p->meta.name};
    char texts[ARRAY_SIZE(numbers)][16];
    size_t count = 2;
    int64_t unix_s;

    if (!key || !p->pool_uid)
        return false;
    /* An owner that was put there later is another pool's. */
    if (str_eq(p->owner_kind, "WarmPool") && !str_eq(p->owner_uid, p->pool_uid))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(sealed); i++)
        add(parts, &count, sealed[i].annotation,
            *(char *const *)((const char *)p + sealed[i].offset));
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d",
                 *(const int *)((const char *)p + numbers[i].offset));
        add(parts, &count, numbers[i].annotation, texts[i]);
    }
    return seal_check(key, parts, count, p->seal, &unix_s) && (known || made_by_then(p, unix_s));
}
