#include "common/base/pb.h"

#include <errno.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"

#define VARINT_BYTES 10
#define NUMBER_MAX 536870911u /* 2^29 - 1: the largest field number */

/* ---- the wire -------------------------------------------------------------------------------- */

struct pb_reader pb_reader_of(struct pb_part message, bool is_cut)
{
    const unsigned char *p = (const unsigned char *)message.data;

    return (struct pb_reader){.p = p, .end = p ? p + message.len : p, .is_cut = is_cut};
}

static int read_varint(struct pb_reader *r, uint64_t *ret, struct err *err)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < VARINT_BYTES; i++) {
        unsigned char c;

        if (r->p == r->end)
            return err_set(err, -EINVAL, "a message ends within a number");
        c = *r->p++;
        if (i == VARINT_BYTES - 1 && c > 1)
            break;
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            *ret = v;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "a number has more than 64 bits");
}

static int pass(struct pb_reader *r, size_t bytes, struct pb_item *item, struct err *err)
{
    assert(r->p <= r->end);
    if (r->is_cut)
        bytes = MIN(bytes, (size_t)(r->end - r->p));
    if (bytes > (size_t)(r->end - r->p))
        return err_set(err, -EINVAL, "field %u ends behind its message", item->number);
    item->part = (struct pb_part){(const char *)r->p, bytes};
    r->p += bytes;
    return 0;
}

static int read_bytes(struct pb_reader *r, struct pb_item *item, struct err *err)
{
    uint64_t len = 0;
    int e = read_varint(r, &len, err);

    return e < 0 ? e : pass(r, len > SIZE_MAX ? SIZE_MAX : (size_t)len, item, err);
}

static int read_item(struct pb_reader *r, struct pb_item *item, struct err *err)
{
    uint64_t tag = 0;
    int e = read_varint(r, &tag, err);

    if (e < 0)
        return e;
    if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return err_set(err, -EINVAL, "a field without a number");
    item->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case PB_WIRE_VARINT:
        item->wire = PB_WIRE_VARINT;
        return read_varint(r, &item->value, err);
    case PB_WIRE_FIXED64:
        item->wire = PB_WIRE_FIXED64;
        return pass(r, 8, item, err);
    case PB_WIRE_BYTES:
        item->wire = PB_WIRE_BYTES;
        return read_bytes(r, item, err);
    case PB_WIRE_FIXED32:
        item->wire = PB_WIRE_FIXED32;
        return pass(r, 4, item, err);
    default:
        return err_set(err, -EINVAL, "field %u is of wire type %u", item->number,
                       (unsigned)(tag & 7));
    }
}

int pb_next(struct pb_reader *r, struct pb_item *ret, struct err *err)
{
    struct pb_item item = {0};
    int e;

    if (r->p == r->end)
        return 0;
    e = read_item(r, &item, err);
    if (e < 0 && r->is_cut && r->p == r->end)
        return 0;
    if (e < 0)
        return e;
    *ret = item;
    return 1;
}

static int check_wire(const struct pb_item *item, enum pb_wire want, const char *name,
                      struct err *err)
{
    if (item->wire != want)
        return err_set(err, -EINVAL, "%s: wire type %d in place of %d", name, (int)item->wire,
                       (int)want);
    return 0;
}

static int twice(const char *name, struct err *err)
{
    return err_set(err, -EINVAL, "%s: it is there twice", name);
}

int pb_bytes(struct pb_part message, bool is_cut, uint32_t number, const char *name,
             struct pb_part *ret, struct err *err)
{
    struct pb_reader r = pb_reader_of(message, is_cut);
    struct pb_part found = {NULL, 0};
    struct pb_item item;
    int e;

