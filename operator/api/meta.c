#include "operator/api/meta.h"

#include <errno.h>
#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"

static const struct json_field meta_fields[] = {
    {"metadata.namespace", JSON_STRING, offsetof(struct meta, ns)},
    {"metadata.name", JSON_STRING, offsetof(struct meta, name)},
    {"metadata.uid", JSON_STRING, offsetof(struct meta, uid)},
    {"metadata.resourceVersion", JSON_STRING, offsetof(struct meta, rv)},
    {"metadata.generation", JSON_INT, offsetof(struct meta, generation)},
    {NULL},
};

static bool is_word(const char *s, size_t max)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t n = s ? strnlen(s, max + 1) : 0;

    return n > 0 && n <= max && strspn(s, set) == n;
}

bool meta_is_uid(const char *s)
{
    return is_word(s, LIMIT_UID_BYTES);
}

bool meta_is_ip(const char *s)
{
    size_t n = s ? strnlen(s, LIMIT_LABEL_BYTES) : 0;

    return n > 0 && n < LIMIT_LABEL_BYTES && strspn(s, "0123456789abcdefABCDEF.:") == n;
}

char *meta_name(struct json_object *obj, const char *name)
{
    const char *s = json_get_str(obj, name);

    return is_dns_name(s) ? xstrdup(s) : NULL;
}

char *meta_uid(struct json_object *obj, const char *name)
{
    const char *s = json_get_str(obj, name);

    return meta_is_uid(s) ? xstrdup(s) : NULL;
}

static int64_t clamp_time(int64_t wall_ns)
{
    return MIN(MAX(wall_ns, 0), META_TIME_MAX_NS);
}

static int check(const struct meta *m, struct err *err)
{
    if (!m->ns || !m->name || !m->uid || !m->rv)
        return err_set(err, -EINVAL, "an object without namespace, name, uid or resourceVersion");
    if (!is_dns_label(m->ns) || !is_dns_name(m->name))
        return err_set(err, -EINVAL, "%.64s/%.256s: no name of an object", m->ns, m->name);
    if (!meta_is_uid(m->uid) || !is_word(m->rv, LIMIT_RESOURCE_VERSION_BYTES))
        return err_set(err, -EINVAL, "%s/%s: no uid or resourceVersion: %.64s, %.64s", m->ns,
                       m->name, m->uid, m->rv);
    return 0;
}

/* No object of the API server has a member of that name. */
#define CUT "arl.infra.io/cut"

int meta_parse(const char *text, size_t len, struct json_object **ret, struct err *err)
{
    int r = json_parse(text, len, ret, err);

    return r == -EMSGSIZE ? meta_parse_head(text, len, ret, err) : r;
}

int meta_parse_head(const char *text, size_t len, struct json_object **ret, struct err *err)
{
    struct json_object *md = NULL;
    const char *part;
    size_t part_len;
    int r;

    if (!json_find(text, len, "metadata", &part, &part_len))
        return err_set(err, -EMSGSIZE, "an object that is too large, and does not say which");
    r = json_parse(part, part_len, &md, err);
    if (r < 0)
        return r;
    *ret = meta_head(md);
    return 0;
}

struct json_object *meta_head(struct json_object *md)
{
    struct json_object *obj = json_object_new_object();

    json_object_object_add(obj, "metadata", md);
    json_object_object_add(obj, CUT, json_object_new_boolean(true));
    return obj;
}

int meta_decode(struct json_object *obj, struct meta *ret, struct err *err)
{
    struct meta m = {0};
    struct json_object *md = json_get(obj, "metadata");
    const char *created = json_get_str(md, "creationTimestamp");
    int r = json_decode(obj, meta_fields, &m, err);

    if (r == 0)
        r = check(&m, err);
    if (r == 0 && created && rfc3339_parse(created, &m.created_wall_ns) < 0)
        r = err_set(err, -EINVAL, "%s/%s: metadata.creationTimestamp %s", m.ns, m.name, created);
    if (r < 0) {
        meta_done(&m);
        return r;
    }
    m.created_wall_ns = clamp_time(m.created_wall_ns);
    m.cut = json_get_bool(obj, CUT, false);
    m.deleting = json_get_str(md, "deletionTimestamp") != NULL;
    *ret = m;
    return 0;
}

void meta_done(struct meta *m)
{
    free(m->ns);
    free(m->name);
    free(m->uid);
    free(m->rv);
    *m = (struct meta){0};
}

void meta_key(char *buf, const char *ns, const char *name)
{
    size_t n = strlen(ns), m = strlen(name);

    assert(n + 1 + m < META_KEY_MAX);
    memcpy(buf, ns, n);
    buf[n] = '/';
    memcpy(buf + n + 1, name, m + 1);
}

int64_t meta_time(struct json_object *obj, const char *name)
{
    const char *s = json_get_str(obj, name);
    int64_t t = 0;

    return s && rfc3339_parse(s, &t) == 0 ? clamp_time(t) : 0;
}

void meta_patch_begin(struct json_writer *w, const struct meta *m, bool with_rv)
{
    json_w_object(w, NULL);
    json_w_object(w, "metadata");
    json_w_str(w, "uid", m->uid);
    if (with_rv)
        json_w_str(w, "resourceVersion", m->rv);
    json_w_end_object(w);
}
