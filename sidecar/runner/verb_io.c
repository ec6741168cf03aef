/* The old functions for SHA-256 need nothing else of the library. The new ones would add two
 * megabytes to a program that is copied into each container. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sidecar/runner/verb_io.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* ---- descriptors ----------------------------------------------------------------------------- */

static int wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, VERB_IDLE_MS);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : n == 0 ? ETIMEDOUT : 0;
}

/* *ret 0: the other end is closed. */
static int read_some(int fd, void *data, size_t len, size_t *ret)
{
    for (;;) {
        int e = wait_for(fd, POLLIN);
        ssize_t n;

        if (e)
            return e;
        n = read(fd, data, len);
        *ret = (size_t)MAX(n, 0);
        if (n >= 0)
            return 0;
        if (errno != EINTR && errno != EAGAIN)
            return errno;
    }
}

static int read_full(int fd, void *data, size_t len)
{
    size_t n = 1;
    int e = 0;

    for (char *p = data; !e && len > 0; p += n, len -= n) {
        e = read_some(fd, p, len, &n);
        if (!e && n == 0)
            return VERB_CUT;
    }
    return e;
}

int verb_write(int fd, const char *data, size_t len)
{
    while (len > 0) {
        int e = wait_for(fd, POLLOUT);
        ssize_t n;

        if (e)
            return e;
        n = write(fd, data, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        data += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

void verb_in_init(struct verb_in *in, int fd, enum verb_body kind, uint64_t size,
                  const unsigned char *want)
{
    *in = (struct verb_in){.fd = fd, .kind = kind, .has_want = want != NULL};
    if (kind == VERB_BODY_SIZED)
        in->left = size;
    if (want)
        memcpy(in->want, want, sizeof(in->want));
    SHA256_Init(&in->hash);
}

static int check_end(struct verb_in *in)
{
    in->ended = true;
    SHA256_Final(in->digest, &in->hash);
    if (in->has_want && memcmp(in->want, in->digest, sizeof(in->want)) != 0)
        return VERB_CHECKSUM;
    return 0;
}

/* The head of a frame; the last one has the checksum behind it. */
static int next_frame(struct verb_in *in)
{
    unsigned char head[4];
    int e = read_full(in->fd, head, sizeof(head));

    if (e)
        return e;
    in->left = (uint64_t)head[0] << 24 | (uint64_t)head[1] << 16 | (uint64_t)head[2] << 8 | head[3];
    if (in->left > VERB_FRAME_BYTES_MAX)
        return VERB_FRAME;
    if (in->left > 0)
        return 0;
    in->has_want = true;
    e = read_full(in->fd, in->want, sizeof(in->want));
    return e ? e : check_end(in);
}

static int prepare(struct verb_in *in)
{
    if (in->ended || in->left > 0 || in->kind == VERB_BODY_PLAIN)
        return 0;
    return in->kind == VERB_BODY_FRAMED ? next_frame(in) : check_end(in);
}

int verb_in_read(struct verb_in *in, void *data, size_t len, size_t *ret)
{
    int e = prepare(in);

    *ret = 0;
    if (e || in->ended)
        return e;
    if (in->kind != VERB_BODY_PLAIN)
        len = (size_t)MIN((uint64_t)len, in->left);
    e = read_some(in->fd, data, len, ret);
    if (!e && *ret == 0)
        e = VERB_CUT;
    if (e)
        return e;
    SHA256_Update(&in->hash, data, *ret);
    in->size += *ret;
    if (in->kind != VERB_BODY_PLAIN)
        in->left -= *ret;
    return 0;
}

int verb_in_full(struct verb_in *in, void *data, size_t len)
{
    size_t n;

    for (char *p = data; len > 0; p += n, len -= n) {
        int e = verb_in_read(in, p, len, &n);

        if (e)
            return e;
        if (n == 0)
            return VERB_CUT;
    }
    return 0;
}

int verb_in_finish(struct verb_in *in)
{
    char data[4096];
    size_t n = 1;
    int e = 0;

    while (!e && !in->ended && in->kind != VERB_BODY_PLAIN)
        e = verb_in_read(in, data, sizeof(data), &n);
    return e || in->ended ? e : check_end(in);
}

/* ---- answers --------------------------------------------------------------------------------- */

void verb_out_init(struct verb_out *out, int fd)
{
    *out = (struct verb_out){.fd = fd};
    SHA256_Init(&out->hash);
}

int verb_out_write(struct verb_out *out, const void *data, size_t len)
{
    int e = verb_write(out->fd, data, len);

    if (e)
        return e;
    SHA256_Update(&out->hash, data, len);
    out->size += len;
    return 0;
}

int verb_out_flush(struct verb_out *out, struct buf *b)
{
    int e = b->len ? verb_out_write(out, b->data, b->len) : 0;

    buf_clear(b);
    return e;
}

void verb_out_digest(const struct verb_out *out, unsigned char ret[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX copy = out->hash;

    SHA256_Final(ret, &copy);
}

/* ---- checksums as text ----------------------------------------------------------------------- */

void verb_hash_format(const unsigned char digest[SHA256_DIGEST_LENGTH], char ret[VERB_HASH_TEXT])
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        ret[2 * i] = hex[digest[i] >> 4];
        ret[2 * i + 1] = hex[digest[i] & 15];
    }
    ret[VERB_HASH_TEXT - 1] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool verb_hash_parse(const char *text, unsigned char ret[SHA256_DIGEST_LENGTH])
{
    if (strlen(text) != VERB_HASH_TEXT - 1)
        return false;
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
