/*
 * The processes below one, found by their parents in /proc. A process that forks while this looks
 * may be missed: callers look again until none is left.
 */
#ifndef ARL_SIDECAR_RUNNER_TREE_H
#define ARL_SIDECAR_RUNNER_TREE_H

#include <sys/types.h>

#include "common/base.h"

/* Sends the signal (and SIGCONT, so that stopped ones get it) to everything below root, not to root
 * itself. Returns how many processes were found, or -ENOENT without a /proc. */
int tree_signal(pid_t root, int sig);

#endif
