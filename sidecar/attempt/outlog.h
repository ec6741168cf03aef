/*
 * The events of one attempt, as the lines that go over the wire. They are numbered from 1 and kept
 * as long as the attempt is, so that a stream that attaches later gets all of them.
 *
 * How much output is kept:
 * - The limit is for each stream of a step. The first half of it goes out as it comes. The last
 *   half is kept in a ring and goes out when the step ends. A gap event between them counts the
 *   bytes that were dropped.
 * - All steps together keep OUTLOG_TOTAL_BYTES. Output beyond that is only counted.
 * - A program may write byte by byte. Its first OUTLOG_EAGER_EVENTS writes are events of their own.
 *   Later bytes are collected: until they are OUTLOG_COLLECT_BYTES, or a tick comes, or the step
 *   ends.
 * - A line for one byte takes a hundred bytes of memory. So all steps together may have
 *   OUTLOG_SMALL_EVENTS events of less than OUTLOG_COLLECT_BYTES. Then all output is collected, and
 *   ticks send nothing.
 *
 * While the ring is in use, outlog_tail() gives its end (at most LIMIT_TAIL_BYTES) to people who
 * watch the step. That is not a line of the log.
 */
#ifndef ARL_SIDECAR_ATTEMPT_OUTLOG_H
#define ARL_SIDECAR_ATTEMPT_OUTLOG_H

#include "common/base/buf.h"
#include "common/wire/task_proto.h"

#define OUTLOG_TOTAL_BYTES (4u << 20)
#define OUTLOG_EAGER_EVENTS 256
#define OUTLOG_COLLECT_BYTES (8u << 10)
#define OUTLOG_SMALL_EVENTS (16u << 10)
/* The memory of a line beside its text: its length, its place in the list, the allocator's share.
 */
#define OUTLOG_LINE_BYTES 48u

struct outlog_stream {
    size_t live_left;   /* bytes that may still go out as they come */
    unsigned events;    /* out events of this step */
    struct buf pending; /* of the first half, collected and not sent yet */
    char *tail;         /* ring */
    size_t tail_max;
    size_t tail_alloc;
    size_t tail_start;
    size_t tail_len;
    uint64_t dropped;
    bool tail_is_new; /* it has bytes that outlog_tail() has not given yet */
};

struct outlog_line {
    size_t len;
    char text[];
};

struct outlog {
    struct outlog_line **lines;
    size_t count;
    size_t alloc;
    size_t bytes; /* of memory, of all lines */
    size_t small; /* small events so far, at most OUTLOG_SMALL_EVENTS */
    size_t limit; /* of a stream of a step */
    size_t kept;  /* output bytes of the steps before */
    uint32_t step;
    size_t step_line; /* the number of lines before the running step */
    struct outlog_stream streams[2];
    /* Called after each line; may be NULL. */
    void (*on_line)(const struct outlog_line *line, void *arg);
    void *arg;
};

void outlog_init(struct outlog *l, size_t limit);
void outlog_done(struct outlog *l);
/* Appends an event with the next number. Its other fields are the caller's. */
void outlog_emit(struct outlog *l, struct task_event *ev);
/* Appends a line that was read back from the journal, as it is (with its newline). */
void outlog_restore(struct outlog *l, const char *line, size_t len);
/* Bytes of fd 1 or 2 of the running step. */
void outlog_data(struct outlog *l, int fd, const char *data, size_t len);
/* Whether bytes would have to be dropped if `len` more came. */
bool outlog_overflows(const struct outlog *l, int fd, size_t len);
/* Calls cb with the output of a stream of the running step so far. That is all of it, as long as
 * nothing was dropped. */
void outlog_replay(const struct outlog *l, int fd,
                   void (*cb)(const char *data, size_t len, void *arg), void *arg);
/* A step begins: its limits start anew. */
void outlog_begin_step(struct outlog *l, uint32_t step);
/* The step has ended: all that is kept of its output goes out. */
void outlog_flush(struct outlog *l);
/* Sends collected bytes; to be called from time to time. */
void outlog_tick(struct outlog *l);
/* Appends the end of each stream's ring to *out, as a line, if it is new. */
void outlog_tail(struct outlog *l, struct buf *out);
/* A new watcher: the next outlog_tail() gives the end even if it is not new. */
void outlog_tail_anew(struct outlog *l);
/* The line with that number, or NULL. */
const struct outlog_line *outlog_line(const struct outlog *l, uint64_t seq);

#endif
