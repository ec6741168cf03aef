/*
 * Which requests this sidecar accepts: those signed with one of the operator's keys, for this pod,
 * within the last SIGNATURE_WINDOW_S, and each request once. The head of a request is enough to
 * decide that.
 *
 * The sidecar remembers a nonce while the time of its signature is within the window, and at most
 * LIMIT_NONCES of them. When it forgets a nonce, because of its age or to make room, it refuses
 * all signatures of that second and earlier ones from then on. So no request is accepted twice,
 * even if the clock jumps; and a flood of valid requests shuts out only clients whose clock is
 * behind.
 */
#ifndef ARL_SIDECAR_AUTH_AUTH_H
#define ARL_SIDECAR_AUTH_AUTH_H

#include "common/base/clock.h"
#include "common/wire/signature.h"

struct auth {
    struct signature_keyring keys;
    char *pod_uid;
    /* Unordered. */
    struct signature_proof *nonces;
    size_t count;
    size_t alloc;
    int64_t floor; /* signatures of this second or an earlier one are refused */
};

int auth_init(struct auth *a, const char *pod_uid, const char *public_keys, struct err *err);
void auth_done(struct auth *a);

/* 0: accepted, and a second request with this nonce will be refused. -EACCES: refused; err has the
 * reason. `in` has the contents of the head, its pod_uid included. The caller has to check the body
 * by signature_verify_body() afterwards. */
int auth_check_head(struct auth *a, const struct signature_input *in,
                    const struct signature_headers *headers, int64_t now_unix_s,
                    struct signature_proof *ret, struct err *err);

#endif
