/*
 * The API server's side of operator/kube/encoding.h, for tests: JSON texts become what it sends to
 * those who ask for protobuf. Members of the wrong type are left out, as are those that no table
 * names. What the server sends without need is written, too: empty texts, zeros, fields that nobody
 * knows.
 */
#ifndef ARL_TESTS_PB_WRITE_H
#define ARL_TESTS_PB_WRITE_H

#include "operator/api/meta.h"

struct buf;
struct json_object;
struct pb_field;

/* Fields alone; wire types as they stand on the wire. */
void pb_write_varint(struct buf *out, uint64_t v);
void pb_write_int(struct buf *out, uint32_t number, uint64_t v);
void pb_write_bytes(struct buf *out, uint32_t number, const void *data, size_t len);

/* A message by a table. */
void pb_write_tree(struct buf *out, const struct pb_field *fields, struct json_object *obj);
/* A message in its envelope. */
void pb_write_envelope(struct buf *out, const char *kind, const struct buf *message);

/* An answer: an object, a list, or a Status. */
void pb_write_answer(struct buf *out, const struct api_kind *kind, const char *json, size_t len);
/* A line of a watch, which becomes a frame. */
void pb_write_event(struct buf *out, const struct api_kind *kind, const char *line, size_t len);

#endif
