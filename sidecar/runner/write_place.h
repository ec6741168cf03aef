/*
 * What a FilePatch step is asked for and says in the end, and the places of its files: whole files
 * and patches (write_file.h, patch_files.h) have that in common.
 */
#ifndef ARL_SIDECAR_RUNNER_WRITE_PLACE_H
#define ARL_SIDECAR_RUNNER_WRITE_PLACE_H

#include "common/base/base.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/walk.h"

struct write_spec {
    enum frame_write kind;
    uint32_t mode;    /* FRAME_MODE_UNSET: the file keeps its mode, a new one gets 0644 */
    uint32_t fuzz;    /* of a patch, see hunks.h */
    bool confined;    /* see walk.h */
    const char *path; /* absolute; FRAME_WRITE_PATCHES: the folder that the names are below */
    const void *content;
    size_t len;
};

/* FRAME_EXITED and 0, or FRAME_WRITE_FAILED, FRAME_NOT_A_FILE, FRAME_PATCH_FAILED or
 * FRAME_LINK_REFUSED with their values (frames.h). */
struct write_result {
    enum frame_how how;
    uint32_t value;
    char text[FRAME_TEXT_MAX]; /* FRAME_PATCH_FAILED: a sentence */
};
/* Of an errno value: FRAME_EXITED for 0, else FRAME_WRITE_FAILED. */
struct write_result write_outcome(int e);

/* Finds an absolute path by the rules of write_file(). make_folders false: a missing folder is not
 * a failure, and at->dir is -1 then. *at is closed before, if it is open. */
struct write_result write_find(const char *path, bool confined, bool make_folders, struct walk *at);
void write_walk_done(struct walk *at);
/* Removes the empty folders above path, the deepest first, whose paths have more than `above`
 * bytes. */
void write_remove_folders(const char *path, bool confined, size_t above);
/* Removes the folders that write_find() has made for path. */
void write_unmake_folders(const char *path, bool confined, const struct walk *at);

#endif
