/*
 * Runs a step as another user of the container's own /etc/passwd and /etc/group. The step's own
 * process reads these files, so that a file system that hangs is stopped by the step's time limit.
 * The files are read only if they are regular and have at most USER_FILE_BYTES_MAX, and opening
 * them cannot block.
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
    char *home; /* from passwd; "/" if there is no entry; owned */
};

/* 0, or -EINVAL with a sentence. root: the folder that holds etc/, "" for the real one. */
int user_find(const char *root, const char *text, struct user *ret, char ret_why[FRAME_TEXT_MAX]);
void user_done(struct user *u);
/* Makes this process that user; there is no way back. 0, or -EPERM with a sentence. */
int user_become(const struct user *u, const char *text, char ret_why[FRAME_TEXT_MAX]);

#endif