    while ((e = pb_next(&r, &item, err)) > 0) {
        if (item.number != number)
            continue;
        if (found.data)
            return twice(name, err);
        e = check_wire(&item, PB_WIRE_BYTES, name, err);
        if (e < 0)
            return e;
        found = item.part;
    }
    if (e == 0)
        *ret = found;
    return e;
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* How much more a tree may take, and what was wrong. */
struct builder {
    size_t room;
    struct err *err;
};

static int charge(struct builder *b, const char *name, size_t bytes)
{
    if (bytes > b->room)
        return err_set(b->err, -EMSGSIZE, "%s: the object has too many values", name);
    b->room -= bytes;
    return 0;
}

/* v may be NULL: it could not be made. */
static int made(struct builder *b, struct json_object *v, struct json_object **ret)
{
    if (!v)
        return err_set(b->err, -ENOMEM, "out of memory");
    *ret = v;
    return 0;
}

static int make_text(struct builder *b, const char *name, struct pb_part part,
                     struct json_object **ret)
{
    bool is_utf8 = json_is_utf8(part.data, part.len);
    cleanup_free char *mended = NULL;
    int e = charge(b, name, JSON_TREE_VALUE_BYTES + (is_utf8 ? part.len : 3 * part.len));

    if (e < 0)
        return e;
    if (!is_utf8) {
        mended = json_to_utf8(part.data, part.len, &part.len);
        part.data = mended;
    }
    assert(part.len <= INT32_MAX); /* the room is far smaller */
    return made(b, json_object_new_string_len(part.data ? part.data : "", (int)part.len), ret);
}

static int make_int(struct builder *b, const char *name, uint64_t value, struct json_object **ret)
{
    int e = charge(b, name, JSON_TREE_VALUE_BYTES);

    return e < 0 ? e : made(b, json_object_new_int64((int64_t)value), ret);
}

static int make_bool(struct builder *b, const char *name, uint64_t value, struct json_object **ret)
{
    int e = charge(b, name, JSON_TREE_VALUE_BYTES);

    return e < 0 ? e : made(b, json_object_new_boolean(value != 0), ret);
}

static int make_object(struct builder *b, const char *name, struct json_object **ret)
{
    int e = charge(b, name, JSON_TREE_VALUE_BYTES + JSON_TREE_OBJECT_BYTES);

    return e < 0 ? e : made(b, json_object_new_object(), ret);
}

/* meta/v1 Time: seconds = 1, and nanos = 2 that are never sent. *ret stays NULL if it is empty. */
static int make_time(struct builder *b, const char *name, struct pb_part part,
                     struct json_object **ret)
{
    struct pb_reader r = pb_reader_of(part, false);
    char text[RFC3339_MAX];
    struct pb_item item;
    int64_t seconds = 0;
    int e, found = 0;

    while ((e = pb_next(&r, &item, b->err)) > 0) {
        if (item.number != 1)
            continue;
        if (found++)
            return twice(name, b->err);
        e = check_wire(&item, PB_WIRE_VARINT, name, b->err);
        if (e < 0)
            return e;
        seconds = MIN(MAX((int64_t)item.value, 0), INT64_MAX / NSEC_PER_SEC);
    }
    if (e < 0 || !found)
        return e;
    assert(seconds >= 0);
    rfc3339_format(text, seconds * NSEC_PER_SEC);
    return make_text(b, name, (struct pb_part){text, strlen(text)}, ret);
}

static int add_member(struct builder *b, struct json_object *to, const char *name,
                      struct json_object *v)
{
    if (json_object_object_add_ex(
            to, name, v, JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_KEY_IS_CONSTANT) == 0)
        return 0;
    json_object_put(v);
    return err_set(b->err, -ENOMEM, "out of memory");
}

/* An entry of a map is a message: key = 1, value = 2. If a key is there twice, the last entry
 * counts. */
static int add_entry(struct builder *b, const char *name, struct pb_part entry,
                     struct json_object *map)
{
    struct pb_part key, value;
    struct json_object *v = NULL;
    cleanup_free char *text = NULL;
    size_t len;
    int e = pb_bytes(entry, false, 1, name, &key, b->err);

    if (e == 0)
        e = pb_bytes(entry, false, 2, name, &value, b->err);
    if (e == 0)
        e = charge(b, name, JSON_TREE_KEY_BYTES + 3 * key.len);
    if (e == 0)
        e = make_text(b, name, value, &v);
    if (e < 0)
        return e;
    text = json_to_utf8(key.data, key.len, &len);
    if (json_object_object_add(map, text, v) == 0)
        return 0;
    json_object_put(v);
    return err_set(b->err, -ENOMEM, "out of memory");
}

/* The array or map of a field, made when its first element comes. */
static int collection_of(struct builder *b, const struct pb_field *f, struct json_object *to,
                         struct json_object **ret)
{
    int e;

