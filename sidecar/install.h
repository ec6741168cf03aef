/*
 * What the pod's first init container does: it puts the runner where the user's containers see it,
 * and makes the key by which the operator knows this pod's sidecar.
 */
#ifndef ARL_SIDECAR_INSTALL_H
#define ARL_SIDECAR_INSTALL_H

#include "common/err.h"

/* Makes DIR/NAME (0755) and copies the runner to DIR/NAME/runner (0555), whole or not at all. */
int install_runner(const char *dir, const char *name, const char *runner, struct err *err);
/* The container's runner of before is gone: an init container runs when the pod begins, or begins
 * anew as a whole (its node was restarted, say). Without this nobody could be the runner again. The
 * state's folder need not be there. */
int install_forget_token(const char *state, const char *name, struct err *err);
/* Makes the agent's key (agent_key.h) and writes CHANNEL_KEY_PREFIX and the public half to
 * `message`, which the kubelet puts into the pod's status. To be called last. */
int install_key(const char *state, const char *message, struct err *err);

#endif
