/*
 * Copies the rest of one descriptor to another one. Both belong to the caller. This blocks: it is
 * for verbs, which do their work and exit, and not for the daemon.
 */
#ifndef ARL_SIDECAR_DISK_COPY_H
#define ARL_SIDECAR_DISK_COPY_H

/* 0 or a negative errno value. */
int copy_bytes(int from, int to);

#endif
