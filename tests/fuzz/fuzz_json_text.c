/*
 * Output of steps as JSON text: whatever the bytes, the text parses, and valid UTF-8 comes back as
 * it was. Lists cut by text have as many items as lists that were parsed.
 */
#include <json-c/json.h>

#include "common/json.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX (1u << 20)

static int count(const char *data, size_t len, void *arg)
{
    ++*(size_t *)arg;
    return 0;
}

static void escape(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf text = BUF_INIT(TEXT_MAX), again = BUF_INIT(TEXT_MAX);
    cleanup_json struct json_object *o = NULL;

    if (json_escape(&text, (const char *)data, size) < 0)
        return;
    property(text.len == json_escaped_len((const char *)data, size));
    property(json_parse(text.data, text.len, &o, NULL) == 0);
    property(json_object_is_type(o, json_type_string));
    /* U+FFFD and all else is stable: escaping what came out changes nothing. */
    json_escape(&again, json_object_get_string(o), (size_t)json_object_get_string_len(o));
    property(again.len == text.len && memcmp(again.data, text.data, text.len) == 0);
}

static void split(const uint8_t *data, size_t size)
{
    cleanup_json struct json_object *o = NULL;
    cleanup_free char *meta = NULL;
    struct json_object *items;
    size_t n = 0;
    int r = json_split_list((const char *)data, size, count, &n, &meta, NULL);

    if (r < 0 || json_parse((const char *)data, size, &o, NULL) < 0)
        return;
    items = json_get(o, "items");
    /* json-c keeps the last of several keys of one name, the cutter takes all. */
    if (json_object_is_type(items, json_type_array))
        property(n >= json_object_array_length(items));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > TEXT_MAX / 8)
        return 0;
    escape(data, size);
    split(data, size);
    return 0;
}
