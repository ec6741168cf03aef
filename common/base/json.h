/*
 * JSON in and out. Reading goes through json-c behind typed getters that check before they touch
 * (json_object_get_string() on a non-string would write into the object); decoding of structs is by
 * dispatch tables. Writing is plain appending to a struct buf: no tree, exact bytes.
 */
#ifndef ARL_COMMON_BASE_JSON_H
#define ARL_COMMON_BASE_JSON_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/err.h"

struct json_object; /* json-c */

/* ---- reading --------------------------------------------------------------------------------- */

/* Parses one document: depth at most 32, valid UTF-8, only white space behind it. json-c accepts
 * single-quoted strings and NaN even in strict mode, so callers must not rely on their refusal.
 * -EMSGSIZE: the tree could take more than LIMIT_JSON_TREE_BYTES, or max_tree_bytes; it was not
 * built. The caller releases *ret with json_free(). */
int json_parse(const char *data, size_t len, struct json_object **ret, struct err *err);
int json_parse_max(const char *data, size_t len, size_t max_tree_bytes, struct json_object **ret,
                   struct err *err);
/* About how much memory the tree of a text takes at most, whether the text is valid or not. */
size_t json_tree_bytes(const char *data, size_t len);
/* What json-c 0.15 and later allocate for a value, its key or its place in an array, rounded up;
 * the bytes of a text come on top. */
#define JSON_TREE_VALUE_BYTES 128
#define JSON_TREE_OBJECT_BYTES 832
#define JSON_TREE_ARRAY_BYTES 352
#define JSON_TREE_KEY_BYTES 48
void json_free(struct json_object **obj);
#define cleanup_json CLEANUP(json_free)

/* Member getters: obj may be NULL or of another type, which reads as absent. Results belong to obj.
 */
struct json_object *json_get(struct json_object *obj, const char *name);
/* As json_get along "a.b.c" (names without dots). */
struct json_object *json_get_path(struct json_object *obj, const char *path);
const char *json_get_str(struct json_object *obj,
                         const char *name); /* NULL: absent or not a string */
bool json_get_int(struct json_object *obj, const char *name,
                  int64_t *ret); /* false: absent or not an integer */
bool json_get_bool(struct json_object *obj, const char *name, bool fallback);

/* The length of an array, 0 for any other value; an element if it is a string, else NULL. */
size_t json_array_len(struct json_object *array);
const char *json_array_str(struct json_object *array, size_t i);

enum json_type_want { JSON_STRING, JSON_INT, JSON_BOOL };

/* A row of a dispatch table: member `path` goes to the field at `offset`. Strings become owned
 * copies (char *), integers int64_t, booleans bool. Absent or null leaves the field alone; another
 * type is -EINVAL with a message naming the path. Tables end with {NULL}. */
struct json_field {
    const char *path;
    enum json_type_want type;
    size_t offset;
};
int json_decode(struct json_object *obj, const struct json_field *fields, void *base,
                struct err *err);

/*
 * Cuts the text of a Kubernetes list into its items without building a tree: calls item() for the
 * text range of each element of the top-level "items" array, then fills *ret_meta with a copy of
 * the text of the top-level "metadata" object ("{}" when absent; the caller frees it). A non-zero
 * return of item() stops and is returned.
 */
int json_split_list(const char *data, size_t len,
                    int (*item)(const char *data, size_t len, void *arg), void *arg,
                    char **ret_meta, struct err *err);

/* Finds a member of the top-level object without building a tree: *ret is its text as it stands in
 * data. If the value has no end, *ret is the rest of the text. false: there is no such member
 * before the first syntax error. name: must have no character that JSON escapes. */
bool json_find(const char *data, size_t len, const char *name, const char **ret, size_t *ret_len);

/* ---- writing --------------------------------------------------------------------------------- */

/*
 * A writer over a buf, which adds the commas. The json_w_* functions return nothing. The first
 * failure stays in w.error (0 or -ENOBUFS), and all later calls do nothing.
 */
struct json_writer {
    struct buf *out;
    bool need_comma;
    int error;
};
#define JSON_WRITER_INIT(buf_ptr)                                                                  \
    {                                                                                              \
        .out = (buf_ptr)                                                                           \
    }
void json_w_object(struct json_writer *w,
                   const char *name); /* name NULL: no key (array item, top) */
void json_w_end_object(struct json_writer *w);
void json_w_array(struct json_writer *w, const char *name);
void json_w_end_array(struct json_writer *w);
void json_w_str(struct json_writer *w, const char *name, const char *value); /* value NULL: null */
void json_w_strn(struct json_writer *w, const char *name, const char *value, size_t len);
void json_w_int(struct json_writer *w, const char *name, int64_t value);
void json_w_bool(struct json_writer *w, const char *name, bool value);
void json_w_null(struct json_writer *w, const char *name);
void json_w_raw(struct json_writer *w, const char *name, const char *json); /* trusted JSON text */

/* Appends s as a JSON string with quotes. Bytes that are not valid UTF-8 become U+FFFD, one for
 * each maximal part as the Unicode standard recommends and Python's errors="replace" does; control
 * characters are escaped. */
int json_escape(struct buf *out, const char *s, size_t len);
/* Whether the text is valid UTF-8, so that json_escape() loses nothing. */
bool json_is_utf8(const char *s, size_t len);
/* A copy with a NUL behind it, and U+FFFD for what is not valid UTF-8; it may be three times as
 * long. The caller owns it. */
char *json_to_utf8(const char *s, size_t len, size_t *ret_len);
/* How many bytes json_escape() would append. */
size_t json_escaped_len(const char *s, size_t len);
/* How many bytes the API server stores and sends for the text: its encoder also escapes <, >, & and
 * the line separators U+2028 and U+2029, as six bytes each. */
size_t json_stored_len(const char *s, size_t len);
/* The same for a whole JSON text that json-c has written. */
size_t json_text_stored_len(const char *json);

#endif
