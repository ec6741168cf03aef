/*
 * The events of one attempt as the lines that go over the wire, numbered from 1 and kept for as
 * long as the attempt is, so that whoever attaches later can have all of them again.
 *
 * Limits: of each stream of a step the first half of the limit goes out as it comes, the last half
 * is kept in a ring until the step ends and follows then, with a gap event in between that counts
 * what was dropped. All steps together keep OUTLOG_TOTAL_BYTES; what the last steps print beyond
 * that is only counted. Programs that write byte by byte get OUTLOG_EAGER_EVENTS events of their
 * own, after that their bytes are collected (until OUTLOG_COLLECT_BYTES, a tick, or the end). A
 * line of one byte takes a hundred: so all steps together have OUTLOG_SMALL_EVENTS with less than
 * OUTLOG_COLLECT_BYTES; after that neither the first ones of a step nor a tick brings any.
 *
 * While the last half is kept, outlog_tail() tells the end of it, LIMIT_TAIL_BYTES at most, for
 * people who look on; it is no line of the log.
 */
#ifndef ARL_SIDECAR_ATTEMPT_OUTLOG_H
#define ARL_SIDECAR_ATTEMPT_OUTLOG_H

#include "common/base/buf.h"
#include "common/wire/task_proto.h"

#define OUTLOG_TOTAL_BYTES (4u << 20)
#define OUTLOG_EAGER_EVENTS 256
#define OUTLOG_COLLECT_BYTES (8u << 10)
#define OUTLOG_SMALL_EVENTS (16u << 10)
/* What a line takes beside its text: its length, its place in the list, the allocator's part. */
#define OUTLOG_LINE_BYTES 48u

struct outlog_stream {
    size_t live_left;   /* bytes that may still go out as they come */
    unsigned events;    /* out events of this step */
    struct buf pending; /* live, but not sent yet */
    char *tail;         /* ring */
    size_t tail_max;
    size_t tail_alloc;
    size_t tail_start;
    size_t tail_len;
    uint64_t dropped;
    bool tail_is_new; /* something is in it that outlog_tail() has not told */
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
    size_t small; /* events of OUTLOG_SMALL_EVENTS, so far */
    size_t limit; /* of a stream of a step */
    size_t kept;  /* output bytes of the steps before */
    uint32_t step;
    size_t step_line; /* lines before the running step's */
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
/* Whether so many bytes more would be too many, for the first time or again: some would go. */
bool outlog_overflows(const struct outlog *l, int fd, size_t len);
/* Hands over what a stream of the running step has printed so far; all of it, as long as nothing of
 * it was dropped. */
void outlog_replay(const struct outlog *l, int fd,
                   void (*cb)(const char *data, size_t len, void *arg), void *arg);
/* A step begins: its limits start anew. */
void outlog_begin_step(struct outlog *l, uint32_t step);
/* The step is over: everything that is kept of its output goes out. */
void outlog_flush(struct outlog *l);
/* Sends what was collected; to be called from time to time. */
void outlog_tick(struct outlog *l);
/* Appends the end of what each stream keeps to itself as a line, if it is new. */
void outlog_tail(struct outlog *l, struct buf *out);
/* Somebody begins to look on: the next time it is new. */
void outlog_tail_anew(struct outlog *l);
/* The line with that number, or NULL. */
const struct outlog_line *outlog_line(const struct outlog *l, uint64_t seq);

#endif
