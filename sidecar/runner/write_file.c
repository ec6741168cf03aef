#include "sidecar/runner/write_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/runner/patch.h"

#define TEMP_ATTEMPTS 16

static int make_parents(const char *path)
{
    cleanup_free char *dir = xstrdup(path);

    for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return errno;
        *p = '/';
    }
    return 0;
}

/* Opens a fresh file beside path, since rename() works inside of one file system only. */
static int open_temp(const char *path, char **ret_name)
{
    const char *slash = strrchr(path, '/');
    int dir_len = slash ? (int)(slash - path) + 1 : 0;
    int fd = -1;

    for (int i = 0; i < TEMP_ATTEMPTS && fd < 0; i++) {
        uint64_t r = 0;

        if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
            r = (uint64_t)getpid() + (uint64_t)i;
        str_set(ret_name, xasprintf("%.*s.arl-%016llx", dir_len, path, (unsigned long long)r));
        fd = open(*ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            return -errno;
    }
    return fd < 0 ? -EEXIST : fd;
}

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

/* What is to be at a path, and what is there. */
struct target {
    const char *path;
    struct stat st;
    bool exists;
    mode_t mode; /* of the new file */
};

static int fill(int fd, const struct target *t, const void *content, size_t len)
{
    int e = write_all(fd, content, len);

    /* The mode is set here and not by open(), since the umask is the container's. */
    if (!e && fchmod(fd, t->mode) < 0)
        e = errno;
    /* Network file systems report a full disk here. */
    if (close(fd) < 0 && !e)
        e = errno;
    return e;
}

static int replace(const struct target *t, const void *content, size_t len)
{
    cleanup_free char *temp = NULL;
    int fd = open_temp(t->path, &temp), e;

    if (fd == -ENOENT) {
        e = make_parents(t->path);
        if (e)
            return e;
        fd = open_temp(t->path, &temp);
    }
    if (fd < 0)
        return -fd;
    e = fill(fd, t, content, len);
    if (!e && rename(temp, t->path) < 0)
        e = errno;
    if (e)
        unlink(temp);
    return e;
}

/* ---- patches --------------------------------------------------------------------------------- */

static int read_all(int fd, char *data, size_t room, size_t *ret_len)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = read(fd, data + len, room - len);
        if (n < 0 && errno != EINTR)
            return errno;
        len += (size_t)MAX(n, 0);
    } while (n != 0 && len < room);
    *ret_len = len;
    return 0;
}

/* One byte more than the limit, so that a file above it is seen. */
static int read_file(const char *path, char **ret, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), e;
    char *data;

    if (fd < 0)
        return errno;
    data = xmalloc(PATCH_FILE_MAX + 1);
    e = read_all(fd, data, PATCH_FILE_MAX + 1, ret_len);
    close(fd);
    if (e)
        free(data);
    else
        *ret = data;
    return e;
}

static struct write_result failed(int e)
{
    return (struct write_result){e ? FRAME_WRITE_FAILED : FRAME_EXITED, (uint32_t)e};
}

static struct write_result apply_patch(const struct target *t, const struct write_spec *spec)
{
    cleanup_free char *old = NULL, *new = NULL;
    size_t old_len = 0, new_len = 0;
    int e = t->exists ? read_file(t->path, &old, &old_len) : 0;
    uint32_t fault;

    if (e)
        return failed(e);
    fault = patch_apply(old ? old : "", old_len, spec->content, spec->len, &new, &new_len);
    /* That the file is missing says more than that its lines are. */
    if (patch_fault_error(fault) == PATCH_MISMATCH && !t->exists)
        return failed(ENOENT);
    if (fault)
        return (struct write_result){FRAME_PATCH_FAILED, fault};
    return failed(replace(t, new, new_len));
}

/* ---- the target ------------------------------------------------------------------------------ */

/* A dangling link is an error: where it leads to is nobody's to guess. */
static int look(const char *path, char **ret_real, struct target *ret)
{
    *ret = (struct target){.path = path};
    if (lstat(path, &ret->st) < 0)
        return errno == ENOENT ? 0 : errno;
    ret->exists = true;
    if (!S_ISLNK(ret->st.st_mode))
        return 0;
    *ret_real = realpath(path, NULL);
    if (!*ret_real)
        return errno;
    ret->path = *ret_real;
    return lstat(*ret_real, &ret->st) < 0 ? errno : 0;
}

static mode_t mode_of(const struct target *t, const struct write_spec *spec)
{
    if (spec->mode != FRAME_MODE_UNSET)
        return (mode_t)(spec->mode & 07777);
    return spec->kind == FRAME_WRITE_PATCH && t->exists ? t->st.st_mode & 07777 : 0644;
}

struct write_result write_file(const struct write_spec *spec)
{
    cleanup_free char *real = NULL;
    struct target t;
    int e;

    if (spec->path[strlen(spec->path) - 1] == '/')
        return failed(EISDIR);
    umask(022);
    e = look(spec->path, &real, &t);
    if (e)
        return failed(e);
    if (t.exists && S_ISDIR(t.st.st_mode))
        return failed(EISDIR);
    if (t.exists && !S_ISREG(t.st.st_mode))
        return (struct write_result){FRAME_NOT_A_FILE, 0};
    t.mode = mode_of(&t, spec);
    if (spec->kind == FRAME_WRITE_PATCH)
        return apply_patch(&t, spec);
    return failed(replace(&t, spec->content, spec->len));
}
