/*
 * Why a program could not be executed. The file often tells more than errno: execve(2) says "No
 * such file or directory" of a script that exists if its interpreter does not exist.
 *
 * It reads the file as the user of the step, in the step's own process. So the step's time limit
 * holds for a slow or hostile file system, too.
 */
#ifndef ARL_SIDECAR_RUNNER_EXEC_WHY_H
#define ARL_SIDECAR_RUNNER_EXEC_WHY_H

#include "sidecar/runner/frames.h"

/* A sentence about the file, such as "its interpreter /bin/nosuch does not exist". "": there is
 * nothing to add to the errno value e. */
void exec_why(const char *file, int e, char ret[FRAME_TEXT_MAX]);

#endif
