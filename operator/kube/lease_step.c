/*
 *            start              free or missing
 *     IDLE ────────▶ READING ─────────────────────▶ TAKING
 *                     ▲   │ another's                │   │ written
 *    seen free, later │   ▼                   failed │   ▼
 *                    WAITING ◀───────────────────────┘  HOLDING ◀───────────┐
 *                                                        │ ▲ │              │
 *                                            2 s, unsure │ │ │ 2 s          │ written
 *                                                        ▼ │ ▼              │
 *                                              REREADING ──┼─▶ RENEWING ────┘
 *                                                    │ ours│      │
 *                                                    └─────┴──────┘ failed: unsure
 *
 * From all three that lead, LOST: another's name in the record, or 10 s gone since the last
 * successful write was begun. RELEASED: from any but IDLE.
 */
#include "operator/kube/lease_step.h"

static const char *const state_names[LEASE_STATES] = {
    [LEASE_IDLE] = "idle",           [LEASE_READING] = "reading", [LEASE_WAITING] = "waiting",
    [LEASE_TAKING] = "taking",       [LEASE_HOLDING] = "holding", [LEASE_RENEWING] = "renewing",
    [LEASE_REREADING] = "rereading", [LEASE_LOST] = "lost",       [LEASE_RELEASED] = "released",
};

static const bool followers[LEASE_STATES][LEASE_STATES] = {
    [LEASE_IDLE] = {[LEASE_READING] = true},
    [LEASE_READING] = {[LEASE_READING] = true,
                       [LEASE_WAITING] = true,
                       [LEASE_TAKING] = true,
                       [LEASE_RELEASED] = true},
    [LEASE_WAITING] = {[LEASE_READING] = true, [LEASE_RELEASED] = true},
    [LEASE_TAKING] = {[LEASE_WAITING] = true, [LEASE_HOLDING] = true, [LEASE_RELEASED] = true},
    [LEASE_HOLDING] = {[LEASE_RENEWING] = true,
                       [LEASE_REREADING] = true,
                       [LEASE_LOST] = true,
                       [LEASE_RELEASED] = true},
    [LEASE_RENEWING] = {[LEASE_HOLDING] = true, [LEASE_LOST] = true, [LEASE_RELEASED] = true},
    [LEASE_REREADING] = {[LEASE_RENEWING] = true,
                         [LEASE_HOLDING] = true,
                         [LEASE_LOST] = true,
                         [LEASE_RELEASED] = true},
    [LEASE_LOST] = {[LEASE_RELEASED] = true},
};

const struct sm_table lease_table = {"lease", state_names, followers[0], LEASE_STATES};

const char *lease_state_str(enum lease_state s)
{
    return sm_state_str(&lease_table, (size_t)s);
}

bool lease_is_leading(const struct lease_machine *m)
{
    return m->state == LEASE_HOLDING || m->state == LEASE_RENEWING || m->state == LEASE_REREADING;
}

static void move(struct lease_machine *m, enum lease_state to)
{
    sm_move(&lease_table, (size_t)m->state, (size_t)to);
    m->state = to;
}

int64_t lease_ends_ns(const struct lease_machine *m)
{
    return m->renewed_ns + LEASE_RENEW_DEADLINE_MS * NSEC_PER_MSEC;
}

/* What is under way goes on, and so does the timer. */
static struct lease_action go_on(const struct lease_machine *m)
{
    return (struct lease_action){LEASE_NOTHING, m->timer_ns};
}

/* Begins a read or write. One that hangs may not take longer than a leader has. */
static struct lease_action begin(struct lease_machine *m, enum lease_state state,
                                 enum lease_action_type type, struct now now)
{
    bool leading = lease_is_leading(m);

    move(m, state);
    m->began_ns = now.mono_ns;
    return (struct lease_action){
        type, leading ? lease_ends_ns(m) : now.mono_ns + LEASE_RENEW_DEADLINE_MS * NSEC_PER_MSEC};
}

/* When the record that was seen last is free if it does not change any more. */
static int64_t free_ns(const struct lease_machine *m)
{
    return m->seen_ns + LEASE_DURATION_MS * NSEC_PER_MSEC;
}

static struct lease_action try_later(struct lease_machine *m, struct now now, uint64_t jitter)
{
    int64_t delay_ms = LEASE_RETRY_MS + (int64_t)(jitter % (LEASE_RETRY_MS / 5));

    move(m, LEASE_WAITING);
    return (struct lease_action){LEASE_STOP, now.mono_ns + delay_ms * NSEC_PER_MSEC};
}

/* Another process leads. The watch reports a change; this timer is for a watch that does not. */
static struct lease_action stand_by(struct lease_machine *m)
{
    move(m, LEASE_WAITING);
    return (struct lease_action){LEASE_STOP, free_ns(m)};
}

static struct lease_action lost(struct lease_machine *m)
{
    move(m, LEASE_LOST);
    return (struct lease_action){LEASE_STOP, 0};
}

/* Leading, until the next renewal is due or time is over. */
static struct lease_action hold(struct lease_machine *m, struct now now)
{
    int64_t next_ns = now.mono_ns + LEASE_RETRY_MS * NSEC_PER_MSEC;

