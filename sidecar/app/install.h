/*
 * The work of the pod's first init container, arl-init: it puts the runner into the folders that
 * the user's containers see, and makes the key by which the operator recognizes this pod's
 * sidecar.
 */
#ifndef ARL_SIDECAR_APP_INSTALL_H
#define ARL_SIDECAR_APP_INSTALL_H

#include "common/base/err.h"

/* Makes the folder DIR/NAME with the runner and a new secret, which the sidecar finds in its
 * journal. No earlier runner can be alive: an init container runs when the pod starts, or when all
 * of the pod starts again, as after a restart of its node. alone: no other container of the pod
 * runs steps. */
int install_runner(const char *dir, const char *name, const char *runner, bool alone,
                   const char *state, struct err *err);
/* Makes the agent's key (agent_key.h) and writes CHANNEL_KEY_PREFIX and the public half to
 * the file `message`, which the kubelet puts into the pod's status. Call it last. */
int install_key(const char *state, const char *message, struct err *err);

#endif
