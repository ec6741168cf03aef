/*
 * What a task is sent with and the caches do not keep, as it may be large: its steps, and the
 * variables of its sandbox. Both are read from the API server, one after the other.
 *
 * Limits: two answers, each of LIMIT_RESPONSE_BYTES at most and one of them at a time; when that
 * may be, the caller says.
 */
#ifndef ARL_OPERATOR_AGENT_INPUTS_H
#define ARL_OPERATOR_AGENT_INPUTS_H

#include "operator/core/world.h"
#include "operator/seam/ops.h"

struct buf;
struct inputs;

/* t: the task with its steps; NULL: it could not be read, or is not the one that was asked for;
 * gone: since there is none of its name. env_json: NULL without variables. Both are valid during
 * the call, in which the inputs have ended. */
typedef void inputs_done_fn(void *arg, struct task *t, const char *env_json, bool gone);

/* Of the task of that name and of the run's sandbox, which are the ones with the UIDs that the run
 * names. */
struct inputs *inputs_read(struct ops *ops, const struct world *w, const struct run *r,
                           const char *task_name, inputs_done_fn *done, void *arg);
/* done() is not called any more. NULL: nothing happens. */
void inputs_cancel(struct inputs *in);

/* Whether nothing has to be read. */
bool inputs_kept(const struct world *w, const struct run *r, const struct task *t);
/* What is read, and sent. */
size_t inputs_bytes(const struct world *w, const struct run *r, const struct task *t);
/* The request. t has its steps; env_json as inputs_read() has told it, NULL: the variables are
 * kept, or there are none. -ENOENT: the sandbox is gone, and with it what it says of variables and
 * the working directory. */
int inputs_encode(const struct world *w, const char *task_key, const struct run *r,
                  const struct task *t, const char *env_json, struct buf *out, struct err *err);

#endif
