#include "sidecar/runner/write_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/runner/patch.h"
#include "sidecar/runner/walk.h"

#define TEMP_ATTEMPTS 16

/* Where a file is to be, and what is there. */
struct target {
    const struct write_spec *spec;
    struct walk at; /* at.dir -1: a folder on the way is missing */
};

static struct write_result failed(int e)
{
    return (struct write_result){e ? FRAME_WRITE_FAILED : FRAME_EXITED, (uint32_t)e};
}

static void target_done(struct target *t)
{
    if (t->at.dir >= 0)
        close(t->at.dir);
}

/* make_folders false: that one is missing is no failure. */
static struct write_result find(struct target *t, bool make_folders)
{
    int e;

    target_done(t);
    e = walk_to(t->spec->path, t->spec->confined, make_folders, &t->at);
    if (e == EPERM && t->at.refusal)
        return (struct write_result){FRAME_LINK_REFUSED, t->at.refusal};
    if (e == ENOENT && !make_folders)
        return failed(0);
    if (!e && t->at.exists && S_ISDIR(t->at.st.st_mode))
        e = EISDIR;
    if (!e && t->at.exists && !S_ISREG(t->at.st.st_mode))
        return (struct write_result){FRAME_NOT_A_FILE, 0};
    return failed(e);
}

/* A fresh file beside the target, since rename() works inside of one file system only. */
static int open_temp(const struct target *t, char **ret_name)
{
    int fd = -1;

    for (int i = 0; i < TEMP_ATTEMPTS && fd < 0; i++) {
        uint64_t r = 0;

        if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
            r = (uint64_t)getpid() + (uint64_t)i;
        str_set(ret_name, xasprintf(".arl-%016llx", (unsigned long long)r));
        fd = openat(t->at.dir, *ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
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

static mode_t mode_of(const struct target *t)
{
    /* The bits that lend a user are lent by whoever owns the file: of another one's, root would
     * make its own. */
    mode_t kept = t->at.st.st_uid == geteuid() ? 07777 : 0777;

    if (t->spec->mode != FRAME_MODE_UNSET)
        return (mode_t)(t->spec->mode & 07777);
    return t->spec->kind == FRAME_WRITE_PATCH && t->at.exists ? t->at.st.st_mode & kept : 0644;
}

static int fill(int fd, const struct target *t, const void *content, size_t len)
{
    int e = write_all(fd, content, len);

    /* The mode is set here and not by open(), since the umask is the container's. */
    if (!e && fchmod(fd, mode_of(t)) < 0)
        e = errno;
    /* Network file systems report a full disk here. */
    if (close(fd) < 0 && !e)
        e = errno;
    return e;
}

static struct write_result replace(struct target *t, const void *content, size_t len)
{
    cleanup_free char *temp = NULL;
    struct write_result r = {FRAME_EXITED, 0};
    int fd, e;

    if (t->at.dir < 0)
        r = find(t, true);
    if (r.how != FRAME_EXITED)
        return r;
    fd = open_temp(t, &temp);
    if (fd < 0)
        return failed(-fd);
    e = fill(fd, t, content, len);
    if (!e && renameat(t->at.dir, temp, t->at.dir, t->at.name) < 0)
        e = errno;
    if (e)
        unlinkat(t->at.dir, temp, 0);
    return failed(e);
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

/* One byte more than the limit, so that a file above it is seen. What is opened may be another one
 * than what was found. */
static struct write_result read_file(struct target *t, char **ret, size_t *ret_len)
{
    int fd =
        openat(t->at.dir, t->at.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int e = 0;

    if (fd < 0)
        return failed(errno);
    if (fstat(fd, &t->at.st) < 0)
        e = errno;
    if (!e && !S_ISREG(t->at.st.st_mode)) {
        close(fd);
        return (struct write_result){FRAME_NOT_A_FILE, 0};
    }
    *ret = xmalloc(PATCH_FILE_MAX + 1);
    if (!e)
        e = read_all(fd, *ret, PATCH_FILE_MAX + 1, ret_len);
    close(fd);
    return failed(e);
}

static struct write_result apply_patch(struct target *t)
{
    cleanup_free char *old = NULL, *new = NULL;
    size_t old_len = 0, new_len = 0;
    struct write_result r = {FRAME_EXITED, 0};
    uint32_t fault;

    if (t->at.exists)
        r = read_file(t, &old, &old_len);
    if (r.how != FRAME_EXITED)
        return r;
    fault = patch_apply(old ? old : "", old_len, t->spec->content, t->spec->len, &new, &new_len);
    /* That the file is missing says more than that its lines are. */
    if (patch_fault_error(fault) == PATCH_MISMATCH && !t->at.exists)
        return failed(ENOENT);
    if (fault)
        return (struct write_result){FRAME_PATCH_FAILED, fault};
    return replace(t, new, new_len);
}

struct write_result write_file(const struct write_spec *spec)
{
    CLEANUP(target_done) struct target t = {.spec = spec, .at = {.dir = -1}};
    struct write_result r;

    if (spec->path[strlen(spec->path) - 1] == '/')
        return failed(EISDIR);
    umask(022);
    r = find(&t, false);
    if (r.how != FRAME_EXITED)
        return r;
    return spec->kind == FRAME_WRITE_PATCH ? apply_patch(&t)
                                           : replace(&t, spec->content, spec->len);
}
