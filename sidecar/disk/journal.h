/*
 * What must survive a crash of the sidecar: which attempts were ever started, what became of them,
 * whose sandbox this is, and the runners' tokens. A folder of the pod that the user's containers do
 * not see:
 *
 *   started      records of 64 bytes, one when an attempt starts (on the disk before anything runs)
 *                and one when its result is forgotten; made of zeroes in advance, so that a start
 *                costs one fdatasync() of one block
 *   events/KEY   the event lines of an attempt, written a second after they came or when they are
 *                many, and not synced: after a crash the end may be missing, or the file, which
 *                reads as an attempt that was lost, never as a success. An attempt that is
 *                acknowledged within a second never has a file
 *   sandbox      the UID of the one sandbox that is served here
 *   token-NAME   what a container's runner must present; also its secret (runner_folder.h)
 *
 * An attempt that was forgotten is remembered as started (JOURNAL_REMEMBERED of them, then the
 * oldest half of them goes): the same request, repeated late, must not run it again. The file of
 * records is written anew when it is larger than JOURNAL_FILE_BYTES.
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
/* Drops the result, keeps that the attempt was started. has_events: there may be a file of them. */
void journal_forget(struct journal *j, const struct journal_key *key, bool has_events);

/* Appends event lines. After a failure a part of them may be there: nothing may be appended then.
 */
int journal_events_append(struct journal *j, const struct journal_key *key, const char *lines,
                          size_t len);
/* Appends the events that were written; nothing when there are none. */
void journal_events_read(struct journal *j, const struct journal_key *key, struct buf *ret);

/* NULL: no sandbox yet. Setting it returns once it is on the disk. */
const char *journal_sandbox(const struct journal *j);
int journal_set_sandbox(struct journal *j, const char *uid, struct err *err);

/* 1, or 0 when there is none; negative when that can not be told. */
int journal_token(struct journal *j, const char *container, unsigned char ret[JOURNAL_TOKEN_BYTES],
                  struct err *err);
int journal_set_token(struct journal *j, const char *container, const unsigned char *token,
                      struct err *err);

#endif
