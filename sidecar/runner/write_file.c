#include "sidecar/runner/write_file.h"

#include <errno.h>
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

static struct write_result write_content(const struct write_spec *spec)
{
    CLEANUP(write_walk_done) struct walk at = {.dir = -1};
    struct replace put = {.at = &at, .mode = spec->mode, .data = spec->content, .len = spec->len};
    struct write_result r = write_find(spec->path, spec->confined, true, &at);
    int e;

    if (r.how != FRAME_EXITED)
        return r;
    e = replace_prepare(&put);
    return failed(e ? e : replace_commit(&put));
}

struct write_result write_file(const struct write_spec *spec)
{
    umask(022);
    if (spec->kind != FRAME_WRITE_PATCHES && spec->path[strlen(spec->path) - 1] == '/')
        return failed(EISDIR);
    return spec->kind == FRAME_WRITE_CONTENT ? write_content(spec) : patch_files(spec);
}
