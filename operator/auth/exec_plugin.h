/*
 * Runs the credential plugin of a kubeconfig on the uv loop, as often as exec_step.h says. Nothing
 * blocks: the plugin gets /dev/null as its standard input, its output is read as it comes, and what
 * becomes of it is told from the loop.
 *
 * Limits: EXEC_TIME_LIMIT_MS for a run, then its process group is killed; EXEC_OUTPUT_BYTES of
 * output, more ends it alike; of what it says on standard error the last EXEC_STDERR_BYTES are
 * told. When it has ended but something holds its output open, what came within EXEC_DRAIN_MS
 * counts.
 */
#ifndef ARL_OPERATOR_AUTH_EXEC_PLUGIN_H
#define ARL_OPERATOR_AUTH_EXEC_PLUGIN_H

#include "operator/auth/config.h"
#include "operator/auth/exec_proto.h"
#include "operator/auth/exec_step.h"

#define EXEC_TIME_LIMIT_MS 30000
#define EXEC_OUTPUT_BYTES (256u << 10)
#define EXEC_STDERR_BYTES 256u
#define EXEC_DRAIN_MS 1000

struct uv_loop_s;
struct exec_plugin;

struct exec_plugin_opts {
    int64_t time_limit_ms; /* 0: EXEC_TIME_LIMIT_MS */
    /* A new credential, whose contents may be taken. Comes before on_settled. */
    void (*on_credential)(void *arg, struct exec_credential *c);
    /* A run has ended, well or not: exec_plugin_way() says what may be done now. */
    void (*on_settled)(void *arg);
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* config, which has an exec part, must outlive it. The first run begins from the loop. */
struct exec_plugin *exec_plugin_new(struct uv_loop_s *loop, const struct kube_config *config,
                                    const struct exec_plugin_opts *opts);
enum exec_way exec_plugin_way(const struct exec_plugin *p);
/* Why the last run gave nothing; "" if it did not fail. */
const char *exec_plugin_why(const struct exec_plugin *p);
/* The server does not take the credential that is in use. */
void exec_plugin_refused(struct exec_plugin *p);
/* A run that is under way is killed. cb (may be NULL) when all is closed and freed. */
void exec_plugin_close(struct exec_plugin *p, void (*cb)(void *arg), void *arg);

#endif
