/*
 * The seam. The operator acts on the world and learns of it only through `struct ops`: requests to
 * the API server and to agents, time, random numbers, timers. Production implements it over uv and
 * curl (ops_uv.c), the simulator over a heap of virtual events. All code above it (reflectors,
 * lease, planners, executor) is the shipped code in both.
 *
 * Contract of an implementation
 * - No callback is ever made from inside a call of these functions: answers come from the loop.
 * - on_done is called exactly once per request, unless it was cancelled (then never again).
 * - Inputs are copied before the call returns. Chunks and answers are valid during the callback
 * only.
 * - OPS_API requests get base URL, TLS and credentials from the implementation.
 */
#ifndef ARL_OPERATOR_SEAM_OPS_H
#define ARL_OPERATOR_SEAM_OPS_H

#include "common/base/base.h"
#include "common/base/clock.h"

struct ops;
struct ops_call;

enum ops_target {
    OPS_API,   /* the API server */
    OPS_AGENT, /* the agent of a pod */
};

struct ops_request {
    enum ops_target target;
    const char *address;        /* OPS_AGENT: "10.0.0.7:8080" or "[fd00::7]:8080" */
    const char *method;         /* GET POST PUT PATCH DELETE */
    const char *path;           /* with the query: "/api/v1/pods?limit=50" */
    const char *content_type;   /* of the body; NULL without one */
    const char *accept;         /* OPS_API: of the answer; NULL: application/json */
    const char *const *headers; /* further "Name: value" lines, NULL-terminated; may be NULL */
    const void *body;
    size_t body_len;
    /* The order among requests that wait for a connection, see common/io/send_line.h. */
    unsigned urgency;
    const char *group;       /* NULL: none */
    bool stream;             /* a watch or a task stream: chunks go to on_data */
    int64_t timeout_ms;      /* whole call; 0 only for streams */
    int64_t idle_timeout_ms; /* streams: after this time without a byte it ends with -ETIMEDOUT */
    /* Streams: the limit until the answer begins; 0: idle_timeout_ms. */
    int64_t answer_timeout_ms;
};

struct ops_response {
    int status;       /* HTTP status; 0: no answer */
    const char *body; /* NUL-terminated text; "" for a stream that had a 2xx status */
    size_t body_len;
    int64_t retry_after_ms; /* -1: not given */
    int error;              /* 0, or a negative errno: no answer, or a part of one */
    const char *error_msg;  /* "" when error is 0 */
    bool maybe_sent;        /* after an error: the peer may have acted on the request */
};

struct ops_handler {
    void (*on_data)(void *arg, const char *data, size_t len); /* streams, 2xx only */
    void (*on_done)(void *arg, const struct ops_response *resp);
    /* Streams: a 2xx answer has begun; its data may come much later. May be NULL. */
    void (*on_open)(void *arg);
};

struct ops_vtable {
    struct ops_call *(*start)(struct ops *ops, const struct ops_request *req,
                              const struct ops_handler *handler, void *arg);
    void (*cancel)(struct ops *ops, struct ops_call *call);
    struct now (*now)(struct ops *ops);
    void (*random)(struct ops *ops, void *out, size_t len);
    struct ops_timer *(*timer_new)(struct ops *ops, void (*cb)(void *arg), void *arg);
    /* Arms the timer for a monotonic time (replacing what it was armed for); 0 disarms. */
    void (*timer_set)(struct ops *ops, struct ops_timer *timer, int64_t mono_ns);
    void (*timer_free)(struct ops *ops, struct ops_timer *timer);
};

struct ops {
    const struct ops_vtable *v;
};

static inline struct ops_call *ops_start(struct ops *ops, const struct ops_request *req,
                                         const struct ops_handler *handler, void *arg)
{
    return ops->v->start(ops, req, handler, arg);
}

static inline void ops_cancel(struct ops *ops, struct ops_call *call)
{
    ops->v->cancel(ops, call);
}

static inline struct now ops_now(struct ops *ops)
{
    return ops->v->now(ops);
}

static inline void ops_random(struct ops *ops, void *out, size_t len)
{
    ops->v->random(ops, out, len);
}

#endif
