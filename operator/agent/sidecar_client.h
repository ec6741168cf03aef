/*
 * Runs tasks in pods: sends the signed PUT to the sidecar, feeds the events of its stream into the
 * task's run, attaches again when the stream breaks, cancels and acknowledges. When a run is over
 * its task's key goes into the queue.
 *
 * Limits: an event line of LIMIT_EVENT_LINE_BYTES; AGENT_SILENCE_MS without a byte breaks a stream
 * (the sidecar sends heartbeats); an agent that does not answer for AGENT_LOST_MS, itself, ends the
 * attempt.
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
    /* The sidecar says that this task's result was acknowledged: the cache may be behind, the task
     * is to be read. */
    void (*on_stale_task)(void *arg, const char *ns, const char *name);
    void *arg;
};

struct sidecar_client *sidecar_client_new(struct ops *ops, const struct sidecar_client_opts *opts);
void sidecar_client_free(struct sidecar_client *c);

/* Starts the attempt, or attaches to it. The task, its sandbox and pod must be in the world; if one
 * is not, nothing happens (their next change plans the task again). */
void sidecar_client_run(struct sidecar_client *c, const char *ns, const char *name,
                        int64_t attempt);
/* Frees the task's run. cancel: stops what runs, told until the sidecar says that it is over or its
 * pod is gone; else tells the sidecar, within a second or so, that the result is not needed any
 * more. */
void sidecar_client_drop(struct sidecar_client *c, const char *ns, const char *name, bool cancel);
/* Stops what the task runs; its run goes on and gets the end that the agent tells of. */
void sidecar_client_stop(struct sidecar_client *c, const char *ns, const char *name);
/* Asks the pod of a sandbox what runs there, cancels what no task wants any more (it was deleted
 * while no operator looked), and asks again until there is nothing of that kind or its pod is gone.
 * Behind cancels and for a pod that is being audited: the caller asks once at a time. */
void sidecar_client_audit(struct sidecar_client *c, const char *ns, const char *sandbox);
void sidecar_client_metrics(const struct sidecar_client *c, struct buf *out);
/* How an attempt's stream does, as members of the object that is open. */
void sidecar_client_debug(const struct run *r, struct now now, struct json_writer *w);

#endif
