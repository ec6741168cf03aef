/*
 * A struct ops in front of another: all requests to the API server pass here, so that while it is
 * down one request a second is sent in all, whoever asks (the shared back-off; the decisions are
 * gate_step.[ch]). What waits goes in this order: what was not tried yet, then leases, reads,
 * writes, watches (which a server that has just begun does not take at once), events. Requests to
 * sidecars, time and chance are passed on as they are.
 *
 * A request that was sent to a server that is down and surely had no effect (a read, or it never
 * arrived, 429 or 401) goes back into line instead of failing: so its owner's own back-off does not
 * grow, and work begins as soon as the server is back. All other answers are delivered.
 *
 * What one object is refused for is no outage, whatever the code: too large for etcd (500), a
 * webhook that fails (500), quota, validation. Of writes that fail in the server otherwise (500,
 * 504, no answer in time) all those of one namespace count as one.
 *
 * Limits: GATE_LINE_MAX requests with GATE_LINE_BYTES of bodies in line; what comes beyond fails
 * with -EAGAIN, from the loop. Time in line does not count against a request's timeout: it ends
 * with the outage, or when its owner cancels it.
 */
#ifndef ARL_OPERATOR_KUBE_GATE_H
#define ARL_OPERATOR_KUBE_GATE_H

#include "operator/seam/ops.h"

#define GATE_LINE_MAX 1024
#define GATE_LINE_BYTES (8u << 20)

struct buf;
struct gate;
struct json_writer;

struct gate_opts {
    /* The server is down, or back again, for the log; level is enum log_level. May be NULL. */
    void (*on_note)(void *arg, int level, const char *msg);
    /* An outage has begun, or is over: whoever waits to try again had better be in line. Comes from
     * inside of another callback: begin nothing there. May be NULL. */
    void (*on_turn)(void *arg);
    void *arg;
};

/* opts may be NULL. */
struct gate *gate_new(struct ops *inner, const struct gate_opts *opts);
/* All calls must have ended, all timers been freed. */
void gate_free(struct gate *g);
struct ops *gate_ops(struct gate *g);
void gate_metrics(const struct gate *g, struct buf *out);
/* The member "api" of the object that is open. */
void gate_debug(const struct gate *g, struct json_writer *w);

#endif
