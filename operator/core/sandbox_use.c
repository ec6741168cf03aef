#include "operator/core/sandbox_use.h"

#include "operator/core/plan.h"

int64_t sandbox_idle_limit_s(const struct sandbox *s, const struct policy *policy)
{
    if (s->idle_timeout_s >= 0)
        return s->idle_timeout_s;
    return s->keep_alive ? policy->keepalive_idle_timeout_s : policy->idle_timeout_s;
}

int64_t sandbox_last_task_slack_ns(const struct sandbox *s, const struct policy *policy)
{
    return MAX(sandbox_idle_limit_s(s, policy) * NSEC_PER_SEC / 4, SANDBOX_QUIET_NS);
}

/*
 * Use that is no task: a client writes the time into the annotation used-at. The clocks of clients
 * cannot be trusted. So each change of the annotation is use at the time at which this process sees
 * the change. The value itself counts only in the first plan of the sandbox. Then a clock that is
 * behind does not end a sandbox that is in use, and a clock that is ahead gains nothing.
 */
static void note_used_at(const struct sandbox *s, struct sandbox_state *st, struct now now,
                         bool first)
{
    int64_t at = s->used_at_wall_ns, used = now.mono_ns;

    if (at == 0 || at == st->noted_used_at_ns)
        return;
    if (first)
        used = plan_deadline(&s->meta, at, 0);
    st->noted_used_at_ns = at;
    st->used_mono_ns = MAX(st->used_mono_ns, MIN(used, now.mono_ns));
}

void sandbox_note_use(const struct sandbox *s, struct sandbox_state *st, struct now now, bool first)
{
    const struct sandbox_status *status = &s->status;
    int64_t ended = MAX(status->last_task_wall_ns, st->last_task_wall_ns);

    if (first && ended > 0)
        st->used_mono_ns = plan_deadline(&s->meta, ended, 0);
    else if (st->task_ended || st->task_dropped || ended > st->noted_task_wall_ns)
        st->used_mono_ns = now.mono_ns; /* another operator may have written it into the status */
    if (st->task_dropped)
        st->last_task_wall_ns = MAX(st->last_task_wall_ns, now.wall_ns);
    note_used_at(s, st, now, first);
    st->noted_task_wall_ns = MAX(st->last_task_wall_ns, ended);
    st->task_ended = st->task_dropped = false;
    /* Before Failed, Ready may have been False as well: then its time is not that of the phase. */
    if (first && status->phase != SANDBOX_FAILED && status->ready.since_wall_ns > 0)
        st->phase_mono_ns = plan_deadline(&s->meta, status->ready.since_wall_ns, 0);
    else if (first || st->known_phase != (int)status->phase)
        st->phase_mono_ns = now.mono_ns;
    st->known_phase = (int)status->phase;
}
