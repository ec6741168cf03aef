#include "common/base/flags.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"

static const struct flag *flag_find(const struct flag *flags, const char *name, size_t len)
{
    for (; flags->name; flags++)
        if (strlen(flags->name) == len && memcmp(flags->name, name, len) == 0)
            return flags;
    return NULL;
}

static int parse_bool(const char *text, bool *ret)
{
    bool yes = !text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return -EINVAL;
    *ret = yes;
    return 0;
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret, const char **ret_end)
{
    uint64_t v = 0;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return -EINVAL;
    *ret = v;
    *ret_end = text;
    return v <= max ? 0 : -EINVAL;
}

static int parse_size(const char *text, size_t *ret)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = {{"", 0}, {"Ki", 10}, {"Mi", 20}, {"Gi", 30}};
    const char *end;
    uint64_t v;

    if (parse_number(text, SIZE_MAX >> 30, &v, &end) < 0)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            *ret = (size_t)v << units[i].shift;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_int(const char *text, int64_t *ret)
{
    const char *end;
    uint64_t v;

    if (parse_number(text, INT32_MAX, &v, &end) < 0 || *end)
        return -EINVAL;
    *ret = (int64_t)v;
    return 0;
}

static int parse_duration_ms(const char *text, int64_t *ret)
{
    int64_t ns;

    if (duration_parse(text, &ns) < 0)
        return -EINVAL;
    *ret = ns / NSEC_PER_MSEC;
    return 0;
}

static int parse_strings(const char *text, struct flag_strings *ret)
{
    if (ret->count == FLAG_STRINGS_MAX)
        return -EINVAL;
    ret->values[ret->count++] = text;
    return 0;
}

static const char *const wants[] = {
    [FLAG_STRING] = "a value",
    [FLAG_BOOL] = "true or false",
    [FLAG_DURATION] = "a duration such as 300s or 1m30s",
    [FLAG_SIZE] = "a size such as 65536, 256Ki or 1Mi",
    [FLAG_INT] = "a number",
    [FLAG_STRINGS] = "at most 16 values",
};

static int flag_set(const struct flag *f, const char *text, struct err *err)
{
    int r = 0;

    switch (f->type) {
    case FLAG_STRING:
        *(const char **)f->target = text;
        break;
    case FLAG_BOOL:
        r = parse_bool(text, f->target);
        break;
    case FLAG_DURATION:
        r = parse_duration_ms(text, f->target);
        break;
    case FLAG_SIZE:
        r = parse_size(text, f->target);
        break;
    case FLAG_INT:
        r = parse_int(text, f->target);
        break;
    case FLAG_STRINGS:
        r = parse_strings(text, f->target);
        break;
    }
    return r < 0 ? err_set(err, -EINVAL, "--%s wants %s, not \"%s\"", f->name, wants[f->type], text)
                 : 0;
}

int flags_parse(const struct flag *flags, int argc, char **argv, int *ret_rest, struct err *err)
{
    int i = 1, r;

    for (; i < argc && (strncmp(argv[i], "--", 2) == 0 || str_is_help(argv[i])); i++) {
        const char *name = str_is_help(argv[i]) ? "help" : argv[i] + 2, *eq = strchr(name, '=');
        const char *value = eq ? eq + 1 : NULL;
        const struct flag *f;

        if (*name == '\0') {
            i++;
            break;
        }
        f = flag_find(flags, name, eq ? (size_t)(eq - name) : strlen(name));
        if (!f)
            return err_set(err, -EINVAL, "there is no flag %s (see --help)", argv[i]);
        if (!value && f->type != FLAG_BOOL) {
            if (i + 1 >= argc)
                return err_set(err, -EINVAL, "--%s wants %s", f->name, wants[f->type]);
            value = argv[++i];
        }
        r = flag_set(f, value, err);
        if (r < 0)
            return r;
    }
    *ret_rest = i;
    return 0;
}

static void default_text(const struct flag *f, char *buf, size_t size)
{
    char duration[DURATION_MAX];

    buf[0] = '\0';
    switch (f->type) {
    case FLAG_STRING:
        if (*(const char **)f->target && **(const char **)f->target)
            snprintf(buf, size, " (default %s)", *(const char **)f->target);
        break;
    case FLAG_BOOL:
        snprintf(buf, size, " (default %s)", *(bool *)f->target ? "true" : "false");
        break;
    case FLAG_DURATION:
        duration_format(duration, *(int64_t *)f->target * NSEC_PER_MSEC);
        snprintf(buf, size, " (default %s)", duration);
        break;
    case FLAG_SIZE:
        snprintf(buf, size, " (default %zu bytes)", *(size_t *)f->target);
        break;
    case FLAG_INT:
        snprintf(buf, size, " (default %" PRId64 ")", *(int64_t *)f->target);
        break;
    case FLAG_STRINGS:
        break;
    }
}

void flags_help(const struct flag *flags)
{
    char text[128], left[64];

    for (; flags->name; flags++) {
        default_text(flags, text, sizeof(text));
        snprintf(left, sizeof(left), "--%s %s", flags->name, flags->arg);
        printf("  %-34s %s%s\n", left, flags->help, text);
    }
}
