/*
 * The processes below one, found by their parents in /proc. A process that forks while this looks
 * may be missed: callers look again until none is left.
 */
#ifndef ARL_SIDECAR_RUNNER_TREE_H
#define ARL_SIDECAR_RUNNER_TREE_H

#include <sys/types.h>

#include "common/base/base.h"

/*
 * Opens the container's /proc: before any code of the user's runs, since what is at that path later
 * may be a FIFO that nobody writes to. -1 without one that shows this process, then and for good;
 * everything below returns -ENOENT then.
 */
int tree_open(void);

struct tree {
    int proc;            /* of tree_open() */
    pid_t root;          /* everything below it is meant, not itself */
    const pid_t *spared; /* these and all below them are not; sorted or not */
    size_t spared_count;
};

/* Both return how many processes were found, those that refuse the signal included; a negative
 * errno if not all of the container's could be looked at: those that could are signalled. */
/* Sends the signal, and SIGCONT so that stopped ones get it. */
int tree_signal(const struct tree *t, int sig);
/* Stops all, so that none can fork any more, and kills them then. */
int tree_kill(const struct tree *t);

#endif
