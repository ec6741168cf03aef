/*
 * What comes over the runner's socket: from the user's container. Each frame is read in the form of
 * its type; what can be read is written again and must come out as the same bytes.
 */
#include "sidecar/runner/frames.h"
#include "tests/fuzz/fuzz.h"

/* The fields of each type: numbers of 4 and 8 bytes, bytes, text, list of texts. */
static const char *const forms[] = {
    [FRAME_HELLO] = "4b", [FRAME_OUT] = "84b",         [FRAME_DONE] = "8448t",
    [FRAME_WELCOME] = "", [FRAME_EXEC] = "8tttllt44b", [FRAME_WRITE] = "8t4444tb",
    [FRAME_KILL] = "84",
};

static void copy_list(struct frame_reader *r, struct frame_buf *out)
{
    size_t count;
    char **list = frame_get_list(r, &count);

    property(list && !list[count]);
    frame_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        property(list[i]);
        frame_put_text(out, list[i]);
    }
    frame_list_free(&list);
    property(!list);
}

static void copy_field(char field, struct frame_reader *r, struct frame_buf *out)
{
    cleanup_free char *text = NULL;
    const void *bytes;
    size_t len;

    switch (field) {
    case '4':
        frame_put_u32(out, frame_get_u32(r));
        break;
    case '8':
        frame_put_u64(out, frame_get_u64(r));
        break;
    case 'b':
        bytes = frame_get_bytes(r, &len);
        property(bytes);
        frame_put_bytes(out, bytes, len);
        break;
    case 't':
        text = frame_get_text(r);
        property(text);
        frame_put_text(out, text);
        break;
    default:
        copy_list(r, out);
    }
}

static void read_fields(enum frame_type type, struct frame_reader r, const unsigned char *frame,
                        size_t size)
{
    struct frame_buf again = {0};
    size_t start = frame_begin(&again, type);
    const char *form = (size_t)type < ARRAY_SIZE(forms) ? forms[type] : NULL;

    for (; form && *form; form++)
        copy_field(*form, &r, &again);
    frame_end(&again, start);
    property(!frame_complete(&r) || r.left == 0);
    if (form && frame_complete(&r))
        property(again.len == size && memcmp(again.data, frame, size) == 0);
    frame_buf_done(&again);
}

/* The frame alone, in a block of its size, so that a read past its end is seen; and without its
 * last byte, when it is none yet. */
static void take(const unsigned char *frame, size_t size)
{
    struct frame_buf b = {.data = xmalloc(size - 1), .len = size - 1};
    struct frame_reader r;
    enum frame_type type;
    size_t n;

    memcpy(b.data, frame, size - 1);
    property(frame_next(&b, &type, &r, &n) == 0);
    b.data = xrealloc(b.data, size);
    memcpy(b.data, frame, size);
    b.len = size;
    property(frame_next(&b, &type, &r, &n) == 1 && n == size);
    read_fields(type, r, frame, size);
    free(b.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_buf b = {0};
    struct frame_reader r;
    enum frame_type type;
    size_t frame, used = 0;
    int n;

    if (size > 0)
        memcpy(frame_buf_reserve(&b, size), data, size);
    b.len = size;
    while ((n = frame_next(&b, &type, &r, &frame)) == 1) {
        property(frame > 4 && frame <= b.len && frame - 4 <= FRAMES_MAX);
        property(r.p == b.data + 5 && r.left == frame - 5);
        take(data + used, frame);
        frame_buf_consume(&b, frame);
        used += frame;
        property(b.len == size - used && (!b.len || !memcmp(b.data, data + used, b.len)));
    }
    property(n == 0 || b.len >= 4);
    frame_buf_done(&b);
    return 0;
}
