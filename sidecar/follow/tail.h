/*
 * `arl-sidecar tail`: asks the agent in this container for the output of a step and prints it
 * (follow.h). It waits for output as long as the step runs and standard output has a reader. For
 * every other answer it waits TAIL_ANSWER_MS.
 */
#ifndef ARL_SIDECAR_FOLLOW_TAIL_H
#define ARL_SIDECAR_FOLLOW_TAIL_H

#include "sidecar/follow/follow_request.h"

#define TAIL_ANSWER_MS 10000

struct tail_opts {
    const char *state; /* the folder of the journal */
    struct follow_request request;
    bool framed;
};

/* Returns an enum follow_exit. Writes what went wrong to standard error. */
int tail_run(const struct tail_opts *opts);

#endif
