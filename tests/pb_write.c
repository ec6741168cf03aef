#include "tests/pb_write.h"

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/pb.h"

#define MESSAGE_MAX (64u << 20)

/* The numbers are those of meta/v1 generated.proto. */
static const struct pb_field list_meta[] = {
    {1, PB_TEXT, "selfLink"},
    {2, PB_TEXT, "resourceVersion"},
    {3, PB_TEXT, "continue"},
    {0},
};

static const struct pb_field causes[] = {
    {1, PB_TEXT, "reason"},
    {2, PB_TEXT, "message"},
    {3, PB_TEXT, "field"},
    {0},
};

static const struct pb_field details[] = {
    {1, PB_TEXT, "name"},
    {3, PB_TEXT, "kind"},
    {4, PB_REPEATED, "causes", causes},
    {5, PB_INT_OR_NONE, "retryAfterSeconds"},
    {0},
};

static const struct pb_field status[] = {
    {1, PB_MESSAGE, "metadata", list_meta},
    {2, PB_TEXT, "status"},
    {3, PB_TEXT, "message"},
    {4, PB_TEXT, "reason"},
    {5, PB_MESSAGE, "details", details},
    {6, PB_INT_OR_NONE, "code"},
    {0},
};

static void append(struct buf *out, const void *data, size_t len)
{
    int r = buf_append(out, data, len);

    assert(r == 0);
}

void pb_write_varint(struct buf *out, uint64_t v)
{
    unsigned char c;

    for (; v >= 0x80; v >>= 7) {
        c = (unsigned char)(v | 0x80);
        append(out, &c, 1);
    }
    c = (unsigned char)v;
    append(out, &c, 1);
}

static void write_tag(struct buf *out, uint32_t number, enum pb_wire wire)
{
    pb_write_varint(out, (uint64_t)number << 3 | (uint64_t)wire);
}

void pb_write_int(struct buf *out, uint32_t number, uint64_t v)
{
    write_tag(out, number, PB_WIRE_VARINT);
    pb_write_varint(out, v);
}

void pb_write_bytes(struct buf *out, uint32_t number, const void *data, size_t len)
{
    write_tag(out, number, PB_WIRE_BYTES);
    pb_write_varint(out, len);
    append(out, data, len);
}

static void write_buf(struct buf *out, uint32_t number, const struct buf *message)
{
    pb_write_bytes(out, number, message->len ? message->data : "", message->len);
}

/* Unknown fields, one of each wire type, as a later release of the server may send them. */
static void write_unknown(struct buf *out)
{
    pb_write_int(out, 1000, UINT64_MAX);
    write_tag(out, 1001, PB_WIRE_FIXED64);
    append(out, "12345678", 8);
    pb_write_bytes(out, 1002, "\x08\x96\x01", 3);
    write_tag(out, 1003, PB_WIRE_FIXED32);
    append(out, "1234", 4);
}

static void write_map(struct buf *out, uint32_t number, struct json_object *map)
{
    if (!json_object_is_type(map, json_type_object))
        return;
    json_object_object_foreach(map, key, value)
    {
        cleanup_buf struct buf entry = BUF_INIT(MESSAGE_MAX);

        if (!json_object_is_type(value, json_type_string))
            continue;
        pb_write_bytes(&entry, 1, key, strlen(key));
        pb_write_bytes(&entry, 2, json_object_get_string(value),
                       (size_t)json_object_get_string_len(value));
        write_buf(out, number, &entry);
    }
}

static void write_text(struct buf *out, uint32_t number, struct json_object *v)
{
    bool is_text = json_object_is_type(v, json_type_string);

    pb_write_bytes(out, number, is_text ? json_object_get_string(v) : "",
                   is_text ? (size_t)json_object_get_string_len(v) : 0);
}

static void write_time(struct buf *out, uint32_t number, struct json_object *v)
{
    cleanup_buf struct buf time = BUF_INIT(MESSAGE_MAX);
    int64_t ns;

    if (json_object_is_type(v, json_type_string) &&
        rfc3339_parse(json_object_get_string(v), &ns) == 0) {
        pb_write_int(&time, 1, (uint64_t)(ns / NSEC_PER_SEC));
        pb_write_int(&time, 2, 0);
    }
    write_buf(out, number, &time);
}

static void write_message(struct buf *out, uint32_t number, const struct pb_field *fields,
                          struct json_object *v)
{
    cleanup_buf struct buf message = BUF_INIT(MESSAGE_MAX);

