/*
 * Runs the credential plugin of a kubeconfig on the uv loop, whenever exec_step.h says so. Nothing
 * blocks: the plugin has /dev/null as its standard input, its output is read as it comes, and its
 * end is reported from the loop.
 *
 * Limits: EXEC_TIME_LIMIT_MS for a run and EXEC_OUTPUT_BYTES of output; a plugin beyond either is
 * killed with its process group. Messages show the last EXEC_STDERR_BYTES of its standard error. If
 * the plugin has ended and another process still holds its output open, the output of the next
 * EXEC_DRAIN_MS counts.
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
    /* A new credential. The callee may take its contents. Comes before on_settled. */
    void (*on_credential)(void *arg, struct exec_credential *c);
    /* A run has ended, well or not: exec_plugin_way() says what may be done now. */
    void (*on_settled)(void *arg);
    void (*on_note)(void *arg, int level, const char *msg);
    void *arg;
};

/* config must have an exec part, and must outlive the plugin. The first run begins from the loop.
 */
struct exec_plugin *exec_plugin_new(struct uv_loop_s *loop, const struct kube_config *config,
                                    const struct exec_plugin_opts *opts);
enum exec_way exec_plugin_way(const struct exec_plugin *p);
/* Why the last run failed; "" if it did not fail. */
const char *exec_plugin_why(const struct exec_plugin *p);
/* The server refuses the credential in use. */
void exec_plugin_refused(struct exec_plugin *p);
/* Kills a run that is under way. cb (may be NULL) comes when all is closed and freed. */
void exec_plugin_close(struct exec_plugin *p, void (*cb)(void *arg), void *arg);

#endif
