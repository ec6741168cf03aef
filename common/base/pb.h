/*
 * A reader of protocol buffers (protobuf.dev, "Encoding"): of single fields, and of whole messages,
 * which become trees. There are no generated structs: a table names the few fields that are wanted.
 * A message becomes the tree that json_parse() would make of the same object, without all other
 * members. So there is one decoder of each object, whatever its encoding.
 *
 * Limits: a message nests as deep as its table and no deeper, since what no table names is passed
 * over unread. A tree takes max_tree_bytes at most, counted before each value is made (-EMSGSIZE).
 * All lengths are checked against the bytes that are there. These are -EINVAL: a field of another
 * type than its table's or a singular one that is there twice, with the field's name; a group; a
 * number that is too long.
 */
#ifndef ARL_COMMON_BASE_PB_H
#define ARL_COMMON_BASE_PB_H

#include "common/base/base.h"
#include "common/base/err.h"

struct json_object;

enum pb_wire {
    PB_WIRE_VARINT = 0,
    PB_WIRE_FIXED64 = 1,
    PB_WIRE_BYTES = 2,
    PB_WIRE_FIXED32 = 5,
};

/* What is left of a message. */
struct pb_reader {
    const unsigned char *p;
    const unsigned char *end;
    bool is_cut; /* it may end within a field: the bytes of it that are there are given */
};

struct pb_part {
    const char *data; /* points into the message */
    size_t len;
};

struct pb_item {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value;      /* PB_WIRE_VARINT */
    struct pb_part part; /* all others: the bytes */
};

struct pb_reader pb_reader_of(struct pb_part message, bool is_cut);
/* The next field. 1: there is one; 0: the message has ended; -EINVAL. */
int pb_next(struct pb_reader *r, struct pb_item *ret, struct err *err);

/* The bytes of the field of this number (a text, a message), empty if it is absent; name is for the
 * error. The whole message is read, since the field may be there twice. */
int pb_bytes(struct pb_part message, bool is_cut, uint32_t number, const char *name,
             struct pb_part *ret, struct err *err);

enum pb_type {
    PB_TEXT, /* an empty one is left out, as in Kubernetes' JSON; bytes that are not UTF-8 become
              * U+FFFD, as in the API server's JSON */
    PB_INT,  /* int32 or int64 */
    PB_INT_OR_NONE, /* the same, but left out if it is 0, as in Kubernetes' JSON */
    PB_BOOL,
    PB_MESSAGE,
    PB_REPEATED, /* messages: becomes an array */
    PB_MAP,      /* of texts to texts */
    PB_TIME, /* of meta/v1, as RFC 3339; an empty one is left out; without fractions of a second */
};

/* A row of a table, which ends with {0}. No table leads back to itself. */
struct pb_field {
    uint32_t number;
    enum pb_type type;
    const char *name;              /* of the member; static */
    const struct pb_field *fields; /* of PB_MESSAGE and PB_REPEATED */
};

/* The caller releases *ret with json_free(). */
int pb_tree(const struct pb_field *fields, struct pb_part message, size_t max_tree_bytes,
            struct json_object **ret, struct err *err);

#endif
