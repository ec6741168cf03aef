/*
 * Writing all of a file's content, at a place that walk.h has found.
 *
 * A file is replaced at once: readers see the old one or the new one, never a part. What `cat >
 * FILE` keeps of a file that is there is kept: owner, mode, ACLs and other extended attributes.
 * Where a new file cannot have all that, or cannot be put in its place, the content is written into
 * the file that is there, which is not at once: a file with several links, a file of another owner,
 * a file that is a mount of its own (/etc/hosts), a file in a folder that cannot be written to.
 */
#ifndef ARL_SIDECAR_RUNNER_REPLACE_H
#define ARL_SIDECAR_RUNNER_REPLACE_H

#include "sidecar/runner/walk.h"

#define REPLACE_KEEP_MODE UINT32_MAX
/* Of all attributes of a file together. With more it is written in place. */
#define REPLACE_XATTR_BYTES_MAX (64u << 10)

#define REPLACE_TEMP_MAX 32

struct replace {
    const struct walk *at;
    struct stat there; /* of the file that is there, which may be another one than was found */
    uint32_t mode;     /* REPLACE_KEEP_MODE: of the file that is there, 0644 for a new one */
    const void *data;
    size_t len;
    /* In place of data, for content that is not in memory: writes it to fd, once. 0 or an errno,
     * which ends it all. What is to be written in place is collected first, beside the file or in
     * /tmp; where neither can be written to, it goes to the file as it comes. */
    int (*fill)(int fd, void *arg);
    void *arg;
    bool filled;
    bool has_content; /* content is open: what fill() has written */
    int content;
    bool in_place;               /* it was written in place */
    char temp[REPLACE_TEMP_MAX]; /* a file beside it that is complete; "": none, see in_place */
};

/* Makes ready what is to be there, without a change that anybody sees. 0 or an errno. */
int replace_prepare(struct replace *r);
/* Puts it in its place. 0 or an errno; then what was there is there, unless it was being written in
 * place. */
int replace_commit(struct replace *r);
/* Removes what was made ready and not put in its place. */
void replace_done(struct replace *r);
/* A name for such a file that nothing has yet, most likely. */
void replace_temp_name(char ret[REPLACE_TEMP_MAX], unsigned attempt);

/* All of it, whatever interrupts. 0 or an errno value. */
int replace_write_all(int fd, const char *data, size_t len);

#endif
