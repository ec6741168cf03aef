/*
 * The key pair of this pod's agent, in the folder of the journal. The init container makes it
 * before any code of the user runs, and the sidecar reads it. No other container sees that folder.
 */
#ifndef ARL_SIDECAR_AUTH_AGENT_KEY_H
#define ARL_SIDECAR_AUTH_AGENT_KEY_H

#include "common/wire/channel.h"

/* Makes the folder and the key; both are on the disk when this returns. A valid key that is there
 * already is kept, because the init container runs again after its node was restarted. */
int agent_key_make(const char *dir, struct channel_pair *ret, struct err *err);
/* -ENOENT: there is no key; -EBADMSG: the key is damaged. */
int agent_key_load(const char *dir, struct channel_pair *ret, struct err *err);

#endif
