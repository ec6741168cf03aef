/*
 * The work queue (pure: time comes in as a value). Keys are short strings such as
 * "sandbox/default/session-1". A key is in the queue once, however often it is added. Keys come out
 * in the order in which they were first added, urgent ones before others. The diagram is in
 * queue.c.
 *
 * Back-off: queue_failed() puts a key back after QUEUE_BACKOFF_BASE * 2^failures with jitter, at
 * most QUEUE_BACKOFF_MAX; queue_ok() forgets the failures. queue_after() puts a key back at a given
 * time. If a key has two times, the earlier one counts; queue_add() counts as now.
 */
#ifndef ARL_OPERATOR_KUBE_QUEUE_H
#define ARL_OPERATOR_KUBE_QUEUE_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/sm.h"

#define QUEUE_BACKOFF_BASE_MS 100
#define QUEUE_BACKOFF_MAX_MS 30000

struct queue;

/* Of a key. Moves are not logged: each plan makes several. */
extern const struct sm_table queue_table;

enum queue_lane { QUEUE_URGENT, QUEUE_NORMAL, QUEUE_LANES };

struct queue *queue_new(void);
void queue_free(struct queue *q);
void queue_add(struct queue *q, const char *key, enum queue_lane lane);
void queue_after(struct queue *q, const char *key, enum queue_lane lane, int64_t mono_ns);
/* jitter: any random number. */
void queue_failed(struct queue *q, const char *key, enum queue_lane lane, int64_t now_mono_ns,
                  uint64_t jitter);
void queue_ok(struct queue *q, const char *key);
void queue_forget(struct queue *q, const char *key); /* the object is gone: removes it everywhere */
void queue_clear(struct queue *q);                   /* removes all keys */
/* First moves keys whose time has come into their lane. Then takes the next key, which the caller
 * frees; NULL: no key is ready. */
char *queue_take(struct queue *q, int64_t now_mono_ns);
/* When the next delayed key is due; 0: none is waiting. */
int64_t queue_next_due(const struct queue *q);
size_t queue_len(const struct queue *q); /* ready keys */
size_t queue_delayed(const struct queue *q);

/* For people. */
struct queue_view {
    const char *key;   /* the queue's own */
    const char *state; /* of queue_table; "idle": not in the queue */
    int64_t due_ns;    /* delayed; else 0 */
    unsigned failures; /* since the last success */
};
void queue_look(const struct queue *q, const char *key, struct queue_view *ret);
/* Iteration in no particular order over all keys, from *pos = 0; false: no more. */
bool queue_next(const struct queue *q, size_t *pos, struct queue_view *ret);

#endif
