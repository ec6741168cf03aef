/*
 * What a peer that is not the right one can send to the reader of a sealed answer, and as a sealed
 * body. The key is known here, so that frames can be made which open.
 *
 * The input: a byte with the size of the pieces in which the rest is fed (0: in one), then
 * commands: 'f' and 'F' with a byte for the length: a frame with so many of the next bytes that
 * opens, F the last one; 's' with two bytes: the frame of a status; anything else with a byte for
 * the length: so many of the next bytes as they are.
 *
 * What must hold: the reader never hands out what was not sealed, nor in another order, nothing
 * behind the last frame, nothing before a status; it says so when something is wrong and stays
 * wrong, whatever the pieces are. Bodies open only if they were sealed.
 */
#include <errno.h>
#include <sodium.h>

#include "common/wire/channel.h"
#include "tests/fuzz/fuzz.h"

#define PLAIN_MAX (256u << 10)

static const unsigned char key[CHANNEL_KEY_BYTES] = {7, 7, 7};

struct heard {
    struct buf data;
    int status;
    bool early; /* data before the status, or a second status */
};

static void on_status(void *arg, int status)
{
    struct heard *h = arg;

    h->early = h->early || h->status != 0;
    h->status = status;
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct heard *h = arg;

    h->early = h->early || h->status == 0;
    property(len > 0 && len <= CHANNEL_FRAME_MAX);
    property(buf_append(&h->data, data, len) == 0);
}

/* What is sent, and what may come out of it. */
struct sent {
    struct buf wire;
    struct buf plain;
    int status;
    bool broken; /* bytes that are no frame in their place */
    bool final;
};

static size_t take(const uint8_t **data, size_t *size, size_t len)
{
    len = MIN(len, *size);
    *data += len;
    *size -= len;
    return len;
}

static void put_frame(struct sent *s, struct channel_writer *w, const uint8_t *data, size_t len,
                      bool final)
{
    bool fits = !s->broken && !s->final;

    property(channel_writer_put(w, data, len, final, &s->wire) == 0);
    if (fits && s->status == 0) {
        /* The frame is in the place of the status. */
        s->status = len == 2 && !final ? data[0] | data[1] << 8 : 0;
        s->broken = s->status == 0;
    } else if (fits) {
        buf_append(&s->plain, data, len);
        s->final = final;
    } else {
        s->broken = true;
    }
}

/* The header comes first. This writer goes on behind its last frame, as a bad peer could. */
static void make(struct sent *s, const uint8_t *data, size_t size)
{
    struct channel_writer w;
    cleanup_buf struct buf head = BUF_INIT(256);

    property(channel_writer_begin(&w, key, 1, &head) == 0);
    /* Sets the writer back to where it was before it wrote the status. */
    crypto_secretstream_xchacha20poly1305_init_pull(
        (crypto_secretstream_xchacha20poly1305_state *)(void *)w.state, (unsigned char *)head.data,
        key);
    buf_append(&s->wire, head.data, CHANNEL_HEADER_BYTES);
    while (size >= 2) {
        uint8_t what = data[0], n = data[1];
        const uint8_t *from = data + 2;
        size_t len;

        take(&data, &size, 2);
        len = take(&data, &size, what == 's' ? 2 : n);
        if (what == 'f' || what == 'F' || what == 's') {
            put_frame(s, &w, from, len, what == 'F');
        } else if (len > 0) {
            buf_append(&s->wire, from, len);
            s->broken = true;
        }
    }
}

static void read_all(const struct sent *s, size_t piece)
{
    static const struct channel_reader_handler handler = {.on_status = on_status,
                                                          .on_data = on_data};
    CLEANUP(channel_reader_done) struct channel_reader r;
    struct heard h = {.data = BUF_INIT(PLAIN_MAX)};
    int e = 0;

    channel_reader_init(&r, key);
    for (size_t at = 0, n; at < s->wire.len && e == 0; at += n) {
        n = piece == 0 ? s->wire.len : MIN(piece, s->wire.len - at);
        e = channel_reader_feed(&r, s->wire.data + at, n, &handler, &h);
    }
    property(e == 0 || e == -EBADMSG);
    property(!h.early && r.in.len <= CHANNEL_FRAME_MAX + CHANNEL_FRAME_OVERHEAD);
    /* An error needs a broken stream. The opposite does not hold: bytes that are no frame may look
     * like the beginning of a frame that is not all there. */
    property(s->broken || e == 0);
    property(h.status == s->status && h.data.len == s->plain.len);
    property(memcmp(buf_str(&h.data), buf_str(&s->plain), h.data.len) == 0);
    property(e < 0 || r.final == s->final);
    property(!(s->final && s->broken) || e == -EBADMSG);
    buf_done(&h.data);
}

static void open_body(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf sealed = BUF_INIT(PLAIN_MAX);
    cleanup_free char *copy = xmemdup0(data, size);
    size_t len = SIZE_MAX;

    property(channel_open(key, copy, size, &len) == -EBADMSG && len == SIZE_MAX);
    property(channel_seal(key, data, size, &sealed) == 0);
    property(sealed.len == size + CHANNEL_SEAL_BYTES);
    property(channel_open(key, sealed.data, sealed.len, &len) == 0 && len == size);
    property(memcmp(sealed.data, data, size) == 0);
    sealed.len = 0;
    property(channel_seal(key, data, size, &sealed) == 0);
    sealed.data[size > 0 ? data[0] % sealed.len : 0] ^= 1;
    property(channel_open(key, sealed.data, sealed.len, &len) == -EBADMSG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sent s = {.wire = BUF_INIT(PLAIN_MAX), .plain = BUF_INIT(PLAIN_MAX)};

    if (size == 0 || size > PLAIN_MAX / 32 || sodium_init() < 0)
        return 0;
    make(&s, data + 1, size - 1);
    read_all(&s, data[0]);
    read_all(&s, 0);
    open_body(data, size);
    buf_done(&s.wire);
    buf_done(&s.plain);
    return 0;
}
