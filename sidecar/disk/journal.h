/*
 * The journal: all that must survive a crash of the sidecar. It knows which attempts were ever
 * started, how they ended, which sandbox this pod serves, and the tokens of the runners. It is a
 * folder of the pod that the user's containers do not see:
 *
 *   started      records of 64 bytes: one when an attempt starts (it is on the disk before anything
 *                runs), and one when its result is forgotten. The file is filled with zeroes in
 *                advance, so that a start costs one fdatasync() of one block
 *   events/KEY   the event lines of an attempt. They are written a second after they came, or
 *                earlier if they are many, and not synced. After a crash their end or the whole
 *                file may be missing; that reads as an attempt that was lost, never as a success.
 *                An attempt that is acknowledged within a second never has a file
 *   sandbox      the UID of the one sandbox that this pod serves
 *   token-NAME   what the runner of a container must present; also its secret (runner_folder.h)
 *
 * A forgotten attempt is still known as started, because the same request may come again late and
 * must not run again. JOURNAL_REMEMBERED of them are kept; then the oldest half is removed. The
 * file of records is written anew when it is larger than JOURNAL_FILE_BYTES.
 */
#ifndef ARL_SIDECAR_DISK_JOURNAL_H
#define ARL_SIDECAR_DISK_JOURNAL_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/err.h"

#define JOURNAL_KEY_BYTES 16
#define JOURNAL_DIGEST_BYTES 32
#define JOURNAL_TOKEN_BYTES 32
#define JOURNAL_TOKEN_PREFIX "token-"
#define JOURNAL_REMEMBERED 65536
#define JOURNAL_FILE_BYTES (16u << 20)

/* Owned by who has opened it, and used by one thread: nothing else may write to its folder. Inputs
 * are copied. A start whose write has failed may be on the disk all the same: after a restart it
 * reads as an attempt that was lost. */
struct journal;

struct journal_key {
    unsigned char bytes[JOURNAL_KEY_BYTES];
};
struct journal_entry {
    struct journal_key key;
    unsigned char digest[JOURNAL_DIGEST_BYTES]; /* of the request */
    bool forgotten;
};

/* The key of an attempt; task_uid is text of any length. */
struct journal_key journal_key_of(const char *task_uid, unsigned attempt);
void journal_digest(const void *body, size_t len, unsigned char ret[JOURNAL_DIGEST_BYTES]);

int journal_open(const char *dir, struct journal **ret, struct err *err);
void journal_free(struct journal *j);

/* The entry with that key, or NULL; valid until the next call that changes the journal. */
const struct journal_entry *journal_find(const struct journal *j, const struct journal_key *key);
size_t journal_count(const struct journal *j);
const struct journal_entry *journal_at(const struct journal *j, size_t i);

/* Returns once the start is on the disk. The key must be new. */
int journal_start(struct journal *j, const struct journal_key *key,
                  const unsigned char digest[JOURNAL_DIGEST_BYTES], struct err *err);
/* Drops the result, and still knows that the attempt was started. has_events: there may be a file
 * of its events. */
void journal_forget(struct journal *j, const struct journal_key *key, bool has_events);

/* Appends event lines. After a failure the file may have a part of them, so the caller must not
 * append any more. */
int journal_events_append(struct journal *j, const struct journal_key *key, const char *lines,
                          size_t len);
/* Appends the saved events of the attempt to *ret, as far as they can be read and fit. */
void journal_events_read(struct journal *j, const struct journal_key *key, struct buf *ret);

/* NULL: no sandbox yet. journal_set_sandbox() returns when the UID is on the disk. */
const char *journal_sandbox(const struct journal *j);
int journal_set_sandbox(struct journal *j, const char *uid, struct err *err);

/* 1: *ret is the token. 0: there is none. Negative: it could not be read. */
int journal_token(struct journal *j, const char *container, unsigned char ret[JOURNAL_TOKEN_BYTES],
                  struct err *err);
int journal_set_token(struct journal *j, const char *container, const unsigned char *token,
                      struct err *err);

#endif
