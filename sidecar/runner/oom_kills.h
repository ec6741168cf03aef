/*
 * How many processes of this container the kernel has killed for want of memory, as its control
 * group counts them: memory.events (cgroup v2) or memory.oom_control (v1), where the container
 * runtime has mounted one of them at /sys/fs/cgroup.
 *
 * It is opened once, before any code of the user's runs in the container: later, whoever owns the
 * container's file system could let us wait in open(2).
 */
#ifndef ARL_SIDECAR_RUNNER_OOM_KILLS_H
#define ARL_SIDECAR_RUNNER_OOM_KILLS_H

#include "common/base/base.h"

/* A descriptor, which is never closed; -1: there is no such file. */
int oom_kills_open(void);
/* Of a file's text; 0 where it does not say. */
int64_t oom_kills_parse(const char *text);
/* 0 where it is not known. */
int64_t oom_kills_count(int fd);

#endif
