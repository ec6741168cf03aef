/*
 * Files in the pod with the whole of each output that was longer than its limit. They are in the
 * folder `output` beside the journal, which the user's containers do not see. A file is begun when
 * a stream of a step is about to lose bytes. It stays after the end of the step, for people to
 * read.
 *
 * Followers (follow.h) read a step's output from a file, too. For them a file is begun earlier: a
 * spare file. It is removed with the followers if the step has lost no bytes. The name of a spare
 * file that only followers read begins with SPOOL_FOLLOWED. No other file is removed to make room
 * for a spare file: it takes free room, and may take SPOOL_SPARE_BYTES and SPOOL_SPARE_FILES beyond
 * the limits.
 *
 * Limits: SPOOL_FILE_BYTES for a file (its beginning is kept), SPOOL_BYTES and SPOOL_FILES for all
 * files. At a limit the oldest file that is not in use is removed; if there is none, the new bytes
 * are dropped. A file is emptied before it is removed, so that a process that has it open keeps no
 * room on the disk. Nothing is synced: after a crash of the machine files may be short.
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

/* Takes over the files of the sidecar's last process. */
int spool_open(const char *state_dir, struct spool **ret, struct err *err);
void spool_free(struct spool *s);

/* Makes a new file, in place of one of the same name; NULL if that fails. name has no slash. */
struct spool_file *spool_begin(struct spool *s, const char *name);
/* The same, for a spare file. */
struct spool_file *spool_begin_spare(struct spool *s, const char *name);
/* Makes a spare file an ordinary one, for which others are removed from now on. false: it has lost
 * bytes already. */
bool spool_keep(struct spool_file *f);
void spool_write(struct spool_file *f, const char *data, size_t len);
/* The path; valid until spool_end(). */
const char *spool_path(const struct spool_file *f);
/* Nothing more is written, and the file is still in use. */
void spool_close(struct spool_file *f);
/* Nothing more is written; the file stays. NULL is fine. */
void spool_end(struct spool_file *f);
/* Instead of spool_end(): removes the file. NULL is fine. */
void spool_remove(struct spool_file *f);

/* Copies a file of the folder to standard output; path may be the name alone. Refuses files of
 * other folders. */
int spool_cat(const char *state_dir, const char *path, struct err *err);

#endif
