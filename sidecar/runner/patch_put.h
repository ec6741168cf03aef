/*
 * Puts the files of a patch in their places: all of them, or none. All new files are complete
 * before the first one is renamed. If a rename fails, the earlier ones are undone, and the folders
 * that were made are removed. A rename that cannot be undone stays.
 *
 * Files that the patch deletes are first moved aside, and removed when all new files are in their
 * places. So a file may become a folder, and a folder a file. A folder may become a file only if
 * the patch removes all of its files.
 */
#ifndef ARL_SIDECAR_RUNNER_PATCH_PUT_H
#define ARL_SIDECAR_RUNNER_PATCH_PUT_H

#include "sidecar/runner/replace.h"
#include "sidecar/runner/write_place.h"

/* One file that the patch touches: as it was, and as it will be. */
struct patch_entry {
    char *name; /* the name in the patch; "": the step's own path */
    struct walk at;
    int in_the_way; /* ENOTDIR: a file stands where the name needs a folder; EISDIR: a folder; or 0
                     */
    char *old;      /* NULL: it does not exist */
    size_t old_len;
    int old_fd; /* of a file above HUNKS_FILE_MAX, whose `old` is ""; else -1 */
    char *new;  /* NULL: it will not exist */
    size_t new_len;
    const struct patch_entry *new_from; /* its old_fd has the new text; NULL: `new` has it */
    uint32_t mode;                      /* the mode to set, or REPLACE_KEEP_MODE */
    bool changed;
    bool text_changed; /* the text changes, not only the mode */
    bool made;         /* this patch makes it; it may have removed an earlier file of that name */
    bool by_link;      /* a symbolic link leads to it */
    /* For patch_put(). */
    struct replace put;
    char aside[REPLACE_TEMP_MAX]; /* the present name of a file that was moved aside; "": none */
    bool moved;                   /* the new file, or a part of it, is in its place */
};

struct patch_tree {
    const struct write_spec *spec;
    struct patch_entry **entries;
    size_t count;
};

/* The path for write_find() and for messages; owned. */
char *patch_entry_path(const struct write_spec *spec, const char *name);
/* Whether name is below the folder. */
bool patch_name_below(const char *name, const char *folder);

/* FRAME_EXITED, or what went wrong with the file *ret_name; *ret_why (owned) is a sentence about
 * it, or NULL if the result says enough. */
struct write_result patch_put(const struct patch_tree *t, const char **ret_name, char **ret_why);

#endif
