/*
 * Runs tasks in pods: sends the signed PUT to the agent, feeds the events of its stream into the
 * task's run, attaches again when the stream breaks, cancels and acknowledges. When a run is over,
 * its task's key goes into the queue.
 *
 * Limits: LIMIT_EVENT_LINE_BYTES for an event line. AGENT_SILENCE_MS without a byte breaks a stream
 * (the agent sends heartbeats). The attempt ends if the agent itself has not answered for
 * AGENT_LOST_MS; forged answers do not count.
 */
#ifndef ARL_OPERATOR_AGENT_SIDECAR_CLIENT_H
#define ARL_OPERATOR_AGENT_SIDECAR_CLIENT_H

#include "operator/agent/agent_call.h"
#include "operator/agent/signing.h"
#include "operator/core/world.h"
#include "operator/seam/ops.h"

struct sidecar_client;
struct buf;
struct json_writer;

struct sidecar_client_opts {
    struct world *world;
    const struct signing_keys *keys;
    /* The agent says that this task's result was acknowledged before. So the cache may be behind,
     * and the callee reads the task. */
    void (*on_stale_task)(void *arg, const char *ns, const char *name);
    void *arg;
};

struct sidecar_client *sidecar_client_new(struct ops *ops, const struct sidecar_client_opts *opts);
void sidecar_client_free(struct sidecar_client *c);

/* Starts the attempt, or attaches to it. The task, its sandbox and pod must be in the world; if one
 * is not, nothing happens (their next change plans the task again). */
void sidecar_client_run(struct sidecar_client *c, const char *ns, const char *name,
                        int64_t attempt);
/* Frees the task's run. cancel: tells the agent to stop the attempt, again and again until the
 * agent says that the attempt is over or the pod is gone. Otherwise: acknowledges the result within
 * about a second. */
void sidecar_client_drop(struct sidecar_client *c, const char *ns, const char *name, bool cancel);
/* Tells the agent to stop the attempt. The run goes on, and gets the end that the agent reports. */
void sidecar_client_stop(struct sidecar_client *c, const char *ns, const char *name);
/* Asks the agent of the sandbox's pod which attempts run there, and cancels those that no task
 * wants any more (their tasks were deleted while no operator watched). It asks again until there
 * are none, or the pod is gone. The caller must not ask for an audit of a pod that is being
 * audited. */
void sidecar_client_audit(struct sidecar_client *c, const char *ns, const char *sandbox);
void sidecar_client_metrics(const struct sidecar_client *c, struct buf *out);
/* Writes the state of an attempt's stream as members of the open JSON object. */
void sidecar_client_debug(const struct run *r, struct now now, struct json_writer *w);

#endif