    if (!json_object_is_type(v, json_type_object))
        return;
    pb_write_tree(&message, fields, v);
    write_buf(out, number, &message);
}

static void write_field(struct buf *out, const struct pb_field *f, struct json_object *v)
{
    switch (f->type) {
    case PB_TEXT:
        write_text(out, f->number, v);
        break;
    case PB_INT:
        if (json_object_is_type(v, json_type_int))
            pb_write_int(out, f->number, (uint64_t)json_object_get_int64(v));
        break;
    case PB_INT_OR_NONE:
        pb_write_int(out, f->number, (uint64_t)json_object_get_int64(v));
        break;
    case PB_BOOL:
        if (json_object_is_type(v, json_type_boolean))
            pb_write_int(out, f->number, (uint64_t)json_object_get_boolean(v));
        break;
    case PB_TIME:
        write_time(out, f->number, v);
        break;
    case PB_MAP:
        write_map(out, f->number, v);
        break;
    case PB_MESSAGE:
        write_message(out, f->number, f->fields, v);
        break;
    case PB_REPEATED:
        for (size_t i = 0; i < json_array_len(v); i++)
            write_message(out, f->number, f->fields, json_object_array_get_idx(v, i));
        break;
    }
}

void pb_write_tree(struct buf *out, const struct pb_field *fields, struct json_object *obj)
{
    for (const struct pb_field *f = fields; f->name; f++)
        write_field(out, f, json_get(obj, f->name));
    write_unknown(out);
}

void pb_write_envelope(struct buf *out, const char *kind, const struct buf *message)
{
    cleanup_buf struct buf type = BUF_INIT(MESSAGE_MAX), unknown = BUF_INIT(MESSAGE_MAX);

    pb_write_bytes(&type, 1, "v1", 2);
    pb_write_bytes(&type, 2, kind, strlen(kind));
    write_buf(&unknown, 1, &type);
    write_buf(&unknown, 2, message);
    pb_write_bytes(&unknown, 3, "", 0);
    pb_write_bytes(&unknown, 4, "", 0);
    append(out, "k8s", 4);
    append(out, unknown.data, unknown.len);
}

static void write_list(struct buf *out, const struct api_kind *kind, struct json_object *list)
{
    cleanup_buf struct buf message = BUF_INIT(MESSAGE_MAX);
    cleanup_free char *name = xasprintf("%sList", kind->kind);
    struct json_object *items = json_get(list, "items");

    write_message(&message, 1, list_meta, json_get(list, "metadata"));
    for (size_t i = 0; i < json_array_len(items); i++)
        write_message(&message, 2, kind->pb, json_object_array_get_idx(items, i));
    pb_write_envelope(out, name, &message);
}

static void write_any(struct buf *out, const struct api_kind *kind, struct json_object *obj)
{
    cleanup_buf struct buf message = BUF_INIT(MESSAGE_MAX);
    bool is_status = str_eq(json_get_str(obj, "kind"), "Status");

    if (json_get(obj, "items")) {
        write_list(out, kind, obj);
        return;
    }
    pb_write_tree(&message, is_status ? status : kind->pb, obj);
    pb_write_envelope(out, is_status ? "Status" : kind->kind, &message);
}

static struct json_object *parsed(const char *json, size_t len)
{
    struct json_object *obj = NULL;
    int r = json_parse(json, len, &obj, NULL);

    assert(r == 0);
    return obj;
}

void pb_write_answer(struct buf *out, const struct api_kind *kind, const char *json, size_t len)
{
    cleanup_json struct json_object *obj = parsed(json, len);

    write_any(out, kind, obj);
}

void pb_write_event(struct buf *out, const struct api_kind *kind, const char *line, size_t len)
{
    cleanup_json struct json_object *ev = parsed(line, len);
    cleanup_buf struct buf object = BUF_INIT(MESSAGE_MAX), raw = BUF_INIT(MESSAGE_MAX),
                           event = BUF_INIT(MESSAGE_MAX);
    unsigned char length[4];

    write_text(&event, 1, json_get(ev, "type"));
    write_any(&object, kind, json_get(ev, "object"));
    write_buf(&raw, 1, &object);
    write_buf(&event, 2, &raw);
    for (int i = 0; i < 4; i++)
        length[i] = (unsigned char)(event.len >> (24 - 8 * i));
    append(out, length, sizeof(length));
    append(out, event.data, event.len);
}
