/*
 * The sidecar's HTTP routes (docs/protocol.md). All but the first two need a signature, and their
 * answers are sealed:
 *
 *   GET /healthz /readyz /metrics /v1/tasks;  PUT, GET, DELETE /v1/tasks/{uid}/{attempt};
 *   POST /v1/acknowledged
 */
#ifndef ARL_SIDECAR_APP_SERVER_H
#define ARL_SIDECAR_APP_SERVER_H

#include "common/base/err.h"
#include "sidecar/attempt/attempt_table.h"
#include "sidecar/auth/auth.h"
#include "sidecar/auth/sealed.h"

struct uv_loop_s;
struct server;

struct server_opts {
    const char *listen;
    const char *const *containers;
    size_t container_count;
    struct auth *auth;
    struct sealer *sealer;
    struct attempt_table *table;
};

int server_new(struct uv_loop_s *loop, const struct server_opts *opts, struct server **ret,
               struct err *err);
void server_close(struct server *s, void (*cb)(void *arg), void *arg);
int server_port(const struct server *s);

#endif
