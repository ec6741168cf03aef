#include "sidecar/runner/copy_workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/base.h"

#define COPYING ".arl-copying"
#define COPIED ".arl-copied"
#define DEPTH_MAX 200 /* folders in folders; each holds two descriptors open */
#define XATTR_NAMES_MAX 4096
#define XATTR_VALUE_MAX (64u << 10)

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int open_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The next entry but "." and ".."; NULL at the end. */
static struct dirent *next_entry(DIR *d)
{
    struct dirent *e;

    do
        e = readdir(d);
    while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e;
}

/* The entries of a folder, whose descriptor stays the caller's. NULL: errno says why not. */
static DIR *list_folder(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

    if (!d && copy >= 0)
        close(copy);
    return d;
}

/* Writes a line to stderr, with the whole path if it is known. */
static void tell(int at, const char *name, const char *what, int r)
{
    char link[32], folder[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
    n = readlink(link, folder, sizeof(folder));
    fprintf(stderr, "arl-runner: %.*s%s%s%s: %s\n", n > 0 ? (int)n : 0, folder, n > 0 ? "/" : "",
            name, what, strerror(-r));
}

/* ---- one file -------------------------------------------------------------------------------- */

/* As much as this user and this file system allow: a file is useful without the rest. */
static void copy_xattrs(int from, int to)
{
    char names[XATTR_NAMES_MAX];
    cleanup_free char *value = NULL;
    ssize_t len = flistxattr(from, names, sizeof(names));

    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        ssize_t n;

        if (!value)
            value = xmalloc(XATTR_VALUE_MAX);
        n = fgetxattr(from, names + i, value, XATTR_VALUE_MAX);
        if (n >= 0 && fsetxattr(to, names + i, value, (size_t)n, 0) < 0)
            continue;
    }
}

/* The mode and the extended attributes twice: a root that may chown(2), but not act for other
 * owners, can set them no more then, and chown(2) takes set-user-id bits and file capabilities
 * (security.capability) away. */
static void copy_attributes(int from, int to, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};

    copy_xattrs(from, to);
    (void)fchmod(to, st->st_mode & 0777);
    futimens(to, times);
    if (fchown(to, st->st_uid, st->st_gid) < 0)
        return;
    copy_xattrs(from, to);
    (void)fchmod(to, st->st_mode & 07777);
}

