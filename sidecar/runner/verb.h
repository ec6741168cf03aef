/*
 * Shared by the files of the verbs: the arguments and the answers. Each verb returns the exit
 * status; after an error it has already written what went wrong.
 */
#ifndef ARL_SIDECAR_RUNNER_VERB_H
#define ARL_SIDECAR_RUNNER_VERB_H

#include <sys/stat.h>

#include "common/base/json.h"
#include "sidecar/runner/replace.h"
#include "sidecar/runner/verb_io.h"
#include "sidecar/runner/walk.h"

#define VERB_LINE_BYTES_MAX (64u << 10)
/* How many folders deep below PATH the verbs go, because each folder takes a descriptor. Deeper:
 * ELOOP. */
#define VERB_DEPTH_MAX 200

/* Exit statuses. */
#define VERB_FAILED 1
#define VERB_MISUSED 2
#define VERB_REFUSED 126

struct verb {
    /* the arguments */
    const char *name, *user, *dir, *mode_text, *size_text, *hash_text, *offset_text, *length_text;
    const char *given; /* PATH */
    bool framed, recursive, force, parents, follow;
    /* parsed from them */
    char *path;      /* absolute, without "." and empty components; owned */
    bool for_folder; /* PATH ends with a slash */
    unsigned walk;   /* WALK_CONFINED or 0 */
    uint32_t mode;   /* REPLACE_KEEP_MODE: not given */
    enum verb_body body;
    uint64_t size, offset, length; /* length: UINT64_MAX if not given */
    unsigned char hash[SHA256_DIGEST_LENGTH];
};

int verb_put(const struct verb *v);
int verb_get(const struct verb *v);
int verb_ls(const struct verb *v);
int verb_stat(const struct verb *v);
int verb_mkdir(const struct verb *v);
int verb_rm(const struct verb *v);
int verb_tar(const struct verb *v);
int verb_untar(const struct verb *v);

/* ---- answers --------------------------------------------------------------------------------- */

/* Writes the error to standard error, as JSON, and returns status. */
int verb_tell(const char *code, const char *message, int status);
/* The same, and returns VERB_FAILED. e: an errno value or one of enum
 * verb_error; what: a path, or a sentence for VERB_ARCHIVE. */
int verb_fail(int e, const char *what);
/* One line of JSON: begins it, and writes it to fd. */
void verb_line_begin(struct json_writer *w, struct buf *b);
int verb_line_end(struct json_writer *w, int fd);
void verb_line_hash(struct json_writer *w, uint64_t size,
                    const unsigned char digest[SHA256_DIGEST_LENGTH]);
/* A line that describes what is at name in the folder dir. */
void verb_describe(struct buf *b, int dir, const char *name, const char *shown,
                   const struct stat *st);

/* ---- paths ----------------------------------------------------------------------------------- */

void verb_walk_done(struct walk *at);
/* Finds the verb's path; flags are added to v->walk. 0, an errno value or one of enum verb_error.
 */
int verb_walk(const struct verb *v, unsigned flags, struct walk *ret);
/* The folder at the verb's path, opened for reading. As above. */
int verb_open_folder(const struct verb *v, int *ret);
/* mkdir(2), then chmod(2) of the same folder, even if somebody renames it meanwhile. 0 or an errno
 * value; EEXIST if the name exists. */
int verb_make_folder(int dir, const char *name, mode_t mode);
void verb_input(const struct verb *v, struct verb_in *in);

#endif
