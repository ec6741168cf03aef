#include "sidecar/link/runner_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "sidecar/disk/copy.h"

static char *path_in(const char *folder, const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static int write_secret(const char *folder, const unsigned char *secret)
{
    cleanup_free char *path = path_in(folder, FRAMES_SECRET_FILE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, secret, FRAMES_TOKEN_BYTES) != FRAMES_TOKEN_BYTES)
        r = -EIO;
    /* The container's user is any. */
    if (r == 0 && fchmod(fd, 0444) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    return r;
}

static int copy_runner(const char *from, const char *to)
{
    cleanup_fd int in = open(from, O_RDONLY | O_CLOEXEC);
    int out, r;

    if (in < 0)
        return -errno;
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    r = out < 0 ? -errno : copy_bytes(in, out);
    if (r == 0 && fchmod(out, 0555) < 0)
        r = -errno;
    if (out >= 0 && close(out) < 0 && r == 0)
        r = -errno;
    return r;
}

static int put_runner(const char *old, const char *fresh, const char *runner)
{
    cleanup_free char *from = runner ? xstrdup(runner) : path_in(old, FRAMES_RUNNER_FILE);
    cleanup_free char *to = path_in(fresh, FRAMES_RUNNER_FILE);

    /* No container can write to it. */
    if (!runner && link(from, to) == 0)
        return 0;
    return copy_runner(from, to);
}

/* Nothing else is ever in there. */
static void remove_folder(const char *folder)
{
    static const char *const names[] = {FRAMES_SECRET_FILE, "sock", FRAMES_ALONE_FILE,
                                        FRAMES_RUNNER_FILE};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = path_in(folder, names[i]);

        unlink(path);
    }
    rmdir(folder);
}

static int write_alone(const char *folder)
{
    cleanup_free char *path = path_in(folder, FRAMES_ALONE_FILE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

    return fd < 0 || close(fd) < 0 ? -errno : 0;
}

static int fill(const char *old, const char *fresh, const char *runner, bool alone,
                const unsigned char *secret)
{
    int r = mkdir(fresh, 0755) < 0 ? -errno : 0;

    /* The umask may have taken something away. */
    if (r == 0 && chmod(fresh, 0755) < 0)
        r = -errno;
    if (r == 0)
        r = put_runner(old, fresh, runner);
    if (r == 0 && alone)
        r = write_alone(fresh);
    return r < 0 ? r : write_secret(fresh, secret);
}

/* At once if the file system can do that: the kubelet makes a folder that is missing. The old one
 * is at the path `fresh` afterwards, or was removed. */
static int swap(const char *path, const char *fresh)
{
    cleanup_free char *aside = xasprintf("%s.old", fresh);

    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return 0;
    remove_folder(aside);
    if (rename(path, aside) < 0 && errno != ENOENT)
        return -errno;
    if (rename(fresh, path) < 0)
        return -errno;
    remove_folder(aside);
    return 0;
}

int runner_folder_renew(const char *dir, const char *name, const char *runner, bool alone,
                        const unsigned char secret[FRAMES_TOKEN_BYTES], struct err *err)
{
    cleanup_free char *path = path_in(dir, name);
    cleanup_free char *fresh = xasprintf("%s/.%s.new", dir, name);
    int r;

    if (!is_dns_label(name))
        return err_set(err, -EINVAL, "\"%s\" is not the name of a container", name);
    remove_folder(fresh);
    r = fill(path, fresh, runner, alone, secret);
    if (r == 0)
        r = swap(path, fresh);
    remove_folder(fresh);
    return r < 0 ? err_errno(err, -r, "make the folder %s", path) : 0;
}

bool runner_folder_has_secret(const char *dir, const char *name)
{
    cleanup_free char *path = xasprintf("%s/%s/" FRAMES_SECRET_FILE, dir, name);

    return access(path, F_OK) == 0;
}

int runner_folder_remove_secret(const char *dir, const char *name)
{
    cleanup_free char *path = xasprintf("%s/%s/" FRAMES_SECRET_FILE, dir, name);

    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
