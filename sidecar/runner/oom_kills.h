/*
 * How many processes of this container the kernel has killed for want of memory, as its control
 * group counts them: memory.events (cgroup v2) or memory.oom_control (v1), where the container
 * runtime has mounted one of them at /sys/fs/cgroup.
 *
 * The file is opened once, before any code of the user runs in the container. Later, the owner of
 * the container's file system could make the runner wait in open(2).
 */
#ifndef ARL_SIDECAR_RUNNER_OOM_KILLS_H
#define ARL_SIDECAR_RUNNER_OOM_KILLS_H

#include "common/base/base.h"

/* Returns a descriptor that is never closed; -1: there is no such file. */
int oom_kills_open(void);
/* The number in the text of the file; 0 if there is none. */
int64_t oom_kills_parse(const char *text);
/* The number of kills so far; 0 if it is not known. */
int64_t oom_kills_count(int fd);

#endif
