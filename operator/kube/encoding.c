#include "operator/kube/encoding.h"

#include <errno.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/pb.h"

#define JSON_TYPE "application/json"
#define PB_TYPE "application/vnd.kubernetes.protobuf"
#define MAGIC_BYTES 4

/* ---- tables of meta/v1 ----------------------------------------------------------------------- */

static const struct pb_field list_meta[] = {
    {2, PB_TEXT, "resourceVersion"},
    {3, PB_TEXT, "continue"},
    {0},
};

static const struct pb_field status_cause[] = {
    {1, PB_TEXT, "reason"},
    {2, PB_TEXT, "message"},
    {0},
};

static const struct pb_field status_details[] = {
    {4, PB_REPEATED, "causes", status_cause},
    {5, PB_INT_OR_NONE, "retryAfterSeconds"},
    {0},
};

static const struct pb_field status_fields[] = {
    {3, PB_TEXT, "message"},
    {4, PB_TEXT, "reason"},
    {5, PB_MESSAGE, "details", status_details},
    {6, PB_INT_OR_NONE, "code"},
    {0},
};

/* ---- the envelope ---------------------------------------------------------------------------- */

const char *encoding_accept(const struct api_kind *kind)
{
    return kind->pb ? PB_TYPE ", " JSON_TYPE : JSON_TYPE;
}

bool encoding_is_pb(const char *data, size_t len)
{
    static const char magic[MAGIC_BYTES] = {'k', '8', 's', '\0'};

    return len >= MAGIC_BYTES && memcmp(data, magic, MAGIC_BYTES) == 0;
}

/* The parts of an envelope that count. */
struct envelope {
    struct pb_part kind;
    struct pb_part message;
};

/* Unknown: typeMeta = 1 (with kind = 2), raw = 2, contentEncoding = 3. */
static int open_envelope(struct pb_part in, bool is_cut, struct envelope *ret, struct err *err)
{
    struct pb_part unknown, type, encoding;
    int e;

    if (!encoding_is_pb(in.data, in.len))
        return err_set(err, -EINVAL, "an object in protobuf that does not begin as one");
    unknown = (struct pb_part){in.data + MAGIC_BYTES, in.len - MAGIC_BYTES};
    e = pb_bytes(unknown, is_cut, 1, "typeMeta", &type, err);
    if (e == 0)
        e = pb_bytes(type, false, 2, "kind", &ret->kind, err);
    if (e == 0)
        e = pb_bytes(unknown, is_cut, 2, "raw", &ret->message, err);
    if (e == 0)
        e = pb_bytes(unknown, is_cut, 3, "contentEncoding", &encoding, err);
    if (e == 0 && encoding.len > 0)
        e = err_set(err, -EINVAL, "an object that is encoded once more");
    return e;
}

static bool part_is(struct pb_part part, const char *text)
{
    return part.len == strlen(text) && memcmp(part.data, text, part.len) == 0;
}

static int other_kind(struct pb_part kind, struct err *err)
{
    return err_set(err, -EINVAL, "an object of another kind: %.*s",
                   (int)MIN(kind.len, LIMIT_NAME_BYTES), kind.len ? kind.data : "");
}

/* ---- objects --------------------------------------------------------------------------------- */

/* The tree of the metadata alone. They are the first row of each kind's table. */
static int pb_head(const struct api_kind *kind, struct pb_part message, bool is_cut,
                   struct json_object **ret, struct err *err)
{
    const struct pb_field *md = &kind->pb[0];
    struct json_object *tree = NULL;
    struct pb_part part;
    int e;

    assert(md->type == PB_MESSAGE && strcmp(md->name, "metadata") == 0);
    e = pb_bytes(message, is_cut, md->number, md->name, &part, err);
    if (e == 0)
        e = pb_tree(md->fields, part, LIMIT_JSON_TREE_BYTES, &tree, err);
    if (e == 0)
        *ret = meta_head(tree);
    return e;
}

static int pb_object(const struct api_kind *kind, struct pb_part message, struct json_object **ret,
                     struct err *err)
{
    int e = pb_tree(kind->pb, message, LIMIT_JSON_TREE_BYTES, ret, err);

    return e == -EMSGSIZE ? pb_head(kind, message, false, ret, err) : e;
}

int encoding_object(const struct api_kind *kind, const char *data, size_t len,
                    struct json_object **ret, struct err *err)
{
    struct envelope env;
    int e;

    if (!kind->pb || !encoding_is_pb(data, len))
        return meta_parse(data, len, ret, err);
    e = open_envelope((struct pb_part){data, len}, false, &env, err);
    if (e == 0 && !part_is(env.kind, kind->kind))
        e = other_kind(env.kind, err);
    return e < 0 ? e : pb_object(kind, env.message, ret, err);
}

