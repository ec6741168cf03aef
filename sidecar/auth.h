/*
 * Who may talk to this sidecar: requests signed with one of the operator's keys, for this pod, made
 * within the last minute, each once. Nonces are remembered for twice the window, LIMIT_NONCES of
 * them; when there are more, requests are refused with EAGAIN rather than let in unseen.
 */
#ifndef ARL_SIDECAR_AUTH_H
#define ARL_SIDECAR_AUTH_H

#include "common/clock.h"
#include "common/signature.h"

struct auth_nonce {
    char text[SIGNATURE_NONCE_TEXT];
    int64_t until_ns; /* monotonic */
};

struct auth {
    struct signature_keyring keys;
    char *pod_uid;
    /* A queue in the order of time. */
    struct auth_nonce *nonces;
    size_t start;
    size_t count;
    size_t alloc;
};

int auth_init(struct auth *a, const char *pod_uid, const char *public_keys, struct err *err);
void auth_done(struct auth *a);

/* 0; -EACCES: refused, with the reason; -EAGAIN: too many requests. `in` holds what the request
 * says, its pod_uid included. */
int auth_check(struct auth *a, const struct signature_input *in,
               const struct signature_headers *headers, const struct now *now, struct err *err);

#endif
