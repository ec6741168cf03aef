/*
 * The image's files below the folder over which the pod's workspace volume is mounted: an init
 * container of that image, where the folder is not hidden, copies them into the volume.
 *
 * It runs once for a volume, however often it is started: it copies into a folder of the volume
 * (.arl-copying), which is renamed when it is complete (.arl-copied), and whose entries are then
 * moved to where they belong. A volume that has anything else in it is left alone: it was copied
 * before, and what is there is the user's.
 *
 * Modes, times, extended attributes and, for root, owners are kept, as by cp -a; symbolic links are
 * copied as links, holes of files stay holes. What the container's user cannot copy, as most often
 * what it may not read, is left out, with a line on stderr: a pod is of use without. It fails where
 * the volume or the node has not what it takes, such as room.
 */
#ifndef ARL_SIDECAR_RUNNER_COPY_WORKSPACE_H
#define ARL_SIDECAR_RUNNER_COPY_WORKSPACE_H

/* The exit status: 0 if all that can be read is there, also if there is nothing. */
int copy_workspace(const char *from, const char *to);

#endif
