/*
 * A struct ops for tests. Requests are recorded and wait until the test answers them; time is
 * virtual; randomness is a fixed sequence. Answers are delivered when the test gives them: the test
 * is the loop.
 *
 * Calls to agents are sealed (common/wire/channel.h), by one agent's key for all pods,
 * AGENT_SIDE_KEY. Their bodies are recorded as opened; answers, data and lines are sealed on their
 * way. What is to come as it is, from somebody who is not the agent, goes through fake_raw_data()
 * and fake_answer_full().
 *
 * A call belongs to the fake until it was answered, ended or cancelled; then it is freed.
 */
#ifndef ARL_TESTS_FAKE_OPS_H
#define ARL_TESTS_FAKE_OPS_H

#include "common/base/list.h"
#include "common/wire/channel.h"
#include "operator/seam/ops.h"
#include "tests/agent_side.h"

struct buf;

struct ops_call {
    struct list link;
    unsigned number;
    struct fake_ops *owner;
    enum ops_target target;
    char *address;
    char *method;
    char *path;
    char *content_type;
    char *accept;
    char *headers; /* one a line */
    char *body;    /* "" without one */
    bool stream;
    int64_t timeout_ms;
    int64_t idle_timeout_ms;
    int64_t answer_timeout_ms;
    struct ops_handler handler;
    void *arg;
    struct channel_writer writer; /* to an agent */
    bool sealed;                  /* it has begun */
};

struct fake_ops {
    struct ops ops;
    struct now now;    /* begins at 1000 s and 2026-01-02T03:04:05Z */
    struct list calls; /* under way, the oldest first */
    struct list timers;
    unsigned started;
    unsigned cancelled;
    uint64_t random;
    bool random_zero; /* ops_random() gives zeros */
};

void fake_ops_init(struct fake_ops *f);
void fake_ops_done(struct fake_ops *f); /* asserts that no call and no timer is left */

unsigned fake_calls(const struct fake_ops *f); /* how many are under way */
/* The oldest call under way whose "METHOD /path" contains what; NULL: none. */
struct ops_call *fake_find(const struct fake_ops *f, const char *what);

/* Of an agent: what fake_answer() would send. */
void fake_seal(struct ops_call *call, int status, const char *body, struct buf *out);

/* Ends a call with a whole answer (of a stream: 2xx means a clean end, without body). */
void fake_answer(struct ops_call *call, int status, const char *body);
void fake_answer_full(struct ops_call *call, const struct ops_response *resp);
/* Ends a call without (whole) answer. */
void fake_fail(struct ops_call *call, int error, bool maybe_sent);
/* Bytes of a stream. Returns false when the call was cancelled meanwhile (it is freed then). */
bool fake_data(struct fake_ops *f, struct ops_call *call, const char *data, size_t len);
bool fake_raw_data(struct fake_ops *f, struct ops_call *call, const char *data, size_t len);
bool fake_line(struct fake_ops *f, struct ops_call *call, const char *line); /* adds the newline */

/* Moves time on, firing timers on the way in their order. */
void fake_advance(struct fake_ops *f, int64_t ms);
/* When the next timer is due, as milliseconds from now; -1: none is armed. */
int64_t fake_next_timer_ms(const struct fake_ops *f);

#endif
