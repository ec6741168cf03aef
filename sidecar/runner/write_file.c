#include "sidecar/runner/write_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int fill(int fd, const void *content, size_t len)
{
    int e = write_all(fd, content, len);

    /* The mode is set here and not by open(), since the umask is the container's. */
    if (!e && fchmod(fd, 0644) < 0)
        e = errno;
    /* Network file systems report a full disk here. */
    if (close(fd) < 0 && !e)
        e = errno;
    return e;
}

int write_file(const char *path, const void *content, size_t len)
{
    cleanup_free char *temp = NULL;
    int fd, e;

    if (path[strlen(path) - 1] == '/')
        return EISDIR;
    umask(022);
    fd = open_temp(path, &temp);
    if (fd == -ENOENT) {
        e = make_parents(path);
        if (e)
            return e;
        fd = open_temp(path, &temp);
    }
    if (fd < 0)
        return -fd;
    e = fill(fd, content, len);
    if (!e && rename(temp, path) < 0)
        e = errno;
    if (e)
        unlink(temp);
    return e;
}
