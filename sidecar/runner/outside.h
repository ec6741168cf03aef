/*
 * Who sent a signal. Runner and sidecar are PID 1 of their containers, and these end when the
 * kubelet says so: kill(1) from within says nothing, whatever the sender's user is.
 *
 * A sender outside of the container's process namespace has no number in it, so it is 0. Nobody can
 * say that of himself: sigqueue(3) and its like can not say SI_USER, which kill(2) alone gives
 * (what a terminal's Ctrl-C gives, too, is SI_KERNEL: a step can type that). But where
 * RLIMIT_SIGPENDING leaves no room for what sigqueue(3) says, the kernel forgets it, and tells the
 * same as of an outsider. Whoever may lower that limit may end the container by another one as
 * well, and an end of the container is never a result. Outside of a container of our own, or in one
 * that shares its processes with others, there is nothing to tell by.
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
