/*
 *            start                    last page                   clean end
 *   IDLE ─────────────▶ LISTING ───────────────────▶ WATCHING ◀──────────┐
 *                       ▲  │ ▲ │ more        ┌──────▶  │ │ └─────────────┘
 *                       │  │ │ ▼             │         │ │
 *                       │  │ └ PAGING ───────┘         │ │ failed, or ended at once
 *         410 on a page,│  │    │ last page            │ │
 *         answer too    └──┤    │                      │ │
 *         large            │    │ failed               │ │
 *                   failed ▼    ▼                      │ │
 *                       BACKING_OFF ◀──────────────────┼─┘
 *                          │  └─ time over: LISTING, or WATCHING where the resourceVersion is good
 *                          ▼
 *                       LISTING ◀── 410 in either form, or ended and the last list is old ┘
 *
 * A kick leads from any state but IDLE to LISTING or WATCHING.
 */
#include "operator/kube/watch_step.h"

#include "common/base/backoff.h"
#include "common/base/limits.h"

static const char *const state_names[WATCH_STATES] = {
    [WATCH_IDLE] = "idle",         [WATCH_LISTING] = "listing",         [WATCH_PAGING] = "paging",
    [WATCH_WATCHING] = "watching", [WATCH_BACKING_OFF] = "backing-off",
};

static const bool followers[WATCH_STATES][WATCH_STATES] = {
    [WATCH_IDLE] = {[WATCH_LISTING] = true},
    [WATCH_LISTING] = {[WATCH_LISTING] = true,
                       [WATCH_PAGING] = true,
                       [WATCH_WATCHING] = true,
                       [WATCH_BACKING_OFF] = true},
    [WATCH_PAGING] = {[WATCH_LISTING] = true,
                      [WATCH_PAGING] = true,
                      [WATCH_WATCHING] = true,
                      [WATCH_BACKING_OFF] = true},
    [WATCH_WATCHING] =
        {[WATCH_LISTING] = true, [WATCH_WATCHING] = true, [WATCH_BACKING_OFF] = true},
    [WATCH_BACKING_OFF] = {[WATCH_LISTING] = true, [WATCH_WATCHING] = true},
};

const struct sm_table watch_table = {"watch", state_names, followers[0], WATCH_STATES};

const char *watch_state_str(enum watch_state s)
{
    return sm_state_str(&watch_table, (size_t)s);
}

void watch_machine_init(struct watch_machine *m)
{
    *m = (struct watch_machine){.page_limit = LIMIT_LIST_PAGE};
}

static void move(struct watch_machine *m, enum watch_state to)
{
    sm_move(&watch_table, (size_t)m->state, (size_t)to);
    m->state = to;
}

static struct watch_action list(struct watch_machine *m)
{
    move(m, WATCH_LISTING);
    m->listed = false;
    return (struct watch_action){.type = WATCH_LIST, .page_limit = m->full ? 0 : m->page_limit};
}

static struct watch_action watch(struct watch_machine *m, struct now now)
{
    move(m, WATCH_WATCHING);
    m->watching_since_ns = now.mono_ns;
    m->watch_told = false;
    return (struct watch_action){.type = WATCH_WATCH};
}

static struct watch_action begin(struct watch_machine *m, struct now now)
{
    return m->listed ? watch(m, now) : list(m);
}

static struct watch_action back_off(struct watch_machine *m, struct now now, int64_t retry_after_ms,
                                    uint64_t jitter)
{
    int64_t delay_ms;

    move(m, WATCH_BACKING_OFF);
    if (now.mono_ns - m->last_failure_ns > WATCH_BACKOFF_RESET_MS * NSEC_PER_MSEC)
        m->failures = 0;
    m->last_failure_ns = now.mono_ns;
    delay_ms =
        backoff_ns(WATCH_BACKOFF_FIRST_MS, WATCH_BACKOFF_MAX_MS, ++m->failures) / NSEC_PER_MSEC;
    delay_ms += (int64_t)(jitter % (uint64_t)(delay_ms / 2));
    return (struct watch_action){.type = WATCH_WAIT,
                                 .until_ns =
                                     now.mono_ns + MAX(delay_ms, retry_after_ms) * NSEC_PER_MSEC};
}

static struct watch_action page_came(struct watch_machine *m, const struct watch_event *ev,
                                     struct now now)
{
    if (ev->more) {
        move(m, WATCH_PAGING);
        return (struct watch_action){.type = WATCH_PAGE, .page_limit = m->page_limit};
    }
    m->listed = true;
    m->listed_ns = now.mono_ns;
    m->full = m->no_full = false;
    return watch(m, now);
}

/* Smaller pages after one that was too large; false when they cannot be any smaller. */
static bool shrink_page(struct watch_machine *m)
{
    bool was_full = m->full;

    m->full = false;
    m->no_full |= was_full;
    if (was_full)
        return true;
    if (m->page_limit == 1)
        return false;
    m->page_limit = MAX(m->page_limit / 5, 1);
    return true;
}

static struct watch_action list_failed(struct watch_machine *m, const struct watch_event *ev,
                                       struct now now, uint64_t jitter)
{
    if (ev->too_large && shrink_page(m))
        return list(m);
    if (ev->reason == KUBE_GONE && m->state == WATCH_PAGING && !m->full && !m->no_full) {
        m->full = true;
        return list(m);
    }
    m->full = false;
    return back_off(m, now, ev->retry_after_ms, jitter);
}

static struct watch_action watch_ended(struct watch_machine *m, const struct watch_event *ev,
                                       struct now now, uint64_t jitter)
{
    bool lasted = now.mono_ns - m->watching_since_ns >= WATCH_GOOD_MS * NSEC_PER_MSEC;

    if (lasted)
        m->expired = 0;
    /* It has got on, however soon it was cut: the next outage is another one. */
    if (m->watch_told)
        m->failures = 0;
    switch (ev->reason) {
    case KUBE_OK:
        if (now.mono_ns - m->listed_ns >= WATCH_RELIST_MS * NSEC_PER_MSEC)
            return list(m);
        if (lasted || m->watch_told)
            return watch(m, now);
        break;
    case KUBE_GONE:
        m->listed = false;
        if (m->expired++ == 0)
            return list(m);
        break;
    case KUBE_TOO_MANY_REQUESTS:
    case KUBE_UNAUTHORIZED:
    case KUBE_SERVER_ERROR:
    case KUBE_NO_ANSWER:
        break; /* what the watch has seen is still true: it goes on from there */
    default:
        m->listed = false;
        break;
    }
    return back_off(m, now, ev->retry_after_ms, jitter);
}

struct watch_action watch_step(struct watch_machine *m, const struct watch_event *ev,
                               struct now now, uint64_t jitter)
{
    switch (ev->type) {
    case WATCH_EV_START:
        return list(m);
    case WATCH_EV_PAGE:
        return page_came(m, ev, now);
    case WATCH_EV_LIST_FAILED:
        return list_failed(m, ev, now, jitter);
    case WATCH_EV_OBJECT:
        m->watch_told = true;
        break;
    case WATCH_EV_ENDED:
        return watch_ended(m, ev, now, jitter);
    case WATCH_EV_TIMER:
        if (m->state == WATCH_BACKING_OFF)
            return begin(m, now);
        break;
    case WATCH_EV_KICK:
        if (m->state != WATCH_IDLE)
            return begin(m, now);
        break;
    case WATCH_EV_GATE_TURNED:
        m->failures = 0;
        if (m->state == WATCH_BACKING_OFF)
            return begin(m, now);
        break;
    }
    return (struct watch_action){.type = WATCH_NOTHING};
}
