/*
 * The processes below one, found by their parents in /proc. A process that forks while this looks
 * may be missed: callers look again until none is left.
 */
#ifndef ARL_SIDECAR_RUNNER_TREE_H
#define ARL_SIDECAR_RUNNER_TREE_H

#include <sys/types.h>

#include "common/base.h"

/* Both act on everything below root, not on root itself, and return how many processes were found,
 * or -ENOENT without a /proc. */
/* Sends the signal, and SIGCONT so that stopped ones get it. */
int tree_signal(pid_t root, int sig);
/* Stops all, so that none can fork any more, and kills them then. */
int tree_kill(pid_t root);

#endif
