#include "common/base/json.h"

#include <inttypes.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * The length of the valid UTF-8 sequence at s (1..4), or 0 with *ret_bad set to the length of the
 * maximal part of an ill-formed one that one U+FFFD stands for (Unicode 15, section 3.9, table
 * 3-7).
 */
static size_t utf8_sequence(const unsigned char *s, size_t len, size_t *ret_bad)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t need;

    *ret_bad = 1;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        need = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        need = 3;
        lo = s[0] == 0xe0 ? 0xa0 : 0x80;
        hi = s[0] == 0xed ? 0x9f : 0xbf;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        need = 4;
        lo = s[0] == 0xf0 ? 0x90 : 0x80;
        hi = s[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    for (size_t i = 1; i < need; i++, lo = 0x80, hi = 0xbf) {
        if (i >= len || s[i] < lo || s[i] > hi) {
            *ret_bad = i;
            return 0;
        }
    }
    return need;
}

/* How many bytes at s can stand in a JSON string as they are. */
static size_t plain_run(const unsigned char *s, size_t len)
{
    size_t i = 0, n, bad;

    while (i < len) {
        if (s[i] < 0x20 || s[i] == '"' || s[i] == '\\')
            break;
        n = s[i] < 0x80 ? 1 : utf8_sequence(s + i, len - i, &bad);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

/* The replacement for the character or byte at s that must be escaped; *ret_used bytes of s are
 * done. */
static const char *escape_for(const unsigned char *s, size_t len, char tmp[8], size_t *ret_used)
{
    static const char hex[] = "0123456789abcdef";
    size_t bad;

    *ret_used = 1;
    switch (s[0]) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    }
    if (s[0] < 0x20) {
        memcpy(tmp, "\\u00", 4);
        tmp[4] = hex[s[0] >> 4];
        tmp[5] = hex[s[0] & 15];
        tmp[6] = '\0';
        return tmp;
    }
    utf8_sequence(s, len, &bad);
    *ret_used = bad;
    return REPLACEMENT;
}

int json_escape(struct buf *out, const char *str, size_t len)
{
    const unsigned char *s = (const unsigned char *)str;
    size_t i = 0, run, used;
    char tmp[8];
    int r = buf_putc(out, '"');

    while (r == 0 && i < len) {
        run = plain_run(s + i, len - i);
        r = buf_append(out, s + i, run);
        i += run;
        if (r == 0 && i < len) {
            r = buf_puts(out, escape_for(s + i, len - i, tmp, &used));
            i += used;
        }
    }
    return r == 0 ? buf_putc(out, '"') : r;
}

bool json_is_utf8(const char *str, size_t len)
{
    const unsigned char *s = (const unsigned char *)str;
    size_t n = 1, bad;

    for (size_t i = 0; i < len && n > 0; i += n)
        n = utf8_sequence(s + i, len - i, &bad);
    return n > 0;
}

char *json_to_utf8(const char *str, size_t len, size_t *ret_len)
{
    const unsigned char *s = (const unsigned char *)str;
    char *out = xmalloc(3 * len + 1);
    size_t i = 0, to = 0, n, bad;

    for (; i < len; i += n) {
        n = utf8_sequence(s + i, len - i, &bad);
        if (n) {
            memcpy(out + to, str + i, n);
            to += n;
        } else {
            memcpy(out + to, REPLACEMENT, strlen(REPLACEMENT));
            to += strlen(REPLACEMENT);
            n = bad;
        }
    }
    out[to] = '\0';
    *ret_len = to;
    return out;
}

size_t json_escaped_len(const char *str, size_t len)
{
    const unsigned char *s = (const unsigned char *)str;
    size_t i = 0, n = 2, run, used;
    char tmp[8];

    while (i < len) {
        run = plain_run(s + i, len - i);
        n += run;
        i += run;
        if (i < len) {
            n += strlen(escape_for(s + i, len - i, tmp, &used));
            i += used;
        }
    }
    return n;
}

size_t json_stored_len(const char *str, size_t len)
{
    size_t n = json_escaped_len(str, len);

    for (size_t i = 0; i < len; i++) {
        if (str[i] == '<' || str[i] == '>' || str[i] == '&')
            n += 5;
        else if (str[i] == '\xe2' && len - i >= 3 &&
                 (!memcmp(str + i, "\xe2\x80\xa8", 3) || !memcmp(str + i, "\xe2\x80\xa9", 3)))
            n += 3;
    }
    return n;
}

size_t json_text_stored_len(const char *json)
{
    size_t n = 0;

    for (const char *p = json; *p; p++, n++) {
        if (*p == '<' || *p == '>' || *p == '&') {
            n += 5;
        } else if (*p == '\xe2' &&
                   (!strncmp(p, "\xe2\x80\xa8", 3) || !strncmp(p, "\xe2\x80\xa9", 3))) {
            n += 3; /* the other two bytes are counted as they come */
        } else if (*p == '\\') {
            p++; /* never the last */
            n += *p == 'b' || *p == 'f' ? 5 : 1;
        }
    }
    return n;
}

static void w_raw(struct json_writer *w, const char *s, size_t len)
{
    if (w->error == 0)
        w->error = buf_append(w->out, s, len);
}

static void w_key(struct json_writer *w, const char *name)
{
    if (w->need_comma)
        w_raw(w, ",", 1);
    w->need_comma = true;
    if (!name)
        return;
    if (w->error == 0)
        w->error = json_escape(w->out, name, strlen(name));
    w_raw(w, ":", 1);
}

static void w_open(struct json_writer *w, const char *name, const char *bracket)
{
    w_key(w, name);
    w_raw(w, bracket, 1);
    w->need_comma = false;
}

static void w_close(struct json_writer *w, const char *bracket)
{
    w_raw(w, bracket, 1);
    w->need_comma = true;
}

void json_w_object(struct json_writer *w, const char *name)
{
    w_open(w, name, "{");
}

void json_w_end_object(struct json_writer *w)
{
    w_close(w, "}");
}

void json_w_array(struct json_writer *w, const char *name)
{
    w_open(w, name, "[");
}

void json_w_end_array(struct json_writer *w)
{
    w_close(w, "]");
}

void json_w_strn(struct json_writer *w, const char *name, const char *value, size_t len)
{
    w_key(w, name);
    if (w->error == 0)
        w->error = json_escape(w->out, value, len);
}

void json_w_str(struct json_writer *w, const char *name, const char *value)
{
    if (value)
        json_w_strn(w, name, value, strlen(value));
    else
        json_w_null(w, name);
}

void json_w_int(struct json_writer *w, const char *name, int64_t value)
{
    w_key(w, name);
    if (w->error == 0)
        w->error = buf_printf(w->out, "%" PRId64, value);
}

void json_w_bool(struct json_writer *w, const char *name, bool value)
{
    json_w_raw(w, name, value ? "true" : "false");
}

void json_w_null(struct json_writer *w, const char *name)
{
    json_w_raw(w, name, "null");
}

void json_w_raw(struct json_writer *w, const char *name, const char *json)
{
    w_key(w, name);
    w_raw(w, json, strlen(json));
}
