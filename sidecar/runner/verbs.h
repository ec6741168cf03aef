/*
 * The verbs of the runner's binary: files in and out of the container that it lies in, for clients
 * that call it by pods/exec. docs/files.md is their interface. Each is a process of its own, which
 * runs as the container does or as --user says, and has nothing to do with the runner that is PID
 * 1.
 *
 * verbs.c has the arguments, verb.c the answers and what the verbs share; verb_files.c has put,
 * get, ls, stat and mkdir; verb_rm.c, verb_tar.c and verb_untar.c the others.
 */
#ifndef ARL_SIDECAR_RUNNER_VERBS_H
#define ARL_SIDECAR_RUNNER_VERBS_H

#include "common/base/base.h"

/* Where the verbs run. */
struct verbs_place {
    bool here;  /* in a container of the user; elsewhere all verbs are refused */
    bool alone; /* no other container of the pod shares volumes with it, see walk.h */
};

/* Whether argv[0] is one of them. */
bool verbs_known(const char *name);
/* Runs the verb argv[0] with its arguments; returns the exit status. */
int verbs_main(const struct verbs_place *place, int argc, char **argv);

#endif
