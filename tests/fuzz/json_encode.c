/*
 * The JSON encoder for json_diff: reads blobs (4 bytes of length, little endian, and the bytes) and
 * writes a line for each: what json_escaped_len() and json_stored_len() say, and the encoder's
 * text.
 */
#include <stdio.h>

#include "common/base/json.h"

#define BLOB_MAX (8u << 20)

static bool read_blob(struct buf *ret)
{
    unsigned char head[4];
    size_t len;

    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return false;
    len = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    buf_clear(ret);
    for (size_t i = 0; i < len; i++) {
        int c = getc(stdin);

        assert(c != EOF && buf_putc(ret, (char)c) == 0);
    }
    return true;
}

int main(void)
{
    cleanup_buf struct buf in = BUF_INIT(BLOB_MAX), out = BUF_INIT(6 * BLOB_MAX);

    while (read_blob(&in)) {
        /* Blocks of the exact size, so that a read past the end is seen. */
        cleanup_free char *exact = xmalloc(in.len + (in.len == 0));

        if (in.len)
            memcpy(exact, in.data, in.len);
        buf_clear(&out);
        assert(json_escape(&out, exact, in.len) == 0);
        printf("%zu %zu ", json_escaped_len(exact, in.len), json_stored_len(exact, in.len));
        fwrite(out.data, 1, out.len, stdout);
        putchar('\n');
    }
    return 0;
}
