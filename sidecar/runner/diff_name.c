#include "sidecar/runner/diff_name.h"

static int octal(const char *p, size_t len)
{
    int v = 0;

    if (len < 3)
        return -1;
    for (int i = 0; i < 3; i++) {
        if (p[i] < '0' || p[i] > '7')
            return -1;
        v = v * 8 + (p[i] - '0');
    }
    return v > 255 ? -1 : v;
}

/* The byte that an escape in git's quoted names stands for; *ret_len: how many characters the
 * escape has. */
static int unescape(const char *p, size_t len, size_t *ret_len)
{
    static const char from[] = "abtnvfr\"\\", to[] = "\a\b\t\n\v\f\r\"\\";
    const char *at = len ? memchr(from, p[0], sizeof(from) - 1) : NULL;

    *ret_len = at ? 1 : 3;
    return at ? (unsigned char)to[at - from] : octal(p, len);
}

char *diff_take_quoted(struct diff_line *l)
{
    cleanup_free char *name = xmalloc(l->len + 1);
    size_t n = 0, i = 1;

    while (i < l->len && l->p[i] != '"') {
        size_t used = 0;
        int c = (unsigned char)l->p[i++];

        if (c == '\\') {
            c = unescape(l->p + i, l->len - i, &used);
            i += used;
        }
        if (c <= 0)
            return NULL;
        name[n++] = (char)c;
    }
    if (i >= l->len)
        return NULL;
    l->p += i + 1;
    l->len -= i + 1;
    name[n] = '\0';
    return str_take(&name);
}

void diff_squeeze(char *name)
{
    char *to = name;

    for (const char *from = name; *from; from++)
        if (*from != '/' || from[1] != '/')
            *to++ = *from;
    *to = '\0';
}

char *diff_rest_name(struct diff_line l)
{
    const char *tab;

    if (l.len > 0 && l.p[0] == '"')
        return diff_take_quoted(&l);
    tab = l.len ? memchr(l.p, '\t', l.len) : NULL;
    if (tab)
        l.len = (size_t)(tab - l.p);
    return l.len > 0 && !memchr(l.p, '\0', l.len) ? xmemdup0(l.p, l.len) : NULL;
}

/* The date of a file, which diff(1) writes behind its name: "YYYY-MM-DD HH:MM:SS[.N] [+-]HHMM". */
#define DATE_BYTES strlen("YYYY-MM-DD HH:MM:SS")

static bool is_date(const char *p, size_t len)
{
    static const char form[] = "dddd-dd-dd dd:dd:dd";

    for (size_t i = 0; i < DATE_BYTES; i++)
        if (i >= len || (form[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != form[i]))
            return false;
    return true;
}

size_t diff_date_at(struct diff_line l)
{
    const char *tab = l.len ? memchr(l.p, '\t', l.len) : NULL;
    size_t behind = tab ? (size_t)(tab + 1 - l.p) : 0;

    if (tab)
        return is_date(l.p + behind, l.len - behind) ? behind : l.len;
    for (size_t i = 1; i < l.len; i++)
        if (l.p[i - 1] == ' ' && is_date(l.p + i, l.len - i))
            return i;
    return l.len;
}

static int two_digits(const char *p)
{
    return 10 * (p[0] - '0') + p[1] - '0';
}

bool diff_is_epoch(const char *p, size_t len)
{
    struct diff_line zone = {p + DATE_BYTES, len - DATE_BYTES};
    int day = memcmp(p, "1970-01-01", 10) == 0 ? 0 : memcmp(p, "1969-12-31", 10) == 0 ? -1 : 1;
    int minutes, offset = 0;

    if (diff_take_text(&zone, "."))
        while (diff_take_text(&zone, "0"))
            ;
    if (diff_take_text(&zone, " ") && zone.len >= 5 && (zone.p[0] == '+' || zone.p[0] == '-'))
        offset = (zone.p[0] == '-' ? -1 : 1) *
                 (60 * two_digits(zone.p + 1) + two_digits(zone.p + zone.len - 2));
    else if (zone.len > 0)
        return false;
    minutes = 60 * two_digits(p + 11) + two_digits(p + 14);
    return day <= 0 && memcmp(p + 17, "00", 2) == 0 && 24 * 60 * day + minutes == offset;
}

void diff_strip(char *name)
{
    char *slash = strchr(name, '/');

    if (slash && slash != name)
        memmove(name, slash + 1, strlen(slash + 1) + 1);
    diff_squeeze(name);
}
