/*
 * The attempts that this sidecar knows: those that run, and those whose result is not acknowledged
 * yet. It connects run_step (what to do next), outlog (the events), the journal (what was ever
 * started) and the runners, and it feeds the streams that are attached to an attempt.
 *
 * An attempt runs on when no stream is attached. Limits: RUN_TABLE_MAX attempts and RUN_TABLE_BYTES
 * of events. At a limit the oldest result is dropped; if there is no result, a new attempt is
 * refused.
 */
#ifndef ARL_SIDECAR_ATTEMPT_RUN_TABLE_H
#define ARL_SIDECAR_ATTEMPT_RUN_TABLE_H

#include "common/base/err.h"
#include "common/base/metrics.h"
#include "common/wire/task_proto.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"

#define RUN_TABLE_MAX 512
#define RUN_TABLE_BYTES (16u << 20)
#define RUN_HEARTBEAT_MS 5000
/* After this time events are written into the journal (journal.h). */
#define RUN_SAVE_MS 1000
/* One log line for each container counts all callers that were refused in this time. Code in the
 * container can connect as often as it likes while its runner is not in. */
#define RUN_REFUSED_LOG_MS 60000

struct run_table;
struct sealed_exchange;
struct uv_loop_s;

struct run_table_opts {
    const char *dir; /* of the runners' sockets */
    const char *const *containers;
    size_t container_count;
    size_t output_limit; /* the most that a request can ask for */
    struct journal *journal;
    struct spool *spool;
    const char *follow_path; /* of the socket for followers (follow.h); NULL: none */
};

struct run_table_stats {
    uint64_t started;
    uint64_t ended[4]; /* by enum task_end_reason */
    uint64_t output_bytes;
    uint64_t runners_lost;
    uint64_t callers_refused; /* at a runner's socket */
    struct metrics_histogram journal_ns;
    struct metrics_histogram duration_ns;
};

/* Loads the journal. Attempts that ran when the sidecar's last process ended are lost. */
int run_table_new(struct uv_loop_s *loop, const struct run_table_opts *opts, struct run_table **ret,
                  struct err *err);
void run_table_close(struct run_table *t, void (*cb)(void *arg), void *arg);

/* How a PUT was handled. RUN_STARTED and RUN_ATTACHED: the exchange was answered with a stream. */
enum run_put {
    RUN_STARTED,
    RUN_ATTACHED,
    RUN_OTHER_BODY,    /* the attempt is known, with another body */
    RUN_OTHER_SANDBOX, /* this pod serves another sandbox */
    RUN_FORGOTTEN,     /* its result was acknowledged or dropped; it will not run again */
    RUN_NOT_READY,     /* a runner is missing, or there is no room */
    RUN_BAD,           /* the body is not a valid request */
    RUN_NO_JOURNAL,    /* the journal could not be written */
    RUN_UNKNOWN_TASK,  /* attaching: never started here */
};
/* err is set for all but the first two. */
enum run_put run_table_put(struct run_table *t, struct sealed_exchange *x, const char *task_uid,
                           unsigned attempt, uint64_t after, struct err *err);

/* Attaches to a known attempt, without comparing its body. RUN_FORGOTTEN as above;
 * RUN_UNKNOWN_TASK: the attempt was never started here. */
enum run_put run_table_attach(struct run_table *t, struct sealed_exchange *x, const char *task_uid,
                              unsigned attempt, uint64_t after, struct err *err);
/* Calls tell() with "uid/attempt" of each attempt that runs, and its task's namespace/name. */
void run_table_each_running(const struct run_table *t,
                            void (*tell)(const char *label, const char *task, void *arg),
                            void *arg);
/* Whether this pod serves this sandbox, or no sandbox yet. */
bool run_table_serves(const struct run_table *t, const char *sandbox_uid);

enum run_delete {
    RUN_CANCELED,
    RUN_ACKNOWLEDGED,
    RUN_UNKNOWN,           /* never started here; from now on it cannot be started any more */
    RUN_DELETE_NO_JOURNAL, /* the same, but the journal could not record it */
};
enum run_delete run_table_delete(struct run_table *t, const char *task_uid, unsigned attempt);
/* Drops the result. Does nothing to an attempt that runs. */
void run_table_acknowledge(struct run_table *t, const char *task_uid, unsigned attempt);

bool run_table_container_ready(const struct run_table *t, size_t container);
size_t run_table_running(const struct run_table *t);
size_t run_table_kept(const struct run_table *t);
const struct run_table_stats *run_table_stats(const struct run_table *t);

#endif
