/*
 * Copies the output of steps into the container's own log, for `kubectl logs`. The runner writes it
 * to its standard output, line by line, with "[task/step] " in front.
 *
 * The copy never holds up a step: bytes that the log does not take at once are dropped and counted.
 * Limits: PODLOG_STEP_BYTES for a step, labels included; then one line says that the rest is left
 * out. Lines longer than PODLOG_LINE_BYTES are broken.
 *
 * No line can be taken for a line of another step: only the runner writes to the log (mainlog.h),
 * each line begins with the label of its step, and bytes that could move a terminal's cursor, hide
 * text or turn it around are shown as \xNN.
 */
#ifndef ARL_SIDECAR_RUNNER_PODLOG_H
#define ARL_SIDECAR_RUNNER_PODLOG_H

#include "common/base/base.h"

#define PODLOG_STEP_BYTES (64u << 10)
#define PODLOG_LINE_BYTES 1024
#define PODLOG_LABEL_BYTES 128

/* The log. */
struct podlog {
    int fd;    /* -1: there is no log */
    bool wait; /* a write may block, so the descriptor is asked first */
    bool busy; /* a line of the main command is half written: nothing else may go between */
};

/* The state of a step. Initialize it with zeroes and a label. */
struct podlog_step {
    char label[PODLOG_LABEL_BYTES];
    size_t used;
    uint64_t dropped;
    struct {
        char data[PODLOG_LINE_BYTES];
        size_t len;
    } lines[2]; /* the unfinished lines of stdout and stderr */
};

/* The most bytes that n escaped bytes can take. */
#define PODLOG_ESCAPED(n) (4 * (n))
/* Text that is safe to be shown on one line. Tabs stay, UTF-8 does; control characters, line
 * separators, invisible and directional characters and what is not UTF-8 become \xNN. */
size_t podlog_escape(char *to, const char *from, size_t len);
/* Writes as much as the log takes at once; lines up to PIPE_BUF bytes are not split. */
size_t podlog_write(const struct podlog *p, const char *data, size_t len);

/* Sets the label, escaped and cut to its room. */
void podlog_set_label(struct podlog_step *s, const char *label);

/* Uses fd. Other processes may write to it, too; its flags are not changed. */
struct podlog podlog_open(int fd);
void podlog_close(struct podlog *p);
/* stream is 0 or 1. */
void podlog_put(const struct podlog *p, struct podlog_step *s, int stream, const char *data,
                size_t len);
/* The step has ended: writes the unfinished lines, and how much was dropped. */
void podlog_end(const struct podlog *p, struct podlog_step *s);

#endif
