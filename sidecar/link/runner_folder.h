/*
 * The folder that a container's runner lives in: DIR/NAME in the sidecar's volume, mounted
 * read-only into that container and nowhere else.
 *
 *   runner   the program
 *   secret   what the runner says who it is by: there from the making of the folder until the
 *            runner was let in, so that it can be read before code of the user's runs and never
 *            after
 *   sock     where the runner dials (runner_link.h)
 *   alone    if the pod has no other container that runs steps: the verbs (runner/verbs.h) follow
 *            links out of volumes then
 *
 * A folder serves one life of its container. Code in there may have given away a descriptor of the
 * folder, or a connection to its socket: so the container's next life gets a fresh folder, which
 * none of these leads to. The kubelet looks at the path whenever it starts the container. The old
 * folder is emptied and removed; a runner that is still in it sees that and ends.
 */
#ifndef ARL_SIDECAR_LINK_RUNNER_FOLDER_H
#define ARL_SIDECAR_LINK_RUNNER_FOLDER_H

#include "common/base/err.h"
#include "sidecar/runner/frames.h"

/* Puts a fresh folder in the place of the one that is there, if one is. runner: the program to be
 * copied; NULL: that of the folder before. alone: see above. */
int runner_folder_renew(const char *dir, const char *name, const char *runner, bool alone,
                        const unsigned char secret[FRAMES_TOKEN_BYTES], struct err *err);
bool runner_folder_has_secret(const char *dir, const char *name);
/* 0, also when it is gone already; else a negative errno. */
int runner_folder_remove_secret(const char *dir, const char *name);

#endif
