/*
 * One attempt of a task, and the table that it is in. Three files share them: attempt_table.c (the
 * table, its requests and runners), attempt.c (one attempt: its actions, its events and the streams
 * attached to it) and attempt_follow.c (its output, for followers).
 */
#ifndef ARL_SIDECAR_ATTEMPT_ATTEMPT_H
#define ARL_SIDECAR_ATTEMPT_ATTEMPT_H

#include <uv.h>

#include "common/base/list.h"
#include "sidecar/attempt/attempt_step.h"
#include "sidecar/attempt/attempt_table.h"
#include "sidecar/attempt/outlog.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"
#include "sidecar/follow/follow.h"
#include "sidecar/link/runner_link.h"

/* Callers that were refused at a container's socket. */
struct refused {
    uint64_t told_ms; /* when the last log line was written; 0: none yet */
    uint64_t untold;  /* callers since then, which no line counts */
};

struct attempt_table {
    struct uv_loop_s *loop;
    struct attempt_table_opts opts;
    struct runner_links *links;
    struct list attempts; /* oldest first */
    size_t count;
    uint64_t last_id; /* the last id of a step; runners know steps by it */
    struct attempt_table_stats stats;
    struct refused refused[LIMIT_CONTAINERS];
    struct follow *follow;  /* NULL: there is no socket for followers */
    uint64_t last_followed; /* the last number of a file that only followers read */
    uv_timer_t heartbeat;
    uv_timer_t saver; /* runs while some events are not in a file yet */
    size_t
        streams; /* open ones; the heartbeat runs while there are streams, or attempts that run */
    size_t handles_open;
    bool closing;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct attempt {
    struct list node;
    struct attempt_table *table;
    struct journal_key key;
    char *label; /* uid/attempt, for logs */
    struct task_request request;
    struct attempt_machine machine;
    struct outlog log;
    size_t saved;         /* lines that the journal's file has */
    size_t unsaved_bytes; /* of the lines that it does not have */
    bool has_file;        /* the journal may have a file of this attempt */
    bool unsavable;      /* writing the file has failed: it lacks events, and nothing is appended */
    uint64_t step_id;    /* of the running step; 0: none */
    size_t container;    /* where it runs */
    bool step_open;      /* the last step that began has not ended */
    uint64_t printed[2]; /* bytes of its stdout and stderr */
    struct spool_file *spool[2];  /* of its stdout and stderr; NULL: none */
    bool overflowed[2];           /* the file has bytes that the log has dropped */
    struct follow_output *output; /* of the open step; NULL: nobody has followed it */
    bool look_again;   /* a step has begun, or the attempt has ended: followers may wait for that */
    uv_timer_t *timer; /* while it runs */
    struct list streams;
    bool running;
    bool lost_unseen; /* it ended under an earlier process of the sidecar, and some events are lost
                       */
};

/* A new attempt; it is in the table and does not run yet. */
struct attempt *attempt_new(struct attempt_table *t, const struct journal_key *key,
                            const char *label);
/* Takes a, which must not run, out of the table, ends its streams and frees it. */
void attempt_free(struct attempt *a);
/* Takes over the request and starts its first step. */
void attempt_start(struct attempt *a, struct task_request *request);
/* The running step has printed this. */
void attempt_output(struct attempt *a, int fd, const char *data, size_t len);
void attempt_cancel(struct attempt *a);
void attempt_lost(struct attempt *a);
void attempt_on_done(struct attempt *a, enum frame_how how, uint32_t value, const char *text,
                     int64_t duration_ns);
/* Answers the exchange with a stream: all events after that sequence number, and later ones as
 * they come. */
void attempt_attach(struct attempt *a, struct sealed_exchange *x, uint64_t after);
/* Loads an attempt that an earlier process of the sidecar has started. If it had not ended, it is
 * lost. */
void attempt_restore(struct attempt *a);
/* Sends new events to all attached streams. */
void attempt_pump(struct attempt *a);
void attempt_beat(struct attempt *a);
/* Writes the events that the journal does not have yet. */
void attempt_save(struct attempt *a);

/* A file with everything that a stream of the open step has printed and will print. NULL if bytes
 * are lost already, or if no file could be made. */
struct spool_file *attempt_spool(struct attempt *a, int fd);

/* attempt_follow.c: the output of a step, for followers. */
enum follow_found attempt_follow(struct attempt *a, uint32_t step, struct follow_output **ret);

/* attempt_table.c */
void attempt_table_want_heartbeat(struct attempt_table *t);
void attempt_table_want_save(struct attempt_table *t);
void attempt_table_handle_closed(struct attempt_table *t);

#endif
