/*
 * Copies files of the image into the workspace volume of the pod. The volume is mounted over a
 * folder of the image and hides the image's files there. So an init container of the same image,
 * where the folder is not hidden, copies them into the volume first.
 *
 * A volume gets the files once, however often the init container starts. The files are copied into
 * a folder of the volume (.arl-copying). When that is complete, it is renamed (.arl-copied), and
 * its entries are moved to their places. A volume with any other entry is left alone: its files
 * were copied before, and belong to the user now.
 *
 * Modes, times, extended attributes and, for root, owners are kept, as by cp -a. Symbolic links are
 * copied as links, and holes of files stay holes. A file that the container's user cannot copy,
 * most often because it may not read the file, is left out with a line on stderr: the pod can be
 * used without it. Copying fails if the volume or the node lacks something, such as room.
 */
#ifndef ARL_SIDECAR_RUNNER_COPY_WORKSPACE_H
#define ARL_SIDECAR_RUNNER_COPY_WORKSPACE_H

/* Returns the exit status: 0 if all readable files were copied, also if there are none. */
int copy_workspace(const char *from, const char *to);

#endif
