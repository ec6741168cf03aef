/*
 * Starting a step. Between the runner and each command stands a keeper: a forked copy of the runner
 * that is a subreaper and does nothing but wait. Whatever the command leaves behind, with setsid or
 * a double fork or not, becomes a child of the keeper, so that the tree below the keeper is the
 * step, at any time, and can be killed as a whole. The keeper ends with the last of them, with
 * status 0; one that ends otherwise was killed by a process of the same user, and what was below it
 * is the runner's then (steps.h). The container's main command has a keeper, too: so every child
 * of the runner is a keeper, or was left by one that was killed.
 *
 * Neither runner nor keeper opens anything on the way to a command: whoever owns the container's
 * file system could let them wait in open(2). The command itself changes into its folder and
 * executes its program, in the tree that a time limit kills. Its stdin is a pipe of ours, or a file
 * that is found as a file to be written is (walk.h).
 *
 * Writing a file is a step too: its child writes instead of executing, as the container's user and
 * under the same limits, and a file system that hangs holds up nobody else.
 */
#ifndef ARL_SIDECAR_RUNNER_KEEPER_H
#define ARL_SIDECAR_RUNNER_KEEPER_H

#include <sys/types.h>

#include "common/base/base.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/write_file.h"

struct keeper_spec {
    const char *user; /* see user.h; NULL: the container's */
    /* A command: */
    char **argv;            /* NULL: write a file */
    char **env;             /* all of the environment */
    const char *work_dir;   /* NULL: where the runner is */
    bool own_home;          /* env names HOME itself: another user's does not replace it */
    const char *stdin_file; /* NULL: none */
    bool confined;          /* stdin_file, see walk.h */
    const void *stdin_data; /* NULL: none; stdin is empty without both */
    size_t stdin_len;
    bool own_stdin;  /* keeps the runner's: the main command */
    bool own_output; /* stdout and stderr, too: where they are a terminal */
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
    char text[FRAME_TEXT_MAX]; /* KEEPER_FAILED: a sentence, or "" */
};

enum { KEEPER_OUT, KEEPER_ERR, KEEPER_STATUS, KEEPER_FDS };

/*
 * Forks. ret_fds: the reading ends (not blocking) of stdout, stderr and status; -1 for what the
 * command does not have from us. Returns the keeper's process id, or a negative errno.
 */
pid_t keeper_start(const struct keeper_spec *spec, int ret_fds[KEEPER_FDS]);
/* The next message of a status pipe: 1; 0: not there yet; -EPIPE: none will come any more. */
int keeper_read(int fd, struct keeper_msg *ret);

/* base with the "NAME=value" entries of more put over it; the array is the caller's, the texts are
 * not copied. */
char **keeper_env(char **base, char **more);

#endif
