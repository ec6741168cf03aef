#include "sidecar/runner/frames.h"

#include <errno.h>

#define HEAD_BYTES 5
#define FIRST_ALLOC 256

/* ---- bytes ----------------------------------------------------------------------------------- */

void frame_buf_done(struct frame_buf *b)
{
    free(b->data);
    *b = (struct frame_buf){0};
}

unsigned char *frame_buf_reserve(struct frame_buf *b, size_t n)
{
    size_t alloc = b->alloc ? b->alloc : FIRST_ALLOC;

    while (alloc - b->len < n)
        alloc *= 2;
    if (alloc != b->alloc) {
        b->data = xrealloc(b->data, alloc);
        b->alloc = alloc;
    }
    return b->data + b->len;
}

void frame_buf_consume_keep(struct frame_buf *b, size_t n, size_t keep)
{
    assert(n <= b->len);
    b->len -= n;
    if (b->len > 0)
        memmove(b->data, b->data + n, b->len);
    else if (b->alloc > keep)
        frame_buf_done(b);
}

void frame_buf_consume(struct frame_buf *b, size_t n)
{
    frame_buf_consume_keep(b, n, 0);
}

static void put(struct frame_buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(frame_buf_reserve(b, len), data, len);
    b->len += len;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void store_u32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

size_t frame_begin(struct frame_buf *b, enum frame_type type)
{
    unsigned char head[HEAD_BYTES] = {[4] = (unsigned char)type};
    size_t start = b->len;

    put(b, head, sizeof(head));
    return start;
}

void frame_put_u32(struct frame_buf *b, uint32_t v)
{
    unsigned char p[4];

    store_u32(p, v);
    put(b, p, sizeof(p));
}

void frame_put_u64(struct frame_buf *b, uint64_t v)
{
    frame_put_u32(b, (uint32_t)v);
    frame_put_u32(b, (uint32_t)(v >> 32));
}

void frame_put_bytes(struct frame_buf *b, const void *data, size_t len)
{
    assert(len <= UINT32_MAX);
    frame_put_u32(b, (uint32_t)len);
    put(b, data, len);
}

void frame_put_text(struct frame_buf *b, const char *s)
{
    frame_put_bytes(b, s, s ? strlen(s) : 0);
}

void frame_end(struct frame_buf *b, size_t start)
{
    store_u32(b->data + start, (uint32_t)(b->len - start - 4));
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint32_t load_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int frame_next(const struct frame_buf *b, enum frame_type *ret_type, struct frame_reader *ret,
               size_t *ret_size)
{
    size_t size;

    if (b->len < 4)
        return 0;
    size = load_u32(b->data);
    if (size < 1 || size > FRAMES_MAX)
        return -EPROTO;
    if (b->len - 4 < size)
        return 0;
    *ret_type = (enum frame_type)b->data[4];
    *ret = (struct frame_reader){.p = b->data + HEAD_BYTES, .left = size - 1};
    *ret_size = size + 4;
    return 1;
}

static const unsigned char *take(struct frame_reader *r, size_t n)
{
    const unsigned char *p = r->p;

    if (r->bad || r->left < n) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    r->left -= n;
    return p;
}

uint32_t frame_get_u32(struct frame_reader *r)
{
    const unsigned char *p = take(r, 4);

    return p ? load_u32(p) : 0;
}

uint64_t frame_get_u64(struct frame_reader *r)
{
    uint64_t low = frame_get_u32(r);

    return low | (uint64_t)frame_get_u32(r) << 32;
}

const void *frame_get_bytes(struct frame_reader *r, size_t *ret_len)
{
    size_t len = frame_get_u32(r);
    const void *p = take(r, len);

    *ret_len = p ? len : 0;
    return p ? p : "";
}

char *frame_get_text(struct frame_reader *r)
{
    size_t len;
    const void *p = frame_get_bytes(r, &len);

    if (memchr(p, 0, len)) {
        r->bad = true;
        len = 0;
    }
    return xmemdup0(p, len);
}

char **frame_get_list(struct frame_reader *r, size_t *ret_count)
{
    size_t n = frame_get_u32(r);
    char **list;

    /* Each text takes four bytes at least, so the frame's own size bounds the list. */
    if (n > r->left / 4) {
        r->bad = true;
        n = 0;
    }
    list = xcalloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        list[i] = frame_get_text(r);
    *ret_count = n;
    return list;
}

void frame_list_free(char ***list)
{
    for (char **p = *list; p && *p; p++)
        free(*p);
    free(*list);
    *list = NULL;
}

bool frame_complete(const struct frame_reader *r)
{
    return !r->bad && r->left == 0;
}
