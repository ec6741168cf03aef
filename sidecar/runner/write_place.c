#include "sidecar/runner/write_place.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct write_result write_outcome(int e)
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
        return write_outcome(0);
    if (!e && at->exists && S_ISDIR(at->st.st_mode))
        e = EISDIR;
    if (!e && at->exists && !S_ISREG(at->st.st_mode))
        return (struct write_result){.how = FRAME_NOT_A_FILE};
    return write_outcome(e);
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
