/*
 * Whether a signal came from outside of the container. Runner and sidecar are PID 1 of their
 * containers. Only the kubelet may end them by a signal; kill(1) inside of the container has no
 * effect, whatever the sender's user is.
 *
 * A sender outside of the container's process namespace has no PID inside, so si_pid is 0. A
 * process inside cannot pretend that: only kill(2) sets SI_USER, and sigqueue(3) and similar calls
 * cannot. (A terminal's Ctrl-C, which a step can type, is SI_KERNEL.) There is one exception: if
 * RLIMIT_SIGPENDING leaves no room for the data of sigqueue(3), the kernel drops them, and the
 * signal looks like one from outside. But a process that may lower that limit can end the container
 * in other ways, too, and an end of the container is never a result. If this process is not PID 1,
 * because there is no container or it shares its processes with others, all signals count.
 */
#ifndef ARL_SIDECAR_RUNNER_OUTSIDE_H
#define ARL_SIDECAR_RUNNER_OUTSIDE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

static inline bool is_from_outside(const struct signalfd_siginfo *info)
{
    return getpid() != 1 || (info->ssi_code == SI_USER && info->ssi_pid == 0);
}

#endif
