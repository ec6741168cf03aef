#include "sidecar/runner/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TEMP_ATTEMPTS 16
#define NEW_MODE 0644

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return errno;
        data += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* ---- a new file ------------------------------------------------------------------------------ */

static mode_t mode_of(const struct replace *r)
{
    /* The bits that lend a user are lent by whoever owns the file: of another one's, root would
     * make its own. */
    mode_t kept = r->at->st.st_uid == geteuid() ? 07777 : 0777;

    if (r->mode != REPLACE_KEEP_MODE)
        return (mode_t)(r->mode & 07777);
    return r->at->exists ? r->at->st.st_mode & kept : NEW_MODE;
}

static int copy_xattr(int from, int to, const char *name)
{
    cleanup_free char *value = xmalloc(REPLACE_XATTR_BYTES_MAX);
    ssize_t n = fgetxattr(from, name, value, REPLACE_XATTR_BYTES_MAX);

    if (n < 0)
        return errno;
    return fsetxattr(to, name, value, (size_t)n, 0) < 0 ? errno : 0;
}

/* security.* is the system's to set: a new file gets what it is to have. */
static int copy_xattrs(int from, int to)
{
    cleanup_free char *names = xmalloc(REPLACE_XATTR_BYTES_MAX);
    ssize_t len = flistxattr(from, names, REPLACE_XATTR_BYTES_MAX);
    int e = 0;

    if (len < 0)
        return errno == ENOTSUP ? 0 : errno;
    for (char *p = names; !e && p < names + len; p += strlen(p) + 1)
        if (strncmp(p, "security.", 9) != 0)
            e = copy_xattr(from, to, p);
    return e;
}

/* Attributes of the file that is there; 0 as well if it cannot be read. */
static int keep_xattrs(const struct replace *r, int to)
{
    CLEANUP(close_fd)
    int from =
        openat(r->at->dir, r->at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (from < 0)
        return errno == EACCES ? 0 : errno;
    return copy_xattrs(from, to);
}

static int open_temp(struct replace *r)
{
    for (int i = 0; i < TEMP_ATTEMPTS; i++) {
        uint64_t n = 0;
        int fd;

        if (getrandom(&n, sizeof(n), GRND_NONBLOCK) < 0)
            n = (uint64_t)getpid() + (uint64_t)i;
        snprintf(r->temp, sizeof(r->temp), ".arl-%016llx", (unsigned long long)n);
        fd =
            openat(r->at->dir, r->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    r->temp[0] = '\0';
    return -errno;
}

static int make_temp(struct replace *r)
{
    int fd = open_temp(r), e;

    if (fd < 0)
        return -fd;
    e = write_all(fd, r->data, r->len);
    if (!e && r->at->exists)
        e = keep_xattrs(r, fd);
    /* The mode is set here and not by open(), since the umask is the container's. */
    if (!e && fchmod(fd, mode_of(r)) < 0)
        e = errno;
    /* Network file systems report a full disk here. */
    if (close(fd) < 0 && !e)
        e = errno;
    if (e)
        replace_done(r);
    return e;
}

/* ---- the file that is there ------------------------------------------------------------------ */

static int open_there(const struct replace *r)
{
    int fd =
        openat(r->at->dir, r->at->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -errno;
    /* It may be another one than what was found. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -EINVAL;
}

static int write_there(const struct replace *r)
{
    CLEANUP(close_fd) int fd = open_there(r);
    int e;

    if (fd < 0)
        return -fd;
    e = write_all(fd, r->data, r->len);
    if (!e && ftruncate(fd, (off_t)r->len) < 0)
        e = errno;
    if (!e && r->mode != REPLACE_KEEP_MODE && fchmod(fd, (mode_t)(r->mode & 07777)) < 0)
        e = errno;
    return e;
}

/* A new file in its place would have another owner, or other names would keep the old text. */
static bool must_stay(const struct replace *r)
{
    const struct stat *st = &r->at->st;

    return r->at->exists &&
           (st->st_nlink > 1 || st->st_uid != geteuid() || st->st_gid != getegid());
}

/* ---- both ------------------------------------------------------------------------------------ */

int replace_prepare(struct replace *r)
{
    int e, fd;

    r->temp[0] = '\0';
    e = must_stay(r) ? EPERM : make_temp(r);
    if (!e || !r->at->exists || e == ENOSPC || e == EDQUOT)
        return e;
    fd = open_there(r);
    if (fd < 0)
        return must_stay(r) ? -fd : e;
    close(fd);
    return 0;
}

int replace_commit(struct replace *r)
{
    int e;

    if (!r->temp[0])
        return write_there(r);
    if (renameat(r->at->dir, r->temp, r->at->dir, r->at->name) == 0) {
        r->temp[0] = '\0';
        return 0;
    }
    e = errno;
    /* A mount of its own. */
    if (r->at->exists && (e == EBUSY || e == EXDEV || e == EACCES || e == EPERM))
        e = write_there(r);
    replace_done(r);
    return e;
}

void replace_done(struct replace *r)
{
    if (r->temp[0])
        unlinkat(r->at->dir, r->temp, 0);
    r->temp[0] = '\0';
}
