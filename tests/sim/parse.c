/*
 * A quick parser for the JSON that goes round in a run: parsing took a sixth of its time. It gives
 * the tree that json_parse() gives, or NULL: then the text has something that is rare, such as an
 * error, a fraction, an escape with a number or a character that is not ASCII, and json_parse()
 * itself has to look at it. Names of members are kept for all runs, so that trees need no copies of
 * them.
 */
#include "tests/sim/sim.h"

#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"

#define DEPTH_MAX 24  /* below that of json_parse() */
#define DIGITS_MAX 18 /* of any number that fits into 64 bits */
#define NAMES 4096    /* places for names; further names are copied */
#define NAME_MAX_BYTES 64

struct text {
    const char *p, *end;
    int depth;
};

static struct json_object *value(struct text *t);

static char next(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t' || *t->p == '\r'))
        t->p++;
    return t->p < t->end ? *t->p : '\0';
}

static bool take(struct text *t, char c)
{
    if (next(t) != c)
        return false;
    t->p++;
    return true;
}

static bool take_word(struct text *t, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(t->end - t->p) < len || memcmp(t->p, word, len) != 0)
        return false;
    t->p += len;
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Past the plain characters at the beginning. */
static void skip_plain(struct text *t)
{
    while (t->p < t->end && *t->p >= ' ' && *t->p < 0x7f && *t->p != '"' && *t->p != '\\')
        t->p++;
}

/* The rest of a string with escapes, of which `from` is the beginning. */
static struct json_object *escaped(struct text *t, const char *from)
{
    static const char names[] = "bfnrt\"\\/", are[] = "\b\f\n\r\t\"\\/";
    cleanup_buf struct buf b = BUF_INIT(LIMIT_JSON_TREE_BYTES);

    for (;; skip_plain(t)) {
        const char *at;

        if (buf_append(&b, from, (size_t)(t->p - from)) < 0 || t->end - t->p < 2)
            return NULL;
        if (*t->p == '"')
            break;
        at = *t->p == '\\' ? memchr(names, t->p[1], sizeof(names) - 1) : NULL;
        if (!at || buf_putc(&b, are[at - names]) < 0)
            return NULL;
        from = t->p += 2;
    }
    t->p++;
    return json_object_new_string_len(buf_str(&b), (int)b.len);
}

static struct json_object *string(struct text *t)
{
    const char *from = ++t->p;

    skip_plain(t);
    if (t->p < t->end && *t->p == '"')
        return json_object_new_string_len(from, (int)(t->p++ - from));
    return escaped(t, from);
}

struct name {
    char *text;
    unsigned long hash; /* as json-c counts it */
};

/* The name as it is kept for all runs; NULL: its place has another one. */
static const struct name *kept_name(struct json_object *j, const char *name, size_t len)
{
    static struct name names[NAMES];
    struct name *n;
    uint64_t h = len;

    for (size_t i = 0; i < len; i++)
        h = h * 31 + (unsigned char)name[i];
    n = &names[(h ^ h >> 12) % NAMES];
    if (!n->text) {
        n->text = xmemdup0(name, len);
        n->hash = lh_get_hash(json_object_get_object(j), n->text);
    }
    return strncmp(n->text, name, len) == 0 && !n->text[len] ? n : NULL;
}

/* ---- the others ------------------------------------------------------------------------------ */

static struct json_object *number(struct text *t)
{
    const char *from = t->p;
    int64_t n = 0;

    t->p += *from == '-';
    for (from = t->p; t->p < t->end && *t->p >= '0' && *t->p <= '9' && t->p - from < DIGITS_MAX;)
        n = 10 * n + (*t->p++ - '0');
    if (t->p == from || (*from == '0' && (t->p - from > 1 || from[-1] == '-')) ||
        !memchr(",]}", next(t), 3))
        return NULL;
    return json_object_new_int64(from[-1] == '-' ? -n : n);
}

static bool has(struct json_object *j, const char *kept)
{
    const struct lh_entry *e = lh_table_head(json_object_get_object(j));

    while (e && lh_entry_k(e) != (const void *)kept)
        e = lh_entry_next(e);
    return e != NULL;
}

static bool member(struct text *t, struct json_object *j)
{
    char copy[NAME_MAX_BYTES];
    const char *name = t->p + 1;
    const struct name *kept;
    struct json_object *v;
    size_t len;

    if (!take(t, '"'))
        return false;
    skip_plain(t);
    len = (size_t)(t->p - name);
    if (len >= sizeof(copy) || !take(t, '"') || !take(t, ':'))
        return false;
    memcpy(copy, name, len);
    copy[len] = '\0';
    kept = kept_name(j, name, len);
    if (next(t) == 'n')
        return take_word(t, "null") && json_object_object_add(j, copy, NULL) == 0;
    v = value(t);
    if (v && kept && !has(j, kept->text))
        lh_table_insert_w_hash(json_object_get_object(j), kept->text, v, kept->hash,
                               JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
    else if (v)
        json_object_object_add(j, copy, v);
    return v != NULL;
}

static struct json_object *object(struct text *t)
{
    struct json_object *j = json_object_new_object();
    bool good = true;

    t->p++;
    if (take(t, '}'))
        return j;
    do
        good = next(t) == '"' && member(t, j);
    while (good && take(t, ','));
    if (good && take(t, '}'))
        return j;
    json_object_put(j);
    return NULL;
}

static struct json_object *array(struct text *t)
{
    struct json_object *j = json_object_new_array_ext(4), *v;

    t->p++;
    if (take(t, ']'))
        return j;
    do {
        v = value(t);
        if (v)
            json_object_array_add(j, v);
    } while (v && take(t, ','));
    if (v && take(t, ']'))
        return j;
    json_object_put(j);
    return NULL;
}

/* NULL also stands for null, which only member() takes. */
static struct json_object *value(struct text *t)
{
    struct json_object *v = NULL;

    if (++t->depth > DEPTH_MAX)
        return NULL;
    switch (next(t)) {
    case '{':
        v = object(t);
        break;
    case '[':
        v = array(t);
        break;
    case '"':
        v = string(t);
        break;
    case 't':
        v = take_word(t, "true") ? json_object_new_boolean(true) : NULL;
        break;
    case 'f':
        v = take_word(t, "false") ? json_object_new_boolean(false) : NULL;
        break;
    case '\0':
        break;
    default:
        v = number(t);
    }
    t->depth--;
    return v;
}

struct json_object *parse_quickly(const char *data, size_t len)
{
    struct text t = {data, data + len, 0};
    struct json_object *j = NULL;

    if (len > LIMIT_JSON_TREE_BYTES / JSON_TREE_OBJECT_BYTES &&
        json_tree_bytes(data, len) > LIMIT_JSON_TREE_BYTES)
        return NULL;
    if (next(&t) == '{' || next(&t) == '[')
        j = value(&t);
    next(&t);
    if (t.p == t.end)
        return j;
    json_object_put(j);
    return NULL;
}
