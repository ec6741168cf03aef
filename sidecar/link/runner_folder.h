/*
 * The folder that a container's runner lives in: DIR/NAME in the sidecar's volume, mounted
 * read-only into that container and nowhere else.
 *
 *   runner   the program
 *   secret   the runner proves its identity by it. It is there from the making of the folder until
 *            the runner was let in. So it can be read only before code of the user runs
 *   sock     the socket that the runner connects to (runner_link.h)
 *   alone    exists if the pod has no other container that runs steps. Then the verbs
 *            (runner/verbs.h) follow links out of volumes
 *
 * A folder serves one life of its container. Code in the container may have passed a descriptor of
 * the folder, or a connection to its socket, to another container. So the container's next life
 * gets a new folder, to which no such descriptor leads. The kubelet looks up the path whenever it
 * starts the container. The old folder is emptied and removed; a runner that is still in it sees
 * that and ends.
 */
#ifndef ARL_SIDECAR_LINK_RUNNER_FOLDER_H
#define ARL_SIDECAR_LINK_RUNNER_FOLDER_H

#include "common/base/err.h"
#include "sidecar/runner/frames.h"

/* Puts a new folder in the place of the old one, if there is an old one. runner: the program to
 * copy; NULL: take it from the old folder. alone: see above. */
int runner_folder_renew(const char *dir, const char *name, const char *runner, bool alone,
                        const unsigned char secret[FRAMES_TOKEN_BYTES], struct err *err);
bool runner_folder_has_secret(const char *dir, const char *name);
/* 0, also if there is no secret; else a negative errno. */
int runner_folder_remove_secret(const char *dir, const char *name);

#endif
