#include "common/base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_ALLOC 128

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct buf)BUF_INIT(b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for extra more bytes and the NUL, or -ENOBUFS. */
static int buf_reserve(struct buf *b, size_t extra)
{
    size_t want;

    if (extra > b->max || b->len > b->max - extra)
        return -ENOBUFS;
    want = b->len + extra + 1;
    if (want > b->alloc) {
        b->alloc = MAX(MAX(want, b->alloc * 2), BUF_FIRST_ALLOC);
        b->alloc = MIN(b->alloc, b->max + 1);
        b->data = xrealloc(b->data, b->alloc);
    }
    return 0;
}

char *buf_extend(struct buf *b, size_t len)
{
    char *p;

    if (buf_reserve(b, len) < 0)
        return NULL;
    p = b->data + b->len;
    b->len += len;
    b->data[b->len] = '\0';
    return p;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    char *p = buf_extend(b, len);

    if (!p)
        return -ENOBUFS;
    if (len)
        memcpy(p, data, len);
    return 0;
}

int buf_puts(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_putc(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->alloc - b->len;
    va_list ap;
    int n, r;

    /* It mostly fits. */
    va_start(ap, fmt);
    n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if ((size_t)n >= room) {
        if (room)
            b->data[b->len] = '\0';
        r = buf_reserve(b, (size_t)n);
        if (r < 0)
            return r;
        va_start(ap, fmt);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
    b->data[b->len] = '\0';
}

void buf_shorten(struct buf *b, size_t len)
{
    assert(len <= b->len);
    if (len == b->len)
        return;
    b->len = len;
    b->data[len] = '\0';
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_steal(struct buf *b)
{
    char *s = b->data ? b->data : xstrdup("");

    *b = (struct buf)BUF_INIT(b->max);
    return s;
}
