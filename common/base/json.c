#include "common/base/json.h"

#include <errno.h>
#include <json-c/json.h>

#include "common/base/limits.h"

/* json-c recurses. 32 levels are its own default, and far more than our objects have. */
#define JSON_DEPTH 32
#define JSON_FIELDS_MAX 32 /* of one table */

void json_free(struct json_object **obj)
{
    if (*obj)
        json_object_put(*obj);
    *obj = NULL;
}

static void free_tokener(struct json_tokener **tok)
{
    if (*tok)
        json_tokener_free(*tok);
}

size_t json_tree_bytes(const char *data, size_t len)
{
    size_t n = JSON_TREE_VALUE_BYTES + len;

    for (size_t i = 0; i < len; i++) {
        char c = data[i];

        switch (c) {
        case '"':
        case '\'': /* json-c takes both kinds */
            for (i++; i < len && data[i] != c; i++)
                i += data[i] == '\\';
            break;
        case '{':
            n += JSON_TREE_OBJECT_BYTES;
            break;
        case '[':
            n += JSON_TREE_ARRAY_BYTES;
            break;
        case ',':
            n += JSON_TREE_VALUE_BYTES;
            break;
        case ':':
            n += JSON_TREE_KEY_BYTES;
            break;
        }
    }
    return n;
}

int json_parse(const char *data, size_t len, struct json_object **ret, struct err *err)
{
    return json_parse_max(data, len, LIMIT_JSON_TREE_BYTES, ret, err);
}

int json_parse_max(const char *data, size_t len, size_t max_tree_bytes, struct json_object **ret,
                   struct err *err)
{
    CLEANUP(free_tokener) struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH);
    cleanup_json struct json_object *obj = NULL;
    enum json_tokener_error e;
    size_t used;

    if (!tok)
        return err_set(err, -ENOMEM, "out of memory");
    if (len > INT32_MAX || json_tree_bytes(data, len) > max_tree_bytes)
        return err_set(err, -EMSGSIZE, "JSON text of %zu bytes has too many values, or is too long",
                       len);
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    obj = json_tokener_parse_ex(tok, data, (int)len);
    e = json_tokener_get_error(tok);
    used = json_tokener_get_parse_end(tok);
    /* A number at the very end is complete only once something follows it. */
    if (e == json_tokener_continue) {
        obj = json_tokener_parse_ex(tok, "", 1);
        e = json_tokener_get_error(tok);
        used = len;
    }
    if (e != json_tokener_success)
        return err_set(err, -EINVAL, "not valid JSON at byte %zu: %s", used,
                       e == json_tokener_continue ? "it ends too early"
                                                  : json_tokener_error_desc(e));
    for (; used < len; used++)
        if (!strchr(" \t\r\n", data[used]) || data[used] == '\0')
            return err_set(err, -EINVAL, "not valid JSON: something follows at byte %zu", used);
    *ret = obj;
    obj = NULL;
    return 0;
}

/* So many members are found sooner one by one than by the hash of the name. */
#define JSON_FEW_MEMBERS 16

struct json_object *json_get(struct json_object *obj, const char *name)
{
    const struct lh_entry *e;
    struct json_object *v;

    if (!obj || !json_object_is_type(obj, json_type_object))
        return NULL;
    e = lh_table_head(json_object_get_object(obj));
    for (int i = 0; e && i < JSON_FEW_MEMBERS; e = lh_entry_next(e), i++) {
        const char *key = lh_entry_k(e);

        if (key[0] == name[0] && strcmp(key, name) == 0)
            return lh_entry_v(e);
    }
    return e && json_object_object_get_ex(obj, name, &v) ? v : NULL;
}

struct json_object *json_get_path(struct json_object *obj, const char *path)
{
    char name[128];

    while (obj && *path) {
        size_t n = strcspn(path, ".");

        assert(n < sizeof(name));
        memcpy(name, path, n);
        name[n] = '\0';
        obj = json_get(obj, name);
        path += n + (path[n] == '.');
    }
    return obj;
}

