/*
 * Log lines for people: each event is a line, "level message key=value ..." as text, or a JSON
 * object. Only the shells of the daemons log; library code returns errors instead.
 *
 * Each line is one write(2) to stderr. Lines over LOG_LINE_MAX are cut. Values are escaped,
 * so that input from outside can not forge lines.
 */
#ifndef ARL_COMMON_BASE_LOG_H
#define ARL_COMMON_BASE_LOG_H

#include "common/base/base.h"

#define LOG_LINE_MAX 2048

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);
int log_level_parse(const char *s, enum log_level *ret);   /* 0 or -EINVAL */
int log_format_parse(const char *s, enum log_format *ret); /* 0 or -EINVAL */
bool log_enabled(enum log_level level);

/* msg, then pairs of key and value (const char *, a NULL value prints as ""), then NULL:
 * log_info("pod claimed", "pod", pod->meta.name, "sandbox", name, NULL). */
void log_line(enum log_level level, const char *msg, ...) __attribute__((sentinel));
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* For lines that strangers can cause: one in interval_ms is logged, the others are counted. true:
 * log this one; *ret_left_out is how many were left out since the last one. now_ns is monotonic. */
struct log_rate {
    int64_t next_ns;
    uint64_t left_out;
};
bool log_rate_pass(struct log_rate *r, int64_t now_ns, int64_t interval_ms, uint64_t *ret_left_out);

/* The time stamp in front of each line; tests set a fixed one. NULL: the real clock. */
void log_set_clock(int64_t (*wall_ns)(void));

#endif
