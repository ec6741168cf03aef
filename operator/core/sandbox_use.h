/* The idle clock of a sandbox (pure): when it was used last, and since when it is in its phase. */
#ifndef ARL_OPERATOR_CORE_SANDBOX_USE_H
#define ARL_OPERATOR_CORE_SANDBOX_USE_H

#include "operator/core/world.h"

/* Brings used_mono_ns and phase_mono_ns of st up to date, by this process's clock, at the beginning
 * of each plan. first: this is the first plan of the sandbox; what was before is known in wall time
 * only, see plan_deadline(). */
void sandbox_note_use(const struct sandbox *s, struct sandbox_state *st, struct now now,
                      bool first);

#endif
