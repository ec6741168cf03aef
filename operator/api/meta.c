#include "operator/api/meta.h"

#include <errno.h>

#include "common/clock.h"
#include "common/json.h"

static const struct json_field meta_fields[] = {
    {"metadata.namespace", JSON_STRING, offsetof(struct meta, ns)},
    {"metadata.name", JSON_STRING, offsetof(struct meta, name)},
    {"metadata.uid", JSON_STRING, offsetof(struct meta, uid)},
    {"metadata.resourceVersion", JSON_STRING, offsetof(struct meta, rv)},
    {"metadata.generation", JSON_INT, offsetof(struct meta, generation)},
    {NULL},
};

int meta_decode(struct json_object *obj, struct meta *ret, struct err *err)
{
    struct meta m = {0};
    struct json_object *md = json_get(obj, "metadata");
    const char *created = json_get_str(md, "creationTimestamp");
    int r = json_decode(obj, meta_fields, &m, err);

    if (r == 0 && (!m.ns || !m.name || !m.uid || !m.rv))
        r = err_set(err, -EINVAL, "an object without namespace, name, uid or resourceVersion");
    if (r == 0 && created && rfc3339_parse(created, &m.created_wall_ns) < 0)
        r = err_set(err, -EINVAL, "%s/%s: metadata.creationTimestamp %s", m.ns, m.name, created);
    if (r < 0) {
        meta_done(&m);
        return r;
    }
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

    return s && rfc3339_parse(s, &t) == 0 ? t : 0;
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
