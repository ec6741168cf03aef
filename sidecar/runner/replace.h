/*
 * Writing all of a file's content, at a place that walk.h has found.
 *
 * A file is replaced atomically: readers see the old file or the new one, never a part. A file that
 * exists keeps what it would keep with `cat > FILE`: owner, mode, ACLs and other extended
 * attributes. If a new file cannot have all of these, or cannot be put in its place, the content is
 * written into the old file, which is not atomic. That happens to a file with several links, a file
 * of another owner, a file that is a mount of its own (/etc/hosts), and a file in a folder that
 * cannot be written to.
 */
#ifndef ARL_SIDECAR_RUNNER_REPLACE_H
#define ARL_SIDECAR_RUNNER_REPLACE_H

#include "sidecar/runner/walk.h"

#define REPLACE_KEEP_MODE UINT32_MAX
/* For all attributes of a file together. A file with more is written in place. */
#define REPLACE_XATTR_BYTES_MAX (64u << 10)

#define REPLACE_TEMP_MAX 32

struct replace {
    const struct walk *at;
    struct stat there; /* of the file that exists now, perhaps not the one that was found */
    uint32_t mode;     /* REPLACE_KEEP_MODE: the mode of the old file, 0644 for a new one */
    const void *data;
    size_t len;
    /* For content that is not in memory, instead of data: writes the content to fd; called once. 0
     * or an errno value, which ends the replacement. Content that will be written in place is
     * collected in a file first, beside the old file or in /tmp. If neither is possible, fill()
     * writes into the old file itself. */
    int (*fill)(int fd, void *arg);
    void *arg;
    bool filled;
    bool has_content; /* the descriptor `content` is open: fill() has written to it */
    int content;
    bool in_place;               /* it was written in place */
    char temp[REPLACE_TEMP_MAX]; /* the complete new file, beside the old one; "": none, see
                                    in_place */
};

/* Prepares the new file without changing the old one. 0 or an errno value. */
int replace_prepare(struct replace *r);
/* Puts the new file in its place. 0 or an errno value. After an error the old file is unchanged,
 * unless it was being written in place. */
int replace_commit(struct replace *r);
/* Removes a prepared file that was not put in its place. */
void replace_done(struct replace *r);
/* A name for a temporary file. Most likely no file has it yet. */
void replace_temp_name(char ret[REPLACE_TEMP_MAX], unsigned attempt);

#endif
