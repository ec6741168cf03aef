#include "sidecar/runner/podlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A size that a pipe takes whole or not at all, and takes at once unless it is full. */
#define CHUNK_BYTES PIPE_BUF
_Static_assert(PODLOG_LABEL_BYTES + PODLOG_LINE_BYTES + 8 < CHUNK_BYTES, "a line fits");

struct chunk {
    char data[CHUNK_BYTES];
    size_t len;
};

struct podlog podlog_open(int fd)
{
    struct podlog p = {.fd = fd, .wait = true};
    char name[32];
    struct stat st;
    int own;

    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
        return p;
    /* O_NONBLOCK on fd itself would be the main command's, too: opened anew it is ours. */
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    own = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own < 0 ? p : (struct podlog){.fd = own};
}

void podlog_close(struct podlog *p)
{
    if (!p->wait && p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* ---- escapes --------------------------------------------------------------------------------- */

/* The code point of the UTF-8 sequence at the front, and its length; 0 if there is none. */
static size_t decode(const unsigned char *p, size_t len, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

    if (n == 0 || n > len || p[0] >= 0xf8)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
        return 0;
    *ret = c;
    return n;
}

static bool is_plain(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } bad[] = {
        {0, 8},           {10, 31},         {0x7f, 0x9f},       {0xad, 0xad},
        {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f},
    };
    size_t i = 0;

    while (i < ARRAY_SIZE(bad) && (c < bad[i].first || c > bad[i].last))
        i++;
    return i == ARRAY_SIZE(bad);
}

size_t podlog_escape(char *to, const char *from, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        const unsigned char *p = (const unsigned char *)from + i;
        uint32_t c = 0;
        size_t size = decode(p, len - i, &c);

        if (size > 0 && is_plain(c)) {
            memcpy(to + n, p, size);
            n += size;
            i += size;
            continue;
        }
        for (size_t end = i + MAX(size, 1); i < end; i++) {
            unsigned char b = (unsigned char)from[i];

            memcpy(to + n, (const char[]){'\\', 'x', digits[b >> 4], digits[b & 15]}, 4);
            n += 4;
        }
    }
    return n;
}

/* ---- the log --------------------------------------------------------------------------------- */

static bool write_now(const struct podlog *p, const char *data, size_t len)
{
    struct pollfd fd = {.fd = p->fd, .events = POLLOUT};

    if (p->fd < 0 || p->busy || (p->wait && (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT))))
        return false;
    return write(p->fd, data, len) == (ssize_t)len;
}

size_t podlog_write(const struct podlog *p, const char *data, size_t len)
{
    const struct podlog ours = {.fd = p->fd, .wait = p->wait};
    size_t done = 0;

    /* Without a log nobody is to be held up. */
    if (p->fd < 0)
        return len;
    while (done < len) {
        size_t n = MIN(len - done, CHUNK_BYTES);
        const char *newline = memrchr(data + done, '\n', n);

        n = newline ? (size_t)(newline + 1 - data) - done : n;
        if (!write_now(&ours, data + done, n))
            break;
        done += n;
    }
    return done;
}

static void flush(const struct podlog *p, struct podlog_step *s, struct chunk *c)
{
    if (c->len > 0 && !write_now(p, c->data, c->len))
        s->dropped += c->len;
    c->len = 0;
}

void podlog_set_label(struct podlog_step *s, const char *label)
{
    char text[PODLOG_ESCAPED(PODLOG_LABEL_BYTES)];
    size_t len = podlog_escape(text, label, strnlen(label, PODLOG_LABEL_BYTES - 1));

    len = MIN(len, sizeof(s->label) - 1);
    memcpy(s->label, text, len);
    s->label[len] = '\0';
}

static void put_line(const struct podlog *p, struct podlog_step *s, struct chunk *c,
                     const char *text, size_t len)
{
    size_t label = strlen(s->label);

    if (c->len + label + len + 4 > sizeof(c->data))
        flush(p, s, c);
    c->data[c->len++] = '[';
    memcpy(c->data + c->len, s->label, label);
    c->len += label;
    memcpy(c->data + c->len, "] ", 2);
    c->len += 2;
    memcpy(c->data + c->len, text, len);
    c->len += len;
    c->data[c->len++] = '\n';
}

/* The bytes of the line in the log count, with its label: many short lines are long with their
 * labels. */
static void end_line(const struct podlog *p, struct podlog_step *s, struct chunk *c, int stream)
{
    static const char last[] = "(further output of this step is not shown here)";

    char text[PODLOG_ESCAPED(PODLOG_LINE_BYTES)];
    size_t len = podlog_escape(text, s->lines[stream].data, s->lines[stream].len), at = 0, n;

    do {
        n = MIN(len - at, PODLOG_LINE_BYTES);
        put_line(p, s, c, text + at, n);
        s->used += strlen(s->label) + n + 4;
        at += n;
    } while (at < len && s->used < PODLOG_STEP_BYTES);
    s->lines[stream].len = 0;
    if (s->used >= PODLOG_STEP_BYTES)
        put_line(p, s, c, last, strlen(last));
}

void podlog_put(const struct podlog *p, struct podlog_step *s, int stream, const char *data,
                size_t len)
{
    struct chunk c = {.len = 0};

    for (size_t i = 0; i < len && s->used < PODLOG_STEP_BYTES; i++) {
        if (data[i] != '\n')
            s->lines[stream].data[s->lines[stream].len++] = data[i];
        if (data[i] == '\n' || s->lines[stream].len == PODLOG_LINE_BYTES)
            end_line(p, s, &c, stream);
    }
    flush(p, s, &c);
}

void podlog_end(const struct podlog *p, struct podlog_step *s)
{
    struct chunk c = {.len = 0};
    char text[64];
    int n;

    for (int i = 0; i < 2; i++)
        if (s->lines[i].len > 0 && s->used < PODLOG_STEP_BYTES)
            end_line(p, s, &c, i);
    flush(p, s, &c);
    if (s->dropped == 0)
        return;
    n = snprintf(text, sizeof(text), "(%" PRIu64 " bytes were lost here)", s->dropped);
    put_line(p, s, &c, text, (size_t)n);
    flush(p, s, &c);
}
