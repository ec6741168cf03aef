/*
 * `arl-sidecar tail`: prints what a step prints, as the agent that runs in this container tells it
 * (follow.h). It waits for output as long as the step lasts and standard output has a reader; for
 * everything else TAIL_ANSWER_MS.
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

/* An enum follow_exit; what is wrong was said on standard error. */
int tail_run(const struct tail_opts *opts);

#endif
