/*
 * A growing byte buffer with a stated maximum. The buffer owns its memory. Appending past the
 * maximum fails with -ENOBUFS and changes nothing. The code that makes a buffer names its limit.
 * The code that appends data from outside handles the failure. The result of an append may be
 * ignored where the limit holds all that can come: after a failure a shorter text still fits, and
 * the contents would have a hole.
 *
 * Pointers into a buffer (data, and what buf_extend() and buf_str() return) are good until the next
 * call that changes it. len and data may be read; the functions below change them.
 */
#ifndef ARL_COMMON_BASE_BUF_H
#define ARL_COMMON_BASE_BUF_H

#include "common/base/base.h"

struct buf {
    char *data; /* NUL-terminated once anything was appended; may be NULL while len is 0 */
    size_t len; /* without the NUL */
    size_t alloc;
    size_t max; /* limit for len */
};

#define BUF_INIT(max_bytes)                                                                        \
    {                                                                                              \
        .max = (max_bytes)                                                                         \
    }

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);  /* frees the memory; the buffer is then empty and usable again */
void buf_clear(struct buf *b); /* len = 0, keeps the memory */

/* All return 0 or -ENOBUFS. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes the contents longer by len bytes, which the caller fills in; NULL instead of -ENOBUFS. */
char *buf_extend(struct buf *b, size_t len);

/* Removes the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Removes all behind the first len bytes (len <= b->len). */
void buf_shorten(struct buf *b, size_t len);
/* The contents as a NUL-terminated string, "" when empty; owned by the buffer. */
const char *buf_str(const struct buf *b);
/* Takes the memory out as a NUL-terminated string that the caller frees; the buffer is empty then.
 */
char *buf_steal(struct buf *b);

#define cleanup_buf CLEANUP(buf_done)

#endif
