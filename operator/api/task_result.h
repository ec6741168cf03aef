/*
 * The result of an attempt so far, and how it is written to the Task's status: the output of each
 * step, and all outputs joined. A stream that has reached a limit has its head and its tail, with a
 * marker between them that counts the dropped bytes. Pure values.
 *
 * Limits: task_result_add_output() keeps all that it gets, because the sidecar has cut each stream
 * to the output limit. task_result_trim() bounds a whole attempt. task_result_patch() cuts further
 * until the object is below LIMIT_TASK_OBJECT_BYTES.
 */
#ifndef ARL_OPERATOR_API_TASK_RESULT_H
#define ARL_OPERATOR_API_TASK_RESULT_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "operator/api/task.h"

/* A stream of a step: data is the head, then, if anything was dropped, the tail from head_len on.
 */
struct task_stream {
    struct buf data;
    size_t head_len;
    uint64_t dropped;
    /* The last output, to be shown while the step runs. It is behind data, with `before` bytes
     * between them, and is not part of the result. NULL: data has all output. */
    struct task_tail *tail;
};

struct task_tail {
    uint64_t before;
    size_t len;
    char text[LIMIT_TAIL_BYTES];
};

struct task_step_result {
    struct task_stream streams[2]; /* stdout, stderr */
    bool started;
    bool ended;
    int code;
    int64_t start_wall_ns;
    int64_t duration_ns;
    char *error;       /* NULL: none */
    char *output_file; /* NULL: none */
};

struct task_result {
    int64_t attempt;
    struct task_step_result *steps;
    size_t step_count;
    char **step_names;   /* one for each step; NULL: the Task has them */
    size_t memory;       /* bytes that all of this takes */
    size_t output_bytes; /* in all streams */
    size_t room;         /* the most bytes of the status; 0: only the usual limit */
    int code;            /* of the attempt, once it is over */
    int64_t start_wall_ns;
    int64_t completion_wall_ns;
    int64_t duration_ns;
};

struct task_result *task_result_new(size_t step_count);
void task_result_free(struct task_result *r);
/* fd is 1 or 2. Ignores steps that do not exist: the events come from inside a pod. */
void task_result_add_output(struct task_result *r, size_t step, int fd, const char *data,
                            size_t len);
void task_result_add_gap(struct task_result *r, size_t step, int fd, uint64_t bytes);
/* Sets the last output of a stream, until the next output or gap of the stream comes. */
void task_result_set_tail(struct task_result *r, size_t step, int fd, const char *data, size_t len,
                          uint64_t before);
/* Takes over the names of the steps (one for each step), for a Task that does not keep them. */
void task_result_set_names(struct task_result *r, char **names);
void task_result_set_error(struct task_result *r, size_t step, const char *error);
/* Sets the files in the pod that have the whole output of a step that has ended. A text that is not
 * a list of paths, or is too long, is ignored. */
void task_result_set_output_file(struct task_result *r, size_t step, const char *paths);
/* Cuts the middle out of the longest streams until all have at most max_bytes. */
void task_result_trim(struct task_result *r, size_t max_bytes);
/* Keeps only the end of this step's output, max_bytes of both streams, and no output of other
 * steps. The rest counts as dropped. */
void task_result_keep_tail(struct task_result *r, size_t step, size_t max_bytes);
/* The most bytes of the final status as JSON, which is also the most that etcd stores of it. */
size_t task_result_status_bytes(const struct task *t, const struct task_result *r);

/* How much of the end of its output the status of a running task shows, of all steps together. */
#define TASK_PROGRESS_BYTES 8192u

/* A merge patch of the status subresource for a task that waits or runs. r: the running attempt,
 * whose last TASK_PROGRESS_BYTES are shown; NULL: the patch leaves the output alone. sandbox_uid:
 * the sandbox in which it runs or is about to; NULL: none yet. */
int task_progress_patch(const struct task *t, enum task_state state, const char *sandbox_uid,
                        const struct condition *fin, int64_t start_wall_ns,
                        const struct task_result *r, struct buf *out);

/* Why a task is over, for the conditions; message NULL: made from the result. */
struct task_end {
    enum task_state state; /* TASK_SUCCEEDED or TASK_FAILED */
    const char *reason;    /* documented in docs/api.md */
    const char *message;
    int code; /* 0: the code of the result */
};

/*
 * The merge patch of the final status. `extra_stderr` (NULL: none) is a sentence for people, which
 * is put at the end of the joined stderr. r is NULL for a task that never began: exitCode is 1
 * then, unless end has a code.
 */
int task_result_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                      const char *extra_stderr, int64_t now_wall_ns, struct buf *out);
/* The merge patch that ends attempt r->attempt and opens the next one. */
int task_retry_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                     const char *sandbox_uid, int64_t now_wall_ns, struct buf *out);

#endif
