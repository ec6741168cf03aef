#include "sidecar/follow/tail.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/json.h"
#include "sidecar/follow/follow.h"

struct tail {
    const struct tail_opts *opts;
    int fd;
    bool found;   /* the step was */
    bool missing; /* bytes were told to be */
    bool done;
    int code;
    size_t len;
    unsigned char frame[FOLLOW_HEAD_BYTES + FOLLOW_CHUNK_BYTES];
};

static int fail(enum follow_exit code, const char *why)
{
    fprintf(stderr, "arl-sidecar: %s\n", why);
    return code;
}

/* false: nobody reads it any more. */
static bool put(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        struct pollfd wait = {.fd = fd, .events = POLLOUT};

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n < 0)
            poll(&wait, 1, -1);
        n = MAX(n, 0);
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void end_with(struct tail *t, int code)
{
    t->done = true;
    t->code = code;
}

static void refused(struct tail *t, const unsigned char *data, size_t len)
{
    char why[ERR_MSG_MAX];

    snprintf(why, sizeof(why), "%.*s", (int)(len > 0 ? len - 1 : 0), (const char *)data + 1);
    end_with(t, fail(len > 0 ? data[0] : FOLLOW_FAILED, why));
}

static bool tell_gap(const char *data, size_t len)
{
    cleanup_json struct json_object *o = NULL;
    int64_t stream = 0, bytes = 0;
    char text[96];

    if (json_parse(data, len, &o, NULL) < 0 || !json_get_int(o, "stream", &stream) ||
        !json_get_int(o, "bytes", &bytes))
        return false;
    snprintf(text, sizeof(text), "arl: %lld bytes of %s are missing here\n", (long long)bytes,
             stream == 1 ? "stdout" : "stderr");
    return put(STDERR_FILENO, text, strlen(text));
}

/* One frame that is complete; false: it could not be printed. */
static bool take_plain(struct tail *t, enum follow_kind kind, const unsigned char *data, size_t len)
{
    if (kind == FOLLOW_GAP) {
        t->missing = true;
        return tell_gap((const char *)data, len);
    }
    if (kind == FOLLOW_END)
        return true;
    return put(kind == FOLLOW_STDOUT ? STDOUT_FILENO : STDERR_FILENO, data, len);
}

static void take_frame(struct tail *t, enum follow_kind kind, size_t len)
{
    const unsigned char *data = t->frame + FOLLOW_HEAD_BYTES;
    bool ok = true;

    if (kind == FOLLOW_REFUSED) {
        refused(t, data, len);
        return;
    }
    t->found = true;
    if (kind == FOLLOW_FOUND)
        return;
    if (t->opts->framed)
        ok = put(STDOUT_FILENO, t->frame, FOLLOW_HEAD_BYTES + len);
    else
        ok = take_plain(t, kind, data, len);
    if (!ok)
        end_with(t, FOLLOW_FAILED);
    else if (kind == FOLLOW_END)
        end_with(t, t->missing ? FOLLOW_MISSING : FOLLOW_ALL);
}

/* The length of the frame's content, if its head is complete. */
static size_t content_length(const struct tail *t)
{
    size_t n = 0;

    for (int i = 1; i < FOLLOW_HEAD_BYTES; i++)
        n = n << 8 | t->frame[i];
    return n;
}

static size_t wanted(const struct tail *t)
{
    if (t->len < FOLLOW_HEAD_BYTES)
        return FOLLOW_HEAD_BYTES - t->len;
    return FOLLOW_HEAD_BYTES + content_length(t) - t->len;
}

/* Reads on in one frame. */
static void receive(struct tail *t)
{
    ssize_t n = recv(t->fd, t->frame + t->len, wanted(t), 0);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        end_with(t, fail(FOLLOW_FAILED, "the agent has ended the connection"));
        return;
    }
    t->len += (size_t)n;
    if (t->len < FOLLOW_HEAD_BYTES)
        return;
    if (t->frame[0] < FOLLOW_STDOUT || t->frame[0] > FOLLOW_REFUSED ||
        content_length(t) > FOLLOW_CHUNK_BYTES) {
        end_with(t, fail(FOLLOW_FAILED, "the agent is of another release"));
        return;
    }
    if (wanted(t) > 0)
        return;
    take_frame(t, (enum follow_kind)t->frame[0], t->len - FOLLOW_HEAD_BYTES);
    t->len = 0;
}

/* ---- the connection -------------------------------------------------------------------------- */

static int dial(struct tail *t)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = TAIL_ANSWER_MS / 1000};
    int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/" FOLLOW_SOCKET, t->opts->state);
    char line[FOLLOW_LINE_BYTES];

    if (n < 0 || (size_t)n >= sizeof(to.sun_path))
        return -ENAMETOOLONG;
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return -errno;
    /* For connect() as well. */
    setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(t->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return -errno;
    /* A refusal may come before this write: then the answer says why. */
    send(t->fd, line, follow_request_format(&t->opts->request, line), MSG_NOSIGNAL);
    return 0;
}

/* Until there is something to read, or standard output has lost its reader. */
static void await(struct tail *t)
{
    struct pollfd fds[] = {{.fd = t->fd, .events = POLLIN}, {.fd = STDOUT_FILENO}};
    int limit_ms = t->found ? -1 : (int)t->opts->request.wait_s * 1000 + TAIL_ANSWER_MS;
    int n = poll(fds, ARRAY_SIZE(fds), limit_ms);

    if (n == 0)
        end_with(t, fail(FOLLOW_FAILED, "the agent does not answer"));
    else if (n > 0 && fds[0].revents)
        receive(t);
    else if (n > 0)
        end_with(t, FOLLOW_FAILED);
}

int tail_run(const struct tail_opts *opts)
{
    static struct tail t;
    int r;

    t = (struct tail){.opts = opts, .fd = -1};
    r = dial(&t);
    if (r < 0) {
        fprintf(stderr, "arl-sidecar: cannot connect to the agent: %s\n", strerror(-r));
        end_with(&t, FOLLOW_FAILED);
    }
    while (!t.done)
        await(&t);
    if (t.fd >= 0)
        close(t.fd);
    return t.code;
}
