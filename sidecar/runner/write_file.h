/*
 * What a FilePatch step does in its process: writes a whole file (replace.h says how), or applies a
 * patch to one or several (patch_files.h). Symbolic links are followed as far as walk.h says, and
 * what they lead to must be there; nothing but a regular file is replaced.
 */
#ifndef ARL_SIDECAR_RUNNER_WRITE_FILE_H
#define ARL_SIDECAR_RUNNER_WRITE_FILE_H

#include "common/base/base.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/walk.h"

struct write_spec {
    enum frame_write kind;
    uint32_t mode;    /* FRAME_MODE_UNSET: what the file has, 0644 for a new one */
    uint32_t fuzz;    /* of a patch, see hunks.h */
    bool confined;    /* see walk.h */
    const char *path; /* absolute; FRAME_WRITE_PATCHES: the folder that the names are below */
    const void *content;
    size_t len;
};

/* FRAME_EXITED and 0, or what FRAME_WRITE_FAILED, FRAME_NOT_A_FILE, FRAME_PATCH_FAILED and
 * FRAME_LINK_REFUSED say. */
struct write_result {
    enum frame_how how;
    uint32_t value;
    char text[FRAME_TEXT_MAX]; /* FRAME_PATCH_FAILED: a sentence */
};

/* Folders that are missing are made with mode 0755; if it fails nothing is left behind. What a
 * patch did beyond what it says goes to standard output. */
struct write_result write_file(const struct write_spec *spec);

/* An absolute path: what is there, as write_file() has it. make_folders false: that one is missing
 * is no failure, and at->dir is -1. *at is closed before, if it is open. */
struct write_result write_find(const char *path, bool confined, bool make_folders, struct walk *at);
void write_walk_done(struct walk *at);
/* Removes the folders above path, the lowest first, that are empty and have names of more than
 * `above` bytes. */
void write_remove_folders(const char *path, bool confined, size_t above);
/* Those that write_find() has made on the way to path. */
void write_unmake_folders(const char *path, bool confined, const struct walk *at);

#endif
