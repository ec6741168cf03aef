/*
 * untar: an archive into a folder. Each entry is walked to from the folder's descriptor, without
 * following a link, so nothing is written anywhere else, whatever the archive or somebody beside it
 * has made of the tree.
 */
#include "sidecar/runner/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/write_all.h"

#include "sidecar/runner/tar.h"

#define TEMP_ATTEMPTS 16

struct unpacking {
    struct verb_in in;
    int root;
    struct tar_reader reader;
    int parent; /* of the entry before; -1: none */
    char *parent_name;
    int64_t entries;
    int input_error; /* while a file was written */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- where an entry goes --------------------------------------------------------------------- */

/* The folder `name` in dir, which is made if it is missing; a negative errno. */
static int enter(int dir, const char *name)
{
    int fd;

    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The folder that an entry lies in, to be closed; a negative errno. name: without its last part. */
static int walk_down(int root, char *name)
{
    int fd = fcntl(root, F_DUPFD_CLOEXEC, 0);

    for (char *p = name, *slash; fd >= 0 && *p; p = slash ? slash + 1 : p + strlen(p)) {
        int next;

        slash = strchr(p, '/');
        if (slash)
            *slash = '\0';
        next = enter(fd, p);
        if (slash)
            *slash = '/';
        close(fd);
        fd = next;
    }
    return fd;
}

/* *ret_last: the last part of the name. The folder is kept for the next entry. */
static int find_parent(struct unpacking *u, const char *name, const char **ret_last)
{
    const char *slash = strrchr(name, '/');
    cleanup_free char *parent = slash ? xmemdup0(name, (size_t)(slash - name)) : xstrdup("");
    int fd;

    *ret_last = slash ? slash + 1 : name;
    if (u->parent >= 0 && strcmp(u->parent_name, parent) == 0)
        return 0;
    fd = walk_down(u->root, parent);
    if (fd < 0)
        return -fd;
    close_fd(&u->parent);
    u->parent = fd;
    str_set(&u->parent_name, str_take(&parent));
    return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

static int set_time(int dir, const char *name, int64_t mtime_ns)
{
    int64_t part = mtime_ns % NSEC_PER_SEC;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = mtime_ns / NSEC_PER_SEC - (part < 0),
                                 .tv_nsec = part < 0 ? part + NSEC_PER_SEC : part}};

    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

struct content {
    struct unpacking *u;
    uint64_t size;
};

static int fill(int fd, void *arg)
{
    cleanup_free char *data = xmalloc(VERB_CHUNK_BYTES);
    struct content *c = arg;
    int e = 0;

    for (uint64_t left = c->size; !e && left > 0;) {
        size_t n = (size_t)MIN(left, (uint64_t)VERB_CHUNK_BYTES);

        e = c->u->input_error = verb_in_full(&c->u->in, data, n);
        if (!e)
            e = -write_all(fd, data, n);
        left -= n;
    }
    if (!e)
        e = c->u->input_error = verb_in_full(&c->u->in, data, tar_padding(c->size));
    return e;
}

/* Removes an entry that is in the way of a new file. A link is removed, wherever it leads. */
static int look(int dir, const char *name, struct walk *at)
{
    *at = (struct walk){.dir = dir};
    if (strlen(name) > NAME_MAX)
        return ENAMETOOLONG;
    memcpy(at->name, name, strlen(name) + 1);
    if (fstatat(dir, name, &at->st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : errno;
    if (S_ISDIR(at->st.st_mode))
        return EISDIR;
    at->exists = S_ISREG(at->st.st_mode);
    return at->exists || S_ISLNK(at->st.st_mode) ? 0 : VERB_NOT_A_FILE;
}

static int put_file(struct unpacking *u, const char *name, const struct tar_entry *entry)
{
    struct content content = {.u = u, .size = entry->size};
    struct walk at;
    struct replace put = {.at = &at, .mode = entry->mode & 0777, .fill = fill, .arg = &content};
    int e = look(u->parent, name, &at);

    if (!e)
        e = replace_prepare(&put);
    if (!e)
        e = replace_commit(&put);
    replace_done(&put);
    return e ? e : set_time(u->parent, name, entry->mtime_ns);
}

static int put_folder(struct unpacking *u, const char *name, const struct tar_entry *entry)
{
    int e = verb_make_folder(u->parent, name, (entry->mode & 0777) | 0700), fd;

    if (e != EEXIST)
        return e;
    fd = openat(u->parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int make_hard_link(struct unpacking *u, const char *target, const char *temp)
{
    CLEANUP(close_fd) int dir = -1;
    const char *slash = strrchr(target, '/'), *last = slash ? slash + 1 : target;
    cleanup_free char *parent = slash ? xmemdup0(target, (size_t)(slash - target)) : xstrdup("");
    struct stat st;

    dir = walk_down(u->root, parent);
    if (dir < 0)
        return -dir;
    if (fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return VERB_NOT_A_FILE;
    return linkat(dir, last, u->parent, temp, 0) < 0 ? errno : 0;
}

/* Makes it under another name first, and renames that over the old entry. */
static int put_link(struct unpacking *u, const char *name, const struct tar_entry *entry)
{
    char temp[REPLACE_TEMP_MAX];
    struct walk at;
    int e = look(u->parent, name, &at);

    if (e)
        return e;
    e = EEXIST;
    for (unsigned i = 0; i < TEMP_ATTEMPTS && e == EEXIST; i++) {
        replace_temp_name(temp, i);
        if (entry->type == TAR_HARDLINK)
            e = make_hard_link(u, entry->link, temp);
        else
            e = symlinkat(entry->link, u->parent, temp) < 0 ? errno : 0;
    }
    if (e)
        return e;
    if (renameat(u->parent, temp, u->parent, name) < 0)
        e = errno;
    /* The other name still exists if the rename failed, or if both names were one file. */
    unlinkat(u->parent, temp, 0);
    return e || entry->type == TAR_HARDLINK ? e : set_time(u->parent, name, entry->mtime_ns);
}

static int put_entry(struct unpacking *u, const struct tar_entry *entry)
{
    const char *last;
    int e;

    u->entries++;
    if (!entry->name[0])
        return 0; /* the folder itself */
    e = find_parent(u, entry->name, &last);
    if (e)
        return e;
    switch (entry->type) {
    case TAR_FILE:
        return put_file(u, last, entry);
    case TAR_FOLDER:
        return put_folder(u, last, entry);
    default:
        return put_link(u, last, entry);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Says what went wrong. */
static int unpack(struct unpacking *u, const struct verb *v)
{
    for (;;) {
        CLEANUP(tar_entry_done) struct tar_entry entry = {.size = 0};
        unsigned char block[TAR_BLOCK];
        enum tar_result result;
        int e = verb_in_full(&u->in, block, sizeof(block));

        if (e)
            return verb_fail(e, v->given);
        result = tar_read_block(&u->reader, block, &entry);
        if (result == TAR_BAD)
            return verb_fail(VERB_ARCHIVE, u->reader.why);
        if (result == TAR_END) {
            e = verb_in_finish(&u->in);
            return e ? verb_fail(e, v->given) : 0;
        }
        e = result == TAR_ENTRY ? put_entry(u, &entry) : 0;
        if (e)
            return verb_fail(e, u->input_error ? v->given : entry.name);
    }
}

/* The folder itself, with those above it. */
static int open_root(const struct verb *v, int *ret)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    int e = verb_walk(v, WALK_ROOT | WALK_MAKE_FOLDERS, &at), fd;

    if (e)
        return e;
    if (!at.exists && mkdirat(at.dir, at.name, 0755) < 0 && errno != EEXIST)
        return errno;
    fd = openat(at.dir, at.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *ret = fd;
    return 0;
}

int verb_untar(const struct verb *v)
{
    struct unpacking u = {.root = -1, .parent = -1};
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct json_writer w;
    int e = open_root(v, &u.root), r;

    if (e)
        return verb_fail(e, v->given);
    verb_input(v, &u.in);
    tar_reader_init(&u.reader);
    r = unpack(&u, v);
    tar_reader_done(&u.reader);
    close_fd(&u.parent);
    close_fd(&u.root);
    free(u.parent_name);
    if (r)
        return r;
    verb_line_begin(&w, &b);
    json_w_int(&w, "entries", u.entries);
    verb_line_hash(&w, u.in.size, u.in.digest);
    return verb_line_end(&w, STDOUT_FILENO) ? 1 : 0;
}
