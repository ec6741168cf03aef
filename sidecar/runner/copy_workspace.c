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

#include "common/base.h"

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

/* ---- one file -------------------------------------------------------------------------------- */

/* As far as this user and this file system can: a file is of use without them, too. */
static void copy_attributes(int from, int to, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
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
    /* In this order: chown(2) takes set-user-id bits away. */
    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        (void)fchmod(to, st->st_mode & 0777);
    futimens(to, times);
}

static int copy_bytes(int from, int to)
{
    for (;;) {
        ssize_t n = sendfile(to, from, NULL, 1 << 20);

        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    CLEANUP(close_fd) int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_fd) int to = -1;
    int r;

    if (from < 0)
        return -errno;
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = to < 0 ? -errno : copy_bytes(from, to);
    if (r == 0)
        copy_attributes(from, to, st);
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

/* EACCES, as one who may not read has it; whatever else goes wrong ends all of it. */
static int leave_out(const char *name)
{
    fprintf(stderr, "arl-runner: %s of the image is left out: %s\n", name, strerror(EACCES));
    return 0;
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
    default: /* FIFOs, sockets and devices in an image are nobody's files */
        return 0;
    }
}

static int copy_entries(int from, int to, unsigned depth)
{
    CLEANUP(close_dir) DIR *d = list_folder(from);
    struct dirent *e;
    int r = d ? 0 : -errno;

    while (r == 0 && (e = next_entry(d))) {
        r = copy_entry(from, to, e->d_name, depth);
        if (r == -EACCES)
            r = leave_out(e->d_name);
        else if (r < 0)
            fprintf(stderr, "arl-runner: copy %s of the image: %s\n", e->d_name, strerror(-r));
    }
    return r;
}

/* Of a copy that was not finished. */
static int remove_tree(int at, const char *name, unsigned depth)
{
    int fd = open_folder(at, name), r = 0;
    CLEANUP(close_dir) DIR *d = NULL;
    struct dirent *e;

    if (fd == -ENOTDIR || fd == -ELOOP)
        return unlinkat(at, name, 0) < 0 ? -errno : 0;
    if (fd < 0)
        return fd;
    d = fdopendir(fd);
    while (d && r == 0 && depth < DEPTH_MAX + 1 && (e = next_entry(d)))
        r = remove_tree(fd, e->d_name, depth + 1);
    if (r == 0 && unlinkat(at, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int move_to_place(int to)
{
    CLEANUP(close_fd) int copied = open_folder(to, COPIED);
    CLEANUP(close_dir) DIR *d = copied >= 0 ? list_folder(copied) : NULL;
    struct dirent *e;

    if (!d)
        return copied < 0 ? copied : -errno;
    while ((e = next_entry(d)))
        if (renameat(copied, e->d_name, to, e->d_name) < 0)
            return -errno;
    return unlinkat(to, COPIED, AT_REMOVEDIR) < 0 ? -errno : 0;
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
        return move_to_place(to);
    if (faccessat(to, COPYING, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        r = remove_tree(to, COPYING, 0);
    if (r < 0 || !is_empty(to) || is_empty(from))
        return r;
    if (mkdirat(to, COPYING, 0700) < 0)
        return -errno;
    copying = open_folder(to, COPYING);
    r = copying < 0 ? copying : copy_entries(from, copying, 0);
    if (r == 0 && renameat(to, COPYING, to, COPIED) < 0)
        r = -errno;
    return r < 0 ? r : move_to_place(to);
}

int copy_workspace(const char *from, const char *to)
{
    CLEANUP(close_fd) int source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_fd) int target = -1;
    int r;

    if (source < 0) /* most images have none, and what may not be read is nothing to have */
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