    if (now.mono_ns >= lease_ends_ns(m))
        return lost(m);
    move(m, LEASE_HOLDING);
    return (struct lease_action){LEASE_NOTHING, MIN(next_ns, lease_ends_ns(m))};
}

static struct lease_action on_record(struct lease_machine *m, const struct lease_event *ev,
                                     struct now now, uint64_t jitter)
{
    if (ev->changed)
        m->seen_ns = now.mono_ns;
    switch (m->state) {
    case LEASE_READING:
        if (ev->vacant || ev->mine || now.mono_ns >= free_ns(m))
            return begin(m, LEASE_TAKING, LEASE_TAKE, now);
        return stand_by(m);
    case LEASE_TAKING:
        /* This process was stopped meanwhile: another one may hold the lease by now. */
        if (now.mono_ns - m->began_ns >= LEASE_RENEW_DEADLINE_MS * NSEC_PER_MSEC)
            return try_later(m, now, jitter);
        /* fall through */
    case LEASE_RENEWING:
        m->renewed_ns = m->began_ns;
        m->unsure = false;
        return hold(m, now);
    case LEASE_REREADING:
        return ev->mine ? begin(m, LEASE_RENEWING, LEASE_RENEW, now) : lost(m);
    default:
        return go_on(m);
    }
}

static struct lease_action on_seen(struct lease_machine *m, const struct lease_event *ev,
                                   struct now now)
{
    if (ev->changed)
        m->seen_ns = now.mono_ns;
    switch (m->state) {
    case LEASE_WAITING:
        if (ev->vacant || ev->mine)
            return begin(m, LEASE_READING, LEASE_READ, now);
        return (struct lease_action){LEASE_NOTHING, free_ns(m)};
    case LEASE_READING:
        /* The answer under way may be older than this event. */
        if (ev->vacant)
            return begin(m, LEASE_READING, LEASE_READ, now);
        /* fall through */
    default:
        return go_on(m);
    }
}

static struct lease_action on_missing(struct lease_machine *m, struct now now, uint64_t jitter)
{
    switch (m->state) {
    case LEASE_READING:
        return begin(m, LEASE_TAKING, LEASE_CREATE, now);
    case LEASE_TAKING:
        return try_later(m, now, jitter);
    case LEASE_RENEWING:
    case LEASE_REREADING:
        return lost(m); /* somebody has deleted it, and a third may have made it anew */
    default:
        return go_on(m);
    }
}

static struct lease_action on_failed(struct lease_machine *m, struct now now, uint64_t jitter)
{
    switch (m->state) {
    case LEASE_READING:
    case LEASE_TAKING:
        return try_later(m, now, jitter);
    case LEASE_RENEWING:
    case LEASE_REREADING:
        m->unsure = true;
        return hold(m, now);
    default:
        return go_on(m);
    }
}

static struct lease_action on_time(struct lease_machine *m, struct now now, uint64_t jitter)
{
    if (lease_is_leading(m) && now.mono_ns >= lease_ends_ns(m))
        return lost(m);
    switch (m->state) {
    case LEASE_WAITING:
        return begin(m, LEASE_READING, LEASE_READ, now);
    case LEASE_READING:
    case LEASE_TAKING:
        return try_later(m, now, jitter);
    case LEASE_HOLDING:
        return m->unsure ? begin(m, LEASE_REREADING, LEASE_READ, now)
                         : begin(m, LEASE_RENEWING, LEASE_RENEW, now);
    default:
        return go_on(m);
    }
}

static struct lease_action on_release(struct lease_machine *m)
{
    bool leading = lease_is_leading(m);

    if (m->state != LEASE_RELEASED)
        move(m, LEASE_RELEASED);
    return (struct lease_action){leading ? LEASE_VACATE : LEASE_STOP, 0};
}

static struct lease_action step(struct lease_machine *m, const struct lease_event *ev,
                                struct now now, uint64_t jitter)
{
    switch (ev->type) {
    case LEASE_EV_START:
        return begin(m, LEASE_READING, LEASE_READ, now);
    case LEASE_EV_RECORD:
        return on_record(m, ev, now, jitter);
    case LEASE_EV_SEEN:
        return on_seen(m, ev, now);
    case LEASE_EV_MISSING:
        return on_missing(m, now, jitter);
    case LEASE_EV_FAILED:
        return on_failed(m, now, jitter);
    case LEASE_EV_TIMER:
        return on_time(m, now, jitter);
    case LEASE_EV_RELEASE:
        return on_release(m);
    }
    return go_on(m);
}

/*
 * What holds after each step. Nobody leads longer than the last write allows: the timer of a leader
 * comes by then. Who is done waits for nothing, and all others wait for a timer.
 */
static void lease_check(const struct lease_machine *m)
{
    bool done = m->state == LEASE_LOST || m->state == LEASE_RELEASED;

    assert(m->state != LEASE_IDLE);
    assert((m->timer_ns == 0) == done);
    assert(!lease_is_leading(m) || m->timer_ns <= lease_ends_ns(m));
    assert(m->renewed_ns <= m->began_ns);
    assert(!m->unsure || lease_is_leading(m) || done);
}

struct lease_action lease_step(struct lease_machine *m, const struct lease_event *ev,
                               struct now now, uint64_t jitter)
{
    struct lease_action a = step(m, ev, now, jitter);

    m->timer_ns = a.timer_ns;
    lease_check(m);
    return a;
}
