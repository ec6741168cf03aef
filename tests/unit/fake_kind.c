#include "tests/unit/fake_kind.h"

#include "common/base/json.h"
#include "common/base/pb.h"

int fake_toys_alive;

static int toy_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    struct toy *t = xcalloc(1, sizeof(*t));
    int r = meta_decode(obj, &t->meta, err);

    if (r < 0) {
        free(t);
        return r;
    }
    t->color = xstrdup(json_get_str(json_get(obj, "spec"), "color"));
    fake_toys_alive++;
    *ret = &t->meta;
    return 0;
}

static void toy_free(struct meta *m)
{
    struct toy *t = container_of(m, struct toy, meta);

    free(t->color);
    meta_done(&t->meta);
    free(t);
    fake_toys_alive--;
}

const struct api_kind fake_kind = {
    .kind = "Toy",
    .plural = "toys",
    .api_prefix = "/apis/toys.example.com/v1",
    .api_version = "toys.example.com/v1",
    .decode = toy_decode,
    .free = toy_free,
};

static const struct pb_field toy_meta[] = {
    {1, PB_TEXT, "name"},
    {3, PB_TEXT, "namespace"},
    {5, PB_TEXT, "uid"},
    {6, PB_TEXT, "resourceVersion"},
    {8, PB_TIME, "creationTimestamp"},
    {0},
};

static const struct pb_field toy_part[] = {{0}};

static const struct pb_field toy_spec[] = {
    {1, PB_TEXT, "color"},
    {2, PB_REPEATED, "parts", toy_part},
    {0},
};

static const struct pb_field toy_fields[] = {
    {1, PB_MESSAGE, "metadata", toy_meta},
    {2, PB_MESSAGE, "spec", toy_spec},
    {0},
};

const struct api_kind fake_kind_pb = {
    .kind = "Toy",
    .plural = "toys",
    .api_prefix = "/apis/toys.example.com/v1",
    .api_version = "toys.example.com/v1",
    .decode = toy_decode,
    .free = toy_free,
    .pb = toy_fields,
};

struct meta *fake_toy(const char *ns, const char *name, const char *uid, const char *rv)
{
    struct toy *t = xcalloc(1, sizeof(*t));

    t->meta.ns = xstrdup(ns);
    t->meta.name = xstrdup(name);
    t->meta.uid = xstrdup(uid);
    t->meta.rv = xstrdup(rv);
    fake_toys_alive++;
    return &t->meta;
}

char *fake_toy_json(const char *ns, const char *name, const char *uid, const char *rv,
                    const char *color)
{
    return xasprintf("{\"apiVersion\":\"toys.example.com/v1\",\"kind\":\"Toy\",\"metadata\":{"
                     "\"namespace\":\"%s\",\"name\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":"
                     "\"%s\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},\"spec\":{"
                     "\"color\":\"%s\"}}",
                     ns, name, uid, rv, color);
}
