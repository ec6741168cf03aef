/*
 * Starting a step. Between the runner and each command stands a keeper: a forked copy of the runner
 * that is a subreaper and does nothing but wait. Whatever the command leaves behind, with setsid or
 * a double fork or not, becomes a child of the keeper, so that the tree below the keeper is the
 * step, at any time, and can be killed as a whole. The keeper ends with the last of them.
 *
 * Writing a file is a step too: its child writes instead of executing, as the container's user and
 * under the same limits, and a file system that hangs holds up nobody else.
 */
#ifndef ARL_SIDECAR_RUNNER_KEEPER_H
#define ARL_SIDECAR_RUNNER_KEEPER_H

#include <sys/types.h>

#include "common/base.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/write_file.h"

struct keeper_spec {
    /* A command: */
    char **argv; /* NULL: write a file */
    char **env;  /* all of the environment */
    const char *work_dir;
    /* A file: */
    struct write_spec file;
};

/* What comes out of the status pipe; each message is written at once. */
enum keeper_kind {
    KEEPER_PID,    /* value: process id of the command, leader of its own session */
    KEEPER_FAILED, /* how, value: errno; an exit status follows all the same */
    KEEPER_EXIT,   /* how: FRAME_EXITED or FRAME_SIGNALED, value */
};
struct keeper_msg {
    uint32_t kind;
    uint32_t how; /* enum frame_how */
    uint32_t value;
};

/*
 * Forks. ret_fds: the reading ends (not blocking) of stdout, stderr and status. Returns the
 * keeper's process id, or a negative errno.
 */
pid_t keeper_start(const struct keeper_spec *spec, int ret_fds[3]);

/* In a fresh child: signals as a program expects them, then exec with a lookup in the PATH of env.
 * Returns the errno of the failure. */
int keeper_exec(char **argv, char **env);

/* base with the "NAME=value" entries of more put over it; the array is the caller's, the texts are
 * not copied. */
char **keeper_env(char **base, char **more);

#endif
