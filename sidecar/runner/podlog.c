#include "sidecar/runner/podlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not more than a pipe takes whole or not at all, and than one that is not full takes at once. */
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

static bool write_now(const struct podlog *p, const char *data, size_t len)
{
    struct pollfd fd = {.fd = p->fd, .events = POLLOUT};

    if (p->fd < 0 || (p->wait && (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT))))
        return false;
    return write(p->fd, data, len) == (ssize_t)len;
}

static void flush(const struct podlog *p, struct podlog_step *s, struct chunk *c)
{
    if (c->len > 0 && !write_now(p, c->data, c->len))
        s->dropped += c->len;
    c->len = 0;
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

/* What the line takes in the log is what counts: many short ones are long with their labels. */
static void end_line(const struct podlog *p, struct podlog_step *s, struct chunk *c, int stream)
{
    static const char last[] = "(further output of this step is not shown here)";

    put_line(p, s, c, s->lines[stream].data, s->lines[stream].len);
    s->used += strlen(s->label) + s->lines[stream].len + 4;
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
