#include "sidecar/runner/patch_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/write_all.h"

#include "sidecar/runner/hunks.h"
#include "sidecar/runner/patch_put.h"

/* The two modes of git: executable by everybody who may read it, or by nobody. */
#define GIT_EXECUTABLE 0100

struct job {
    const struct write_spec *spec;
    struct diff diff;
    struct patch_tree tree;
    size_t bytes;
    char *told; /* for standard output */
    struct write_result result;
};

static void job_done(struct job *j)
{
    for (size_t i = 0; i < j->tree.count; i++) {
        struct patch_entry *e = j->tree.entries[i];

        replace_done(&e->put);
        write_walk_done(&e->at);
        if (e->old_fd >= 0)
            close(e->old_fd);
        free(e->name);
        free(e->old);
        free(e->new);
        free(e);
    }
    free(j->tree.entries);
    free(j->told);
    diff_done(&j->diff);
}

static bool several(const struct job *j)
{
    return j->spec->kind == FRAME_WRITE_PATCHES;
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

/* Takes over `why`. name NULL: it is about the whole patch, or the step's only file. */
static bool refuse(struct job *j, const char *name, char *why)
{
    j->result = (struct write_result){.how = FRAME_PATCH_FAILED};
    snprintf(j->result.text, sizeof(j->result.text), "%s%s%s", name && several(j) ? name : "",
             name && several(j) ? ": " : "", why);
    free(why);
    return false;
}

static bool refuse_errno(struct job *j, const char *name, int e)
{
    return refuse(j, name, xstrdup(strerror(e)));
}

static bool refuse_result(struct job *j, const char *name, const struct write_result *r)
{
    if (!several(j))
        j->result = *r;
    if (!several(j))
        return false;
    if (r->how == FRAME_LINK_REFUSED)
        return refuse(j, name,
                      xstrdup(r->value == WALK_OUT_OF_VOLUME
                                  ? "a symbolic link in a volume leads out of that volume, and is "
                                    "not followed"
                                  : "a symbolic link belongs to neither root nor the user who "
                                    "writes, and is not followed"));
    if (r->how == FRAME_NOT_A_FILE)
        return refuse(j, name, xstrdup("not a regular file"));
    return refuse_errno(j, name, (int)r->value);
}

static void tell(struct job *j, char *text)
{
    cleanup_free char *line = text;

    str_set(&j->told, xasprintf("%s%s", j->told ? j->told : "", line));
}

/* ---- files ----------------------------------------------------------------------------------- */

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

/* The opened file may be another one than the file that was found. */
static struct write_result read_entry(struct patch_entry *e)
{
    struct write_result r = {.how = FRAME_EXITED};
    int fd =
        openat(e->at.dir, e->at.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int err = fd < 0 ? errno : 0;

    if (!err && fstat(fd, &e->at.st) < 0)
        err = errno;
    if (!err && !S_ISREG(e->at.st.st_mode)) {
        r.how = FRAME_NOT_A_FILE;
    } else if (!err && e->at.st.st_size > HUNKS_FILE_MAX) {
        e->old = xstrdup("");
        e->old_fd = fd;
        fd = -1;
    } else if (!err) {
        size_t room = (size_t)e->at.st.st_size + 1;

        e->old = xmalloc(room);
        err = read_all(fd, e->old, room, &e->old_len);
    }
    if (fd >= 0)
        close(fd);
    if (err)
        r = (struct write_result){.how = FRAME_WRITE_FAILED, .value = (uint32_t)err};
    return r;
}

static bool name_valid(const char *name)
{
    if (!*name || *name == '/')
        return false;
    for (const char *p = name; p;) {
        size_t n = strcspn(p, "/");

        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p = p[n] ? p + n + 1 : NULL;
    }
    return name[strlen(name) - 1] != '/';
}

static bool count_bytes(struct job *j, size_t n)
{
    j->bytes += n;
    return j->bytes <= PATCH_BYTES_MAX ||
           refuse(j, NULL,
                  xasprintf("the files of the patch are larger than %u bytes together",
                            PATCH_BYTES_MAX));
}

/* Whether the last component of a path is a symbolic link. */
static bool is_by_link(const struct job *j, const char *path)
{
    CLEANUP(write_walk_done) struct walk at = {.dir = -1};

    return walk_to(path, (j->spec->confined ? WALK_CONFINED : 0) | WALK_KEEP_LINK, &at) ||
           !at.exists || S_ISLNK(at.st.st_mode);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Another entry that is this file: by a link, or by a folder that is one. */
static const struct patch_entry *same_file(const struct job *j, const struct patch_entry *e)
{
    struct stat mine, other;

    for (size_t i = 0; i < j->tree.count; i++) {
        const struct patch_entry *o = j->tree.entries[i];

        if (o == e || o->at.dir < 0 || e->at.dir < 0)
            continue;
        if (o->old && e->old && is_same(&o->at.st, &e->at.st))
            return o;
        if (strcmp(e->at.name, o->at.name) == 0 && fstat(e->at.dir, &mine) == 0 &&
            fstat(o->at.dir, &other) == 0 && is_same(&mine, &other))
            return o;
    }
    return NULL;
}

/* Fills in an entry that was found and read. */
static bool check_entry(struct job *j, const char *path, struct patch_entry *e)
{
    const struct patch_entry *other = several(j) ? same_file(j, e) : NULL;

    if (other)
        return refuse(j, e->name,
                      xasprintf("it is the same file as %s, by a link: name it once", other->name));
    e->by_link = e->old && is_by_link(j, path);
    return true;
}

/* A file stands where a folder is needed, or a folder where a file is needed. A later part of the
 * patch may remove it. */
static bool may_give_way(const struct job *j, const struct write_result *r, const char *path)
{
    return r->how == FRAME_WRITE_FAILED &&
           (r->value == ENOTDIR || (r->value == EISDIR && !is_by_link(j, path)));
}

/* The entry of this name, which is read the first time. name NULL: the step's own path. */
static struct patch_entry *entry_of(struct job *j, const char *name)
{
    cleanup_free char *path = NULL;
    struct write_result r;
    struct patch_entry *e;

    for (size_t i = 0; i < j->tree.count; i++)
        if (strcmp(j->tree.entries[i]->name, str_or_empty(name)) == 0)
            return j->tree.entries[i];
    if (name && !name_valid(name)) {
        refuse(j, name, xstrdup("names in a patch are relative, without \".\" and \"..\""));
        return NULL;
    }
    path = patch_entry_path(j->spec, name);
    e = xcalloc(1, sizeof(*e));
    e->name = xstrdup(str_or_empty(name));
    e->at.dir = -1;
    e->old_fd = -1;
    e->mode = REPLACE_KEEP_MODE;
    j->tree.entries = xrealloc(j->tree.entries, (j->tree.count + 1) * sizeof(struct patch_entry *));
    j->tree.entries[j->tree.count++] = e;
    r = write_find(path, j->spec->confined, false, &e->at);
    if (several(j) && may_give_way(j, &r, path))
        e->in_the_way = (int)r.value;
    else if (r.how == FRAME_EXITED && e->at.dir >= 0 && e->at.exists)
        r = read_entry(e);
    if (r.how != FRAME_EXITED && !e->in_the_way) {
        refuse_result(j, name, &r);
        return NULL;
    }
    if (!check_entry(j, path, e))
        return NULL;
    if (e->old)
        e->new = xmemdup0(e->old, e->old_len);
    e->new_len = e->old_len;
    e->new_from = e->old_fd >= 0 ? e : NULL;
    return count_bytes(j, 2 * e->old_len) ? e : NULL;
}

/* ---- one file of the patch ------------------------------------------------------------------- */

/* The patch has made another file in its place. */
static bool replaced(const struct patch_entry *e)
{
    return e->made && e->old;
}

/* Whether a part of the patch is for the file as it was before all of the patch: git copies that,
 * and renames it unless an earlier part has edited it. */
static bool is_for_old(const struct diff_file *f, const struct patch_entry *from)
{
    bool edited = from->changed && !from->made && from->new;

    return f->change == DIFF_COPY || (f->change == DIFF_RENAME && !edited) ||
           (f->change == DIFF_DELETE && replaced(from));
}

static void set_mode(const struct diff_file *f, const struct patch_entry *from,
                     struct patch_entry *to)
{
    bool moves = f->change == DIFF_RENAME || f->change == DIFF_COPY;
    uint32_t old = f->change != DIFF_CREATE && from->old ? from->at.st.st_mode & 0777 : 0644;

    if (moves && !is_for_old(f, from) && from->mode != REPLACE_KEEP_MODE)
        old = from->mode;
    if (to->mode != REPLACE_KEEP_MODE)
        old = to->mode;
    if (f->new_mode)
        to->mode = f->new_mode & GIT_EXECUTABLE ? old | (old & 0444) >> 2 : old & ~0111u;
    else if (moves)
        to->mode = old; /* a copy has the mode of its source */
}

/* Whether another part of the patch removes the file of this name, so that it may be made anew. */
static bool goes_away(const struct job *j, const char *name)
{
    for (size_t i = 0; i < j->diff.count; i++) {
        const struct diff_file *f = &j->diff.files[i];

        if ((f->change == DIFF_RENAME || f->change == DIFF_DELETE) && f->old_path &&
            strcmp(f->old_path, name) == 0)
            return true;
    }
    return false;
}

static bool check_free(struct job *j, const struct diff_file *f, const struct patch_entry *to)
{
    if (!to->new || (several(j) && goes_away(j, f->new_path)))
        return true;
    return refuse(j, f->new_path, xstrdup("the file exists already, and the patch makes it"));
}

/* from: the entry that has the text of a large file; or NULL. */
static void put_text(struct patch_entry *e, char *data, size_t len, const struct patch_entry *from)
{
    str_set(&e->new, data);
    e->new_len = len;
    e->new_from = from;
    e->changed = e->text_changed = true;
}

static void tell_change(struct job *j, const struct diff_file *f)
{
    if (!several(j))
        return;
    if (f->change == DIFF_RENAME || f->change == DIFF_COPY)
        tell(j, xasprintf("File %s: %s to %s\n", f->change == DIFF_COPY ? "copied" : "renamed",
                          f->old_path, f->new_path));
    else
        tell(j, xasprintf("File %s: %s\n",
                          f->change == DIFF_CREATE   ? "created"
                          : f->change == DIFF_DELETE ? "deleted"
                                                     : "patched",
                          f->new_path ? f->new_path : f->old_path));
}

/* What a part of the patch is for. */
struct before {
    const char *text; /* NULL: there is no file */
    size_t len;
    const struct patch_entry *large; /* its file has the text, not `text`; NULL: none */
};

static bool finish(struct job *j, const struct diff_file *f, struct patch_entry *from,
                   struct patch_entry *to, struct hunks_text *t, const struct patch_entry *large)
{
    if (t->notes)
        tell(j, xasprintf("%s%s%s", several(j) ? to->name : "", several(j) ? ": " : "", t->notes));
    tell_change(j, f);
    if (!count_bytes(j, t->len))
        return false;
    if (f->change == DIFF_DELETE && (t->len > 0 || large))
        return refuse(j, f->old_path,
                      xstrdup("the patch deletes the file, and does not remove all of its lines"));
    if ((f->change == DIFF_DELETE && to->by_link) || (f->change == DIFF_RENAME && from->by_link))
        return refuse(j, f->old_path,
                      xstrdup("a symbolic link leads there: what is deleted or renamed has to be "
                              "named itself"));
    if (f->change == DIFF_DELETE) {
        if (!replaced(to)) /* otherwise the old file of that name is deleted */
            put_text(to, NULL, 0, NULL);
        return true;
    }
    set_mode(f, from, to);
    if (f->change == DIFF_RENAME && !from->made)
        put_text(from, NULL, 0, NULL);
    if (f->change == DIFF_MODIFY && !f->hunks)
        to->changed = true;
    else
        put_text(to, str_take(&t->data), t->len, large);
    to->made = f->change != DIFF_MODIFY;
    return true;
}

/* The text that the hunks are for. */
static struct before text_before(const struct diff_file *f, const struct patch_entry *from)
{
    if (f->change == DIFF_CREATE)
        return (struct before){.text = ""};
    if (is_for_old(f, from))
        return (struct before){from->old, from->old_len, from->old_fd >= 0 ? from : NULL};
    return (struct before){from->new, from->new_len, from->new_from};
}

/* A file that is not there, and hunks that need no line of it. */
static bool makes_file(const struct diff_file *f, const struct patch_entry *to)
{
    struct diff_lines in = diff_hunks(f);
    struct diff_hunk h;
    struct diff_line l;

    return diff_peek(&in, &l) && diff_hunk_head(l, &h) && h.old_start == 0 &&
           f->change == DIFF_MODIFY && !to->old && !to->new;
}

static bool apply_file(struct job *j, const struct diff_file *patch)
{
    struct diff_file copy = *patch;
    const struct diff_file *f = &copy;
    bool moves = f->change == DIFF_RENAME || f->change == DIFF_COPY;
    const char *old_name = several(j) && f->old_path ? f->old_path : NULL;
    const char *new_name = several(j) && f->new_path ? f->new_path : NULL;
    struct patch_entry *from = NULL, *to = entry_of(j, new_name ? new_name : old_name);
    CLEANUP(hunks_text_done) struct hunks_text t = {0};
    cleanup_free char *why = NULL;
    struct before before;

    if (!to)
        return false;
    from = moves ? entry_of(j, old_name) : to;
    if (!from)
        return false;
    if (makes_file(f, to))
        copy.change = DIFF_CREATE;
    if (f->change != DIFF_MODIFY && f->change != DIFF_DELETE && !check_free(j, f, to))
        return false;
    before = text_before(f, from);
    /* Without names a patch does not say that it makes its file. */
    if (!before.text && (f->old_path || f->new_path))
        return refuse_errno(j, from->name, from->in_the_way ? from->in_the_way : ENOENT);
    if (before.large && f->hunks)
        return refuse(j, to->name,
                      xasprintf("a file larger than %u bytes can not be patched", HUNKS_FILE_MAX));
    if (hunks_apply(str_or_empty(before.text), before.len, f, j->spec->fuzz, &t, &why) < 0)
        return before.text ? refuse(j, to->name, str_take(&why)) : refuse_errno(j, NULL, ENOENT);
    return finish(j, f, from, to, &t, before.large);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool check_one(struct job *j)
{
    const struct diff_file *f = j->diff.files;

    if (j->diff.count > 1)
        return refuse(j, NULL,
                      xasprintf("the patch is for %zu files: leave path out, and it names its "
                                "files itself",
                                j->diff.count));
    if (f->change == DIFF_RENAME || f->change == DIFF_COPY)
        return refuse(j, NULL,
                      xasprintf("the patch %s %s to %s: leave path out, and it names its files "
                                "itself",
                                f->change == DIFF_COPY ? "copies" : "renames", f->old_path,
                                f->new_path));
    return true;
}

static bool check_several(struct job *j)
{
    for (size_t i = 0; i < j->diff.count; i++)
        if (!j->diff.files[i].old_path && !j->diff.files[i].new_path)
            return refuse(j, NULL,
                          xstrdup("the patch does not name its file, and the step has no path"));
    return true;
}

static bool put_all(struct job *j)
{
    const char *name = NULL;
    char *why = NULL;
    struct write_result r = patch_put(&j->tree, &name, &why);

    if (r.how == FRAME_EXITED)
        return true;
    return why ? refuse(j, name, why) : refuse_result(j, name, &r);
}

static bool apply_all(struct job *j)
{
    cleanup_free char *why = NULL;

    if (diff_parse(j->spec->content, j->spec->len, &j->diff, &why) < 0)
        return refuse(j, NULL, str_take(&why));
    if (!(several(j) ? check_several(j) : check_one(j)))
        return false;
    for (size_t i = 0; i < j->diff.count; i++)
        if (!apply_file(j, &j->diff.files[i]))
            return false;
    return put_all(j);
}

/* Each file of the patch keeps its folder open. The usual limit of descriptors (1024 in many
 * clusters) is low only for programs that use select(2). */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

struct write_result patch_files(const struct write_spec *spec)
{
    CLEANUP(job_done)
    struct job j = {.spec = spec, .tree.spec = spec, .result = {.how = FRAME_EXITED}};

    allow_descriptors();
    if (apply_all(&j) && j.told)
        write_all(STDOUT_FILENO, j.told, strlen(j.told));
    return j.result;
}
