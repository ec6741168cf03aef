/*
 * What the files of the runner share: runner.c (the loop, signals, the main command), link.c (the
 * socket to the sidecar), steps.c (what runs).
 *
 * One thread, one poll(2). Nothing in here waits, apart from fork(2) itself.
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
/* Steps that are over, but whose daemons hold a pipe that is read and thrown away, so that they are
 * not stopped by a full pipe or killed by a closed one. The oldest is closed when there are more.
 */
#define RUNNER_LEFT_MAX 64
/* Output that waits for the sidecar; above it nothing is read from the pipes. */
#define RUNNER_OUT_HIGH (256u << 10)
/* What is read of a step's output in a second, beyond a first burst. The pipe of one that prints
 * more is full then, and holds it up: otherwise a program such as yes(1) would keep two more
 * processors busy with bytes that nobody keeps. */
#define RUNNER_READ_BYTES_S (64 << 20)
#define RUNNER_READ_BURST (16 << 20)
#define RUNNER_READ_PAUSE_MS 20
#define RUNNER_GRACE_MS 2000 /* between SIGTERM and SIGKILL, at most */
#define RUNNER_EOF_MS 500    /* after the exit, for pipes that others hold open */
/* After the first SIGKILL. What lives longer is stuck in the kernel or another user's (a program
 * with the setuid bit): the container ends, and takes it along. */
#define RUNNER_GIVE_UP_MS 5000
#define RUNNER_KILL_AGAIN_MS 20
/* Signals taken, and ended processes reaped, before the rest of a turn has its time: whoever is in
 * the container may make more of both than can be taken, and no time limit would hold. */
#define RUNNER_SIGNALS_MAX 64
#define RUNNER_REAPED_MAX 256
#define RUNNER_MAIN_LOG_MS 1000 /* at the end, for what the main command has printed */
#define RUNNER_EXIT_STUCK 75    /* the exit status for that */
#define RUNNER_EXIT_RETIRED 76  /* the sidecar has given this life of the container up */
#define RUNNER_REDIAL_MIN_MS 5
#define RUNNER_REDIAL_MAX_MS 100 /* a pod is not ready before this has worked once */

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
    int64_t redial_wait_ms;
    int told;   /* errno of the last complaint */
    int folder; /* that of the socket; -1: it could not be opened */
    bool has_token;
    unsigned char token[FRAMES_TOKEN_BYTES]; /* the secret of this life of the container */

    struct podlog log; /* stdout; steps' lines go there, too */
    struct podlog log_err;
    struct mainlog main_log[2]; /* the main command's stdout and stderr */
    struct list steps;
    size_t active; /* steps that are not over */
    size_t left;   /* steps that are, but whose daemons live or hold a pipe */

    bool main_started;
    pid_t main_keeper; /* 0: there is none */
    int main_status;   /* of its keeper; -1: none */
    pid_t main_pid;    /* 0: not known (yet) */
    int64_t
        adopted_end_ns; /* a keeper was killed: what it left must be gone by then; 0: nothing is */
    int64_t stop_ns;    /* SIGTERM came: SIGKILL then; 0: it did not */
    bool reap_on;       /* more have ended than were reaped at once */
    bool exiting;
    int exit_code;
};

int64_t runner_now_ns(void);
/* Starts the main command, once. Called when the sidecar knows us: no code of the user's runs in
 * the container before. */
void runner_start_main(struct runner *r);
/* A keeper was killed by somebody else, so that all below it has become ours: that goes. */
void runner_on_keeper_lost(struct runner *r, int64_t now_ns);
/* Steps can not be ended any more, for the reason that is logged: the container ends. The sidecar
 * tells the steps as lost. */
void runner_give_up(struct runner *r, const char *why);
/* The container ends with this exit status; the first one counts. */
void runner_end(struct runner *r, int code);

/* ---- link.c ---------------------------------------------------------------------------------- */

/* Opens the socket's folder, before any code of the user's runs. */
void link_open(struct runner *r);
/* There is no sidecar, and nothing is left that the one before has started. */
bool link_may_dial(const struct runner *r);
/* Dials if it is time to. */
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
/* The sidecar is lost, and the next one tells what runs as lost: ends it without a word. That
 * sidecar is not dialed before it is over, so that nothing of it runs beside the next task. */
void steps_abandon(struct runner *r);
/* The container is being ended: says so of each step that runs, and nothing more. */
void steps_stop(struct runner *r);
/* A child of ours has ended. */
void steps_on_reaped(struct runner *r, pid_t pid, int status);
/* The keepers that live, those of daemons included; at most active + left. */
size_t steps_keepers(const struct runner *r, pid_t *ret);
/* Adds what steps wait for to fds (room for steps_poll_max()); returns how many. */
size_t steps_poll_max(const struct runner *r);
size_t steps_poll(struct runner *r, struct pollfd *fds);
void steps_on_poll(struct runner *r, const struct pollfd *fds, size_t count);
/* Moves every step on; returns when it wants to be called again (INT64_MAX: only on events). */
int64_t steps_advance(struct runner *r, int64_t now_ns);

#endif
