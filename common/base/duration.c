#include "common/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name;
    int64_t ns;
};

/* The longer name first where one is the beginning of another. Both micro signs, as Go has it. */
static const struct unit units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000},
    {"\xce\xbcs", 1000},
    {"ms", NSEC_PER_MSEC},
    {"s", NSEC_PER_SEC},
    {"m", 60 * NSEC_PER_SEC},
    {"h", 3600 * NSEC_PER_SEC},
};

static const struct unit *find_unit(const char *s, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, s, len) == 0)
            return &units[i];
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One "number unit" term at *s, added to *sum. */
static int take_term(const char **s, int64_t *sum)
{
    int64_t whole = 0, term;
    long double frac = 0, scale = 1;
    const struct unit *u;
    bool any = false;
    size_t len;

    for (; is_digit(**s); (*s)++, any = true)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, **s - '0', &whole))
            return -ERANGE;
    if (**s == '.') {
        (*s)++;
        for (; is_digit(**s); (*s)++, any = true)
            frac += (scale /= 10) * (**s - '0');
    }
    if (!any)
        return -EINVAL;
    len = strcspn(*s, ".0123456789");
    u = find_unit(*s, len);
    if (!u)
        return -EINVAL;
    *s += len;
    if (__builtin_mul_overflow(whole, u->ns, &term) ||
        __builtin_add_overflow(term, (int64_t)(frac * (long double)u->ns + 0.5L), &term) ||
        __builtin_add_overflow(*sum, term, sum))
        return -ERANGE;
    return 0;
}

int duration_parse(const char *s, int64_t *ret_ns)
{
    int64_t sum = 0;
    int r;

    if (strcmp(s, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*s == '\0')
        return -EINVAL;
    while (*s) {
        r = take_term(&s, &sum);
        if (r < 0)
            return r;
    }
    *ret_ns = sum;
    return 0;
}

/* value / unit with up to nine decimals, trailing zeros cut: 1500000 / 1000000 is "1.5". */
static int format_decimal(char *buf, size_t size, int64_t value, int64_t unit, const char *name)
{
    int64_t rest = value % unit;
    char digits[24] = "";

    if (rest) {
        int n = 0;

        digits[n++] = '.';
        for (int64_t u = unit / 10; rest; rest %= u, u /= 10)
            digits[n++] = (char)('0' + rest / u);
        digits[n] = '\0';
    }
    return snprintf(buf, size, "%" PRId64 "%s%s", value / unit, digits, name);
}

void duration_format(char *buf, int64_t ns)
{
    int n = 0;

    assert(ns >= 0);
    if (ns == 0) {
        snprintf(buf, DURATION_MAX, "0s");
    } else if (ns < 1000) {
        format_decimal(buf, DURATION_MAX, ns, 1, "ns");
    } else if (ns < NSEC_PER_MSEC) {
        format_decimal(buf, DURATION_MAX, ns, 1000, "\xc2\xb5s");
    } else if (ns < NSEC_PER_SEC) {
        format_decimal(buf, DURATION_MAX, ns, NSEC_PER_MSEC, "ms");
    } else {
        int64_t minute = 60 * NSEC_PER_SEC, hour = 60 * minute;

        if (ns >= hour)
            n += snprintf(buf, DURATION_MAX, "%" PRId64 "h", ns / hour);
        if (ns >= minute)
            n += snprintf(buf + n, DURATION_MAX - (size_t)n, "%" PRId64 "m", ns % hour / minute);
        format_decimal(buf + n, DURATION_MAX - (size_t)n, ns % minute, NSEC_PER_SEC, "s");
    }
}
