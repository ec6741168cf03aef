/*
 * Those who follow what steps print: processes that `arl-sidecar tail` runs in the agent's own
 * container, at a socket beside the journal, which no other container sees. Callers of another user
 * or another process namespace are refused all the same.
 *
 *   ASKING ──its line──▶ WAITING ──the step begins──▶ FOLLOWING ──all was sent──▶ ENDING
 *      └──────────────────────┴─ refused, out of time ─────┴──────────────────────▶ ENDING
 *
 * A step's output is read by offset: what has just come goes out as it is to those who have all
 * before it, and everybody else reads it from the step's file (spool.h) when he is ready for it. So
 * nobody who is slow has more than one frame in memory, and no step waits for anybody. What the
 * file does not have is told as a gap.
 *
 * Limits: FOLLOW_MAX followers, for one more the first gives way; FOLLOW_ASK_MS for the line;
 * FOLLOW_WAIT_MAX_S for the step's beginning; one who takes nothing for FOLLOW_STALL_MS goes.
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

/* ---- what a step prints ---------------------------------------------------------------------- */

/* Lives until its step has ended and nobody follows it any more. */
struct follow_output;

struct follow_output *follow_output_new(void);
/* Stream 0 or 1 has printed so many bytes already; path: a file with them and with what comes, NULL
 * for none. Once more: the file is another one, in place of the first. */
void follow_output_begin(struct follow_output *o, int stream, uint64_t total, const char *path);
/* So many bytes from there on are not in the file, but those behind them are. */
void follow_output_gap(struct follow_output *o, int stream, uint64_t at, uint64_t bytes);
/* They were printed just now, and are in the file if that had room. */
void follow_output_data(struct follow_output *o, int stream, const char *data, size_t len);
/* A file that is nobody else's: it is removed with the output. NULL is fine. */
void follow_output_keep(struct follow_output *o, int stream, struct spool_file *file);
/* The step is over; o is not the caller's any more. */
void follow_output_end(struct follow_output *o, int code);
/* For one that is looked for after its end: it is over, and whoever was given it frees it. */
void follow_output_was(struct follow_output *o, int code);
/* Nothing more comes of it, nor of its step. The same. */
void follow_output_cut(struct follow_output *o);

/* ---- the socket ------------------------------------------------------------------------------ */

enum follow_found {
    FOLLOW_IS_HERE,
    FOLLOW_IS_LATER, /* it has not begun */
    FOLLOW_IS_NEVER, /* and never will */
    FOLLOW_IS_OVER,  /* what it printed is not here any more */
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
/* Steps have begun, or attempts have ended: those who wait are looked after. NULL is fine. */
void follow_look(struct follow *f);
/* Everybody is sent away. No callback comes after this but cb. */
void follow_close(struct follow *f, void (*cb)(void *arg), void *arg);

#endif
