/*
 * What the pod's first init container does: it puts the runner where the user's containers see it,
 * and makes the key by which the operator knows this pod's sidecar.
 */
#ifndef ARL_SIDECAR_APP_INSTALL_H
#define ARL_SIDECAR_APP_INSTALL_H

#include "common/base/err.h"

/* Makes DIR/NAME with the runner and a fresh secret, which the sidecar finds in its journal. A
 * runner of before is gone: an init container runs when the pod begins, or begins anew as a whole
 * (its node was restarted, say). alone: it is the pod's only one. */
int install_runner(const char *dir, const char *name, const char *runner, bool alone,
                   const char *state, struct err *err);
/* Makes the agent's key (agent_key.h) and writes CHANNEL_KEY_PREFIX and the public half to
 * `message`, which the kubelet puts into the pod's status. To be called last. */
int install_key(const char *state, const char *message, struct err *err);

#endif
