/*
 * struct ops over uv and curl: the real world. API requests get the server's URL, TLS and bearer
 * token from the kube_config, which credentials.h keeps up to date. Streams to the API server have
 * connections of their own; some connections to sidecars are kept for their next task.
 *
 * While an exec plugin has not given a credential yet, API requests wait for its run to end,
 * OPS_HELD_MAX at most (further ones fail with -EAGAIN); that time does not count against their
 * limits. They fail with -EACCES and its reason if it fails, and so do those that come until it is
 * run again.
 */
#ifndef ARL_OPERATOR_SEAM_OPS_UV_H
#define ARL_OPERATOR_SEAM_OPS_UV_H

#include "common/base/err.h"
#include "operator/auth/config.h"
#include "operator/seam/ops.h"

#define OPS_HELD_MAX 256

struct uv_loop_s;
struct ops_uv;

struct ops_uv_opts {
    /* Credentials have changed: reflectors should begin again. May be NULL. */
    void (*on_credentials)(void *arg);
    /* What could not be read, for the log. May be NULL. */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* Takes the contents of *config over on success (it is then empty). */
int ops_uv_new(struct uv_loop_s *loop, struct kube_config *config, const struct ops_uv_opts *opts,
               struct ops_uv **ret, struct err *err);
struct ops *ops_uv_ops(struct ops_uv *u);
/* Calls that are under way are cancelled; timers must have been freed. cb (may be NULL) when all
 * handles are closed and u is freed. */
void ops_uv_close(struct ops_uv *u, void (*cb)(void *arg), void *arg);

#endif
