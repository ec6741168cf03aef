#include "common/wire/channel.h"

#include <errno.h>
#include <sodium.h>

#define TEXT_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define TAG_MESSAGE 0
#define TAG_FINAL crypto_secretstream_xchacha20poly1305_TAG_FINAL
#define LENGTH_BYTES 4
#define STATUS_BYTES 2

typedef crypto_secretstream_xchacha20poly1305_state stream_state;

_Static_assert(sizeof(((struct channel_writer *)NULL)->state) == sizeof(stream_state) &&
                   _Alignof(stream_state) == 1,
               "state of a secretstream");
_Static_assert(CHANNEL_HEADER_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES,
               "header of a secretstream");
_Static_assert(CHANNEL_FRAME_OVERHEAD ==
                   LENGTH_BYTES + crypto_secretstream_xchacha20poly1305_ABYTES,
               "overhead of a frame");
_Static_assert(CHANNEL_KEY_BYTES == crypto_scalarmult_BYTES &&
                   CHANNEL_KEY_BYTES == crypto_secretstream_xchacha20poly1305_KEYBYTES &&
                   CHANNEL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
               "keys");
_Static_assert(CHANNEL_SEAL_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag of a body");

/* ---- keys ------------------------------------------------------------------------------------ */

static void wipe_key(unsigned char (*key)[CHANNEL_KEY_BYTES])
{
    sodium_memzero(*key, sizeof(*key));
}

void channel_pair_init(struct channel_pair *ret, const unsigned char secret[CHANNEL_KEY_BYTES])
{
    memcpy(ret->secret, secret, CHANNEL_KEY_BYTES);
    crypto_scalarmult_base(ret->public_key, ret->secret);
}

void channel_pair_wipe(struct channel_pair *p)
{
    sodium_memzero(p, sizeof(*p));
}

void channel_key_format(const unsigned char key[CHANNEL_KEY_BYTES], char ret[CHANNEL_KEY_TEXT])
{
    sodium_bin2base64(ret, CHANNEL_KEY_TEXT, key, CHANNEL_KEY_BYTES, TEXT_VARIANT);
}

bool channel_key_parse(const char *text, size_t len, unsigned char ret[CHANNEL_KEY_BYTES])
{
    char again[CHANNEL_KEY_TEXT];
    size_t got = 0;

    if (len != CHANNEL_KEY_TEXT - 1 ||
        sodium_base642bin(ret, CHANNEL_KEY_BYTES, text, len, NULL, &got, NULL, TEXT_VARIANT) != 0 ||
        got != CHANNEL_KEY_BYTES)
        return false;
    /* A key has one text, which is compared as text elsewhere. */
    channel_key_format(ret, again);
    return memcmp(again, text, len) == 0;
}

/* A text with its length in front, so that no two lists of texts look alike. */
static void hash_text(crypto_generichash_state *h, const char *s)
{
    uint32_t len = (uint32_t)strlen(s);
    unsigned char head[LENGTH_BYTES] = {(unsigned char)len, (unsigned char)(len >> 8),
                                        (unsigned char)(len >> 16), (unsigned char)(len >> 24)};

    crypto_generichash_update(h, head, sizeof(head));
    crypto_generichash_update(h, (const unsigned char *)s, len);
}

static int shared(const unsigned char *secret, const unsigned char *other,
                  const unsigned char *operator_key, const unsigned char *agent_key,
                  const char *pod_uid, struct channel_shared *ret)
{
    CLEANUP(wipe_key) unsigned char point[CHANNEL_KEY_BYTES];
    crypto_generichash_state h;

    /* A point of small order gives a result of zeroes, which anybody could compute. */
    if (crypto_scalarmult(point, secret, other) != 0)
        return -EACCES;
    crypto_generichash_init(&h, NULL, 0, sizeof(ret->key));
    hash_text(&h, "arl channel 2");
    crypto_generichash_update(&h, point, sizeof(point));
    crypto_generichash_update(&h, operator_key, CHANNEL_KEY_BYTES);
    crypto_generichash_update(&h, agent_key, CHANNEL_KEY_BYTES);
    hash_text(&h, pod_uid);
    crypto_generichash_final(&h, ret->key, sizeof(ret->key));
    sodium_memzero(&h, sizeof(h));
    return 0;
}

int channel_shared_operator(const struct channel_pair *operator_pair,
                            const unsigned char agent_key[CHANNEL_KEY_BYTES], const char *pod_uid,
                            struct channel_shared *ret)
{
    return shared(operator_pair->secret, agent_key, operator_pair->public_key, agent_key, pod_uid,
                  ret);
}

int channel_shared_agent(const struct channel_pair *agent_pair,
                         const unsigned char operator_key[CHANNEL_KEY_BYTES], const char *pod_uid,
                         struct channel_shared *ret)
{
    return shared(agent_pair->secret, operator_key, operator_key, agent_pair->public_key, pod_uid,
                  ret);
}

void channel_derive(const struct channel_shared *shared, const struct channel_exchange *x,
                    enum channel_direction direction, unsigned char ret[CHANNEL_KEY_BYTES])
{
    crypto_generichash_state h;

    crypto_generichash_init(&h, shared->key, sizeof(shared->key), CHANNEL_KEY_BYTES);
    hash_text(&h, direction == CHANNEL_REQUEST ? "request" : "answer");
    hash_text(&h, x->method);
    hash_text(&h, x->path);
    hash_text(&h, x->query);
    hash_text(&h, x->sandbox_uid);
    hash_text(&h, x->nonce);
    crypto_generichash_final(&h, ret, CHANNEL_KEY_BYTES);
    sodium_memzero(&h, sizeof(h));
}

/* ---- bodies of requests ---------------------------------------------------------------------- */

static const unsigned char zero_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

int channel_seal(const unsigned char key[CHANNEL_KEY_BYTES], const void *plain, size_t len,
                 struct buf *out)
{
    char *to = buf_extend(out, len + CHANNEL_SEAL_BYTES);

    if (!to)
        return -ENOBUFS;
    crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)to, NULL, plain, len, NULL, 0, NULL,
                                               zero_nonce, key);
    return 0;
}

