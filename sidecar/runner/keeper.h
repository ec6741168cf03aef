/*
 * Starts a step. Between the runner and each command stands a keeper: a forked copy of the runner
 * that is a subreaper and only waits. Processes that the command leaves behind, with or without
 * setsid or a double fork, become children of the keeper. So the tree below the keeper is always
 * the whole step, and can be killed as a whole. The keeper ends with status 0 when its last child
 * has ended. A keeper that ends in another way was killed by a process of the same user; the
 * processes below it become children of the runner (runner_on_keeper_lost()). The container's main
 * command has a keeper, too. So each child of the runner is a keeper, or the child of a keeper that
 * was killed.
 *
 *   runner ─┬─ keeper ─── command ─┬─ what the command has started
 *      ▲    │    ▲                 └─ ...
 *      │    │    └──────────────────── adopts what its parent has left behind
 *      │    ├─ keeper ─── ...
 *      │    └─ keeper of the main command
 *      │
 *      └── three pipes of each step: stdout and stderr of the command, and the status
 *
 * Messages of the status pipe, in this order: KEEPER_PID; KEEPER_FAILED if the command could not be
 * executed; KEEPER_EXIT. Then the keeper closes the pipe, but lives on while processes are left. If
 * no process could be made for the command, KEEPER_FAILED is the only message.
 *
 * Neither runner nor keeper opens a file on the way to a command, because the owner of the
 * container's file system could make them wait in open(2). The process of the command itself
 * changes into its folder and executes its program; a time limit kills it. Its stdin is an
 * empty pipe, a file in memory, or a file that is found like a file to be written (walk.h).
 *
 * Writing a file is a step, too: its process writes instead of executing a program, as the
 * container's user and under the same limits. A file system that hangs holds up nothing else.
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
    bool own_home;          /* env has a HOME of its own: another user's HOME does not replace it */
    const char *stdin_file; /* NULL: none */
    bool confined;          /* stdin_file, see walk.h */
    const void *stdin_data; /* NULL: none; without it and without stdin_file stdin is empty */
    size_t stdin_len;
    bool own_stdin;  /* stdin is the runner's: for the main command */
    bool own_output; /* stdout and stderr are the runner's, too: if they are a terminal */
    /* A file: */
    struct write_spec file;
};

/* The messages of the status pipe; each is written by one write(2). */
enum keeper_kind {
    KEEPER_PID,    /* value: process id of the command, leader of its own session */
    KEEPER_FAILED, /* how, value: errno; a KEEPER_EXIT follows nevertheless */
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
 * Forks. ret_fds: the reading ends (not blocking) of stdout, stderr and status; -1 for a stream
 * that is not a pipe of the runner. Returns the keeper's process id, or a negative errno.
 */
pid_t keeper_start(const struct keeper_spec *spec, int ret_fds[KEEPER_FDS]);
/* Reads the next message of a status pipe. 1: read; 0: it has not come yet; -EPIPE: no more will
 * come. */
int keeper_read(int fd, struct keeper_msg *ret);

/* The entries "NAME=value" of base, overridden by those of more. The caller frees the array; the
 * texts are not copied. */
char **keeper_env(char **base, char **more);

#endif
