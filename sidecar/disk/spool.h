/*
 * The whole of an output that was longer than its limit, in files of the pod: a folder `output`
 * beside the journal, which the user's containers do not see. A file is begun when a stream of a
 * step is about to lose bytes, and stays after the step's end for whoever wants to read it.
 *
 * Followers (follow.h) read a step's output from its file, too. For them one is begun earlier, and
 * goes with them if nothing was lost; SPOOL_FOLLOWED begins the name of one that is theirs alone.
 * Nothing goes for such a spare file: it takes the room that is free, SPOOL_SPARE_BYTES and
 * SPOOL_SPARE_FILES beyond the limits included.
 *
 * Limits: SPOOL_FILE_BYTES a file (its beginning is kept), SPOOL_BYTES and SPOOL_FILES in all; the
 * oldest one that is not in use goes first, and where there is none the new bytes are dropped. A
 * file that goes is emptied: whoever has it open keeps nothing on the disk. Nothing is synced:
 * after a crash of the machine files may be short.
 */
#ifndef ARL_SIDECAR_DISK_SPOOL_H
#define ARL_SIDECAR_DISK_SPOOL_H

#include "common/base/base.h"
#include "common/base/err.h"

#define SPOOL_BYTES (64u << 20)
#define SPOOL_FILE_BYTES (32u << 20)
#define SPOOL_FILES 256
#define SPOOL_SPARE_BYTES (4u << 20)
#define SPOOL_SPARE_FILES 32
#define SPOOL_FOLLOWED "follow."

struct spool;
struct spool_file;

/* Takes over what a sidecar before us has left. */
int spool_open(const char *state_dir, struct spool **ret, struct err *err);
void spool_free(struct spool *s);

/* A new file, replacing one of the same name; NULL if it can not be had. name has no slash. */
struct spool_file *spool_begin(struct spool *s, const char *name);
/* The same, for followers. */
struct spool_file *spool_begin_spare(struct spool *s, const char *name);
/* A spare file is to stay: from now on others go for it. false: it has lost bytes already. */
bool spool_keep(struct spool_file *f);
void spool_write(struct spool_file *f, const char *data, size_t len);
/* The path; valid until spool_end(). */
const char *spool_path(const struct spool_file *f);
/* Nothing more is written, but it is in use still. */
void spool_close(struct spool_file *f);
/* Nothing more is written; the file stays. NULL is fine. */
void spool_end(struct spool_file *f);
/* Instead of spool_end(): the file goes. NULL is fine. */
void spool_remove(struct spool_file *f);

/* Copies a file of the folder to standard output; path may be its name alone. Nothing else can be
 * read with it. */
int spool_cat(const char *state_dir, const char *path, struct err *err);

#endif
