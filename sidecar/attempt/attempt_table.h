/*
 * The attempts that this sidecar knows: those that run, and those whose result is not acknowledged
 * yet. The table connects attempt_step (what to do next), outlog (the events), the journal (what
 * was ever started) and the runners, and it feeds the streams that are attached to an attempt.
 *
 * An attempt runs on when no stream is attached. Limits: ATTEMPT_TABLE_MAX attempts and
 * ATTEMPT_TABLE_BYTES of events. At a limit the oldest result is dropped; if there is no result, a
 * new attempt is refused.
 */
#ifndef ARL_SIDECAR_ATTEMPT_ATTEMPT_TABLE_H
#define ARL_SIDECAR_ATTEMPT_ATTEMPT_TABLE_H

#include "common/base/err.h"
#include "common/base/metrics.h"
#include "common/wire/task_proto.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"

#define ATTEMPT_TABLE_MAX 512
#define ATTEMPT_TABLE_BYTES (16u << 20)
#define ATTEMPT_TABLE_HEARTBEAT_MS 5000
/* Events are written into the journal after this time, or sooner (journal.h). */
#define ATTEMPT_TABLE_SAVE_MS 1000
/* Callers that are refused at the socket of a container get one log line in this time, with their
 * number. While the runner is not in, code in the container can connect as often as it likes. */
#define ATTEMPT_TABLE_REFUSED_LOG_MS 60000

struct attempt_table;
struct sealed_exchange;
struct uv_loop_s;

struct attempt_table_opts {
    const char *dir; /* of the runners' sockets */
    const char *const *containers;
    size_t container_count;
    size_t output_limit; /* the most that a request can ask for */
    struct journal *journal;
    struct spool *spool;
    const char *follow_path; /* of the socket for followers (follow.h); NULL: none */
};

struct attempt_table_stats {
    uint64_t started;
    uint64_t ended[4]; /* by enum task_end_reason */
    uint64_t output_bytes;
    uint64_t runners_lost;
    uint64_t callers_refused; /* at a runner's socket */
    struct metrics_histogram journal_ns;
    struct metrics_histogram duration_ns;
};

/* Loads the journal. Attempts that ran when the sidecar's last process ended are lost. */
int attempt_table_new(struct uv_loop_s *loop, const struct attempt_table_opts *opts,
                      struct attempt_table **ret, struct err *err);
void attempt_table_close(struct attempt_table *t, void (*cb)(void *arg), void *arg);

/* How a PUT was handled. ATTEMPT_PUT_STARTED and ATTEMPT_PUT_ATTACHED: the exchange was answered
 * with a stream. */
enum attempt_put {
    ATTEMPT_PUT_STARTED,
    ATTEMPT_PUT_ATTACHED,
    ATTEMPT_PUT_OTHER_BODY,    /* the attempt is known, with another body */
    ATTEMPT_PUT_OTHER_SANDBOX, /* this pod serves another sandbox */
    ATTEMPT_PUT_FORGOTTEN,     /* its result was acknowledged or dropped; it will not run again */
    ATTEMPT_PUT_NOT_READY,     /* a runner is missing, or there is no room */
    ATTEMPT_PUT_BAD,           /* the body is not a valid request */
    ATTEMPT_PUT_NO_JOURNAL,    /* the journal could not be written */
    ATTEMPT_PUT_UNKNOWN,       /* attaching: never started here */
};
/* err is set for all but the first two. */
enum attempt_put attempt_table_put(struct attempt_table *t, struct sealed_exchange *x,
                                   const char *task_uid, unsigned attempt, uint64_t after,
                                   struct err *err);

/* Attaches to a known attempt, without comparing its body. ATTEMPT_PUT_FORGOTTEN as above;
 * ATTEMPT_PUT_UNKNOWN: the attempt was never started here. */
enum attempt_put attempt_table_attach(struct attempt_table *t, struct sealed_exchange *x,
                                      const char *task_uid, unsigned attempt, uint64_t after,
                                      struct err *err);
/* Calls tell() with "uid/attempt" of each attempt that runs, and its task's namespace/name. */
void attempt_table_each_running(const struct attempt_table *t,
                                void (*tell)(const char *label, const char *task, void *arg),
                                void *arg);
/* Whether this pod serves this sandbox, or no sandbox yet. */
bool attempt_table_serves(const struct attempt_table *t, const char *sandbox_uid);

enum attempt_delete {
    ATTEMPT_DELETE_CANCELED,
    ATTEMPT_DELETE_ACKNOWLEDGED,
    ATTEMPT_DELETE_UNKNOWN,    /* never started here; from now on it cannot be started any more */
    ATTEMPT_DELETE_NO_JOURNAL, /* the same, but the journal could not record it */
};
enum attempt_delete attempt_table_delete(struct attempt_table *t, const char *task_uid,
                                         unsigned attempt);
/* Drops the result. Does nothing to an attempt that runs. */
void attempt_table_acknowledge(struct attempt_table *t, const char *task_uid, unsigned attempt);

bool attempt_table_container_ready(const struct attempt_table *t, size_t container);
size_t attempt_table_running(const struct attempt_table *t);
size_t attempt_table_kept(const struct attempt_table *t);
const struct attempt_table_stats *attempt_table_stats(const struct attempt_table *t);

#endif
