/*
 * The descendants of a process, found by the parents in /proc. A child that is forked meanwhile may
 * be missed, so callers look again until no descendant is left.
 */
#ifndef ARL_SIDECAR_RUNNER_TREE_H
#define ARL_SIDECAR_RUNNER_TREE_H

#include <sys/types.h>

#include "common/base/base.h"

/*
 * Opens the container's /proc. Call it before any code of the user runs: later the path may be a
 * FIFO that nobody writes to. -1: there is no /proc that shows this process; then all functions
 * below return -ENOENT.
 */
int tree_open(void);

struct tree {
    int proc;            /* of tree_open() */
    pid_t root;          /* its descendants are meant, not the process itself */
    const pid_t *spared; /* these and their descendants are left alone; in any order */
    size_t spared_count;
};

/* Both return how many processes were found, including those that could not be signalled. A
 * negative errno: not all processes of the container could be read; the others were signalled. */
/* Sends the signal, and SIGCONT, so that stopped processes get it. */
int tree_signal(const struct tree *t, int sig);
/* First stops all of them, so that none can fork any more; then kills them. */
int tree_kill(const struct tree *t);

#endif
