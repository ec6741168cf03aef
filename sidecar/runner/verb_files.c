#include "sidecar/runner/verb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/write_all.h"

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* ---- put ------------------------------------------------------------------------------------- */

/* Standard input into a file. */
static int fill(int fd, void *arg)
{
    cleanup_free char *data = xmalloc(VERB_CHUNK_BYTES);
    struct verb_in *in = arg;
    size_t n = 1;
    int e = 0;

    while (!e && n > 0) {
        e = verb_in_read(in, data, VERB_CHUNK_BYTES, &n);
        if (!e)
            e = -write_all(fd, data, n);
    }
    return e;
}

static int find_file(const struct verb *v, unsigned flags, struct walk *at)
{
    int e = v->for_folder ? EISDIR : verb_walk(v, flags, at);

    if (!e && at->exists && S_ISDIR(at->st.st_mode))
        return EISDIR;
    return !e && at->exists && !S_ISREG(at->st.st_mode) ? VERB_NOT_A_FILE : e;
}

int verb_put(const struct verb *v)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    struct verb_in in;
    struct replace put = {.at = &at, .mode = v->mode, .fill = fill, .arg = &in};
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct json_writer w;
    int e = find_file(v, WALK_MAKE_FOLDERS, &at);

    verb_input(v, &in);
    if (!e)
        e = replace_prepare(&put);
    if (!e)
        e = replace_commit(&put);
    replace_done(&put);
    if (e)
        return verb_fail(e, v->given);
    verb_line_begin(&w, &b);
    verb_line_hash(&w, in.size, in.digest);
    json_w_bool(&w, "created", !at.exists);
    json_w_bool(&w, "inPlace", put.in_place);
    return verb_line_end(&w, STDOUT_FILENO) ? 1 : 0;
}

/* ---- get ------------------------------------------------------------------------------------- */

static int copy_file(int fd, uint64_t length, struct verb_out *out)
{
    cleanup_free char *data = xmalloc(VERB_CHUNK_BYTES);
    int e = 0;

    while (!e && length > 0) {
        ssize_t n = read(fd, data, (size_t)MIN(length, (uint64_t)VERB_CHUNK_BYTES));

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            e = errno;
        if (n > 0)
            e = verb_out_write(out, data, (size_t)n);
        length -= (uint64_t)MAX(n, 0);
    }
    return e;
}

static int open_file(const struct walk *at, uint64_t offset, int *ret)
{
    int fd = walk_open_file(at);

    if (fd < 0)
        return fd == -EINVAL ? VERB_NOT_A_FILE : -fd;
    *ret = fd;
    return offset > 0 && lseek(fd, (off_t)offset, SEEK_SET) < 0 ? errno : 0;
}

int verb_get(const struct verb *v)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    CLEANUP(close_fd) int fd = -1;
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct json_writer w;
    struct verb_out out;
    int e = find_file(v, 0, &at);

    verb_out_init(&out, STDOUT_FILENO);
    if (!e && !at.exists)
        e = ENOENT;
    if (!e)
        e = open_file(&at, v->offset, &fd);
    if (!e)
        e = copy_file(fd, v->length, &out);
    if (e)
        return verb_fail(e, v->given);
    verb_out_digest(&out, digest);
    verb_line_begin(&w, &b);
    verb_line_hash(&w, out.size, digest);
    return verb_line_end(&w, STDERR_FILENO) ? 1 : 0;
}

/* ---- ls, stat -------------------------------------------------------------------------------- */

static const char *type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "char";
    default:
        return "block";
    }
}

static void write_base64(struct json_writer *w, const char *name, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf b = BUF_INIT(2 * PATH_MAX);
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)(unsigned char)text[i] << 16;
        size_t n = MIN(len - i, (size_t)3);

        for (size_t k = 1; k < n; k++)
            v |= (unsigned)(unsigned char)text[i + k] << (16 - 8 * k);
        for (size_t k = 0; k < 4; k++)
            buf_putc(&b, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
    }
    json_w_strn(w, name, buf_str(&b), b.len);
    buf_done(&b);
}

/* As text, and as base64 where that is not all. */
static void write_name(struct json_writer *w, const char *name, const char *name64,
                       const char *text)
{
    json_w_str(w, name, text);
    if (!json_is_utf8(text, strlen(text)))
        write_base64(w, name64, text);
}

