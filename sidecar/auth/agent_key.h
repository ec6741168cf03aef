/*
 * The key pair of this pod's agent, in the journal's folder: made by the init container before any
 * code of the user's runs, read by the sidecar. Nobody else sees that folder.
 */
#ifndef ARL_SIDECAR_AUTH_AGENT_KEY_H
#define ARL_SIDECAR_AUTH_AGENT_KEY_H

#include "common/wire/channel.h"

/* Makes the folder and the key, on the disk when this returns. A key that is there and sound is
 * kept: the pod's init container runs again when its node was restarted. */
int agent_key_make(const char *dir, struct channel_pair *ret, struct err *err);
/* -ENOENT: there is none; -EBADMSG: it is damaged. */
int agent_key_load(const char *dir, struct channel_pair *ret, struct err *err);

#endif
