/*
 * Who may talk to this sidecar: requests signed with one of the operator's keys, for this pod, made
 * within SIGNATURE_WINDOW_S, each once. That is found out from the head of a request alone.
 *
 * Nonces are remembered while the time of their signature is within the window, at most
 * LIMIT_NONCES. When one is forgotten, for its age or to make room, nothing that was signed then or
 * before is taken any more: so nothing comes back, whatever happens to the clock, and a flood of
 * good requests shuts nobody out whose clock is right.
 */
#ifndef ARL_SIDECAR_AUTH_AUTH_H
#define ARL_SIDECAR_AUTH_AUTH_H

#include "common/base/clock.h"
#include "common/wire/signature.h"

struct auth {
    struct signature_keyring keys;
    char *pod_uid;
    /* In no order. */
    struct signature_proof *nonces;
    size_t count;
    size_t alloc;
    int64_t floor; /* signatures of this second or an earlier one are refused */
};

int auth_init(struct auth *a, const char *pod_uid, const char *public_keys, struct err *err);
void auth_done(struct auth *a);

/* 0, and the nonce will not be taken again; -EACCES: refused, with the reason. `in` holds what the
 * head says, its pod_uid included. Afterwards signature_verify_body(). */
int auth_check_head(struct auth *a, const struct signature_input *in,
                    const struct signature_headers *headers, int64_t now_unix_s,
                    struct signature_proof *ret, struct err *err);

#endif
