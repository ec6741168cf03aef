#include "sidecar/disk/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "sidecar/disk/copy.h"

struct spool_file {
    struct list node; /* oldest first */
    struct spool *spool;
    char *path;
    int fd; /* -1: nothing more is written */
    bool in_use;
    bool lasts; /* or is for followers alone, so far */
    size_t size;
    struct timespec changed;
};

struct spool {
    char *dir;
    struct list files;
    size_t count;
    size_t bytes;
};

/* ---- the folder ------------------------------------------------------------------------------ */

static void file_free(struct spool_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    list_remove(&f->node);
    f->spool->count--;
    f->spool->bytes -= f->size;
    free(f->path);
    free(f);
}

static void drop(struct spool_file *f)
{
    cleanup_fd int fd = open(f->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    /* First unlink, then truncate: a reader that has the file open sees by the count of links why
     * it is empty. */
    unlink(f->path);
    if (fd >= 0 && ftruncate(fd, 0) < 0)
        log_warn("a deleted output file could not be emptied", "path", f->path, "why",
                 strerror(errno), NULL);
    file_free(f);
}

/* The oldest that nobody writes, or NULL. */
static struct spool_file *oldest(const struct spool *s)
{
    list_for_each (it, &s->files) {
        struct spool_file *f = list_entry(it, struct spool_file, node);

        if (!f->in_use)
            return f;
    }
    return NULL;
}

/* For followers nothing has to go. */
static bool has_room(const struct spool *s, size_t files, size_t bytes)
{
    return s->count + files <= SPOOL_FILES + SPOOL_SPARE_FILES &&
           s->bytes + bytes <= SPOOL_BYTES + SPOOL_SPARE_BYTES;
}

static bool make_room(struct spool *s, size_t files, size_t bytes)
{
    while (s->count + files > SPOOL_FILES || s->bytes + bytes > SPOOL_BYTES) {
        struct spool_file *f = oldest(s);

        if (!f)
            return false;
        drop(f);
    }
    return true;
}

static struct spool_file *add(struct spool *s, const char *name)
{
    struct spool_file *f = xcalloc(1, sizeof(*f));

    f->spool = s;
    f->fd = -1;
    f->path = xasprintf("%s/%s", s->dir, name);
    list_push_back(&s->files, &f->node);
    s->count++;
    return f;
}

static bool older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Moves the last one to where its time belongs. */
static void sort_in(struct spool *s, struct spool_file *f)
{
    struct list *before = f->node.prev;

    while (before != &s->files &&
           older(&f->changed, &list_entry(before, struct spool_file, node)->changed))
        before = before->prev;
    list_remove(&f->node);
    list_push_front(before, &f->node);
}

static void restore(struct spool *s, const char *name)
{
    struct spool_file *f = add(s, name);
    struct stat st;

    if (lstat(f->path, &st) < 0 || !S_ISREG(st.st_mode)) {
        file_free(f);
        return;
    }
    f->size = (size_t)st.st_size;
    f->changed = st.st_mtim;
    s->bytes += f->size;
    sort_in(s, f);
}

int spool_open(const char *state_dir, struct spool **ret, struct err *err)
{
    struct spool *s = xcalloc(1, sizeof(*s));
    struct dirent *e;
    DIR *d;

    s->dir = xasprintf("%s/output", state_dir);
    list_init(&s->files);
    d = mkdir(s->dir, 0700) < 0 && errno != EEXIST ? NULL : opendir(s->dir);
    if (!d) {
        int r = err_errno(err, errno, "open %s", s->dir);

        spool_free(s);
        return r;
    }
    while ((e = readdir(d))) {
        /* The followers of this file were connected to the last process of the sidecar. */
        if (strncmp(e->d_name, SPOOL_FOLLOWED, strlen(SPOOL_FOLLOWED)) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
        else if (e->d_name[0] != '.')
            restore(s, e->d_name);
    }
    closedir(d);
    make_room(s, 0, 0);
    *ret = s;
    return 0;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    list_for_each_safe (it, &s->files)
        file_free(list_entry(it, struct spool_file, node));
    free(s->dir);
    free(s);
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct spool_file *begin(struct spool *s, const char *name, bool lasts)
{
    struct spool_file *f = add(s, name);

    unlink(f->path);
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        file_free(f);
        return NULL;
    }
    f->in_use = true;
    f->lasts = lasts;
    return f;
}

struct spool_file *spool_begin(struct spool *s, const char *name)
{
    return make_room(s, 1, 0) ? begin(s, name, true) : NULL;
}

struct spool_file *spool_begin_spare(struct spool *s, const char *name)
{
    return has_room(s, 1, 0) ? begin(s, name, false) : NULL;
}

bool spool_keep(struct spool_file *f)
{
    if (f->fd < 0)
        return false;
    f->lasts = true;
    return true;
}

static void stop(struct spool_file *f)
{
    close(f->fd);
    f->fd = -1;
}

void spool_write(struct spool_file *f, const char *data, size_t len)
{
    len = MIN(len, SPOOL_FILE_BYTES - f->size);
    if (f->fd >= 0 && !(f->lasts ? make_room(f->spool, 0, len) : has_room(f->spool, 0, len)))
        stop(f);
    while (f->fd >= 0 && len > 0) {
        ssize_t n = write(f->fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            stop(f);
            return;
        }
        f->size += (size_t)n;
        f->spool->bytes += (size_t)n;
        data += n;
        len -= (size_t)n;
    }
}

const char *spool_path(const struct spool_file *f)
{
    return f->path;
}

void spool_close(struct spool_file *f)
{
    if (f->fd >= 0)
        stop(f);
}

void spool_end(struct spool_file *f)
{
    if (!f)
        return;
    spool_close(f);
    f->in_use = false;
}

void spool_remove(struct spool_file *f)
{
    if (f)
        drop(f);
}

/* ---- reading --------------------------------------------------------------------------------- */

int spool_cat(const char *state_dir, const char *path, struct err *err)
{
    cleanup_free char *dir = xasprintf("%s/output/", state_dir);
    const char *name = strncmp(path, dir, strlen(dir)) == 0 ? path + strlen(dir) : path;
    cleanup_free char *file = xasprintf("%s%s", dir, name);
    cleanup_fd int fd = -1;
    struct stat st;
    int r;

    if (!*name || *name == '.' || strchr(name, '/'))
        return err_set(err, -EINVAL, "%s is not a file in %s", path, dir);
    fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "open %s", file);
    r = fstat(fd, &st) < 0 ? -errno : copy_bytes(fd, STDOUT_FILENO);
    /* It went when the room was needed: before fstat(), or while it was read. */
    if (r == 0 && (st.st_nlink == 0 || lseek(fd, 0, SEEK_CUR) < st.st_size))
        r = -ESTALE;
    return r < 0 ? err_errno(err, -r, "copy %s", file) : 0;
}
