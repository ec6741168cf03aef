/* The idle clock of a sandbox (pure): when it was used last, and since when it is in its phase. */
#ifndef ARL_OPERATOR_CORE_SANDBOX_USE_H
#define ARL_OPERATOR_CORE_SANDBOX_USE_H

#include "operator/core/world.h"

/* status.lastTaskTime is for people, and for the next process: written when a sandbox has been idle
 * for so long, or when it is behind by sandbox_last_task_slack_ns(). */
#define SANDBOX_QUIET_NS (5 * NSEC_PER_SEC)

/* 0: it may be idle for ever. */
int64_t sandbox_idle_limit_s(const struct sandbox *s, const struct policy *policy);
/* A quarter of the idle limit. */
int64_t sandbox_last_task_slack_ns(const struct sandbox *s, const struct policy *policy);
/* Brings used_mono_ns and phase_mono_ns of st up to date, by this process's clock, at the beginning
 * of each plan. first: this is the first plan of the sandbox; what was before is known in wall time
 * only, see plan_deadline(). */
void sandbox_note_use(const struct sandbox *s, struct sandbox_state *st, struct now now,
                      bool first);

#endif
