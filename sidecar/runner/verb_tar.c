/* tar: a folder's content as an archive. Nothing is followed, and nothing kept but the folders that
 * lie on the way to where it is. */
#include "sidecar/runner/verb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sidecar/runner/tar.h"

struct packing {
    struct verb_out out;
    struct buf block; /* heads and padding that are not written yet */
    char name[PATH_MAX];
    char data[VERB_CHUNK_BYTES];
    uint64_t mount;
    dev_t dev;
    int64_t entries;
    int64_t skipped;
};

static int pack_folder(struct packing *p, int fd, size_t name_len, unsigned depth);

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int put_head(struct packing *p, enum tar_type type, const struct stat *st, char *link)
{
    struct tar_entry e = {.type = type,
                          .name = p->name,
                          .link = link,
                          .mode = st->st_mode & 07777,
                          .size = type == TAR_FILE ? (uint64_t)st->st_size : 0,
                          .mtime_ns = st->st_mtim.tv_sec * NSEC_PER_SEC,
                          .uid = st->st_uid,
                          .gid = st->st_gid};

    tar_write_head(&p->block, &e);
    p->entries++;
    return verb_out_flush(&p->out, &p->block);
}

/* As many bytes as the head says: more have come since, or fewer are there. */
static int pack_content(struct packing *p, int fd, uint64_t size)
{
    int e = 0;

    for (uint64_t left = size; !e && left > 0;) {
        ssize_t n = read(fd, p->data, (size_t)MIN(left, (uint64_t)sizeof(p->data)));

        if (n == 0)
            return VERB_CHANGED;
        if (n < 0 && errno != EINTR)
            e = errno;
        if (n > 0)
            e = verb_out_write(&p->out, p->data, (size_t)n);
        left -= (uint64_t)MAX(n, 0);
    }
    memset(p->data, 0, TAR_BLOCK);
    return e ? e : verb_out_write(&p->out, p->data, tar_padding(size));
}

static int pack_file(struct packing *p, int dir, const char *name)
{
    CLEANUP(close_fd)
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    int e;

    if (fd < 0 || fstat(fd, &st) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return VERB_CHANGED;
    e = put_head(p, TAR_FILE, &st, NULL);
    return e ? e : pack_content(p, fd, (uint64_t)st.st_size);
}

static int pack_link(struct packing *p, int dir, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return errno;
    target[n] = '\0';
    return put_head(p, TAR_SYMLINK, st, target);
}

static int pack_below(struct packing *p, int dir, const char *name, size_t name_len, unsigned depth)
{
    CLEANUP(close_fd)
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int e, below;

    if (fd < 0 || fstat(fd, &st) < 0)
        return errno;
    if (depth > VERB_DEPTH_MAX)
        return ELOOP;
    if (st.st_dev != p->dev || walk_mount(fd) != p->mount) {
        p->skipped++;
        return 0;
    }
    e = put_head(p, TAR_FOLDER, &st, NULL);
    if (e)
        return e;
    below = fd;
    fd = -1; /* not ours to close any more */
    return pack_folder(p, below, name_len, depth);
}

static int pack_any(struct packing *p, int dir, const char *name, size_t name_len, unsigned depth)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : errno;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return pack_file(p, dir, name);
    case S_IFLNK:
        return pack_link(p, dir, name, &st);
    case S_IFDIR:
        return pack_below(p, dir, name, name_len, depth + 1);
    default:
        p->skipped++;
        return 0;
    }
}

/* Takes over fd. p->name begins with the folder's own name, of name_len bytes. After a failure it
 * is the name of the entry that failed. */
static int pack_folder(struct packing *p, int fd, size_t name_len, unsigned depth)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    int e = 0;

    if (!d) {
        e = errno;
        close(fd);
        return e;
    }
    while (!e && (errno = 0, entry = readdir(d))) {
        size_t len = strlen(entry->d_name);

        if (is_dots(entry->d_name))
            continue;
        if (name_len + 1 + len >= sizeof(p->name)) {
            e = ENAMETOOLONG;
            break;
        }
        if (name_len)
            p->name[name_len] = '/';
        memcpy(p->name + name_len + (name_len > 0), entry->d_name, len + 1);
        e = pack_any(p, dirfd(d), entry->d_name, name_len + (name_len > 0) + len, depth);
        if (!e)
            p->name[name_len] = '\0';
    }
    if (!e)
        e = errno;
    closedir(d);
    return e;
}

static int pack(const struct verb *v, struct packing *p)
{
    struct stat st;
    int fd, e = verb_open_folder(v, &fd);

    if (e)
        return e;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return EIO;
    }
    p->mount = walk_mount(fd);
    p->dev = st.st_dev;
    e = pack_folder(p, fd, 0, 0);
    if (e)
        return e;
    tar_write_end(&p->block);
    return verb_out_flush(&p->out, &p->block);
}

int verb_tar(const struct verb *v)
{
    struct packing *p = xcalloc(1, sizeof(*p));
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct json_writer w;
    int e;

    p->block = (struct buf)BUF_INIT(TAR_HEAD_BYTES_MAX);
    verb_out_init(&p->out, STDOUT_FILENO);
    e = pack(v, p);
    if (e) {
        cleanup_free char *what =
            p->name[0] ? xasprintf("%s/%s", v->path, p->name) : xstrdup(v->given);

        buf_done(&p->block);
        free(p);
        return verb_fail(e, what);
    }
    verb_out_digest(&p->out, digest);
    verb_line_begin(&w, &b);
    json_w_int(&w, "entries", p->entries);
    json_w_int(&w, "skipped", p->skipped);
    verb_line_hash(&w, p->out.size, digest);
    buf_done(&p->block);
    free(p);
    return verb_line_end(&w, STDERR_FILENO) ? 1 : 0;
}
