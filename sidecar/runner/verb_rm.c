/*
 * rm. A folder is emptied through its descriptor, which was opened without following a link and in
 * the mount that the first one lies in: whatever is renamed or put in its place meanwhile, nothing
 * beside the tree is touched.
 */
#include "sidecar/runner/verb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Some file systems leave entries out of a folder that is changed while it is read. */
#define PASSES_MAX 16

struct removal {
    uint64_t mount;
    dev_t dev;
    int64_t removed;
};

static int remove_any(struct removal *r, int dir, const char *name, unsigned depth);

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int empty_once(struct removal *r, DIR *d, unsigned depth)
{
    struct dirent *entry;
    int e = 0;

    rewinddir(d);
    while (!e && (errno = 0, entry = readdir(d)))
        if (!is_dots(entry->d_name)) {
            e = remove_any(r, dirfd(d), entry->d_name, depth);
            e = e == ENOENT ? 0 : e;
        }
    return e ? e : errno;
}

/* Another mount may have the same device number. If the kernel does not tell mounts apart, the
 * device number has to do. */
static int check_mount(const struct removal *r, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return errno;
    return st.st_dev != r->dev || walk_mount(fd) != r->mount ? EXDEV : 0;
}

static int remove_folder(struct removal *r, int dir, const char *name, unsigned depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), e;
    DIR *d;

    if (fd < 0)
        return errno;
    e = depth > VERB_DEPTH_MAX ? ELOOP : check_mount(r, fd);
    d = e ? NULL : fdopendir(fd);
    if (!d) {
        e = e ? e : errno;
        close(fd);
        return e;
    }
    e = ENOTEMPTY;
    for (int i = 0; i < PASSES_MAX && e == ENOTEMPTY; i++) {
        e = empty_once(r, d, depth + 1);
        if (!e && unlinkat(dir, name, AT_REMOVEDIR) < 0)
            e = errno;
    }
    closedir(d);
    r->removed += !e;
    return e;
}

static int remove_any(struct removal *r, int dir, const char *name, unsigned depth)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return remove_folder(r, dir, name, depth);
    if (unlinkat(dir, name, 0) < 0)
        return errno;
    r->removed++;
    return 0;
}

static int remove_path(const struct verb *v, struct removal *r)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    int e = verb_walk(v, WALK_KEEP_LINK, &at), fd;

    if (e == EISDIR)
        return EBUSY; /* the root folder */
    if (e)
        return e;
    if (!at.exists)
        return ENOENT;
    if (!S_ISDIR(at.st.st_mode))
        return unlinkat(at.dir, at.name, 0) < 0 ? errno : (r->removed++, 0);
    if (!v->recursive)
        return EISDIR;
    fd = openat(at.dir, at.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    r->mount = walk_mount(fd);
    r->dev = at.st.st_dev;
    close(fd);
    return remove_folder(r, at.dir, at.name, 0);
}

int verb_rm(const struct verb *v)
{
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct removal r = {.removed = 0};
    struct json_writer w;
    int e = remove_path(v, &r);

    if (e && !(e == ENOENT && v->force))
        return verb_fail(e, v->given);
    verb_line_begin(&w, &b);
    json_w_int(&w, "removed", r.removed);
    return verb_line_end(&w, STDOUT_FILENO) ? 1 : 0;
}
