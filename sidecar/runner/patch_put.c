#include "sidecar/runner/patch_put.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/write_all.h"

#define COPY_BYTES (64u << 10)

char *patch_entry_path(const struct write_spec *spec, const char *name)
{
    return name && *name ? xasprintf("%s/%s", spec->path, name) : xstrdup(spec->path);
}

bool patch_name_below(const char *name, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(name, folder, n) == 0 && name[n] == '/';
}

static bool goes(const struct patch_entry *e)
{
    return e->changed && e->old && !e->new;
}

static bool comes(const struct patch_entry *e)
{
    return e->changed && e->new;
}

/* ---- files in place of folders, and the other way round -------------------------------------- */

/* Moves a file aside, so that its name can become a folder. */
static struct patch_entry *file_above(const struct patch_tree *t, const struct patch_entry *e)
{
    for (size_t i = 0; i < t->count; i++)
        if (goes(t->entries[i]) && patch_name_below(e->name, t->entries[i]->name))
            return t->entries[i];
    return NULL;
}

/* Whether the patch takes the file of this name, or files below it. */
static bool takes(const struct patch_tree *t, const char *name, bool below)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct patch_entry *e = t->entries[i];

        if (goes(e) && (below ? patch_name_below(e->name, name) : strcmp(e->name, name) == 0))
            return true;
    }
    return false;
}

