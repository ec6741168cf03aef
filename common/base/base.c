#include "common/base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/limits.h"

void out_of_memory(size_t size)
{
    char msg[96];
    int n = snprintf(msg, sizeof(msg), "out of memory: %zu bytes asked for\n", size);

    /* Not abort(): PID 1, which all our programs are in their containers, ignores its signal, and
     * would then die of a bad instruction. */
    (void)!write(STDERR_FILENO, msg, (size_t)MAX(n, 0));
    _exit(OUT_OF_MEMORY_STATUS);
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    if (!p)
        out_of_memory(count * size);
    return p;
}

void *xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

char *xmemdup0(const void *data, size_t len)
{
    char *p = xmalloc(len + 1);

    if (len)
        memcpy(p, data, len);
    p[len] = '\0';
    return p;
}

char *xstrdup(const char *s)
{
    return s ? xmemdup0(s, strlen(s)) : NULL;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return s;
}

void close_fdp(const int *fd)
{
    int e = errno;

    if (*fd >= 0)
        close(*fd);
    errno = e;
}

void str_set(char **pp, char *s)
{
    free(*pp);
    *pp = s;
}

bool is_dns_label(const char *s)
{
    size_t len = s ? strlen(s) : 0;

    return len > 0 && len <= LIMIT_LABEL_BYTES && s[0] != '-' && s[len - 1] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_dns_name(const char *s)
{
    size_t n = s ? strlen(s) : 0;

    if (n == 0 || n > LIMIT_NAME_BYTES)
        return false;
    /* Each part between dots begins and ends with a letter or digit. */
    for (size_t i = 0; i < n; i++) {
        bool edge = i == 0 || i + 1 == n || s[i - 1] == '.' || s[i + 1] == '.';

        if (!is_name_char(s[i]) && (edge || (s[i] != '-' && s[i] != '.')))
            return false;
    }
    return true;
}

char *xstrdup_max(const char *s, size_t max)
{
    size_t n = s ? strnlen(s, max + 1) : 0;

    if (!s)
        return NULL;
    if (n > max)
        for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
            n--;
    return xmemdup0(s, n);
}

/* How many bytes of a control character stand here, 0: none. Those of ISO 6429 beyond ASCII are two
 * in UTF-8, and terminals obey them, too. */
static size_t control_len(const unsigned char *p)
{
    if (*p < 0x20 || *p == 0x7f)
        return 1;
    return p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

char *xstrdup_foreign(const char *s, size_t max)
{
    static const char digits[] = "0123456789abcdef";
    cleanup_free char *cut = xstrdup_max(s, max), *text = NULL;
    char *out;

    if (!s)
        return NULL;
    out = text = xmalloc(4 * strlen(cut) + 1);
    for (const unsigned char *p = (const unsigned char *)cut; *p; p++) {
        size_t n = control_len(p);

        if (n == 0) {
            *out++ = (char)*p;
            continue;
        }
        p += n - 1;
        *out++ = '\\';
        if (*p == '\n' || *p == '\r' || *p == '\t') {
            *out++ = *p == '\n' ? 'n' : *p == '\r' ? 'r' : 't';
        } else {
            *out++ = 'x';
            *out++ = digits[*p >> 4];
            *out++ = digits[*p & 15];
        }
    }
    *out = '\0';
    return xstrdup_max(text, max);
}
