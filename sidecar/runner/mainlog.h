/*
 * Passes the output of the container's main command on to the container's own log. Only the runner
 * has the log open. A step can write to /proc/PID/fd/1 of the main command, and nobody may take
 * such a line for a line of a step or of the runner.
 *
 * Lines are passed on as they are, with three exceptions: control characters are escaped
 * (podlog.h); a line that begins like a line of the runner gets MAINLOG_MARK in front; a line of
 * more than MAINLOG_LINE_BYTES is broken. Nothing is dropped: while the log takes no bytes, the
 * runner reads no output, and the command waits.
 */
#ifndef ARL_SIDECAR_RUNNER_MAINLOG_H
#define ARL_SIDECAR_RUNNER_MAINLOG_H

#include <poll.h>

#include "sidecar/runner/podlog.h"

/* Container runtimes break lines there, too. */
#define MAINLOG_LINE_BYTES (16u << 10)
#define MAINLOG_MARK "main: "

struct mainlog {
    int in; /* reading end of the command's pipe, not blocking; -1: closed, or never open */
    struct podlog *log;
    char *line; /* the line so far, without its end; NULL: nothing */
    size_t len;
    char *out; /* to be written; NULL: nothing */
    size_t out_len;
    size_t out_at;
};

void mainlog_done(struct mainlog *m);
/* The descriptor and events that it waits for; false: it waits for nothing. */
bool mainlog_poll(const struct mainlog *m, struct pollfd *ret);
/* Reads and writes as much as is possible without waiting. */
void mainlog_on_poll(struct mainlog *m);
/* The command has ended: passes on its remaining output, for at most limit_ms. */
void mainlog_finish(struct mainlog *m, int64_t limit_ms);

#endif
