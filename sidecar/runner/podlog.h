/*
 * A copy of what steps print in the container's own log, for `kubectl logs`: on our standard
 * output, line by line, with "[task/step] " in front.
 *
 * The copy never holds up a step: what the log does not take at once is dropped and counted.
 * Limits: PODLOG_STEP_BYTES of a step, labels included, then one line that says so; lines longer
 * than PODLOG_LINE_BYTES are broken.
 */
#ifndef ARL_SIDECAR_RUNNER_PODLOG_H
#define ARL_SIDECAR_RUNNER_PODLOG_H

#include "common/base.h"

#define PODLOG_STEP_BYTES (64u << 10)
#define PODLOG_LINE_BYTES 1024
#define PODLOG_LABEL_BYTES 128

/* Where it goes. */
struct podlog {
    int fd;    /* -1: nowhere */
    bool wait; /* a write may block, so the descriptor is asked first */
};

/* What is kept of a step; starts as zeroes with a label. */
struct podlog_step {
    char label[PODLOG_LABEL_BYTES];
    size_t used;
    uint64_t dropped;
    struct {
        char data[PODLOG_LINE_BYTES];
        size_t len;
    } lines[2]; /* not ended yet, of stdout and stderr */
};

/* Uses fd, which others write to, too, and which stays as it is. */
struct podlog podlog_open(int fd);
void podlog_close(struct podlog *p);
/* stream is 0 or 1. */
void podlog_put(const struct podlog *p, struct podlog_step *s, int stream, const char *data,
                size_t len);
/* The step is over: lines without an end, and what was dropped. */
void podlog_end(const struct podlog *p, struct podlog_step *s);

#endif
