/*
 * A library to be preloaded. It makes the k-th call of a class fail, in a process and in its forks,
 * and counts the calls of the class. Programs that the process executes are left alone.
 *
 *   TORTURE_CLASS   one of the names below
 *   TORTURE_AT      which call fails, from 1 on; 0: none
 *   TORTURE_FILE    a file of sizeof(struct state) bytes, filled in while the process runs
 *   TORTURE_SHORT_SOCKETS  set: calls on sockets can be short. A program that watches sockets by
 *                   edges, as libmicrohttpd does, takes a short call for the last one before it
 *                   would block; with a real kernel that is so. So only the runner has this set.
 *
 * Errors are those that a kernel gives: see fault_of(). Sanitized programs have interceptors of
 * their own for some of this; RTLD_NEXT finds those, or libc's.
 */
/* Both names of a call get a definition of their own. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum class { MALLOC, READ, WRITE, NET, FD, SYNC, NAME, SPAWN, POLL, SHORT, EINTR_, NONE };

static const char *const class_names[] = {"malloc", "read",  "write", "net",   "fd",   "sync",
                                          "name",   "spawn", "poll",  "short", "eintr"};

struct state {
    _Atomic uint64_t count;
    _Atomic uint64_t hit;
    char name[48];
};

static struct state nowhere;
static struct state *state = &nowhere;
static enum class armed = NONE;
static uint64_t at;
static bool short_sockets;

__attribute__((constructor)) static void set_up(void)
{
    const char *name = getenv("TORTURE_CLASS"), *k = getenv("TORTURE_AT");
    const char *file = getenv("TORTURE_FILE");
    int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
    enum class c = MALLOC;
    void *p;

    short_sockets = getenv("TORTURE_SHORT_SOCKETS") != NULL;
    for (const char *const *v =
             (const char *const[]){"LD_PRELOAD", "TORTURE_CLASS", "TORTURE_AT", "TORTURE_FILE",
                                   "TORTURE_SHORT_SOCKETS", NULL};
         *v; v++)
        unsetenv(*v);
    if (fd < 0 || !name)
        return;
    p = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    while (c != NONE && strcmp(class_names[c], name) != 0)
        c++;
    if (p == MAP_FAILED || c == NONE)
        abort();
    state = p;
    at = k ? strtoull(k, NULL, 10) : 0;
    armed = c;
}

/* Whether this call is the one. */
static bool due(enum class c, const char *name)
{
    if (c != armed || atomic_fetch_add(&state->count, 1) + 1 != at)
        return false;
    strncpy(state->name, name, sizeof(state->name) - 1);
    atomic_store(&state->hit, 1);
    return true;
}

static mode_t kind(int fd)
{
    struct stat st;
    int e = errno;
    mode_t r = fstat(fd, &st) < 0 ? 0 : st.st_mode & S_IFMT;

    errno = e;
    return r;
}

/* Descriptors 0 to 2 never fail: a program is judged by what it says there. A pipe can only be
 * interrupted: no program here keeps on writing to a pipe that nobody reads. */
static bool can_fail(int fd)
{
    mode_t k = armed == NONE || armed == MALLOC || fd <= STDERR_FILENO ? 0 : kind(fd);

    return k == S_IFREG || k == S_IFSOCK || (k == S_IFIFO && armed == EINTR_);
}

static bool can_be_short(int fd)
{
    return short_sockets || kind(fd) == S_IFREG;
}

static int fault_of(enum class c, int fd)
{
    mode_t k = kind(fd);

    if (c == READ)
        return k == S_IFSOCK ? ECONNRESET : EIO;
    return k == S_IFREG ? ENOSPC : EPIPE;
}

#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                     \
        real;                                                                                      \
    })

