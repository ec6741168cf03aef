/* The text of a tree, byte for byte as json_object_to_json_string_ext() gives it with the flag
 * JSON_C_TO_STRING_NOSLASHESCAPE, in a third of the time: each change of an object takes one. */
#include "tests/sim/sim.h"

#include <json-c/json.h>

/* The text so far. It is kept from one tree to the next. */
static struct {
    char *data;
    size_t len, alloc;
} out;

/* Room for n bytes more. */
static char *room(size_t n)
{
    if (out.alloc - out.len < n) {
        out.alloc = 2 * out.alloc + n;
        out.data = xrealloc(out.data, out.alloc);
    }
    return out.data + out.len;
}

static void add(const char *text, size_t len)
{
    memcpy(room(len), text, len);
    out.len += len;
}

static void write_char(char c)
{
    *room(1) = c;
    out.len++;
}

static char *write_escaped(char *to, unsigned char c)
{
    static const char from[] = "\b\n\r\t\f\"\\", names[] = "bnrtf\"\\", hex[] = "0123456789abcdef";
    const char *at = memchr(from, c, sizeof(from) - 1);

    *to++ = '\\';
    if (at) {
        *to++ = names[at - from];
        return to;
    }
    memcpy(to, "u00", 3);
    to[3] = hex[c >> 4];
    to[4] = hex[c & 15];
    return to + 5;
}

static void write_string(const char *s, size_t len)
{
    char *to = room(6 * len + 2); /* if each is escaped */

    *to++ = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= ' ' && c != '"' && c != '\\')
            *to++ = (char)c;
        else
            to = write_escaped(to, c);
    }
    *to++ = '"';
    out.len = (size_t)(to - out.data);
}

static void write_int(int64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);

    if (n < 0)
        write_char('-');
    for (uint64_t u = n < 0 ? -(uint64_t)n : (uint64_t)n; u || i == sizeof(digits); u /= 10)
        digits[--i] = (char)('0' + u % 10);
    add(digits + i, sizeof(digits) - i);
}

static void write_tree(struct json_object *j);

static void write_array(struct json_object *j)
{
    write_char('[');
    for (size_t i = 0; i < json_object_array_length(j); i++) {
        if (i > 0)
            write_char(',');
        write_tree(json_object_array_get_idx(j, i));
    }
    write_char(']');
}

static void write_object(struct json_object *j)
{
    const struct lh_entry *e = lh_table_head(json_object_get_object(j));

    write_char('{');
    for (; e; e = lh_entry_next(e)) {
        write_string(lh_entry_k(e), strlen(lh_entry_k(e)));
        write_char(':');
        write_tree(lh_entry_v(e));
        if (lh_entry_next(e))
            write_char(',');
    }
    write_char('}');
}

/* Numbers without a fraction, except for those that may not fit. */
static bool is_whole(struct json_object *j)
{
    return json_object_is_type(j, json_type_int) && json_object_get_int64(j) < INT64_MAX;
}

static void write_tree(struct json_object *j)
{
    const char *text;

    if (json_object_is_type(j, json_type_string)) {
        write_string(json_object_get_string(j), (size_t)json_object_get_string_len(j));
    } else if (json_object_is_type(j, json_type_object)) {
        write_object(j);
    } else if (json_object_is_type(j, json_type_array)) {
        write_array(j);
    } else if (is_whole(j)) {
        write_int(json_object_get_int64(j));
    } else {
        text = j ? json_object_to_json_string_ext(j, JSON_C_TO_STRING_NOSLASHESCAPE) : "null";
        add(text, strlen(text));
    }
}

char *text_of(struct json_object *j)
{
    out.len = 0;
    write_tree(j);
    return xmemdup0(out.data, out.len);
}
