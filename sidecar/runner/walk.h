/*
 * Finds the folder of a file, component by component, with descriptors. Each component is opened
 * first and examined through its descriptor, so it does not matter if somebody renames or replaces
 * it meanwhile. openat2(2) is not needed.
 *
 * Other users of the file system count as hostile: those of the same container, and those of
 * another container that mounts the same volume. So a symbolic link is followed only
 * - if its owner is root or the user that writes, and
 * - with WALK_CONFINED, if the link is in the container's own root file system, or if the file is
 *   in the same volume as the link: a link in a volume leads nobody out of that volume. A volume is
 *   a mount here; if the kernel does not tell mounts apart, no two are the same.
 *
 * A link to nowhere is an error, and no folder is made behind one, because nobody can know what the
 * link is meant to lead to. Limits: WALK_LINKS_MAX links, PATH_MAX bytes of the remaining path.
 */
#ifndef ARL_SIDECAR_RUNNER_WALK_H
#define ARL_SIDECAR_RUNNER_WALK_H

#include <limits.h>
#include <sys/stat.h>

#include "common/base/base.h"

#define WALK_LINKS_MAX 40

/* Why a link was not followed. */
enum walk_refusal {
    WALK_FOREIGN_LINK = 1, /* its owner is neither root nor the user that writes */
    WALK_OUT_OF_VOLUME,    /* it leads out of its volume */
};

struct walk {
    int dir; /* the folder of the file, which the caller closes; -1 after a failure */
    char name[NAME_MAX + 1];
    bool exists;
    struct stat st; /* if it exists; a symbolic link only with WALK_KEEP_LINK */
    enum walk_refusal refusal;
    size_t made; /* the first folder that was made is path[0..made); 0: none; also set after a
                    failure */
};

enum walk_flag {
    WALK_CONFINED = 1,
    WALK_MAKE_FOLDERS = 2, /* makes missing folders, with mode 0755 */
    WALK_KEEP_LINK = 4,    /* does not follow a link at the end of the path */
    WALK_ROOT = 8,         /* allows the root folder itself: the name "." in it */
};

/* path is absolute. flags: of enum walk_flag. Returns 0 or an errno value; after EPERM `refusal`
 * says whether a link was the cause. */
int walk_to(const char *path, unsigned flags, struct walk *ret);
/* Opens the file that a walk has found (or one that has replaced it meanwhile) for reading, never
 * through a link and without waiting. Returns a descriptor or a negative errno: -EISDIR for a
 * folder, -EINVAL for any other file that is not regular. */
int walk_open_file(const struct walk *at);
/* The mount of an open file; 0: not known. */
uint64_t walk_mount(int fd);

#endif
