/*
 * The inputs of a task that may be too large for the caches: its steps, and the variables of its
 * sandbox. Those that the caches do not keep are read from the API server, one after the other.
 *
 * Limits: two answers of at most LIMIT_RESPONSE_BYTES, one at a time. The caller decides when they
 * may be read.
 */
#ifndef ARL_OPERATOR_AGENT_INPUTS_H
#define ARL_OPERATOR_AGENT_INPUTS_H

#include "operator/core/world.h"
#include "operator/seam/ops.h"

struct buf;
struct inputs;

/* t: the task with its steps; NULL: it could not be read, or it has another UID; gone: no task has
 * this name any more. env_json: NULL without variables. Both are valid during the call. The inputs
 * have ended by then. */
typedef void inputs_done_fn(void *arg, struct task *t, const char *env_json, bool gone);

/* Reads the inputs of the task of that name and of the run's sandbox, if they have the UIDs of the
 * run. */
struct inputs *inputs_read(struct ops *ops, const struct world *w, const struct run *r,
                           const char *task_name, inputs_done_fn *done, void *arg);
/* Afterwards done() is not called any more. NULL is fine. */
void inputs_cancel(struct inputs *in);

/* Whether the caches have all inputs, so that nothing has to be read. */
bool inputs_kept(const struct world *w, const struct run *r, const struct task *t);
/* How many bytes are read and sent. */
size_t inputs_bytes(const struct world *w, const struct run *r, const struct task *t);
/* Writes the request for the agent. t has its steps. env_json is that of inputs_read(); NULL: the
 * cache has the variables, or there are none. -ENOENT: the sandbox is gone, and with it its
 * variables and its workDir. */
int inputs_encode(const struct world *w, const char *task_key, const struct run *r,
                  const struct task *t, const char *env_json, struct buf *out, struct err *err);

#endif
