#include "common/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Floor division: times before 1970 have a positive fraction too. */
static int64_t split_seconds(int64_t wall_ns, int64_t *ret_frac_ns)
{
    int64_t s = wall_ns / NSEC_PER_SEC;
    int64_t frac = wall_ns % NSEC_PER_SEC;

    if (frac < 0) {
        frac += NSEC_PER_SEC;
        s--;
    }
    *ret_frac_ns = frac;
    return s;
}

static void format_with(char *buf, int64_t wall_ns, bool micro)
{
    int64_t frac_ns;
    time_t t = (time_t)split_seconds(wall_ns, &frac_ns);
    struct tm tm;
    size_t n;

    gmtime_r(&t, &tm);
    n = strftime(buf, RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (micro)
        n += (size_t)snprintf(buf + n, RFC3339_MAX - n, ".%06lld", (long long)(frac_ns / 1000));
    snprintf(buf + n, RFC3339_MAX - n, "Z");
}

void rfc3339_format(char *buf, int64_t wall_ns)
{
    format_with(buf, wall_ns, false);
}

void rfc3339_format_micro(char *buf, int64_t wall_ns)
{
    format_with(buf, wall_ns, true);
}

/* Exactly n digits at *s as a number in 0..max; advances *s. Negative: not so. */
static int take_digits(const char **s, int n, int max)
{
    int v = 0;

    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return -1;
        v = v * 10 + (**s - '0');
    }
    return v <= max ? v : -1;
}

static bool take_char(const char **s, char c)
{
    return **s == c ? (*s)++, true : false;
}

/* ".123" in nanoseconds, digits past the ninth dropped; 0 when there is none; -1: malformed. */
static int64_t take_fraction(const char **s)
{
    int64_t ns = 0, unit = NSEC_PER_SEC / 10;

    if (!take_char(s, '.'))
        return 0;
    if (**s < '0' || **s > '9')
        return -1;
    for (; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
        ns += unit * (**s - '0');
    return ns;
}

/* Seconds east of UTC into *ret; false: malformed. */
static bool take_offset(const char **s, int *ret)
{
    int sign, h, m;

    if (take_char(s, 'Z')) {
        *ret = 0;
        return true;
    }
    if (**s != '+' && **s != '-')
        return false;
    sign = *(*s)++ == '-' ? -1 : 1;
    h = take_digits(s, 2, 23);
    if (h < 0 || !take_char(s, ':'))
        return false;
    m = take_digits(s, 2, 59);
    *ret = sign * (h * 3600 + m * 60);
    return m >= 0;
}

int rfc3339_parse(const char *s, int64_t *ret_wall_ns)
{
    struct tm tm = {0};
    int64_t frac_ns, total;
    int offset_s;

    tm.tm_year = take_digits(&s, 4, 9999) - 1900;
    if (tm.tm_year < -1900 || !take_char(&s, '-'))
        return -EINVAL;
    tm.tm_mon = take_digits(&s, 2, 12) - 1;
    if (tm.tm_mon < 0 || !take_char(&s, '-'))
        return -EINVAL;
    tm.tm_mday = take_digits(&s, 2, 31);
    if (tm.tm_mday < 1 || !take_char(&s, 'T'))
        return -EINVAL;
    tm.tm_hour = take_digits(&s, 2, 23);
    if (tm.tm_hour < 0 || !take_char(&s, ':'))
        return -EINVAL;
    tm.tm_min = take_digits(&s, 2, 59);
    if (tm.tm_min < 0 || !take_char(&s, ':'))
        return -EINVAL;
    tm.tm_sec = take_digits(&s, 2, 60);
    frac_ns = take_fraction(&s);
    if (tm.tm_sec < 0 || frac_ns < 0 || !take_offset(&s, &offset_s) || *s != '\0')
        return -EINVAL;
    /* Years that nanoseconds in 64 bits cannot hold (before 1678, after 2261) are not times here.
     */
    if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset_s, NSEC_PER_SEC, &total) ||
        __builtin_add_overflow(total, frac_ns, ret_wall_ns))
        return -EINVAL;
    return 0;
}
