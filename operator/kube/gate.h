/*
 * A struct ops in front of another one. All requests to the API server pass through it. While the
 * API server is down, the gate sends one request a second in all, and holds the others back in a
 * line: the back-off that all parts share. gate_step.[ch] decides. The line has this order:
 * requests that were not tried yet, then leases, reads, writes, watches (which a server that has
 * just started does not accept at once), Events. Requests to agents, time and random numbers pass
 * unchanged.
 *
 * A request that failed because the server is down goes back into the line, if it surely had no
 * effect (it is a read, or it never arrived, or the answer is 429 or 401). Its owner sees no
 * failure, so the owner's own back-off does not grow, and work begins as soon as the server is
 * back. All other answers are delivered.
 *
 * A refusal of one object is not an outage, whatever its code is: an object too large for etcd
 * (500), a webhook that fails (500), quota, validation. Writes that fail in the server in another
 * way (500, 504, no answer in time) count once for each namespace.
 *
 * Limits: GATE_LINE_MAX requests with GATE_LINE_BYTES of bodies in the line; further ones fail with
 * -EAGAIN, from the loop. Time in the line does not count against a request's timeout. It ends with
 * the outage, or when the owner cancels the request.
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
    /* An outage has begun, or is over. Parts that wait for their back-off should send their
     * requests in their next turn, so that these are in the line. It is called inside of another
     * callback: start no request there. May be NULL. */
    void (*on_turn)(void *arg);
    void *arg;
};

/* opts may be NULL. */
struct gate *gate_new(struct ops *inner, const struct gate_opts *opts);
/* All calls must have ended, all timers been freed. */
void gate_free(struct gate *g);
struct ops *gate_ops(struct gate *g);
void gate_metrics(const struct gate *g, struct buf *out);
/* Writes the member "api" of the open JSON object. */
void gate_debug(const struct gate *g, struct json_writer *w);

#endif
