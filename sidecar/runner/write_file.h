/*
 * Writing a whole file at once: readers see the old one or the new one, never a part. Symbolic
 * links are followed as far as walk.h says, and what they lead to must be there; nothing but a
 * regular file is replaced. A patch keeps the file's mode; the setuid, setgid and sticky bits only
 * if the file is the writing user's own, since the new one is.
 */
#ifndef ARL_SIDECAR_RUNNER_WRITE_FILE_H
#define ARL_SIDECAR_RUNNER_WRITE_FILE_H

#include "common/base.h"
#include "sidecar/runner/frames.h"

struct write_spec {
    enum frame_write kind;
    uint32_t mode;    /* FRAME_MODE_UNSET: 0644; a patch keeps what the file had */
    bool confined;    /* see walk.h */
    const char *path; /* absolute */
    const void *content;
    size_t len;
};

/* FRAME_EXITED and 0, or what FRAME_WRITE_FAILED, FRAME_NOT_A_FILE, FRAME_PATCH_FAILED and
 * FRAME_LINK_REFUSED say. */
struct write_result {
    enum frame_how how;
    uint32_t value;
};

/* Folders that are missing are made with mode 0755; if it fails nothing else is left behind. */
struct write_result write_file(const struct write_spec *spec);

#endif
