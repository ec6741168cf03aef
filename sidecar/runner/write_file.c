#include "sidecar/runner/write_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sidecar/runner/patch_files.h"
#include "sidecar/runner/replace.h"

static struct write_result failed(int e)
{
    return (struct write_result){.how = e ? FRAME_WRITE_FAILED : FRAME_EXITED,
                                 .value = (uint32_t)e};
}

void write_walk_done(struct walk *at)
{
    if (at->dir >= 0)
        close(at->dir);
    at->dir = -1;
}

struct write_result write_find(const char *path, bool confined, bool make_folders, struct walk *at)
{
    int e;

    write_walk_done(at);
    e = walk_to(path, (confined ? WALK_CONFINED : 0) | (make_folders ? WALK_MAKE_FOLDERS : 0), at);
    if (e == EPERM && at->refusal)
        return (struct write_result){.how = FRAME_LINK_REFUSED, .value = at->refusal};
    if (e == ENOENT && !make_folders)
        return failed(0);
    if (!e && at->exists && S_ISDIR(at->st.st_mode))
        e = EISDIR;
    if (!e && at->exists && !S_ISREG(at->st.st_mode))
        return (struct write_result){.how = FRAME_NOT_A_FILE};
    return failed(e);
}

void write_remove_folders(const char *path, bool confined, size_t above)
{
    cleanup_free char *folder = xstrdup(path);
    char *slash;

    while ((slash = strrchr(folder, '/')) && (size_t)(slash - folder) > above) {
        CLEANUP(write_walk_done) struct walk at = {.dir = -1};

        *slash = '\0';
        if (walk_to(folder, confined ? WALK_CONFINED : 0, &at) == 0 && at.exists &&
            unlinkat(at.dir, at.name, AT_REMOVEDIR) < 0)
            return;
    }
}

void write_unmake_folders(const char *path, bool confined, const struct walk *at)
{
    if (at->made > 0)
        write_remove_folders(path, confined, at->made - 1);
}

static struct write_result write_content(const struct write_spec *spec)
{
    CLEANUP(write_walk_done) struct walk at = {.dir = -1};
    struct replace put = {.at = &at, .mode = spec->mode, .data = spec->content, .len = spec->len};
    struct write_result r = write_find(spec->path, spec->confined, true, &at);

    if (r.how == FRAME_EXITED)
        r = failed(replace_prepare(&put));
    if (r.how == FRAME_EXITED)
        r = failed(replace_commit(&put));
    if (r.how != FRAME_EXITED)
        write_unmake_folders(spec->path, spec->confined, &at);
    return r;
}

struct write_result write_file(const struct write_spec *spec)
{
    umask(022);
    if (spec->kind != FRAME_WRITE_PATCHES && spec->path[strlen(spec->path) - 1] == '/')
        return failed(EISDIR);
    return spec->kind == FRAME_WRITE_CONTENT ? write_content(spec) : patch_files(spec);
}
