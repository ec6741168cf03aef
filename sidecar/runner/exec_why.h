/*
 * Why a program could not be executed, where errno tells less than the file does: execve(2) says
 * "No such file or directory" of a script that is there if its interpreter is not.
 *
 * Looks at the file as the user that runs the step, in the step's own process: what is slow or
 * hostile there is under the step's time limit.
 */
#ifndef ARL_SIDECAR_RUNNER_EXEC_WHY_H
#define ARL_SIDECAR_RUNNER_EXEC_WHY_H

#include "sidecar/runner/frames.h"

/* A sentence about the file, such as "its interpreter /bin/nosuch does not exist"; "": the file
 * tells no more than the errno e. */
void exec_why(const char *file, int e, char ret[FRAME_TEXT_MAX]);

#endif