void encoding_status(const char *data, size_t len, struct json_object **ret)
{
    struct envelope env;

    if (!encoding_is_pb(data, len))
        json_parse(data, len, ret, NULL);
    else if (open_envelope((struct pb_part){data, len}, false, &env, NULL) == 0 &&
             part_is(env.kind, "Status"))
        pb_tree(status_fields, env.message, LIMIT_JSON_TREE_BYTES, ret, NULL);
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct items {
    const struct api_kind *kind;
    void (*item)(struct json_object *obj, const struct err *why, void *arg);
    void *arg;
};

static int json_item(const char *data, size_t len, void *arg)
{
    const struct items *i = arg;
    cleanup_json struct json_object *obj = NULL;
    struct err err = {0};

    meta_parse(data, len, &obj, &err);
    i->item(obj, &err, i->arg);
    return 0;
}

static int json_list(struct items *i, const char *data, size_t len, struct json_object **ret_meta,
                     struct err *err)
{
    cleanup_free char *meta = NULL;
    int e = json_split_list(data, len, json_item, i, &meta, err);

    return e < 0 ? e : json_parse(meta, strlen(meta), ret_meta, err);
}

static void pb_item_of(const struct items *i, struct pb_part message)
{
    cleanup_json struct json_object *obj = NULL;
    struct err err = {0};

    pb_object(i->kind, message, &obj, &err);
    i->item(obj, &err, i->arg);
}

/* PodList and the lists of all other kinds: metadata = 1, items = 2. */
static int pb_list(const struct items *i, struct pb_part list, struct json_object **ret_meta,
                   struct err *err)
{
    struct pb_reader r = pb_reader_of(list, false);
    struct pb_part meta;
    struct pb_item item;
    int e = pb_bytes(list, false, 1, "metadata", &meta, err);

    while (e == 0 && (e = pb_next(&r, &item, err)) > 0) {
        if (item.number == 2 && item.wire != PB_WIRE_BYTES)
            return err_set(err, -EINVAL, "items: wire type %d", (int)item.wire);
        if (item.number == 2)
            pb_item_of(i, item.part);
        e = 0;
    }
    return e < 0 ? e : pb_tree(list_meta, meta, LIMIT_JSON_TREE_BYTES, ret_meta, err);
}

int encoding_list(const struct api_kind *kind, const char *data, size_t len,
                  void (*item)(struct json_object *obj, const struct err *why, void *arg),
                  void *arg, struct json_object **ret_meta, struct err *err)
{
    struct items i = {kind, item, arg};
    cleanup_free char *name = NULL;
    struct envelope env;
    int e;

    if (!kind->pb || !encoding_is_pb(data, len))
        return json_list(&i, data, len, ret_meta, err);
    name = xasprintf("%sList", kind->kind);
    e = open_envelope((struct pb_part){data, len}, false, &env, err);
    if (e == 0 && !part_is(env.kind, name))
        e = other_kind(env.kind, err);
    return e < 0 ? e : pb_list(&i, env.message, ret_meta, err);
}

/* ---- watches --------------------------------------------------------------------------------- */

/* Takes over obj. */
static struct json_object *event_of(struct pb_part type, struct json_object *obj)
{
    struct json_object *ev = json_object_new_object();

    if (type.len > 0)
        json_object_object_add(ev, "type", json_object_new_string_len(type.data, (int)type.len));
    json_object_object_add(ev, "object", obj);
    return ev;
}

/* WatchEvent: type = 1, object = 2, which is a RawExtension: raw = 1. */
static int open_event(struct pb_part event, bool is_cut, struct pb_part *ret_type,
                      struct envelope *ret, struct err *err)
{
    struct pb_part object, raw;
    int e = pb_bytes(event, is_cut, 1, "type", ret_type, err);

    if (e == 0)
        e = pb_bytes(event, is_cut, 2, "object", &object, err);
    if (e == 0)
        e = pb_bytes(object, is_cut, 1, "raw", &raw, err);
    return e < 0 ? e : open_envelope(raw, is_cut, ret, err);
}

static int pb_event(const struct api_kind *kind, struct pb_part event, struct json_object **ret,
                    struct err *err)
{
    struct json_object *obj = NULL;
    struct envelope env;
    struct pb_part type;
    int e = open_event(event, false, &type, &env, err);

    if (e < 0)
        return e;
    if (part_is(env.kind, "Status"))
        e = pb_tree(status_fields, env.message, LIMIT_JSON_TREE_BYTES, &obj, err);
    else if (part_is(env.kind, kind->kind))
        e = pb_tree(kind->pb, env.message, LIMIT_JSON_TREE_BYTES, &obj, err);
    else
        e = other_kind(env.kind, err);
    if (e == 0)
        *ret = event_of(type, obj);
    return e;
}

int encoding_event(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                   struct json_object **ret, struct err *err)
{
    return is_pb ? pb_event(kind, (struct pb_part){data, len}, ret, err)
                 : json_parse(data, len, ret, err);
}

static int pb_event_head(const struct api_kind *kind, struct pb_part event,
                         struct json_object **ret, struct err *err)
{
    struct json_object *obj = NULL;
    struct envelope env;
    struct pb_part type;
    int e = open_event(event, true, &type, &env, err);

    if (e == 0)
        e = pb_head(kind, env.message, true, &obj, err);
    if (e == 0)
        *ret = event_of(type, obj);
    return e;
}

static int json_event_head(const char *data, size_t len, struct json_object **ret, struct err *err)
{
    struct json_object *obj = NULL;
    struct pb_part type, object;
    int e;

    if (!json_find(data, len, "type", &type.data, &type.len) ||
        !json_find(data, len, "object", &object.data, &object.len) || type.len < 2)
        return err_set(err, -EINVAL, "an event without type or object");
    e = meta_parse_head(object.data, object.len, &obj, err);
    if (e == 0) /* the type without its quotes */
        *ret = event_of((struct pb_part){type.data + 1, type.len - 2}, obj);
    return e;
}

int encoding_event_head(const struct api_kind *kind, bool is_pb, const char *data, size_t len,
                        struct json_object **ret, struct err *err)
{
    return is_pb ? pb_event_head(kind, (struct pb_part){data, len}, ret, err)
                 : json_event_head(data, len, ret, err);
}
