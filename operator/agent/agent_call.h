/*
 * One exchange with the agent of a pod: the request is signed and its body sealed, and the answer
 * is opened (common/wire/channel.h). Answers of others, such as code in the sandbox or a machine on
 * the network, are stopped here. HTTP's own status and headers are not trusted: they serve only for
 * the message about an answer that is not sealed.
 *
 * Each call tells the world whether the agent has answered (world_agent_answered()) or somebody
 * else (world_agent_forged()).
 *
 * Limits: LIMIT_AGENT_ANSWER_BYTES for a whole answer (a longer one is dropped); AGENT_TIMEOUT_MS
 * until it is complete; AGENT_SILENCE_MS without a byte breaks a stream. The shared secrets of
 * AGENT_SECRETS_MAX pods are kept; beyond that the least recently used one is dropped, and computed
 * again when it is needed.
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

/* Each process has one. Its X25519 key pair is made here and never leaves the memory. The world and
 * the keys must stay valid until agent_caller_free(); no call may be under way then. */
struct agent_caller *agent_caller_new(struct ops *ops, struct world *w,
                                      const struct signing_keys *keys);
void agent_caller_free(struct agent_caller *c);
void agent_caller_metrics(const struct agent_caller *c, struct buf *out);

enum agent_outcome {
    AGENT_ANSWERED,
    AGENT_NO_ANSWER,    /* no answer, a part of one, or one that is not sealed */
    AGENT_NOT_BELIEVED, /* somebody else has answered, or has changed the answer */
};

struct agent_answer {
    enum agent_outcome outcome;
    int status;       /* the agent's own status; 0 without AGENT_ANSWERED */
    const char *body; /* NUL-terminated; "" for a stream whose status is 2xx */
    size_t body_len;
    const char *error; /* why there is no answer; "" with AGENT_ANSWERED */
};

struct agent_handler {
    /* Streams: bytes of an answer whose status is 2xx. */
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

/* Copies its inputs. Callbacks come only from the loop. -ENOKEY: this operator does not have the
 * signing key that the pod knows, or does not know the agent's key; -EINVAL: the request cannot be
 * signed, or is too large. */
int agent_call_start(struct agent_caller *c, const struct agent_request *req,
                     const struct agent_handler *handler, void *arg, struct agent_call **ret,
                     struct err *err);
/* May be called inside of on_data. NULL does nothing. */
void agent_call_cancel(struct agent_call *call);

#endif
