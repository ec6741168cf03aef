/*
 * struct ops over uv and curl: the real world. Requests to the API server get its URL, TLS and a
 * bearer token from the kube_config, which credentials.h keeps up to date. Streams to the API
 * server have connections of their own. Some connections to agents are kept for the next task.
 *
 * Until an exec plugin has given its first credential, requests to the API server wait for the end
 * of its run. At most OPS_HELD_MAX wait; further ones fail with -EAGAIN. This time does not count
 * against their limits. If the run fails, they fail with -EACCES and the plugin's reason, and so do
 * all requests until the plugin runs again.
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
    /* A line for the log, such as a file that could not be read. May be NULL. */
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* On success it takes over the contents of *config, which is empty then. */
int ops_uv_new(struct uv_loop_s *loop, struct kube_config *config, const struct ops_uv_opts *opts,
               struct ops_uv **ret, struct err *err);
struct ops *ops_uv_ops(struct ops_uv *u);
/* Cancels all calls under way; all timers must have been freed. cb (may be NULL) comes when all
 * handles are closed and u is freed. */
void ops_uv_close(struct ops_uv *u, void (*cb)(void *arg), void *arg);

#endif
