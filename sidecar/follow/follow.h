/*
 * Followers: processes of `arl-sidecar tail` in the agent's own container, which read the output of
 * a step. They connect to a socket beside the journal. No other container sees that socket; callers
 * of another user or another process namespace are refused nevertheless.
 *
 *   ASKING ──its line──▶ WAITING ──the step begins──▶ FOLLOWING ──all was sent──▶ ENDING
 *      └──────────────────────┴─ refused, out of time ─────┴──────────────────────▶ ENDING
 *
 * New output is sent at once to each follower that has all output before it. Any other follower
 * reads the step's file (spool.h) at its own offset and its own pace. So a slow follower costs one
 * frame of memory, and no step waits for a follower. Bytes that the file does not have are reported
 * as a gap.
 *
 * Limits: FOLLOW_MAX followers (one more sends the oldest one away); FOLLOW_ASK_MS for the line;
 * FOLLOW_WAIT_MAX_S for the beginning of the step. A follower that reads nothing for
 * FOLLOW_STALL_MS is sent away.
 */
#ifndef ARL_SIDECAR_FOLLOW_FOLLOW_H
#define ARL_SIDECAR_FOLLOW_FOLLOW_H

#include "common/base/err.h"
#include "sidecar/disk/spool.h"
#include "sidecar/follow/follow_request.h"

#define FOLLOW_MAX 16
#define FOLLOW_ASK_MS 5000
#define FOLLOW_STALL_MS 300000
#define FOLLOW_SOCKET "tail.sock" /* in the folder of the journal */

struct uv_loop_s;
struct follow;

/* ---- the output of a step -------------------------------------------------------------------- */

/* It lives until its step has ended and no follower reads it any more. */
struct follow_output;

struct follow_output *follow_output_new(void);
/* `stream` (0 or 1) has printed `total` bytes so far. path: a file with them and with all later
 * bytes; NULL: there is none. A second call puts another file in the place of the first one. */
void follow_output_begin(struct follow_output *o, int stream, uint64_t total, const char *path);
/* The file lacks `bytes` bytes from offset `at` on, and has those behind them. */
void follow_output_gap(struct follow_output *o, int stream, uint64_t at, uint64_t bytes);
/* The step has just printed these bytes. They are in the file if it had room for them. */
void follow_output_data(struct follow_output *o, int stream, const char *data, size_t len);
/* o takes over the file, and removes it when o is freed. NULL is fine. */
void follow_output_keep(struct follow_output *o, int stream, struct spool_file *file);
/* The step has ended. The caller gives o away. */
void follow_output_end(struct follow_output *o, int code);
/* o was made for a step that had ended before anybody asked: it is over, and whoever receives o
 * frees it. */
void follow_output_was(struct follow_output *o, int code);
/* The output breaks off without the end of the step. The caller gives o away. */
void follow_output_cut(struct follow_output *o);

/* ---- the socket ------------------------------------------------------------------------------ */

enum follow_found {
    FOLLOW_IS_HERE,
    FOLLOW_IS_LATER, /* the step has not begun */
    FOLLOW_IS_NEVER, /* the step has not begun and never will */
    FOLLOW_IS_OVER,  /* the step has ended, and its output is not here any more */
};

struct follow_opts {
    const char *path; /* of the socket */
    /* Looks for a step. FOLLOW_IS_HERE: *ret is its output. */
    enum follow_found (*find)(const struct follow_request *req, struct follow_output **ret,
                              void *arg);
    void *arg;
};

int follow_new(struct uv_loop_s *loop, const struct follow_opts *opts, struct follow **ret,
               struct err *err);
/* A step has begun, or an attempt has ended: followers that wait look again. NULL is fine. */
void follow_look(struct follow *f);
/* Sends all followers away. Afterwards no callback but cb comes. */
void follow_close(struct follow *f, void (*cb)(void *arg), void *arg);

#endif
