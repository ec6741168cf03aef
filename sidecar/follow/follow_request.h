/*
 * The protocol between `arl-sidecar tail` and the agent over the agent's own socket (follow.h):
 * tail sends one line, the agent answers with frames. A frame is a byte for its kind, a length of
 * four bytes (big endian) and that many bytes. `tail --framed` prints frames of the first four
 * kinds (docs/files.md).
 *
 * The line is "tail1 UID STEP ATTEMPT WAIT STREAMS FOLLOW" and a newline. It is hostile input.
 */
#ifndef ARL_SIDECAR_FOLLOW_FOLLOW_REQUEST_H
#define ARL_SIDECAR_FOLLOW_FOLLOW_REQUEST_H

#include "common/base/err.h"
#include "common/base/limits.h"

#define FOLLOW_LINE_BYTES 128 /* with the newline */
#define FOLLOW_HEAD_BYTES 5
#define FOLLOW_CHUNK_BYTES LIMIT_EVENT_CHUNK_BYTES /* the most that a frame holds */
#define FOLLOW_WAIT_MAX_S 600
#define FOLLOW_WAIT_S 10
#define FOLLOW_ATTEMPTS (LIMIT_RETRIES + 1)

enum follow_kind {
    FOLLOW_STDOUT = 1,
    FOLLOW_STDERR = 2,
    FOLLOW_GAP = 3,
    FOLLOW_END = 4,
    /* These two are for tail alone. */
    FOLLOW_FOUND = 5,   /* the step was found, its output follows; empty */
    FOLLOW_REFUSED = 6, /* the exit code for tail (a byte) and a sentence; the last frame */
};

/* Exit codes of tail. */
enum follow_exit {
    FOLLOW_ALL = 0,
    FOLLOW_FAILED = 1,
    FOLLOW_ARGUMENTS = 2,
    FOLLOW_OVER = 3,
    FOLLOW_NOT_BEGUN = 4,
    FOLLOW_TOO_MANY = 5,
    FOLLOW_MISSING = 6,
};

struct follow_request {
    char uid[LIMIT_UID_BYTES + 1]; /* of the Task */
    unsigned step;                 /* below LIMIT_STEPS */
    unsigned attempt;              /* 0: the latest */
    unsigned wait_s;
    unsigned streams; /* 1 stdout, 2 stderr, 3 both */
    bool follow;      /* to the end of the step */
};

/* Reads the argument of tail, "UID/STEP"; fills uid and step. */
int follow_target_parse(const char *text, struct follow_request *ret, struct err *err);
/* len: without the newline. -EINVAL: the line is not of this form. */
int follow_request_parse(const char *line, size_t len, struct follow_request *ret);
/* Writes the line with its newline; returns its length. */
size_t follow_request_format(const struct follow_request *r, char ret[FOLLOW_LINE_BYTES]);
/* Writes the head of a frame. */
void follow_head(unsigned char ret[FOLLOW_HEAD_BYTES], enum follow_kind kind, size_t len);

#endif