/* From `at` to `end`, or to the end of the file. */
static int copy_range(int from, int to, off_t at, off_t end)
{
    if (lseek(to, at, SEEK_SET) < 0)
        return -errno;
    while (at < end) {
        ssize_t n = sendfile(to, from, &at, (size_t)MIN(end - at, 1 << 20));

        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    return 0;
}

/* Holes stay holes, where the file system can tell them. */
static int copy_bytes(int from, int to, off_t size)
{
    off_t at = 0;
    int r = 0;

    while (r == 0 && at < size) {
        off_t data = lseek(from, at, SEEK_DATA), end;

        if (data < 0 && errno == ENXIO)
            break;
        end = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (end < 0) {
            data = at;
            end = size;
        }
        r = copy_range(from, to, data, end);
        at = end;
    }
    return r == 0 && ftruncate(to, size) < 0 ? -errno : r;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    CLEANUP(close_fd) int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_fd) int to = -1;
    int r;

    if (from < 0)
        return -errno;
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    r = copy_bytes(from, to, st->st_size);
    if (r == 0)
        copy_attributes(from, to, st);
    else
        unlinkat(to_dir, name, 0);
    return r;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (symlinkat(target, to_dir, name) < 0)
        return -errno;
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* nobody's rights depend on it */
    return 0;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Of the volume or the node, not of one file. Anything else would fail at each further try, too. */
static bool ends_all(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -ENOMEM || r == -ENFILE || r == -EROFS;
}

/* The owner of a folder may remove and move it with all entries. No other process uses the volume
 * yet. */
static void own_folder(int at, const char *name)
{
    struct stat st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return;
    /* Whoever cannot go on without says so. */
    if (st.st_uid != geteuid() && fchownat(at, name, geteuid(), (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if ((st.st_mode & 0700) != 0700 && fchmodat(at, name, 0700, 0) < 0)
        return;
}

static int copy_entries(int from, int to, unsigned depth);

static int copy_folder(int from_dir, int to_dir, const char *name, const struct stat *st,
                       unsigned depth)
{
    CLEANUP(close_fd) int from = open_folder(from_dir, name);
    CLEANUP(close_fd) int to = -1;
    int r;

    if (from < 0)
        return from;
    if (depth == DEPTH_MAX)
        return -ELOOP;
    if (mkdirat(to_dir, name, 0700) < 0)
        return -errno;
    to = open_folder(to_dir, name);
    if (to < 0)
        return to;
    r = copy_entries(from, to, depth + 1);
    if (r == 0)
        copy_attributes(from, to, st);
    else
        unlinkat(to_dir, name, AT_REMOVEDIR); /* if it could not be listed */
    return r;
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(from, to, name, &st);
    case S_IFLNK:
        return copy_link(from, to, name, &st);
    case S_IFDIR:
        return copy_folder(from, to, name, &st, depth);
    default: /* FIFOs, sockets and devices in an image are not files of the user */
        return 0;
    }
}

static int copy_entries(int from, int to, unsigned depth)
{
    CLEANUP(close_dir) DIR *d = list_folder(from);
    struct dirent *e;
    int r = d ? 0 : -errno;

    while (r == 0 && (e = next_entry(d))) {
        if (depth == 0 && (str_eq(e->d_name, COPYING) || str_eq(e->d_name, COPIED)))
            r = -EEXIST; /* it would be taken for ours */
        else
            r = copy_entry(from, to, e->d_name, depth);
        if (r == 0)
            continue;
        tell(from, e->d_name, ends_all(r) ? " of the image" : " of the image is left out", r);
        if (!ends_all(r))
            r = 0;
    }
    return r;
}

/* Of a copy that was not finished. */
static int remove_tree(int at, const char *name, unsigned depth)
{
    CLEANUP(close_dir) DIR *d = NULL;
    struct dirent *e;
    int fd, r = 0;

    own_folder(at, name);
    fd = open_folder(at, name);
    d = fd >= 0 ? fdopendir(fd) : NULL;
    while (d && r == 0 && depth < DEPTH_MAX + 1 && (e = next_entry(d)))
        r = remove_tree(fd, e->d_name, depth + 1);
    if (r == 0 && unlinkat(at, name, d ? AT_REMOVEDIR : 0) < 0) {
        r = fd < 0 && fd != -ENOTDIR && fd != -ELOOP ? fd : -errno;
        tell(at, name, " of an unfinished copy", r);
    }
    return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Of a folder that has been moved, the image's attributes. */
static void restore_folder(int from_dir, int to_dir, const char *name)
{
    CLEANUP(close_fd) int from = open_folder(from_dir, name);
    CLEANUP(close_fd) int to = -1;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return;
    own_folder(to_dir, name); /* it may have been restored before */
    to = open_folder(to_dir, name);
    if (to >= 0)
        copy_attributes(from, to, &st);
}

/* rename(2) writes to a folder that gets another parent, so it must be ours and writable. It gets
 * its attributes back when all are moved: a run that is cut off before begins here again. */
static int move_to_place(int from, int to)
{
    CLEANUP(close_fd) int copied = open_folder(to, COPIED);
    CLEANUP(close_dir) DIR *d = copied >= 0 ? list_folder(copied) : NULL;
    CLEANUP(close_dir) DIR *image = list_folder(from);
    struct dirent *e;
    int r = copied < 0 ? copied : d && image ? 0 : -errno;

    while (r == 0 && (e = next_entry(d))) {
        own_folder(copied, e->d_name);
        r = renameat(copied, e->d_name, to, e->d_name) < 0 ? -errno : 0;
        if (r < 0)
            tell(copied, e->d_name, " to its place", r);
    }
    while (r == 0 && (e = next_entry(image)))
        restore_folder(from, to, e->d_name);
    return r == 0 && unlinkat(to, COPIED, AT_REMOVEDIR) < 0 ? -errno : r;
}

static bool is_empty(int fd)
{
    CLEANUP(close_dir) DIR *d = list_folder(fd);
    struct dirent *e;

    do
        e = d ? next_entry(d) : NULL;
    while (e && strcmp(e->d_name, "lost+found") == 0);
    return !e;
}

static int copy_all(int from, int to)
{
    CLEANUP(close_fd) int copying = -1;
    int r = 0;

    if (faccessat(to, COPIED, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return move_to_place(from, to);
    if (faccessat(to, COPYING, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        r = remove_tree(to, COPYING, 0);
    if (r < 0 || !is_empty(to) || is_empty(from))
        return r;
    if (mkdirat(to, COPYING, 0700) < 0) {
        r = -errno;
        tell(to, COPYING, " cannot be made, so nothing is copied", r);
        return r == -EACCES ? 0 : r; /* the steps of this user may not write to it either */
    }
    copying = open_folder(to, COPYING);
    r = copying < 0 ? copying : copy_entries(from, copying, 0);
    if (r == 0 && renameat(to, COPYING, to, COPIED) < 0)
        r = -errno;
    return r < 0 ? r : move_to_place(from, to);
}

int copy_workspace(const char *from, const char *to)
{
    CLEANUP(close_fd) int source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_fd) int target = -1;
    int r;

    if (source <
        0) /* most images have no such folder; a folder that may not be read counts as none */
        return 0;
    target = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = target < 0 ? -errno : copy_all(source, target);
    if (r == 0)
        return 0;
    fprintf(stderr,
            "arl-runner: copy %s of the image into the volume: %s; the template's annotation "
            "arl.infra.io/copy-workspace: \"false\" leaves these files out\n",
            from, strerror(-r));
    return 1;
}
