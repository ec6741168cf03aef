/*
 * Running a step as another user, by the container's own /etc/passwd and /etc/group: in the step's
 * own process, so that a file system that hangs is the step's trouble and under its time limit.
 * Both files are read only if they are regular ones of at most USER_FILE_BYTES_MAX, and are opened
 * so that nothing there can block.
 *
 *   NAME, UID, NAME:GROUP, UID:GID
 *
 * A name has the group of passwd and all groups of /etc/group that list it. A number needs no entry
 * in passwd: without one the group is 0, as with other container tools.
 */
#ifndef ARL_SIDECAR_RUNNER_USER_H
#define ARL_SIDECAR_RUNNER_USER_H

#include <sys/types.h>

#include "common/base/base.h"
#include "sidecar/runner/frames.h"

#define USER_FILE_BYTES_MAX (1u << 20)
#define USER_GROUPS_MAX 256

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX];
    size_t group_count;
    char *home; /* of passwd; "/" without an entry; owned */
};

/* 0, or -EINVAL with a sentence. root: the folder that holds etc/, "" for the real one. */
int user_find(const char *root, const char *text, struct user *ret, char ret_why[FRAME_TEXT_MAX]);
void user_done(struct user *u);
/* Becomes that user, for good. 0, or -EPERM with a sentence. */
int user_become(const struct user *u, const char *text, char ret_why[FRAME_TEXT_MAX]);

#endif