    *ret = json_get(to, f->name);
    if (*ret)
        return 0;
    if (f->type == PB_MAP) {
        e = make_object(b, f->name, ret);
    } else {
        e = charge(b, f->name, JSON_TREE_VALUE_BYTES + JSON_TREE_ARRAY_BYTES);
        if (e == 0)
            e = made(b, json_object_new_array(), ret);
    }
    return e < 0 ? e : add_member(b, to, f->name, *ret);
}

static int fill(struct builder *b, const struct pb_field *fields, struct pb_part message,
                struct json_object *to);

static int make_message(struct builder *b, const struct pb_field *f, struct pb_part message,
                        struct json_object **ret)
{
    cleanup_json struct json_object *v = NULL;
    int e = make_object(b, f->name, &v);

    if (e == 0)
        e = fill(b, f->fields, message, v);
    if (e < 0)
        return e;
    *ret = v;
    v = NULL;
    return 0;
}

static int add_element(struct builder *b, const struct pb_field *f, struct pb_part message,
                       struct json_object *array)
{
    struct json_object *v = NULL;
    int e = make_message(b, f, message, &v);

    if (e < 0)
        return e;
    if (json_object_array_add(array, v) == 0)
        return 0;
    json_object_put(v);
    return err_set(b->err, -ENOMEM, "out of memory");
}

static int add_to_collection(struct builder *b, const struct pb_field *f,
                             const struct pb_item *item, struct json_object *to)
{
    struct json_object *all = NULL;
    int e = collection_of(b, f, to, &all);

    if (e < 0)
        return e;
    return f->type == PB_MAP ? add_entry(b, f->name, item->part, all)
                             : add_element(b, f, item->part, all);
}

/* *ret stays NULL for what is left out. */
static int make_value(struct builder *b, const struct pb_field *f, const struct pb_item *item,
                      struct json_object **ret)
{
    switch (f->type) {
    case PB_TEXT:
        return item->part.len ? make_text(b, f->name, item->part, ret) : 0;
    case PB_INT_OR_NONE:
        return item->value ? make_int(b, f->name, item->value, ret) : 0;
    case PB_INT:
        return make_int(b, f->name, item->value, ret);
    case PB_BOOL:
        return make_bool(b, f->name, item->value, ret);
    case PB_TIME:
        return make_time(b, f->name, item->part, ret);
    default:
        return make_message(b, f, item->part, ret);
    }
}

static enum pb_wire wire_of(enum pb_type type)
{
    return type == PB_INT || type == PB_INT_OR_NONE || type == PB_BOOL ? PB_WIRE_VARINT
                                                                       : PB_WIRE_BYTES;
}

static int add_field(struct builder *b, const struct pb_field *f, const struct pb_item *item,
                     struct json_object *to)
{
    struct json_object *v = NULL;
    int e = check_wire(item, wire_of(f->type), f->name, b->err);

    if (e < 0)
        return e;
    if (f->type == PB_MAP || f->type == PB_REPEATED)
        return add_to_collection(b, f, item, to);
    if (json_get(to, f->name))
        return twice(f->name, b->err);
    e = charge(b, f->name, JSON_TREE_KEY_BYTES);
    if (e == 0)
        e = make_value(b, f, item, &v);
    return e < 0 || !v ? e : add_member(b, to, f->name, v);
}

static int fill(struct builder *b, const struct pb_field *fields, struct pb_part message,
                struct json_object *to)
{
    struct pb_reader r = pb_reader_of(message, false);
    struct pb_item item;
    int e;

    while ((e = pb_next(&r, &item, b->err)) > 0) {
        const struct pb_field *f = fields;

        while (f->name && f->number != item.number)
            f++;
        e = f->name ? add_field(b, f, &item, to) : 0;
        if (e < 0)
            return e;
    }
    return e;
}

int pb_tree(const struct pb_field *fields, struct pb_part message, size_t max_tree_bytes,
            struct json_object **ret, struct err *err)
{
    const struct pb_field top = {.name = "the object", .type = PB_MESSAGE, .fields = fields};
    struct builder b = {.room = max_tree_bytes, .err = err};

    return make_message(&b, &top, message, ret);
}
