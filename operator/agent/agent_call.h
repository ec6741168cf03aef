/*
 * One exchange with the agent of a pod: the request is signed and its body sealed, the answer is
 * opened (common/wire/channel.h). What anybody else says in the agent's place, code in the sandbox
 * or somebody on the network, never gets past here: HTTP's own status and headers are not looked
 * at, but to name an answer that is none.
 *
 * The world hears of each answer whether it was the agent's (world_agent_heard() and
 * world_agent_forged()).
 *
 * Limits: LIMIT_AGENT_ANSWER_BYTES of a whole answer, a longer one is none; AGENT_TIMEOUT_MS until
 * it is there; AGENT_SILENCE_MS without a byte breaks a stream; the shared secrets of
 * AGENT_SECRETS_MAX pods are kept, then the one that was not used for longest is worked out again
 * when it is needed.
 */
#ifndef ARL_OPERATOR_AGENT_AGENT_CALL_H
#define ARL_OPERATOR_AGENT_AGENT_CALL_H

#include "operator/agent/signing.h"
#include "operator/core/world.h"
#include "operator/seam/ops.h"

#define AGENT_TIMEOUT_MS 5000
#define AGENT_SILENCE_MS 15000
#define AGENT_SECRETS_MAX 4096

struct agent_caller;
struct agent_call;
struct buf;

/* One for a process: its X25519 pair is made here and is kept in memory only. The world and the
 * keys stay valid until agent_caller_free(), when no call is under way any more. */
struct agent_caller *agent_caller_new(struct ops *ops, struct world *w,
                                      const struct signing_keys *keys);
void agent_caller_free(struct agent_caller *c);
void agent_caller_metrics(const struct agent_caller *c, struct buf *out);

enum agent_outcome {
    AGENT_ANSWERED,
    AGENT_NO_ANSWER,    /* nothing, or not all of it, or somebody who does not seal */
    AGENT_NOT_BELIEVED, /* it is not the agent that has answered, or not only */
};

struct agent_answer {
    enum agent_outcome outcome;
    int status;       /* the agent's own; 0 unless it answered */
    const char *body; /* NUL-terminated; "" for a stream whose status is 2xx */
    size_t body_len;
    const char *error; /* "" if it answered */
};

struct agent_handler {
    /* Streams: what comes of an answer whose status is 2xx. */
    void (*on_data)(void *arg, const char *data, size_t len);
    /* Once, unless the call was cancelled. */
    void (*on_done)(void *arg, const struct agent_answer *answer);
};

struct agent_request {
    const struct run_target *target;
    const char *method;
    const char *path;
    const char *query;      /* without '?'; NULL: none */
    const struct buf *body; /* JSON; NULL: none */
    bool stream;
};

/* Copies what it needs; calls back from the loop only. -ENOKEY: the pod's signing key is gone, or
 * the agent's key is not known; -EINVAL: a value that cannot be signed. */
int agent_call_start(struct agent_caller *c, const struct agent_request *req,
                     const struct agent_handler *handler, void *arg, struct agent_call **ret,
                     struct err *err);
/* NULL does nothing. Also from inside of on_data. */
void agent_call_cancel(struct agent_call *call);

#endif
