#include "sidecar/runner/write_file.h"

#include <errno.h>
#include <sys/stat.h>

#include "sidecar/runner/patch_files.h"
#include "sidecar/runner/replace.h"

static struct write_result write_content(const struct write_spec *spec)
{
    CLEANUP(write_walk_done) struct walk at = {.dir = -1};
    struct replace put = {.at = &at, .mode = spec->mode, .data = spec->content, .len = spec->len};
    struct write_result r = write_find(spec->path, spec->confined, true, &at);

    if (r.how == FRAME_EXITED)
        r = write_outcome(replace_prepare(&put));
    if (r.how == FRAME_EXITED)
        r = write_outcome(replace_commit(&put));
    if (r.how != FRAME_EXITED)
        write_unmake_folders(spec->path, spec->confined, &at);
    return r;
}

struct write_result write_file(const struct write_spec *spec)
{
    umask(022);
    if (spec->kind != FRAME_WRITE_PATCHES && spec->path[strlen(spec->path) - 1] == '/')
        return write_outcome(EISDIR);
    return spec->kind == FRAME_WRITE_CONTENT ? write_content(spec) : patch_files(spec);
}