int channel_open(const unsigned char key[CHANNEL_KEY_BYTES], void *sealed, size_t len,
                 size_t *ret_len)
{
    unsigned long long got = 0;

    if (len < CHANNEL_SEAL_BYTES ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, &got, NULL, sealed, len, NULL, 0,
                                                   zero_nonce, key) != 0)
        return -EBADMSG;
    *ret_len = (size_t)got;
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static stream_state *state_of(unsigned char *state)
{
    return (stream_state *)state;
}

static void put_length(char *to, size_t len)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        to[i] = (char)(unsigned char)(len >> (8 * i));
}

static size_t get_length(const char *from)
{
    size_t len = 0;

    for (int i = 0; i < LENGTH_BYTES; i++)
        len |= (size_t)(unsigned char)from[i] << (8 * i);
    return len;
}

int channel_writer_put(struct channel_writer *w, const void *data, size_t len, bool final,
                       struct buf *out)
{
    size_t sealed = len + crypto_secretstream_xchacha20poly1305_ABYTES;
    char *to;

    assert(len <= CHANNEL_FRAME_MAX);
    to = buf_extend(out, LENGTH_BYTES + sealed);
    if (!to)
        return -ENOBUFS;
    put_length(to, sealed);
    crypto_secretstream_xchacha20poly1305_push(state_of(w->state),
                                               (unsigned char *)to + LENGTH_BYTES, NULL, data, len,
                                               NULL, 0, final ? TAG_FINAL : TAG_MESSAGE);
    return 0;
}

int channel_writer_begin(struct channel_writer *w, const unsigned char key[CHANNEL_KEY_BYTES],
                         int status, struct buf *out)
{
    unsigned char text[STATUS_BYTES] = {(unsigned char)status, (unsigned char)(status >> 8)};
    size_t before = out->len;
    char *header = buf_extend(out, CHANNEL_HEADER_BYTES);

    if (!header)
        return -ENOBUFS;
    crypto_secretstream_xchacha20poly1305_init_push(state_of(w->state), (unsigned char *)header,
                                                    key);
    if (channel_writer_put(w, text, sizeof(text), false, out) < 0) {
        buf_shorten(out, before);
        return -ENOBUFS;
    }
    return 0;
}

