#include "sidecar/runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/backoff.h"

#define READ_BYTES (16u << 10)

bool link_ready(const struct runner *r)
{
    return r->sock >= 0 && r->welcomed;
}

static void redial_later(struct runner *r, int64_t now_ns)
{
    r->redial_ns = now_ns + backoff_ns(RUNNER_REDIAL_MIN_MS, RUNNER_REDIAL_MAX_MS, ++r->redials);
}

static void link_close(struct runner *r)
{
    close(r->sock);
    r->sock = -1;
    if (r->welcomed)
        steps_abandon(r);
    r->welcomed = false;
    frame_buf_done(&r->in);
    frame_buf_done(&r->out);
    redial_later(r, runner_now_ns());
}

static int dial(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        int e = errno;

        close(fd);
        return -e;
    }
    return fd;
}

/* ---- the folder ------------------------------------------------------------------------------ */

void link_open(struct runner *r)
{
    const char *slash = strrchr(r->socket_path, '/');
    cleanup_free char *dir =
        slash ? xmemdup0(r->socket_path, (size_t)(slash - r->socket_path + 1)) : xstrdup(".");

    r->folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The sidecar empties the folder of a runner that it has lost. A runner in there cannot be let in
 * any more; the next life of the container has a new folder at the same path. */
static bool is_retired(const struct runner *r)
{
    return r->folder >= 0 && faccessat(r->folder, FRAMES_RUNNER_FILE, F_OK, 0) < 0 &&
           errno == ENOENT;
}

/* The secret is in the folder until this runner was let in. Afterwards it is only in the memory
 * here. */
static bool read_secret(struct runner *r)
{
    int fd = openat(r->folder, FRAMES_SECRET_FILE, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return false;
    r->has_token = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                   read(fd, r->token, sizeof(r->token)) == (ssize_t)sizeof(r->token);
    close(fd);
    return r->has_token;
}

/* ---- the connection -------------------------------------------------------------------------- */

/* A line in the container's log, for people who wonder why the pod does not become ready. It is
 * normal that the sidecar does not listen yet, so that is not logged. */
static void tell_once(struct runner *r, int e)
{
    if (e == r->told || e == ENOENT || e == ECONNREFUSED || e == EAGAIN)
        return;
    r->told = e;
    fprintf(stderr, "arl-runner: connect to %s: %s\n", r->socket_path, strerror(e));
}

bool link_may_dial(const struct runner *r)
{
    return r->sock < 0 && r->active == 0;
}

static void say_hello(struct runner *r)
{
    size_t start;

    start = frame_begin(&r->out, FRAME_HELLO);
    frame_put_u32(&r->out, FRAMES_VERSION);
    frame_put_bytes(&r->out, r->token, sizeof(r->token));
    frame_end(&r->out, start);
    link_flush(r);
}

void link_dial(struct runner *r, int64_t now_ns)
{
    if (!link_may_dial(r) || now_ns < r->redial_ns)
        return;
    if (is_retired(r)) {
        fprintf(stderr, "arl-runner: the sidecar waits for another start of this container\n");
        runner_end(r, RUNNER_EXIT_RETIRED);
        return;
    }
    r->sock = r->has_token || read_secret(r) ? dial(r->socket_path) : -ENOENT;
    if (r->sock >= 0) {
        say_hello(r);
        return;
    }
    tell_once(r, -r->sock);
    r->sock = -1;
    redial_later(r, now_ns);
}

void link_flush(struct runner *r)
{
    while (r->sock >= 0 && r->out.len > 0) {
        ssize_t n = send(r->sock, r->out.data, r->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            link_close(r);
        if (n < 0)
            return;
        frame_buf_consume(&r->out, (size_t)n);
    }
}

static int on_welcome(struct runner *r, struct frame_reader *f)
{
    if (!frame_complete(f) || r->welcomed)
        return -EPROTO;
    r->welcomed = true;
    r->redials = 0;
    runner_start_main(r);
    return 0;
}

static int on_kill(struct runner *r, struct frame_reader *f)
{
    uint64_t id = frame_get_u64(f);
    uint32_t grace_ms = frame_get_u32(f);

    if (!frame_complete(f))
        return -EPROTO;
    steps_kill(r, id, (int64_t)MIN(grace_ms, RUNNER_GRACE_MS));
    return 0;
}

static int on_frame(struct runner *r, enum frame_type type, struct frame_reader *f)
{
    if (type == FRAME_WELCOME)
        return on_welcome(r, f);
    if (!r->welcomed)
        return -EPROTO;
    switch (type) {
    case FRAME_EXEC:
        steps_exec(r, f);
        return f->bad ? -EPROTO : 0;
    case FRAME_WRITE:
        steps_write(r, f);
        return f->bad ? -EPROTO : 0;
    case FRAME_KILL:
        return on_kill(r, f);
    default:
        return -EPROTO;
    }
}

static void take_frames(struct runner *r)
{
    struct frame_reader f;
    enum frame_type type;
    size_t size;
    int n;

    while ((n = frame_next(&r->in, &type, &f, &size)) > 0) {
        n = on_frame(r, type, &f);
        if (n < 0)
            break;
        frame_buf_consume(&r->in, size);
    }
    if (n < 0)
        link_close(r);
}

void link_on_poll(struct runner *r, short revents)
{
    ssize_t n;

    if (revents & POLLOUT)
        link_flush(r);
    if (r->sock < 0 || !(revents & (POLLIN | POLLHUP | POLLERR)))
        return;
    n = recv(r->sock, frame_buf_reserve(&r->in, READ_BYTES), READ_BYTES, 0);
    if (n > 0) {
        r->in.len += (size_t)n;
        take_frames(r);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        link_close(r);
    }
}

short link_poll_events(const struct runner *r)
{
    return (short)(POLLIN | (r->out.len > 0 ? POLLOUT : 0));
}
