/*
 * A copy of what steps print in the container's own log, for `kubectl logs`: on our standard
 * output, line by line, with "[task/step] " in front.
 *
 * The copy never holds up a step: what the log does not take at once is dropped and counted.
 * Limits: PODLOG_STEP_BYTES of a step, labels included, then one line that says so; lines longer
 * than PODLOG_LINE_BYTES are broken.
 *
 * Nobody but the runner writes to the log (mainlog.h), each line begins with its step's label, and
 * bytes that could move a terminal's cursor, hide text or turn it around are shown as \xNN: so no
 * line can be taken for another step's.
 */
#ifndef ARL_SIDECAR_RUNNER_PODLOG_H
#define ARL_SIDECAR_RUNNER_PODLOG_H

#include "common/base/base.h"

#define PODLOG_STEP_BYTES (64u << 10)
#define PODLOG_LINE_BYTES 1024
#define PODLOG_LABEL_BYTES 128

/* Where it goes. */
struct podlog {
    int fd;    /* -1: nowhere */
    bool wait; /* a write may block, so the descriptor is asked first */
    bool busy; /* a line of the main command is half written: nothing else may go between */
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

/* The most that n bytes become. */
#define PODLOG_ESCAPED(n) (4 * (n))
/* Text that is safe to be shown on one line. Tabs stay, UTF-8 does; control characters, line
 * separators, invisible and directional characters and what is not UTF-8 become \xNN. */
size_t podlog_escape(char *to, const char *from, size_t len);
/* As much as the log takes at once, in whole lines if they are not longer than PIPE_BUF. */
size_t podlog_write(const struct podlog *p, const char *data, size_t len);

/* The label as it is shown; cut to its room. */
void podlog_set_label(struct podlog_step *s, const char *label);

/* Uses fd, which others write to, too, and which stays as it is. */
struct podlog podlog_open(int fd);
void podlog_close(struct podlog *p);
/* stream is 0 or 1. */
void podlog_put(const struct podlog *p, struct podlog_step *s, int stream, const char *data,
                size_t len);
/* The step is over: lines without an end, and what was dropped. */
void podlog_end(const struct podlog *p, struct podlog_step *s);

#endif