const char *json_get_str(struct json_object *obj, const char *name)
{
    struct json_object *v = json_get(obj, name);

    return v && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

bool json_get_int(struct json_object *obj, const char *name, int64_t *ret)
{
    struct json_object *v = json_get(obj, name);

    if (!v || !json_object_is_type(v, json_type_int))
        return false;
    *ret = json_object_get_int64(v);
    return true;
}

size_t json_array_len(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

const char *json_array_str(struct json_object *array, size_t i)
{
    struct json_object *v = i < json_array_len(array) ? json_object_array_get_idx(array, i) : NULL;

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

bool json_get_bool(struct json_object *obj, const char *name, bool fallback)
{
    struct json_object *v = json_get(obj, name);

    return v && json_object_is_type(v, json_type_boolean) ? json_object_get_boolean(v) : fallback;
}

static const struct {
    enum json_type type;
    const char *name;
} wants[] = {
    [JSON_STRING] = {json_type_string, "a string"},
    [JSON_INT] = {json_type_int, "an integer"},
    [JSON_BOOL] = {json_type_boolean, "true or false"},
};

static void decode_field(struct json_object *v, enum json_type_want type, void *field)
{
    switch (type) {
    case JSON_STRING:
        str_set(field, xmemdup0(json_object_get_string(v), (size_t)json_object_get_string_len(v)));
        break;
    case JSON_INT:
        *(int64_t *)field = json_object_get_int64(v);
        break;
    case JSON_BOOL:
        *(bool *)field = json_object_get_boolean(v);
        break;
    }
}

int json_decode(struct json_object *obj, const struct json_field *fields, void *base,
                struct err *err)
{
    struct json_object *values[JSON_FIELDS_MAX];

    /* Everything is checked before anything is written. */
    for (size_t i = 0; fields[i].path; i++) {
        const struct json_field *f = &fields[i];

        assert(i < JSON_FIELDS_MAX);
        values[i] = json_get_path(obj, f->path);
        if (values[i] && !json_object_is_type(values[i], wants[f->type].type))
            return err_set(err, -EINVAL, "%s is not %s", f->path, wants[f->type].name);
    }
    for (size_t i = 0; fields[i].path; i++)
        if (values[i])
            decode_field(values[i], fields[i].type, (char *)base + fields[i].offset);
    return 0;
}

/* ---- cutting a list into its items ------------------------------------------------------------
 */

struct scan {
    const char *p;
    const char *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

/* Past a string whose opening quote is at p; false: it does not end. */
static bool skip_string(struct scan *s)
{
    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '\\')
            s->p++;
        else if (*s->p == '"')
            return s->p++, true;
    }
    return false;
}

/* Past one value: only its extent is found here, its grammar is checked when it is parsed. */
static bool skip_value(struct scan *s)
{
    int depth = 0;

    skip_space(s);
    while (s->p < s->end) {
        char c = *s->p;

        if (c == '"') {
            if (!skip_string(s))
                return false;
        } else if (depth == 0 && (c == ',' || c == ']' || c == '}')) {
            return true;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            s->p++;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return true;
    }
    return depth == 0;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->p >= s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static int bad_list(const struct scan *s, const char *start, struct err *err)
{
    return err_set(err, -EINVAL, "the list is not valid JSON at byte %td", s->p - start);
}

/* The elements of the array at s. */
static int split_items(struct scan *s, int (*item)(const char *, size_t, void *), void *arg,
                       const char *start, struct err *err)
{
    const char *from;
    int r;

    skip_space(s);
    if ((size_t)(s->end - s->p) >= 4 && memcmp(s->p, "null", 4) == 0) {
        s->p += 4;
        return 0;
    }
    if (!take(s, '['))
        return bad_list(s, start, err);
    if (take(s, ']'))
        return 0;
    do {
        skip_space(s);
        from = s->p;
        if (!skip_value(s) || s->p == from)
            return bad_list(s, start, err);
        r = item(from, (size_t)(s->p - from), arg);
        if (r != 0)
            return r;
    } while (take(s, ','));
    return take(s, ']') ? 0 : bad_list(s, start, err);
}

int json_split_list(const char *data, size_t len,
                    int (*item)(const char *data, size_t len, void *arg), void *arg,
                    char **ret_meta, struct err *err)
{
    struct scan s = {.p = data, .end = data + len};
    cleanup_free char *meta = xstrdup("{}");
    int r;

    if (!take(&s, '{'))
        return bad_list(&s, data, err);
    if (!take(&s, '}')) {
        do {
            const char *key, *value;

            skip_space(&s);
            key = s.p;
            if (s.p >= s.end || *s.p != '"' || !skip_string(&s) || !take(&s, ':'))
                return bad_list(&s, data, err);
            skip_space(&s);
            value = s.p;
            if (strncmp(key, "\"items\"", 7) == 0) {
                r = split_items(&s, item, arg, data, err);
                if (r != 0)
                    return r;
                continue;
            }
            if (!skip_value(&s) || s.p == value)
                return bad_list(&s, data, err);
            if (strncmp(key, "\"metadata\"", 10) == 0)
                str_set(&meta, xmemdup0(value, (size_t)(s.p - value)));
        } while (take(&s, ','));
        if (!take(&s, '}'))
            return bad_list(&s, data, err);
    }
    *ret_meta = meta;
    meta = NULL;
    return 0;
}

bool json_find(const char *data, size_t len, const char *name, const char **ret, size_t *ret_len)
{
    struct scan s = {.p = data, .end = data + len};
    size_t n = strlen(name);

    if (!take(&s, '{'))
        return false;
    do {
        const char *key, *value;
        bool is_it;

        skip_space(&s);
        key = s.p;
        if (s.p >= s.end || *s.p != '"' || !skip_string(&s))
            return false;
        is_it = (size_t)(s.p - key) == n + 2 && memcmp(key + 1, name, n) == 0;
        if (!take(&s, ':'))
            return false;
        skip_space(&s);
        value = s.p;
        if (!skip_value(&s))
            s.p = s.end;
        if (is_it) {
            *ret = value;
            *ret_len = (size_t)(s.p - value);
            return true;
        }
    } while (take(&s, ','));
    return false;
}
