/*
 * Copies what is left of one descriptor to another, both of them the caller's. Blocks: for the
 * verbs that do their work and exit, not for the daemon.
 */
#ifndef ARL_SIDECAR_DISK_COPY_H
#define ARL_SIDECAR_DISK_COPY_H

/* 0 or a negative errno value. */
int copy_bytes(int from, int to);

#endif
