/*
 * One attempt of a task in the run table. Shared by run_table.c (the table, its requests and
 * runners) and attempt.c (one attempt: its actions, its events and who is attached).
 */
#ifndef ARL_SIDECAR_ATTEMPT_ATTEMPT_H
#define ARL_SIDECAR_ATTEMPT_ATTEMPT_H

#include <uv.h>

#include "common/base/list.h"
#include "sidecar/attempt/outlog.h"
#include "sidecar/attempt/run_step.h"
#include "sidecar/attempt/run_table.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"
#include "sidecar/follow/follow.h"
#include "sidecar/link/runner_link.h"

/* Callers at a container's socket. */
struct refused {
    uint64_t told_ms; /* of the last line; 0: none yet */
    uint64_t untold;  /* since then */
};

struct run_table {
    struct uv_loop_s *loop;
    struct run_table_opts opts;
    struct runner_links *links;
    struct list attempts; /* oldest first */
    size_t count;
    uint64_t last_id; /* of steps, as runners know them */
    struct run_table_stats stats;
    struct refused refused[LIMIT_CONTAINERS];
    struct follow *follow;  /* NULL: nobody can follow */
    uint64_t last_followed; /* of the files that are followers' alone */
    uv_timer_t heartbeat;
    uv_timer_t saver; /* runs while there are events that are not in a file */
    size_t streams;   /* the heartbeat runs while there are any, or attempts that run */
    size_t handles_open;
    bool closing;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct attempt {
    struct list node;
    struct run_table *table;
    struct journal_key key;
    char *label; /* uid/attempt, for logs */
    struct task_request request;
    struct run run;
    struct outlog log;
    size_t saved;                 /* lines that are in the journal's file */
    size_t unsaved_bytes;         /* of those that are not */
    bool has_file;                /* there may be one */
    bool unsavable;               /* the file could not be written: it says less than there was */
    uint64_t step_id;             /* of the step that runs; 0: none */
    size_t container;             /* where it runs */
    bool step_open;               /* the last step that began has not ended */
    uint64_t printed[2];          /* by it */
    struct spool_file *spool[2];  /* of its stdout and stderr; NULL: none */
    bool overflowed[2];           /* the file has what the log has not */
    struct follow_output *output; /* of the step that is open; NULL: nobody has followed it */
    bool look_again;              /* for those who wait for a step */
    uv_timer_t *timer;            /* while it runs */
    struct list streams;
    bool running;
    bool lost_unseen; /* it ended with a sidecar before us, and its events are not all there */
};

/* A fresh attempt that is in the table and does not run yet. */
struct attempt *attempt_new(struct run_table *t, const struct journal_key *key, const char *label);
/* Takes it out of the table and frees it; its streams end. It does not run. */
void attempt_free(struct attempt *a);
/* Takes the request over and runs its first step. */
void attempt_start(struct attempt *a, struct task_request *request);
/* What the step that runs has printed. */
void attempt_output(struct attempt *a, int fd, const char *data, size_t len);
void attempt_cancel(struct attempt *a);
void attempt_lost(struct attempt *a);
void attempt_on_done(struct attempt *a, enum frame_how how, uint32_t value, const char *text,
                     int64_t duration_ns);
/* Answers the exchange with the events after a sequence number, and those to come. */
void attempt_attach(struct attempt *a, struct sealed_exchange *x, uint64_t after);
/* Loads an attempt of a sidecar before us; one that had not ended is lost. */
void attempt_restore(struct attempt *a);
/* Hands new events to whoever is attached. */
void attempt_pump(struct attempt *a);
void attempt_beat(struct attempt *a);
/* Writes the events that are not in the journal yet. */
void attempt_save(struct attempt *a);

/* A file with all that a stream of the open step has printed, and will print; NULL if it can not be
 * had, or if bytes are lost already. */
struct spool_file *attempt_spool(struct attempt *a, int fd);

/* attempt_follow.c: the output of a step, for followers. */
enum follow_found attempt_follow(struct attempt *a, uint32_t step, struct follow_output **ret);

/* run_table.c */
void run_table_want_heartbeat(struct run_table *t);
void run_table_want_save(struct run_table *t);
void run_table_handle_closed(struct run_table *t);

#endif
