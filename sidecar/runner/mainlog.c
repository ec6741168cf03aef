#include "sidecar/runner/mainlog.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* The most bytes that a command can leave in its pipe (pipe-max-size). */
#define LEFT_MAX (1u << 20)
#define READ_BYTES 4096

void mainlog_done(struct mainlog *m)
{
    if (m->in >= 0)
        close(m->in);
    free(m->line);
    free(m->out);
    *m = (struct mainlog){.in = -1};
}

/* "[TASK/STEP] ..." and "arl-runner: ...". */
static bool is_like_ours(const char *line, size_t len)
{
    static const char runner[] = "arl-runner:";
    const char *slash;

    if (len >= strlen(runner) && memcmp(line, runner, strlen(runner)) == 0)
        return true;
    if (len == 0 || line[0] != '[')
        return false;
    slash = memchr(line, '/', len);
    return slash && memchr(slash, ']', len - (size_t)(slash - line));
}

static void put(struct mainlog *m, const char *data, size_t len)
{
    memcpy(m->out + m->out_len, data, len);
    m->out_len += len;
}

static void end_line(struct mainlog *m)
{
    m->out = xrealloc(m->out, m->out_len + strlen(MAINLOG_MARK) + PODLOG_ESCAPED(m->len) + 1);
    if (is_like_ours(m->line, m->len))
        put(m, MAINLOG_MARK, strlen(MAINLOG_MARK));
    m->out_len += podlog_escape(m->out + m->out_len, m->line, m->len);
    put(m, "\n", 1);
    m->log->busy = true;
    m->len = 0;
}

/* Whether all of it is out. */
static bool write_out(struct mainlog *m)
{
    while (m->out) {
        size_t n = podlog_write(m->log, m->out + m->out_at, m->out_len - m->out_at);

        m->out_at += n;
        if (m->out_at == m->out_len) {
            free(m->out);
            m->out = NULL;
            m->out_len = m->out_at = 0;
            m->log->busy = false;
        } else if (n == 0) {
            return false;
        }
    }
    return true;
}

/* Takes the bytes up to the end of a line, or of the room; returns how many. */
static size_t take(struct mainlog *m, const char *data, size_t len)
{
    const char *newline = memchr(data, '\n', len);
    size_t n = MIN(newline ? (size_t)(newline - data) : len, MAINLOG_LINE_BYTES - m->len);

    if (!m->line)
        m->line = xmalloc(MAINLOG_LINE_BYTES);
    memcpy(m->line + m->len, data, n);
    m->len += n;
    if (newline && data + n == newline) {
        end_line(m);
        return n + 1;
    }
    if (m->len == MAINLOG_LINE_BYTES)
        end_line(m);
    return n;
}

static void on_end(struct mainlog *m)
{
    close(m->in);
    m->in = -1;
    if (m->len > 0)
        end_line(m);
    free(m->line);
    m->line = NULL;
}

/* Reads once and prepares all lines; false: there was nothing to read. */
static bool read_in(struct mainlog *m)
{
    char data[READ_BYTES];
    ssize_t n = read(m->in, data, sizeof(data));

    for (ssize_t at = 0; at < n;)
        at += (ssize_t)take(m, data + at, (size_t)(n - at));
    if (m->len == 0) {
        free(m->line);
        m->line = NULL;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        on_end(m);
    return n > 0;
}

bool mainlog_poll(const struct mainlog *m, struct pollfd *ret)
{
    *ret = m->out ? (struct pollfd){.fd = m->log->fd, .events = POLLOUT}
                  : (struct pollfd){.fd = m->in, .events = POLLIN};
    return ret->fd >= 0;
}

void mainlog_on_poll(struct mainlog *m)
{
    if (write_out(m) && m->in >= 0 && read_in(m))
        write_out(m);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Waits until the log takes something; false: the time is up. */
static bool wait_for_log(const struct mainlog *m, int64_t until_ms)
{
    struct pollfd fd = {.fd = m->log->fd, .events = POLLOUT};
    int64_t left_ms = until_ms - now_ms();

    return left_ms > 0 && poll(&fd, 1, (int)left_ms) == 1 && (fd.revents & POLLOUT);
}

void mainlog_finish(struct mainlog *m, int64_t limit_ms)
{
    int64_t until_ms = now_ms() + limit_ms;

    for (size_t reads = 0; m->log && reads < LEFT_MAX / READ_BYTES; reads++) {
        while (!write_out(m))
            if (!wait_for_log(m, until_ms))
                return;
        if (m->in < 0 || !read_in(m))
            break;
    }
    if (m->in >= 0)
        on_end(m); /* a line without an end, too */
    while (m->log && !write_out(m) && wait_for_log(m, until_ms))
        continue;
}