static void close_folder(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* Whether nothing is left of a folder. name: in the patch; at: in `parent`. Goes no deeper than the
 * names of the patch. */
static bool is_emptied(const struct patch_tree *t, int parent, const char *at, const char *name)
{
    int fd = openat(parent, at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_folder) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *one;

    if (!d && fd >= 0)
        close(fd);
    if (!d)
        return false;
    while ((one = readdir(d))) {
        cleanup_free char *path = xasprintf("%s/%s", name, one->d_name);

        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        if (!takes(t, path, false) &&
            !(takes(t, path, true) && is_emptied(t, dirfd(d), one->d_name, path)))
            return false;
    }
    return true;
}

/* Before anything is changed. */
static int check_place(const struct patch_tree *t, const struct patch_entry *e, char **ret_why)
{
    for (size_t i = 0; i < t->count; i++)
        if (comes(t->entries[i]) && patch_name_below(t->entries[i]->name, e->name)) {
            *ret_why = xasprintf("it is a file in the patch, and a folder of %s as well",
                                 t->entries[i]->name);
            return ENOTDIR;
        }
    if (e->in_the_way == ENOTDIR)
        return file_above(t, e) ? 0 : ENOTDIR;
    if (e->in_the_way == EISDIR)
        return is_emptied(t, e->at.dir, e->at.name, e->name) ? 0 : EISDIR;
    return 0;
}

static int move_aside(struct patch_entry *e)
{
    char name[REPLACE_TEMP_MAX];

    if (e->aside[0])
        return 0;
    replace_temp_name(name, 0);
    if (renameat(e->at.dir, e->at.name, e->at.dir, name) < 0)
        return errno;
    memcpy(e->aside, name, sizeof(name));
    e->at.exists = false;
    return 0;
}

static int make_way(const struct patch_tree *t, struct patch_entry *e)
{
    return e->in_the_way == EISDIR    ? move_aside(e)
           : e->in_the_way == ENOTDIR ? move_aside(file_above(t, e))
                                      : 0;
}

/* ---- all of it, or none ---------------------------------------------------------------------- */

/* The text of a large file, as it was. */
static int copy_large(int to, void *arg)
{
    const struct patch_entry *from = arg;
    cleanup_free char *data = xmalloc(COPY_BYTES);
    off_t at = 0;
    int err = 0;

    while (!err) {
        ssize_t n = pread(from->old_fd, data, COPY_BYTES, at);

        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
        err = -write_all(to, data, (size_t)MAX(n, 0));
        at += MAX(n, 0);
    }
    return err;
}

static int set_mode(const struct patch_entry *e, mode_t mode)
{
    int fd =
        openat(e->at.dir, e->at.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    int err = 0;

    if (fd < 0)
        return errno;
    if (fstat(fd, &st) < 0)
        err = errno;
    /* It may be another one than what was found. */
    else if (st.st_dev != e->at.st.st_dev || st.st_ino != e->at.st.st_ino)
        err = EBUSY;
    else if (fchmod(fd, mode) < 0)
        err = errno;
    close(fd);
    return err;
}

/* Writes the complete new file beside its place. */
static struct write_result prepare(const struct patch_tree *t, struct patch_entry *e)
{
    cleanup_free char *path = patch_entry_path(t->spec, e->name);
    struct write_result r = {.how = FRAME_EXITED};

    if (t->spec->kind != FRAME_WRITE_PATCHES && t->spec->mode != FRAME_MODE_UNSET)
        e->mode = t->spec->mode;
    if (!e->text_changed)
        return r;
    if (e->at.dir < 0)
        r = write_find(path, t->spec->confined, true, &e->at);
    if (r.how != FRAME_EXITED)
        return r;
    e->put = (struct replace){.at = &e->at, .mode = e->mode, .data = e->new, .len = e->new_len};
    if (e->new_from) {
        e->put.fill = copy_large;
        e->put.arg = (void *)e->new_from;
    }
    return write_outcome(replace_prepare(&e->put));
}

static int commit(struct patch_entry *e)
{
    int err;

    /* If that fails, a file that is written in place may have a part of its new text. */
    e->moved = e->old;
    err = e->text_changed ? replace_commit(&e->put) : set_mode(e, e->mode & 07777);
    if (!err)
        e->moved = true;
    return err;
}

static void put_back(struct patch_entry *e)
{
    struct replace put = {
        .at = &e->at, .mode = e->at.st.st_mode & 07777, .data = e->old, .len = e->old_len};

    if (!e->moved)
        return;
    if (!e->text_changed) {
        set_mode(e, e->at.st.st_mode & 07777);
        return;
    }
    if (e->old_fd >= 0) {
        put.fill = copy_large;
        put.arg = e;
    }
    if (!e->old) {
        unlinkat(e->at.dir, e->at.name, 0);
        return;
    }
    if (replace_prepare(&put) == 0)
        replace_commit(&put);
    replace_done(&put);
}

static void take_back(const struct patch_tree *t)
{
    for (size_t i = t->count; i-- > 0;) {
        struct patch_entry *e = t->entries[i];
        cleanup_free char *path = patch_entry_path(t->spec, e->name);

        put_back(e);
        replace_done(&e->put);
        write_unmake_folders(path, t->spec->confined, &e->at);
    }
    for (size_t i = 0; i < t->count; i++) {
        struct patch_entry *e = t->entries[i];

        if (e->aside[0])
            renameat(e->at.dir, e->aside, e->at.dir, e->at.name);
        e->aside[0] = '\0';
    }
}

/* Removes folders that are empty now, up to the folder of the step, as git does. */
static void remove_folders(const struct patch_tree *t, const struct patch_entry *e)
{
    cleanup_free char *path = patch_entry_path(t->spec, e->name);

    write_remove_folders(path, t->spec->confined, strlen(t->spec->path));
}

/* The empty folders of one that was moved aside. */
static void remove_folder_aside(const struct patch_tree *t, const struct patch_entry *folder)
{
    const char *slash = strrchr(folder->name, '/');
    int above = slash ? (int)(slash + 1 - folder->name) : 0;

    for (size_t i = 0; i < t->count; i++)
        if (goes(t->entries[i]) && patch_name_below(t->entries[i]->name, folder->name)) {
            cleanup_free char *name = xasprintf("%.*s%s%s", above, folder->name, folder->aside,
                                                t->entries[i]->name + strlen(folder->name));
            cleanup_free char *path = patch_entry_path(t->spec, name);

            write_remove_folders(path, t->spec->confined, strlen(t->spec->path) + (size_t)above);
        }
    unlinkat(folder->at.dir, folder->aside, AT_REMOVEDIR); /* one that was empty before */
}

typedef struct write_result step(const struct patch_tree *t, struct patch_entry *e, char **ret_why);

static struct write_result step_check(const struct patch_tree *t, struct patch_entry *e,
                                      char **ret_why)
{
    return write_outcome(comes(e) ? check_place(t, e, ret_why) : 0);
}

static struct write_result step_prepare(const struct patch_tree *t, struct patch_entry *e,
                                        char **ret_why)
{
    (void)ret_why;
    return comes(e) && !e->in_the_way ? prepare(t, e) : write_outcome(0);
}

static struct write_result step_make_way(const struct patch_tree *t, struct patch_entry *e,
                                         char **ret_why)
{
    (void)ret_why;
    return write_outcome(comes(e) ? make_way(t, e) : 0);
}

static struct write_result step_prepare_there(const struct patch_tree *t, struct patch_entry *e,
                                              char **ret_why)
{
    (void)ret_why;
    return comes(e) && e->in_the_way ? prepare(t, e) : write_outcome(0);
}

static struct write_result step_put(const struct patch_tree *t, struct patch_entry *e,
                                    char **ret_why)
{
    (void)t, (void)ret_why;
    return write_outcome(comes(e) ? commit(e) : 0);
}

static struct write_result step_delete(const struct patch_tree *t, struct patch_entry *e,
                                       char **ret_why)
{
    (void)t, (void)ret_why;
    return write_outcome(goes(e) ? move_aside(e) : 0);
}

/* Nothing of this is taken back. */
static void remove_what_goes(const struct patch_tree *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (goes(t->entries[i]))
            unlinkat(t->entries[i]->at.dir, t->entries[i]->aside, 0);
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i]->aside[0] && !goes(t->entries[i]))
            remove_folder_aside(t, t->entries[i]);
    for (size_t i = 0; t->spec->kind == FRAME_WRITE_PATCHES && i < t->count; i++)
        if (goes(t->entries[i]))
            remove_folders(t, t->entries[i]);
}

struct write_result patch_put(const struct patch_tree *t, const char **ret_name, char **ret_why)
{
    static step *const steps[] = {step_check,         step_prepare, step_make_way,
                                  step_prepare_there, step_put,     step_delete};

    for (size_t s = 0; s < ARRAY_SIZE(steps); s++)
        for (size_t i = 0; i < t->count; i++) {
            struct write_result r = steps[s](t, t->entries[i], ret_why);

            if (r.how == FRAME_EXITED)
                continue;
            take_back(t);
            *ret_name = t->entries[i]->name;
            return r;
        }
    remove_what_goes(t);
    return write_outcome(0);
}
