/*
 * The work of a FilePatch step in its own process: it writes a whole file (replace.h), or applies a
 * patch to one or several files (patch_files.h). walk.h says which symbolic links are followed;
 * their targets must exist. Only regular files are replaced.
 */
#ifndef ARL_SIDECAR_RUNNER_WRITE_FILE_H
#define ARL_SIDECAR_RUNNER_WRITE_FILE_H

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

/* Makes missing folders with mode 0755, and removes them if it fails. Writes notes about a patch,
 * such as hunks that were moved, to standard output. */
struct write_result write_file(const struct write_spec *spec);

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
