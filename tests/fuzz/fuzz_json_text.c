/*
 * Output of steps as JSON text. Whatever the bytes are, the text parses and gives the same as a
 * second decoder, which was written from the rule (one U+FFFD for each maximal part of an
 * ill-formed sequence) and has no table. A list that is cut as text has at least as many items as
 * one that is parsed.
 */
#include <json-c/json.h>

#include "common/base/json.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX (1u << 20)

/* ---- the other decoder ----------------------------------------------------------------------- */

static const struct {
    unsigned char mark, mask;
    uint32_t first; /* the smallest that needs so many bytes */
} lengths[] = {{0x00, 0x80, 0}, {0xc0, 0xe0, 0x80}, {0xe0, 0xf0, 0x800}, {0xf0, 0xf8, 0x10000}};

/* Whether there is a character of `total` bytes that begins with these n. */
static bool begins_character(const uint8_t *s, size_t n, size_t total)
{
    uint32_t low = s[0] & (uint8_t)~lengths[total - 1].mask, high;

    if ((s[0] & lengths[total - 1].mask) != lengths[total - 1].mark)
        return false;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return false;
        low = low << 6 | (s[i] & 0x3f);
    }
    /* The bytes that are not here may be any: a range of characters. */
    high = (low + 1) << (6 * (total - n));
    low <<= 6 * (total - n);
    low = MAX(low, lengths[total - 1].first);
    high = MIN(high, 0x110000u);
    if (low >= 0xd800 && low < 0xe000)
        low = 0xe000;
    return low < high && !(low >= 0xd800 && high <= 0xe000);
}

/* The longest beginning of a character at s; *ret_whole: all of it is there. */
static size_t longest(const uint8_t *s, size_t len, bool *ret_whole)
{
    size_t best = 0;

    *ret_whole = false;
    for (size_t total = 1; total <= 4; total++)
        for (size_t n = 1; n <= MIN(total, len) && begins_character(s, n, total); n++) {
            best = MAX(best, n);
            *ret_whole = *ret_whole || n == total;
        }
    return best;
}

static void decode(const uint8_t *s, size_t len, struct buf *out)
{
    bool whole;
    size_t n;

    for (size_t i = 0; i < len; i += MAX(n, 1u)) {
        n = longest(s + i, len - i, &whole);
        if (whole)
            buf_append(out, s + i, n);
        else
            buf_puts(out, "\xef\xbf\xbd");
    }
}

/* ---- the encoder ----------------------------------------------------------------------------- */

/* How long the text is as the API server's encoder writes it. */
static size_t stored(const char *text, size_t len)
{
    size_t n = len;

    for (size_t i = 0; i < len; i++) {
        n += text[i] == '<' || text[i] == '>' || text[i] == '&' ? 5 : 0;
        n += len - i > 2 && (memcmp(text + i, "\xe2\x80\xa8", 3) == 0 ||
                             memcmp(text + i, "\xe2\x80\xa9", 3) == 0)
                 ? 3
                 : 0;
    }
    return n;
}

static void escape(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf text = BUF_INIT(TEXT_MAX), want = BUF_INIT(TEXT_MAX);
    cleanup_json struct json_object *o = NULL;

    property(json_escape(&text, (const char *)data, size) == 0);
    property(text.len == json_escaped_len((const char *)data, size));
    property(stored(text.data, text.len) == json_stored_len((const char *)data, size));
    for (size_t i = 0; i < text.len; i++)
        property((unsigned char)text.data[i] >= 0x20);
    property(json_parse(text.data, text.len, &o, NULL) == 0);
    property(json_object_is_type(o, json_type_string));
    decode(data, size, &want);
    property((size_t)json_object_get_string_len(o) == want.len);
    property(memcmp(json_object_get_string(o), buf_str(&want), want.len) == 0);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static int count(const char *data, size_t len, void *arg)
{
    property(len > 0);
    ++*(size_t *)arg;
    return 0;
}

static void split(const uint8_t *data, size_t size)
{
    cleanup_json struct json_object *o = NULL;
    cleanup_free char *meta = NULL;
    struct json_object *items;
    size_t n = 0;
    int r = json_split_list((const char *)data, size, count, &n, &meta, NULL);

    property((r == 0) == (meta != NULL));
    if (r < 0 || json_parse((const char *)data, size, &o, NULL) < 0)
        return;
    items = json_get(o, "items");
    /* Of several members with one name json-c keeps the last, json_split_list() takes all. */
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