int channel_answer(const unsigned char key[CHANNEL_KEY_BYTES], int status, const void *body,
                   size_t len, struct buf *out)
{
    struct channel_writer w;
    const char *p = body;
    int r = channel_writer_begin(&w, key, status, out);

    while (r == 0 && len > CHANNEL_FRAME_MAX) {
        r = channel_writer_put(&w, p, CHANNEL_FRAME_MAX, false, out);
        p += CHANNEL_FRAME_MAX;
        len -= CHANNEL_FRAME_MAX;
    }
    if (r == 0)
        r = channel_writer_put(&w, p, len, true, out);
    sodium_memzero(&w, sizeof(w));
    return r;
}

void channel_reader_init(struct channel_reader *r, const unsigned char key[CHANNEL_KEY_BYTES])
{
    memset(r, 0, sizeof(*r));
    memcpy(r->key, key, CHANNEL_KEY_BYTES);
    buf_init(&r->in, CHANNEL_FRAME_MAX + CHANNEL_FRAME_OVERHEAD);
}

void channel_reader_done(struct channel_reader *r)
{
    buf_done(&r->in);
    sodium_memzero(r->key, sizeof(r->key));
    sodium_memzero(r->state, sizeof(r->state));
}

/* The whole length of the header, or of the frame at the front, as far as it is known; 0: too long.
 */
static size_t wanted_bytes(const struct channel_reader *r)
{
    size_t sealed;

    if (!r->begun)
        return CHANNEL_HEADER_BYTES;
    if (r->in.len < LENGTH_BYTES)
        return LENGTH_BYTES;
    sealed = get_length(r->in.data);
    if (sealed < crypto_secretstream_xchacha20poly1305_ABYTES ||
        sealed > CHANNEL_FRAME_MAX + crypto_secretstream_xchacha20poly1305_ABYTES)
        return 0;
    return LENGTH_BYTES + sealed;
}

static int take_frame(struct channel_reader *r, const struct channel_reader_handler *handler,
                      void *arg)
{
    unsigned char *frame = (unsigned char *)r->in.data + LENGTH_BYTES;
    unsigned char *plain = frame + 1; /* behind the encrypted tag: just where it was encrypted */
    unsigned long long len = 0;
    unsigned char tag;

    if (crypto_secretstream_xchacha20poly1305_pull(state_of(r->state), plain, &len, &tag, frame,
                                                   r->in.len - LENGTH_BYTES, NULL, 0) != 0)
        return -EBADMSG;
    r->final = tag == TAG_FINAL;
    if (r->status == 0) {
        if (len != STATUS_BYTES || r->final)
            return -EBADMSG;
        r->status = plain[0] | plain[1] << 8;
        if (r->status == 0)
            return -EBADMSG;
        handler->on_status(arg, r->status);
    } else if (len > 0) {
        handler->on_data(arg, (const char *)plain, (size_t)len);
    }
    return 0;
}

static int take(struct channel_reader *r, const struct channel_reader_handler *handler, void *arg)
{
    int e = 0;

    if (r->begun) {
        e = take_frame(r, handler, arg);
    } else {
        r->begun = true;
        crypto_secretstream_xchacha20poly1305_init_pull(state_of(r->state),
                                                        (const unsigned char *)r->in.data, r->key);
    }
    buf_clear(&r->in);
    return e;
}

int channel_reader_feed(struct channel_reader *r, const char *data, size_t len,
                        const struct channel_reader_handler *handler, void *arg)
{
    while (len > 0 && (!handler->wanted || handler->wanted(arg))) {
        size_t wanted = wanted_bytes(r), n;
        int e = 0;

        if (r->final)
            return -EBADMSG;
        n = MIN(len, wanted - r->in.len);
        buf_append(&r->in, data, n);
        data += n;
        len -= n;
        wanted = wanted_bytes(r);
        if (wanted == 0)
            return -EBADMSG;
        if (r->in.len == wanted)
            e = take(r, handler, arg);
        if (e < 0)
            return e;
    }
    return 0;
}