void verb_describe(struct buf *b, int dir, const char *name, const char *shown,
                   const struct stat *st)
{
    char mode[8], target[PATH_MAX];
    struct json_writer w;
    ssize_t n;

    snprintf(mode, sizeof(mode), "%04o", (unsigned)st->st_mode & 07777);
    verb_line_begin(&w, b);
    write_name(&w, "name", "nameBase64", shown);
    json_w_str(&w, "type", type_of(st->st_mode));
    json_w_int(&w, "size", st->st_size);
    json_w_str(&w, "mode", mode);
    json_w_int(&w, "mtimeNs", st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec);
    json_w_int(&w, "uid", st->st_uid);
    json_w_int(&w, "gid", st->st_gid);
    n = S_ISLNK(st->st_mode) ? readlinkat(dir, name, target, sizeof(target) - 1) : -1;
    if (n >= 0) {
        target[n] = '\0';
        write_name(&w, "target", "targetBase64", target);
    }
    json_w_end_object(&w);
    buf_putc(b, '\n');
}

int verb_stat(const struct verb *v)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    cleanup_buf struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    int e = verb_walk(v, WALK_ROOT | (v->follow ? 0 : WALK_KEEP_LINK), &at);
    const char *slash = strrchr(v->path, '/');

    if (!e && !at.exists)
        e = ENOENT;
    if (e)
        return verb_fail(e, v->given);
    verb_describe(&b, at.dir, at.name, slash[1] ? slash + 1 : "/", &at.st);
    return verb_write(STDOUT_FILENO, b.data, b.len) ? 1 : 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int list(DIR *d, struct verb_out *out, int64_t *ret_count)
{
    cleanup_buf struct buf b = BUF_INIT(VERB_CHUNK_BYTES + VERB_LINE_BYTES_MAX);
    struct dirent *entry;
    struct stat st;
    int e = 0;

    while (!e && (errno = 0, entry = readdir(d))) {
        if (is_dots(entry->d_name))
            continue;
        /* One that is gone meanwhile is not there. */
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            e = errno == ENOENT ? 0 : errno;
            continue;
        }
        verb_describe(&b, dirfd(d), entry->d_name, entry->d_name, &st);
        ++*ret_count;
        if (b.len >= VERB_CHUNK_BYTES)
            e = verb_out_flush(out, &b);
    }
    if (!e)
        e = errno;
    return e ? e : verb_out_flush(out, &b);
}

int verb_ls(const struct verb *v)
{
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct json_writer w;
    struct verb_out out;
    int64_t count = 0;
    int fd, e = verb_open_folder(v, &fd);
    DIR *d;

    if (e)
        return verb_fail(e, v->given);
    d = fdopendir(fd);
    verb_out_init(&out, STDOUT_FILENO);
    e = d ? list(d, &out, &count) : errno;
    if (d)
        closedir(d);
    else
        close(fd);
    if (e)
        return verb_fail(e, v->given);
    verb_line_begin(&w, &b);
    json_w_int(&w, "entries", count);
    return verb_line_end(&w, STDERR_FILENO) ? 1 : 0;
}

/* ---- mkdir ----------------------------------------------------------------------------------- */

static int make_folder(const struct verb *v, bool *ret_created)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    unsigned flags = WALK_ROOT | (v->parents ? WALK_MAKE_FOLDERS : WALK_KEEP_LINK);
    int e = verb_walk(v, flags, &at);

    if (e)
        return e;
    if (at.exists)
        return v->parents && S_ISDIR(at.st.st_mode) ? 0 : EEXIST;
    if (v->mode != REPLACE_KEEP_MODE)
        e = verb_make_folder(at.dir, at.name, v->mode);
    else
        e = mkdirat(at.dir, at.name, 0755) < 0 ? errno : 0;
    *ret_created = !e;
    return e;
}

int verb_mkdir(const struct verb *v)
{
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct json_writer w;
    bool created = false;
    int e = make_folder(v, &created);

    if (e)
        return verb_fail(e, v->given);
    verb_line_begin(&w, &b);
    json_w_bool(&w, "created", created);
    return verb_line_end(&w, STDOUT_FILENO) ? 1 : 0;
}
