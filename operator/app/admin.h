/*
 * The operator's own HTTP endpoints, for probes and people: /healthz, /readyz, /metrics and
 * /debug/state. They change nothing and need no credentials.
 */
#ifndef ARL_OPERATOR_APP_ADMIN_H
#define ARL_OPERATOR_APP_ADMIN_H

#include "common/base/err.h"

struct admin;
struct manager;
struct uv_loop_s;

/* *manager is read for each request. It is NULL while the operator starts. */
int admin_new(struct uv_loop_s *loop, const char *listen, struct manager *const *manager,
              struct admin **ret, struct err *err);
void admin_close(struct admin *a, void (*cb)(void *arg), void *arg);

#endif
