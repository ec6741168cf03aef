/* What comes over the runner's socket: from the user's container. */
#include <sys/types.h>

#include "sidecar/runner/frames.h"
#include "tests/fuzz/fuzz.h"

static void read_fields(enum frame_type type, struct frame_reader *r)
{
    size_t len;

    switch (type) {
    case FRAME_EXEC: {
        char *dir, **list;

        frame_get_u64(r);
        dir = frame_get_text(r);
        list = frame_get_list(r, &len);
        property(dir);
        frame_list_free(&list);
        free(dir);
        break;
    }
    case FRAME_OUT:
        frame_get_u64(r);
        frame_get_u32(r);
        property(frame_get_bytes(r, &len) || len == 0 || r->bad);
        break;
    default:
        frame_get_u32(r);
        free(frame_get_text(r));
    }
    property(!frame_complete(r) || r->left == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_buf b = {0};
    struct frame_reader r;
    enum frame_type type;
    size_t frame;

    if (size > 0)
        memcpy(frame_buf_reserve(&b, size), data, size);
    b.len = size;
    while (frame_next(&b, &type, &r, &frame) == 1) {
        property(frame > 0 && frame <= b.len);
        read_fields(type, &r);
        frame_buf_consume(&b, frame);
    }
    frame_buf_done(&b);
    return 0;
}
