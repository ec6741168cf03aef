#include "sidecar/runner/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Where a walk is. */
struct walker {
    int dir;             /* O_PATH */
    char rest[PATH_MAX]; /* what is still to be walked */
    size_t len;          /* of the path */
    size_t own; /* so many bytes at the end of rest are of the path itself, not of a link */
    unsigned links;
    unsigned flags; /* enum walk_flag */
    uint64_t root_mount;
    uint64_t mount; /* where the file must be; 0: anywhere */
    struct walk *to;
};

/* ---- mounts ---------------------------------------------------------------------------------- */

/* From /proc, for kernels before 5.8. */
static uint64_t mount_by_proc(int fd)
{
    static const char mark[] = "mnt_id:";
    char name[48], text[256];
    const char *p;
    ssize_t n;
    int info;

    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
    info = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (info < 0)
        return 0;
    n = read(info, text, sizeof(text) - 1);
    close(info);
    text[MAX(n, 0)] = '\0';
    p = strstr(text, mark);
    return p ? strtoull(p + strlen(mark), NULL, 10) : 0;
}

uint64_t walk_mount(int fd)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) == 0 &&
        (st.stx_mask & STATX_MNT_ID))
        return st.stx_mnt_id;
    return mount_by_proc(fd);
}

static int refuse(struct walker *w, enum walk_refusal why)
{
    w->to->refusal = why;
    return EPERM;
}

/* Before anything is read, made or written there. */
static int check_volume(struct walker *w, int fd)
{
    return w->mount && walk_mount(fd) != w->mount ? refuse(w, WALK_OUT_OF_VOLUME) : 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void enter(struct walker *w, int fd)
{
    close(w->dir);
    w->dir = fd;
}

static int enter_root(struct walker *w)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    enter(w, fd);
    return 0;
}

/* After a link in a volume the rest of the path must stay in that volume; links in two volumes
 * cannot both hold. */
static int bind_to_volume(struct walker *w, int link)
{
    uint64_t mount;

    if (!(w->flags & WALK_CONFINED))
        return 0;
    mount = walk_mount(link);
    if (mount && mount == w->root_mount)
        return 0;
    if (!mount || (w->mount && w->mount != mount))
        return refuse(w, WALK_OUT_OF_VOLUME);
    w->mount = mount;
    return 0;
}

/* Puts the text of the link in front of the remaining path. */
static int follow(struct walker *w, int link, const struct stat *st)
{
    char text[PATH_MAX];
    size_t rest = strlen(w->rest);
    ssize_t n;
    int e;

    if (st->st_uid != 0 && st->st_uid != geteuid())
        return refuse(w, WALK_FOREIGN_LINK);
    if (++w->links > WALK_LINKS_MAX)
        return ELOOP;
    e = bind_to_volume(w, link);
    if (e)
        return e;
    n = readlinkat(link, "", text, sizeof(text));
    if (n <= 0)
        return n < 0 ? errno : ENOENT;
    if ((size_t)n + 1 + rest >= sizeof(w->rest))
        return ENAMETOOLONG;
    memmove(w->rest + n + 1, w->rest, rest + 1);
    memcpy(w->rest, text, (size_t)n);
    w->rest[n] = '/';
    /* Without anything behind the link, the slash would make a folder of the file. */
    if (rest == 0)
        w->rest[n] = '\0';
    return text[0] == '/' ? enter_root(w) : 0;
}

/* The next component, taken from the rest; "" at the end. ret_own: no link has brought it. */
static int next_name(struct walker *w, char ret[NAME_MAX + 1], bool *ret_own)
{
    const char *p = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(p, "/");

    if (n > NAME_MAX)
        return ENAMETOOLONG;
    memcpy(ret, p, n);
    ret[n] = '\0';
    *ret_own = strlen(p) <= w->own;
    memmove(w->rest, p + n, strlen(p + n) + 1);
    w->own = MIN(w->own, strlen(w->rest));
    return 0;
}

static bool is_last(const struct walker *w)
{
    return w->rest[strspn(w->rest, "/")] == '\0';
}

static int missing(struct walker *w, const char *name, bool own)
{
    int e = check_volume(w, w->dir), fd;

    if (e)
        return e;
    if (is_last(w) && own) {
        memcpy(w->to->name, name, strlen(name) + 1);
        return 0;
    }
    if (!own || !(w->flags & WALK_MAKE_FOLDERS))
        return ENOENT;
    if (mkdirat(w->dir, name, 0755) < 0 && errno != EEXIST)
        return errno;
    if (w->to->made == 0)
        w->to->made = w->len - strlen(w->rest);
    fd = openat(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    enter(w, fd);
    return 0;
}

static int found(struct walker *w, const char *name, int fd)
{
    struct stat st;
    int e;

    if (fstat(fd, &st) < 0)
        e = errno;
    else if (S_ISLNK(st.st_mode) && !((w->flags & WALK_KEEP_LINK) && is_last(w)))
        e = follow(w, fd, &st);
    else if (!is_last(w) && S_ISDIR(st.st_mode)) {
        enter(w, fd);
        return 0;
    } else if (!is_last(w)) {
        e = ENOTDIR;
    } else {
        /* It may be a mount of its own. */
        e = check_volume(w, fd);
        memcpy(w->to->name, name, strlen(name) + 1);
        w->to->exists = true;
        w->to->st = st;
    }
    close(fd);
    return e;
}

/* The path, or a link in it, is the root folder. */
static int found_root(struct walker *w)
{
    if (!(w->flags & WALK_ROOT))
        return EISDIR;
    if (fstat(w->dir, &w->to->st) < 0)
        return errno;
    w->to->name[0] = '.';
    w->to->exists = true;
    return check_volume(w, w->dir);
}

static int walk_step(struct walker *w)
{
    char name[NAME_MAX + 1];
    bool own;
    int e = next_name(w, name, &own), fd;

    if (e)
        return e;
    if (name[0] == '\0')
        return found_root(w);
    fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return found(w, name, fd);
    return errno == ENOENT ? missing(w, name, own) : errno;
}

int walk_to(const char *path, unsigned flags, struct walk *ret)
{
    struct walker w = {.dir = -1, .flags = flags, .to = ret};
    size_t len = strlen(path);
    int e;

    *ret = (struct walk){.dir = -1};
    if (len >= sizeof(w.rest))
        return ENAMETOOLONG;
    memcpy(w.rest, path, len + 1);
    w.len = w.own = len;
    w.dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (w.dir < 0)
        return errno;
    w.root_mount = walk_mount(w.dir);
    do
        e = walk_step(&w);
    while (!e && !ret->name[0]);
    if (e)
        close(w.dir);
    else
        ret->dir = w.dir;
    return e;
}

int walk_open_file(const struct walk *at)
{
    int fd = openat(at->dir, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    int e = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        e = errno;
    else if (!S_ISREG(st.st_mode))
        e = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (e == 0)
        return fd;
    close(fd);
    return -e;
}
