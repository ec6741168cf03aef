/* The text of a tree, byte for byte as json_object_to_json_string_ext() gives it with the flag
 * JSON_C_TO_STRING_NOSLASHESCAPE, in a third of the time: each change of an object takes one. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

static void add(struct buf *b, const char *text, size_t len)
{
    int r = buf_append(b, text, len);

    assert(r == 0);
}

static void write_escaped(struct buf *b, unsigned char c)
{
    static const char from[] = "\b\n\r\t\f\"\\", to[] = "bnrtf\"\\";
    const char *at = memchr(from, c, sizeof(from) - 1);
    char text[8] = {'\\'};

    if (at)
        text[1] = to[at - from];
    else
        snprintf(text, sizeof(text), "\\u%04x", c);
    add(b, text, strlen(text));
}

static void write_string(struct buf *b, const char *s, size_t len)
{
    size_t from = 0, i = 0;

    add(b, "\"", 1);
    for (; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        add(b, s + from, i - from);
        write_escaped(b, c);
        from = i + 1;
    }
    add(b, s + from, i - from);
    add(b, "\"", 1);
}

static void write_array(struct buf *b, struct json_object *j)
{
    add(b, "[", 1);
    for (size_t i = 0; i < json_object_array_length(j); i++) {
        if (i > 0)
            add(b, ",", 1);
        text_write(b, json_object_array_get_idx(j, i));
    }
    add(b, "]", 1);
}

static void write_object(struct buf *b, struct json_object *j)
{
    const char *before = "{";

    json_object_object_foreach(j, name, value)
    {
        add(b, before, 1);
        write_string(b, name, strlen(name));
        add(b, ":", 1);
        text_write(b, value);
        before = ",";
    }
    add(b, *before == '{' ? "{}" : "}", *before == '{' ? 2 : 1);
}

void text_write(struct buf *b, struct json_object *j)
{
    const char *text;

    switch (json_object_get_type(j)) {
    case json_type_object:
        write_object(b, j);
        break;
    case json_type_array:
        write_array(b, j);
        break;
    case json_type_string:
        write_string(b, json_object_get_string(j), (size_t)json_object_get_string_len(j));
        break;
    default:
        text = j ? json_object_to_json_string_ext(j, JSON_C_TO_STRING_NOSLASHESCAPE) : "null";
        add(b, text, strlen(text));
    }
}

char *text_of(struct json_object *j)
{
    struct buf b = BUF_INIT(64u << 20);

    text_write(&b, j);
    return buf_steal(&b);
}
