#include "sidecar/auth/agent_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/write_all.h"

#define KEY_NAME "agent-key"
#define TEMP_NAME "agent-key.new"

/* The secret half, and the public one, by which damage shows. */
struct file {
    unsigned char secret[CHANNEL_KEY_BYTES];
    unsigned char public_key[CHANNEL_KEY_BYTES];
};

static void wipe_file(struct file *f)
{
    sodium_memzero(f, sizeof(*f));
}

static ssize_t read_all(int fd, void *ret, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, (char *)ret + len, size - len);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        len += (size_t)MAX(n, 0);
    }
    return (ssize_t)len;
}

static int load(int dir, struct channel_pair *ret)
{
    cleanup_fd int fd = openat(dir, KEY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    /* Reads one byte more than a key has, to detect a file that is too long. */
    struct {
        struct file file;
        unsigned char more;
    } got = {0};
    CLEANUP(channel_pair_wipe) struct channel_pair pair = {0};
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read_all(fd, &got, sizeof(got));
    if (n == (ssize_t)sizeof(got.file))
        channel_pair_init(&pair, got.file.secret);
    if (n == (ssize_t)sizeof(got.file) &&
        memcmp(pair.public_key, got.file.public_key, CHANNEL_KEY_BYTES) == 0)
        *ret = pair;
    else
        n = n < 0 ? n : -EBADMSG;
    sodium_memzero(&got, sizeof(got));
    return n < 0 ? (int)n : 0;
}

/* Whole and on the disk, or not at all. */
static int save(int dir, const struct channel_pair *pair)
{
    CLEANUP(wipe_file) struct file f;
    cleanup_fd int fd = -1;
    int r;

    memcpy(f.secret, pair->secret, sizeof(f.secret));
    memcpy(f.public_key, pair->public_key, sizeof(f.public_key));
    /* A file that an earlier run has left is not worth keeping. */
    unlinkat(dir, TEMP_NAME, 0);
    fd = openat(dir, TEMP_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, &f, sizeof(f));
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || renameat(dir, TEMP_NAME, dir, KEY_NAME) < 0 || fsync(dir) < 0)
        return -errno;
    return 0;
}

static int open_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? err_errno(err, errno, "open %s", dir) : fd;
}

int agent_key_load(const char *dir, struct channel_pair *ret, struct err *err)
{
    cleanup_fd int fd = open_dir(dir, err);
    int r = fd < 0 ? fd : load(fd, ret);

    if (fd < 0)
        return r;
    if (r == -ENOENT)
        return err_set(err, r,
                       "%s/" KEY_NAME " is missing: the init container (arl-sidecar install) makes "
                       "it",
                       dir);
    if (r == -EBADMSG)
        return err_set(err, r, "%s/" KEY_NAME " is damaged: delete the pod", dir);
    return r < 0 ? err_errno(err, -r, "read %s/" KEY_NAME, dir) : 0;
}

int agent_key_make(const char *dir, struct channel_pair *ret, struct err *err)
{
    unsigned char secret[CHANNEL_KEY_BYTES];
    CLEANUP(channel_pair_wipe) struct channel_pair pair;
    cleanup_fd int fd = -1;
    int r;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make %s", dir);
    fd = open_dir(dir, err);
    if (fd < 0)
        return fd;
    r = load(fd, ret);
    if (r != -ENOENT && r != -EBADMSG)
        return r < 0 ? err_errno(err, -r, "read %s/" KEY_NAME, dir) : 0;
    randombytes_buf(secret, sizeof(secret));
    channel_pair_init(&pair, secret);
    sodium_memzero(secret, sizeof(secret));
    r = save(fd, &pair);
    if (r < 0)
        return err_errno(err, -r, "write %s/" KEY_NAME, dir);
    *ret = pair;
    return 0;
}
