/*
 * Reads a patch: unified diffs of any number of files, as git and diff(1) make them. Pure: bytes
 * go in, a list of files comes out. No part of a patch is left out silently: lines that are not
 * understood, and changes that cannot be made (symbolic links, submodules, binary files), are
 * refused by name.
 *
 * Text before, between and behind the files is skipped, as by git apply. But a line there that may
 * belong to a hunk is refused (diff_text.h).
 * Names lose their first component ("a/", "b/"), as with git apply; git's quoted names are read.
 *
 * Limits: DIFF_FILES_MAX files; the time is linear.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_H
#define ARL_SIDECAR_RUNNER_DIFF_H

#include "sidecar/runner/diff_line.h"

#define DIFF_FILES_MAX 4096

enum diff_change {
    DIFF_MODIFY, /* hunks, a mode, or both */
    DIFF_CREATE,
    DIFF_DELETE,
    DIFF_RENAME, /* with hunks or without */
    DIFF_COPY,
};

struct diff_file {
    enum diff_change change;
    char *old_path; /* NULL: DIFF_CREATE, or a diff without names */
    char *new_path; /* NULL: DIFF_DELETE, or a diff without names */
    int old_mode;   /* as git writes it: 0100644 or 0100755; 0: the patch does not say */
    int new_mode;
    bool tells_of_text; /* git's header says that the text changes, or that a new file has text */
    const char *hunks;  /* inside of the patch: from the first "@@ " on; NULL: none */
    size_t hunks_len;
    size_t hunks_line; /* its number in the patch, from 1 */
};

struct diff {
    struct diff_file *files;
    size_t count;
};

/* 0; -EINVAL with a sentence in *ret_why (owned). The files point into the text. */
int diff_parse(const char *text, size_t len, struct diff *ret, char **ret_why);
void diff_done(struct diff *d);

/* All lines of a file's hunks; none if it has none. */
struct diff_lines diff_hunks(const struct diff_file *f);

#endif
