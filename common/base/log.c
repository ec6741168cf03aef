#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"

static enum log_level min_level = LOG_INFO;
static enum log_format format = LOG_TEXT;
static int64_t (*clock_fn)(void);

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"text", "json"};

void log_setup(enum log_level level, enum log_format fmt)
{
    min_level = level;
    format = fmt;
}

void log_set_clock(int64_t (*wall_ns)(void))
{
    clock_fn = wall_ns;
}

static int name_index(const char *const *names, size_t count, const char *s)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], s) == 0)
            return (int)i;
    return -EINVAL;
}

int log_level_parse(const char *s, enum log_level *ret)
{
    int i = name_index(level_names, ARRAY_SIZE(level_names), s);

    if (i < 0)
        return i;
    *ret = (enum log_level)i;
    return 0;
}

int log_format_parse(const char *s, enum log_format *ret)
{
    int i = name_index(format_names, ARRAY_SIZE(format_names), s);

    if (i < 0)
        return i;
    *ret = (enum log_format)i;
    return 0;
}

bool log_enabled(enum log_level level)
{
    return level >= min_level;
}

bool log_rate_pass(struct log_rate *r, int64_t now_ns, int64_t interval_ms, uint64_t *ret_left_out)
{
    if (now_ns < r->next_ns) {
        r->left_out++;
        return false;
    }
    *ret_left_out = r->left_out;
    r->left_out = 0;
    r->next_ns = now_ns + interval_ms * NSEC_PER_MSEC;
    return true;
}

/* A value without spaces and special characters is written as it is; others are quoted as JSON
 * strings. */
static void put_value(struct buf *b, const char *v)
{
    bool plain = *v != '\0';

    for (const char *p = v; *p && plain; p++)
        plain = (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && !strchr("\"\\=", *p);
    if (plain)
        buf_puts(b, v);
    else
        json_escape(b, v, strlen(v));
}

static void put_text(struct buf *b, enum log_level level, const char *when, const char *msg,
                     va_list ap)
{
    const char *key;

    /* In columns, so that a screen full of lines can be read. */
    buf_printf(b, "%s %-5s %s", when, level_names[level], msg);
    while ((key = va_arg(ap, const char *))) {
        const char *value = va_arg(ap, const char *);

        buf_printf(b, " %s=", key);
        put_value(b, str_or_empty(value));
    }
}

static void put_json(struct buf *b, enum log_level level, const char *when, const char *msg,
                     va_list ap)
{
    struct json_writer w = JSON_WRITER_INIT(b);
    const char *key;

    json_w_object(&w, NULL);
    json_w_str(&w, "time", when);
    json_w_str(&w, "level", level_names[level]);
    json_w_str(&w, "msg", msg);
    while ((key = va_arg(ap, const char *)))
        json_w_str(&w, key, str_or_empty(va_arg(ap, const char *)));
    json_w_end_object(&w);
}

void log_line(enum log_level level, const char *msg, ...)
{
    cleanup_buf struct buf b = BUF_INIT(8 * LOG_LINE_MAX);
    char when[RFC3339_MAX];
    va_list ap;

    if (!log_enabled(level))
        return;
    rfc3339_format_micro(when, clock_fn ? clock_fn() : clock_read().wall_ns);
    va_start(ap, msg);
    if (format == LOG_JSON)
        put_json(&b, level, when, msg, ap);
    else
        put_text(&b, level, when, msg, ap);
    va_end(ap);
    /* A JSON line that is cut is no JSON: there the limit is the buffer's own. */
    if (format == LOG_TEXT && b.len > LOG_LINE_MAX - 1)
        buf_shorten(&b, LOG_LINE_MAX - 1);
    b.data[b.len++] = '\n';
    /* Nobody can be told that stderr is gone. */
    if (write(STDERR_FILENO, b.data, b.len) < 0)
        return;
}
