/*
 * What the container's main command prints, on its way to the container's own log. It goes through
 * the runner, which alone has the log open: a step can write to /proc/PID/fd/1 of the main command,
 * and what it writes there must not be taken for a line of a step, or of the runner.
 *
 * Lines are passed on as they are, but that control characters are escaped (podlog.h), that a line
 * that begins like one of ours gets MAINLOG_MARK in front, and that one of more than
 * MAINLOG_LINE_BYTES is broken. Nothing is dropped: as long as the log takes nothing, nothing is
 * read, and the command waits.
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
    char *line; /* not ended yet; NULL: nothing */
    size_t len;
    char *out; /* to be written; NULL: nothing */
    size_t out_len;
    size_t out_at;
};

void mainlog_done(struct mainlog *m);
/* What it waits for; false: for nothing. */
bool mainlog_poll(const struct mainlog *m, struct pollfd *ret);
/* Does what can be done without waiting. */
void mainlog_on_poll(struct mainlog *m);
/* The command is over: what it wrote before is passed on, until the time is up. */
void mainlog_finish(struct mainlog *m, int64_t limit_ms);

#endif
