/*
 * Finds the folder that a file is to be written into, component by component, with descriptors:
 * whatever somebody renames or replaces meanwhile, each step is looked at and then taken, never
 * looked at twice. It takes no openat2(2).
 *
 * Other users of the file system are held to be hostile: those of the same container, and those of
 * another one that mounts the same volume. So a symbolic link is followed only
 * - if root or the user that writes owns it, and,
 * - where WALK_CONFINED, if what it lies in is the container's own root file system, or the file is
 * in the same volume in the end: a link that somebody made in a volume leads nobody out of it. A
 *   volume is a mount, here; where the kernel does not tell mounts apart, none is the same.
 *
 * A link to nowhere is an error, and no folder is made behind one: where it leads to is nobody's to
 * guess. Limits: WALK_LINKS_MAX links, PATH_MAX bytes to go.
 */
#ifndef ARL_SIDECAR_RUNNER_WALK_H
#define ARL_SIDECAR_RUNNER_WALK_H

#include <limits.h>
#include <sys/stat.h>

#include "common/base/base.h"

#define WALK_LINKS_MAX 40

/* Beside errno values. */
enum walk_refusal {
    WALK_FOREIGN_LINK = 1, /* another user's, who is not root */
    WALK_OUT_OF_VOLUME,    /* it leads out of its volume */
};

struct walk {
    int dir; /* of the file; to be closed; -1 after a failure */
    char name[NAME_MAX + 1];
    bool exists;
    struct stat st; /* if it exists; a symbolic link only with WALK_KEEP_LINK */
    enum walk_refusal refusal;
    size_t made; /* the folders were made from path[0..made) on; 0: none; told of a failure, too */
};

enum walk_flag {
    WALK_CONFINED = 1,
    WALK_MAKE_FOLDERS = 2, /* those that are missing on the way, with mode 0755 */
    WALK_KEEP_LINK = 4,    /* a link at the end is what is wanted, and is not followed */
    WALK_ROOT = 8,         /* the root folder may be what is wanted: "." in itself */
};

/* path is absolute. flags: of enum walk_flag. 0 or an errno; with `refusal` set if it is EPERM for
 * one of these reasons. */
int walk_to(const char *path, unsigned flags, struct walk *ret);
/* Opens what a walk has found, or another file that was put there meanwhile, for reading: never
 * through a link, and without waiting. A descriptor, or a negative errno; -EISDIR for a folder,
 * -EINVAL for what is neither that nor a regular file. */
int walk_open_file(const struct walk *at);
/* The mount that an open file lies in; 0: it can not be told. */
uint64_t walk_mount(int fd);

#endif