/* A call that fails in the same way whatever its arguments are. */
#define FAILS(class, error, ret, name, params, args)                                               \
    ret name params;                                                                               \
    ret name params                                                                                \
    {                                                                                              \
        if (due(class, #name)) {                                                                   \
            errno = error;                                                                         \
            return (ret)-1;                                                                        \
        }                                                                                          \
        return REAL(name) args;                                                                    \
    }

/* ---- memory: the program's own or, where it defines malloc() itself (oom.c), what that calls --
 */

#define FAILS_MEMORY(name, params, args)                                                           \
    void *name params;                                                                             \
    void *name params                                                                              \
    {                                                                                              \
        if (due(MALLOC, #name)) {                                                                  \
            errno = ENOMEM;                                                                        \
            return NULL;                                                                           \
        }                                                                                          \
        return REAL(name) args;                                                                    \
    }

#define FAILS_ALL_MEMORY(prefix)                                                                   \
    FAILS_MEMORY(prefix##malloc, (size_t size), (size))                                            \
    FAILS_MEMORY(prefix##calloc, (size_t count, size_t size), (count, size))                       \
    FAILS_MEMORY(prefix##realloc, (void *ptr, size_t size), (ptr, size))

FAILS_ALL_MEMORY()
FAILS_ALL_MEMORY(__libc_)
FAILS_ALL_MEMORY(__interceptor_)

/* ---- reading and writing ----------------------------------------------------------------------
 */

/* The k-th call of its class fails, is interrupted, or moves one byte only. */
#define MOVES(class, name, params, args, short_args)                                               \
    ssize_t name params;                                                                           \
    ssize_t name params                                                                            \
    {                                                                                              \
        if (can_fail(fd)) {                                                                        \
            if (due(class, #name)) {                                                               \
                errno = fault_of(class, fd);                                                       \
                return -1;                                                                         \
            }                                                                                      \
            if (due(EINTR_, #name)) {                                                              \
                errno = EINTR;                                                                     \
                return -1;                                                                         \
            }                                                                                      \
            if (len > 1 && can_be_short(fd) && due(SHORT, #name))                                  \
                return REAL(name) short_args;                                                      \
        }                                                                                          \
        return REAL(name) args;                                                                    \
    }

MOVES(READ, read, (int fd, void *buf, size_t len), (fd, buf, len), (fd, buf, 1))
MOVES(READ, pread, (int fd, void *buf, size_t len, off_t off), (fd, buf, len, off),
      (fd, buf, 1, off))
MOVES(READ, pread64, (int fd, void *buf, size_t len, off64_t off), (fd, buf, len, off),
      (fd, buf, 1, off))
MOVES(READ, recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags),
      (fd, buf, 1, flags))
MOVES(READ, recvfrom,
      (int fd, void *buf, size_t len, int flags, struct sockaddr *sa, socklen_t *sa_len),
      (fd, buf, len, flags, sa, sa_len), (fd, buf, 1, flags, sa, sa_len))
MOVES(WRITE, write, (int fd, const void *buf, size_t len), (fd, buf, len), (fd, buf, 1))
MOVES(WRITE, pwrite, (int fd, const void *buf, size_t len, off_t off), (fd, buf, len, off),
      (fd, buf, 1, off))
MOVES(WRITE, pwrite64, (int fd, const void *buf, size_t len, off64_t off), (fd, buf, len, off),
      (fd, buf, 1, off))
MOVES(WRITE, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags),
      (fd, buf, 1, flags))
MOVES(WRITE, sendto,
      (int fd, const void *buf, size_t len, int flags, const struct sockaddr *sa, socklen_t sa_len),
      (fd, buf, len, flags, sa, sa_len), (fd, buf, 1, flags, sa, sa_len))

/* The same for calls with parts: a short call moves the first byte of the first part. */
#define MOVES_PARTS(class, name, params, args, parts, count)                                       \
    ssize_t name params;                                                                           \
    ssize_t name params                                                                            \
    {                                                                                              \
        if (can_fail(fd)) {                                                                        \
            if (due(class, #name) || due(EINTR_, #name)) {                                         \
                errno = armed == EINTR_ ? EINTR : fault_of(class, fd);                             \
                return -1;                                                                         \
            }                                                                                      \
            if (count > 0 && parts[0].iov_len > 1 && can_be_short(fd) && due(SHORT, #name))        \
                return class == READ ? REAL(read)(fd, parts[0].iov_base, 1)                        \
                                     : REAL(write)(fd, parts[0].iov_base, 1);                      \
        }                                                                                          \
        return REAL(name) args;                                                                    \
    }

MOVES_PARTS(READ, readv, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n)
MOVES_PARTS(WRITE, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n), iov, n)
MOVES_PARTS(READ, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), m->msg_iov,
            m->msg_iovlen)
MOVES_PARTS(WRITE, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), m->msg_iov,
            m->msg_iovlen)

/* ---- sockets and descriptors ------------------------------------------------------------------
 */

FAILS(NET, ECONNREFUSED, int, connect, (int fd, const struct sockaddr *sa, socklen_t len),
      (fd, sa, len))
FAILS(NET, EADDRINUSE, int, bind, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
FAILS(NET, EADDRINUSE, int, listen, (int fd, int backlog), (fd, backlog))
FAILS(NET, ECONNABORTED, int, accept, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))
FAILS(NET, EMFILE, int, accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags),
      (fd, sa, len, flags))
FAILS(NET, ENOBUFS, int, setsockopt,
      (int fd, int level, int name, const void *value, socklen_t len),
      (fd, level, name, value, len))
FAILS(NET, ENOBUFS, int, getsockname, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))
FAILS(NET, ENOTCONN, int, getpeername, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))

#define OPENS(name, params, args)                                                                  \
    int name params;                                                                               \
    int name params                                                                                \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        if (flags & (O_CREAT | __O_TMPFILE))                                                       \
            mode = va_arg(ap, mode_t);                                                             \
        va_end(ap);                                                                                \
        if (due(FD, #name)) {                                                                      \
            errno = EMFILE;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        return REAL(name) args;                                                                    \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPENS(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
FAILS(FD, EMFILE, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAILS(FD, EMFILE, int, socketpair, (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds))
FAILS(FD, EMFILE, int, pipe, (int fds[2]), (fds))
FAILS(FD, EMFILE, int, pipe2, (int fds[2], int flags), (fds, flags))
FAILS(FD, EMFILE, int, eventfd, (unsigned value, int flags), (value, flags))
FAILS(FD, EMFILE, int, epoll_create1, (int flags), (flags))
FAILS(FD, EMFILE, int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))

/* ---- files ------------------------------------------------------------------------------------
 */

FAILS(SYNC, EIO, int, fsync, (int fd), (fd))
FAILS(SYNC, EIO, int, fdatasync, (int fd), (fd))
FAILS(NAME, EIO, int, rename, (const char *from, const char *to), (from, to))
FAILS(NAME, EIO, int, renameat, (int d, const char *from, int e, const char *to), (d, from, e, to))
FAILS(NAME, ENOSPC, int, mkdir, (const char *path, mode_t mode), (path, mode))
FAILS(NAME, ENOSPC, int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
FAILS(NAME, EIO, int, unlink, (const char *path), (path))
FAILS(NAME, EIO, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
FAILS(NAME, EPERM, int, chmod, (const char *path, mode_t mode), (path, mode))
FAILS(NAME, EPERM, int, fchmod, (int fd, mode_t mode), (fd, mode))
FAILS(NAME, EPERM, int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g))
FAILS(NAME, EIO, int, ftruncate, (int fd, off_t len), (fd, len))
FAILS(NAME, EIO, int, lstat, (const char *path, struct stat *st), (path, st))
FAILS(NAME, EIO, int, lstat64, (const char *path, struct stat64 *st), (path, st))

/* ---- processes and waiting --------------------------------------------------------------------
 */

FAILS(SPAWN, EAGAIN, pid_t, fork, (void), ())
FAILS(SPAWN, ENOMEM, int, execve, (const char *file, char *const argv[], char *const env[]),
      (file, argv, env))
FAILS(SPAWN, EACCES, int, chdir, (const char *path), (path))
FAILS(SPAWN, EPERM, pid_t, setsid, (void), ())

FAILS(EINTR_, EINTR, int, waitid, (idtype_t t, id_t id, siginfo_t *info, int flags),
      (t, id, info, flags))
FAILS(EINTR_, EINTR, int, epoll_wait, (int fd, struct epoll_event *ev, int n, int ms),
      (fd, ev, n, ms))
FAILS(EINTR_, EINTR, int, epoll_pwait,
      (int fd, struct epoll_event *ev, int n, int ms, const sigset_t *mask), (fd, ev, n, ms, mask))
FAILS(POLL, ENOSPC, int, epoll_ctl, (int fd, int op, int other, struct epoll_event *ev),
      (fd, op, other, ev))
