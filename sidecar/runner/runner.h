/*
 * Shared by the files of the runner: runner.c (the loop, signals, the main command), link.c (the
 * socket to the sidecar), steps.c (the steps that run).
 *
 * There is one thread with one poll(2). No other call waits, except fork(2).
 */
#ifndef ARL_SIDECAR_RUNNER_RUNNER_H
#define ARL_SIDECAR_RUNNER_RUNNER_H

#include <poll.h>
#include <sys/types.h>

#include "common/base/base.h"
#include "common/base/list.h"
#include "sidecar/runner/frames.h"
#include "sidecar/runner/mainlog.h"
#include "sidecar/runner/podlog.h"

/* Steps at once; one more is refused with EAGAIN. Each takes three descriptors and a process. */
#define RUNNER_STEPS_MAX 128
/* Steps that have ended and whose daemons still hold a pipe. The runner reads the pipe and throws
 * the bytes away, because a full pipe would stop the daemon and a closed one would kill it. If
 * there are more, the oldest pipe is closed. */
#define RUNNER_LEFT_MAX 64
/* Output that waits for the sidecar. Above this size the runner reads no more from the pipes. */
#define RUNNER_OUT_HIGH (256u << 10)
/* How much of a step's output the runner reads in a second, after a first burst. A step that prints
 * more waits, because its pipe is full. Otherwise a program such as yes(1) would keep two more
 * processors busy with bytes that nobody keeps. */
#define RUNNER_READ_BYTES_S (64 << 20)
#define RUNNER_READ_BURST (16 << 20)
#define RUNNER_READ_PAUSE_MS 20
#define RUNNER_GRACE_MS 2000 /* between SIGTERM and SIGKILL, at most */
#define RUNNER_EOF_MS 500    /* after the exit, for pipes that other processes hold open */
/* After the first SIGKILL. A process that lives longer is stuck in the kernel, or belongs to
 * another user (by the setuid bit). Then the container ends, and the process with it. */
#define RUNNER_GIVE_UP_MS 5000
#define RUNNER_KILL_AGAIN_MS 20
/* How many signals are read, and how many ended processes are reaped, in one turn of the loop. Code
 * in the container can make more of both than the runner can handle; without these limits the turn
 * would not end, and no time limit would hold. */
#define RUNNER_SIGNALS_MAX 64
#define RUNNER_REAPED_MAX 256
#define RUNNER_MAIN_LOG_MS 1000 /* at the end, for what the main command has printed */
#define RUNNER_EXIT_STUCK 75    /* the exit status if a process cannot be killed */
#define RUNNER_EXIT_RETIRED 76  /* the sidecar has given this life of the container up */
#define RUNNER_REDIAL_MIN_MS 5
#define RUNNER_REDIAL_MAX_MS 100 /* the pod is not ready before the runner has connected once */

struct runner {
    const char *socket_path;
    char **main_argv; /* NULL: none */
    char **env;       /* the container's own */
    int signal_fd;
    int proc;      /* see tree_open() */
    int oom_kills; /* see oom_kills_open() */

    int sock; /* -1: not connected */
    bool welcomed;
    struct frame_buf in;
    struct frame_buf out;
    int64_t redial_ns;
    unsigned redials; /* since the last welcome */
    int told;         /* errno of the last error that was logged */
    int folder;       /* the folder of the socket; -1: it could not be opened */
    bool has_token;
    unsigned char token[FRAMES_TOKEN_BYTES]; /* the secret of this life of the container */

    struct podlog log; /* stdout, with the lines of steps */
    struct podlog log_err;
    struct mainlog main_log[2]; /* the main command's stdout and stderr */
    struct list steps;
    size_t active; /* steps that have not ended */
    size_t left;   /* ended steps whose daemons live or hold a pipe */

    bool main_started;
    pid_t main_keeper; /* 0: there is none */
    int main_status;   /* of its keeper; -1: none */
    pid_t main_pid;    /* 0: not known (yet) */
    int64_t
        adopted_end_ns; /* a keeper was killed: its processes must be gone by then; 0: no keeper */
    int64_t stop_ns;    /* after SIGTERM, when SIGKILL follows; 0: no SIGTERM has come */
    bool reap_on;       /* more processes have ended than one turn reaps */
    bool exiting;
    int exit_code;
};

int64_t runner_now_ns(void);
/* Starts the main command, once. Called when the sidecar has let this runner in; no code of the
 * user runs in the container before. */
void runner_start_main(struct runner *r);
/* Somebody else has killed a keeper, and the processes below it have become children of the runner:
 * kills them. */
void runner_on_keeper_lost(struct runner *r, int64_t now_ns);
/* Steps cannot be ended any more: logs why, and ends the container. The sidecar reports the steps
 * as lost. */
void runner_give_up(struct runner *r, const char *why);
/* The container ends with this exit status; the first one counts. */
void runner_end(struct runner *r, int code);

/* ---- link.c ---------------------------------------------------------------------------------- */

/* Opens the folder of the socket, before any code of the user runs. */
void link_open(struct runner *r);
/* There is no sidecar, and all steps of the last sidecar have ended. */
bool link_may_dial(const struct runner *r);
/* Connects if it is time to. */
void link_dial(struct runner *r, int64_t now_ns);
void link_on_poll(struct runner *r, short revents);
short link_poll_events(const struct runner *r);
/* Sends what is queued as far as the socket takes it. */
void link_flush(struct runner *r);
bool link_ready(const struct runner *r);

/* ---- steps.c --------------------------------------------------------------------------------- */

void steps_exec(struct runner *r, struct frame_reader *f);
void steps_write(struct runner *r, struct frame_reader *f);
void steps_kill(struct runner *r, uint64_t id, int64_t grace_ms);
/* The sidecar is lost. The next one will report the running steps as lost, so they are ended
 * without a report. The runner does not connect to the next sidecar before they have ended: so none
 * of them runs beside the next task. */
void steps_abandon(struct runner *r);
/* The container is being ended: reports FRAME_STOPPED for each step that runs, and nothing more. */
void steps_stop(struct runner *r);
/* A child of the runner has ended. */
void steps_on_reaped(struct runner *r, pid_t pid, int status);
/* The living keepers, also those of daemons; at most active + left. */
size_t steps_keepers(const struct runner *r, pid_t *ret);
/* Adds what steps wait for to fds (room for steps_poll_max()); returns how many. */
size_t steps_poll_max(const struct runner *r);
size_t steps_poll(struct runner *r, struct pollfd *fds);
void steps_on_poll(struct runner *r, const struct pollfd *fds, size_t count);
/* Moves every step on; returns when it wants to be called again (INT64_MAX: only on events). */
int64_t steps_advance(struct runner *r, int64_t now_ns);

#endif
