/*
 * What an attempt of a Task has brought so far, and how it is written to the Task's status: exact
 * text of each step, all of them joined, head and tail with a counted marker where a limit was
 * reached. Pure values.
 *
 * Limits: task_result_add_output() keeps what it is given; the sidecar has cut each stream to the
 * output limit. task_result_trim() bounds all of an attempt; task_result_patch() cuts further until
 * the whole object stays below LIMIT_TASK_OBJECT_BYTES.
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
    /* What was printed last, behind data and with so many bytes between them, as long as the step
     * runs: to be shown, and no part of the result. NULL: data has all. */
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
    size_t memory;       /* what all of this takes */
    size_t output_bytes; /* in all streams */
    size_t room;         /* the status is to be no longer than this; 0: no limit of its own */
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
/* What a stream has printed last; the next output of the stream, or its gap, takes its place. */
void task_result_set_tail(struct task_result *r, size_t step, int fd, const char *data, size_t len,
                          uint64_t before);
/* The names of the steps of a Task that does not keep them: taken over, as many as there are steps.
 */
void task_result_set_names(struct task_result *r, char **names);
void task_result_set_error(struct task_result *r, size_t step, const char *error);
/* Where in the pod the whole output of a step that has ended is. What is not a list of paths is
 * ignored, and so is a long one. */
void task_result_set_output_file(struct task_result *r, size_t step, const char *paths);
/* Cuts the longest streams, head and tail kept, until no more than max_bytes are held. */
void task_result_trim(struct task_result *r, size_t max_bytes);
/* Keeps only the end of what this step has printed, max_bytes of both streams, and nothing of
 * others. What was there counts as dropped. */
void task_result_keep_tail(struct task_result *r, size_t step, size_t max_bytes);
/* What the final status takes at most as JSON; it is not longer than that either when it is stored.
 */
size_t task_result_status_bytes(const struct task *t, const struct task_result *r);

/* While a task runs, its status shows the end of its output: so many bytes of all steps together.
 */
#define TASK_PROGRESS_BYTES 8192u

/* A merge patch of the status subresource for a task that waits or runs. r is what there is of an
 * attempt that runs, of which the last TASK_PROGRESS_BYTES are shown; NULL: its output is left as
 * it is. sandbox_uid: where it runs, or is about to; NULL: nowhere yet. */
int task_progress_patch(const struct task *t, enum task_state state, const char *sandbox_uid,
                        const struct condition *fin, int64_t start_wall_ns,
                        const struct task_result *r, struct buf *out);

/* Why a task is over, for the conditions; message NULL: made from the result. */
struct task_end {
    enum task_state state; /* TASK_SUCCEEDED or TASK_FAILED */
    const char *reason;    /* documented in docs/api.md */
    const char *message;
    int code; /* 0: that of the result */
};

/*
 * The merge patch of the final status. `extra_stderr` (NULL: none) is a sentence for people that is
 * not the output of any step; it ends the joined stderr. result may be NULL for a task that never
 * began: exitCode is 1 then.
 */
int task_result_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                      const char *extra_stderr, int64_t now_wall_ns, struct buf *out);
/* The merge patch that ends attempt r->attempt and opens the next one. */
int task_retry_patch(const struct task *t, const struct task_result *r, const struct task_end *end,
                     const char *sandbox_uid, int64_t now_wall_ns, struct buf *out);

#endif
