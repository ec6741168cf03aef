/*
 * Puts the files of a patch in their places: all of them, or none. What is new is complete before
 * the first file is moved, and if a move fails then those before it are taken back, with the
 * folders that were made. What cannot be taken back is left as it is.
 *
 * What goes is moved aside, and removed when everything is in its place. So a file may become a
 * folder, and a folder a file; a folder gives way only if the patch takes all of its files.
 */
#ifndef ARL_SIDECAR_RUNNER_PATCH_PUT_H
#define ARL_SIDECAR_RUNNER_PATCH_PUT_H

#include "sidecar/runner/replace.h"
#include "sidecar/runner/write_file.h"

/* One file of the tree that the patch touches: as it is, and as it is to be. */
struct patch_entry {
    char *name; /* as the patch has it; "": the step's own path */
    struct walk at;
    int in_the_way; /* ENOTDIR: a file, of which the name makes a folder; EISDIR: a folder; or 0 */
    char *old;      /* NULL: it is not there */
    size_t old_len;
    int old_fd; /* a file above HUNKS_FILE_MAX: its text is there, and old is ""; else -1 */
    char *new;  /* NULL: it is not to be there */
    size_t new_len;
    const struct patch_entry *new_from; /* whose old_fd has the text of new; NULL: new has it */
    uint32_t mode;                      /* to be set; REPLACE_KEEP_MODE */
    bool changed;
    bool text_changed; /* not only the mode */
    bool made;         /* by this patch, which may take away what was there before */
    bool by_link;      /* a symbolic link leads to it */
    /* For patch_put(). */
    struct replace put;
    char
        aside[REPLACE_TEMP_MAX]; /* the name that what goes, or was in the way, has now; "": none */
    bool moved;                  /* it is in its place, or a part of it is */
};

struct patch_tree {
    const struct write_spec *spec;
    struct patch_entry **entries;
    size_t count;
};

/* Owned; for write_find(), or for a person. */
char *patch_entry_path(const struct write_spec *spec, const char *name);
/* Whether name is below the folder. */
bool patch_name_below(const char *name, const char *folder);

/* FRAME_EXITED, or what went wrong with the file of *ret_name, with a sentence of it in *ret_why
 * (owned) or with what the result says. */
struct write_result patch_put(const struct patch_tree *t, const char **ret_name, char **ret_why);

#endif
