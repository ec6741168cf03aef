#include "sidecar/runner/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/write_all.h"

#define TEMP_ATTEMPTS 16
#define NEW_MODE 0644
#define COPY_BYTES (64u << 10)

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* ---- a new file ------------------------------------------------------------------------------ */

static mode_t mode_of(const struct replace *r)
{
    /* The setuid and setgid bits belong to the owner of the file. For a file of another owner root
     * would set its own. */
    mode_t kept = r->there.st_uid == geteuid() ? 07777 : 0777;

    if (r->mode != REPLACE_KEEP_MODE)
        return (mode_t)(r->mode & 07777);
    return r->at->exists ? r->there.st_mode & kept : NEW_MODE;
}

static int copy_xattr(int from, int to, const char *name)
{
    cleanup_free char *value = xmalloc(REPLACE_XATTR_BYTES_MAX);
    ssize_t n = fgetxattr(from, name, value, REPLACE_XATTR_BYTES_MAX);

    if (n < 0)
        return errno;
    return fsetxattr(to, name, value, (size_t)n, 0) < 0 ? errno : 0;
}

/* The system sets security.*: a new file gets its own values. */
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

/* Owner, mode and attributes must be those of one file, so all are read through one descriptor.
 * *ret -1: the file cannot be opened, so its attributes are not known. 0 or an errno value. */
static int look_there(struct replace *r, int *ret)
{
    int e = 0;

    r->there = r->at->st;
    if (!r->at->exists)
        return 0;
    *ret = walk_open_file(r->at);
    if (*ret < 0)
        e = -*ret;
    else if (fstat(*ret, &r->there) < 0)
        e = errno;
    return e == EACCES ? 0 : e;
}

void replace_temp_name(char ret[REPLACE_TEMP_MAX], unsigned attempt)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) < 0)
        n = (uint64_t)getpid() + attempt;
    snprintf(ret, REPLACE_TEMP_MAX, ".arl-%016llx", (unsigned long long)n);
}

static int open_temp(int dir, char ret_name[REPLACE_TEMP_MAX])
{
    for (unsigned i = 0; i < TEMP_ATTEMPTS; i++) {
        int fd;

        replace_temp_name(ret_name, i);
        fd = openat(dir, ret_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    ret_name[0] = '\0';
    return -errno;
}

/* Takes the file over if the content is wanted again. */
static int fill(struct replace *r, int fd)
{
    int e, copy;

    if (!r->fill)
        return -write_all(fd, r->data, r->len);
    r->filled = true;
    e = r->fill(fd, r->arg);
    if (e)
        return e;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return errno;
    r->content = copy;
    r->has_content = true;
    return 0;
}

static int make_temp(struct replace *r, int there)
{
    int fd = open_temp(r->at->dir, r->temp), e;

    if (fd < 0)
        return -fd;
    e = fill(r, fd);
    if (!e && there >= 0)
        e = copy_xattrs(there, fd);
    /* The mode is set here and not by open(), since the umask is the container's. */
    if (!e && fchmod(fd, mode_of(r)) < 0)
        e = errno;
    /* Network file systems report a full disk here. */
    if (close(fd) < 0 && !e)
        e = errno;
    if (e && r->temp[0])
        unlinkat(r->at->dir, r->temp, 0);
    if (e)
        r->temp[0] = '\0';
    return e;
}

/* Somewhere without a name, before a file is written in place. */
static int collect(struct replace *r)
{
    char name[REPLACE_TEMP_MAX];
    int dir = r->at->dir, fd = open_temp(dir, name), e;

    if (fd < 0) {
        CLEANUP(close_fd) int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        fd = tmp < 0 ? -1 : open_temp(tmp, name);
        if (fd < 0)
            return 0;
        unlinkat(tmp, name, 0);
    } else {
        unlinkat(dir, name, 0);
    }
    e = fill(r, fd);
    close(fd);
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

static int copy_content(const struct replace *r, int to)
{
    cleanup_free char *data = xmalloc(COPY_BYTES);
    ssize_t n = lseek(r->content, 0, SEEK_SET) < 0 ? -1 : 1;
    int e = 0;

    while (!e && n > 0) {
        n = read(r->content, data, COPY_BYTES);
        e = n < 0 ? errno : -write_all(to, data, (size_t)n);
    }
    return n < 0 ? errno : e;
}

static int write_there(struct replace *r)
{
    CLEANUP(close_fd) int fd = open_there(r);
    int e;

    if (fd < 0)
        return -fd;
    e = r->has_content ? copy_content(r, fd) : fill(r, fd);
    if (!e && ftruncate(fd, lseek(fd, 0, SEEK_CUR)) < 0)
        e = errno;
    r->in_place = true;
    if (!e && r->mode != REPLACE_KEEP_MODE && fchmod(fd, (mode_t)(r->mode & 07777)) < 0)
        e = errno;
    return e;
}

/* A new file in its place would have another owner, or other names would keep the old text. */
static bool must_stay(const struct replace *r)
{
    const struct stat *st = &r->there;

    return r->at->exists &&
           (st->st_nlink > 1 || st->st_uid != geteuid() || st->st_gid != getegid());
}

/* ---- both ------------------------------------------------------------------------------------ */

int replace_prepare(struct replace *r)
{
    CLEANUP(close_fd) int there = -1;
    int e, fd;

    r->temp[0] = '\0';
    e = look_there(r, &there);
    if (!e)
        e = must_stay(r) ? EPERM : make_temp(r, there);
    if (!e || !r->at->exists || e == ENOSPC || e == EDQUOT)
        return e;
    /* The content that was read cannot be read a second time. */
    if (r->filled && !r->has_content)
        return e;
    fd = open_there(r);
    if (fd < 0)
        return must_stay(r) ? -fd : e;
    close(fd);
    return r->fill && !r->has_content ? collect(r) : 0;
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
    if (r->has_content)
        close(r->content);
    r->has_content = false;
}
