/* Operators: how they start, act, stop and die; their clocks and timers. */
#include "tests/sim/net.h"

#include <inttypes.h>
#include <stdio.h>

#include "operator/kube/gate.h"

#define MONO_START_NS (1000 * NSEC_PER_SEC)

struct signing_keys sim_keys;

struct ops_timer {
    struct list link;
    struct proc *p;
    uint64_t number;
    uint64_t generation;
    void (*cb)(void *arg);
    void *arg;
};

/* ---- clock, chance, timers ------------------------------------------------------------------- */

struct now proc_now(struct ops *ops)
{
    const struct proc *p = container_of(ops, struct proc, ops);

    return (struct now){MONO_START_NS + p->s->now_ns, sim_wall_ns(p->s) + p->skew_ns};
}

void proc_random(struct ops *ops, void *out, size_t len)
{
    struct proc *p = container_of(ops, struct proc, ops);
    unsigned char *bytes = out;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(sim_random(p->s) >> 32);
}

struct ops_timer *proc_timer_new(struct ops *ops, void (*cb)(void *arg), void *arg)
{
    struct proc *p = container_of(ops, struct proc, ops);
    struct ops_timer *t = xcalloc(1, sizeof(*t));

    t->p = p;
    t->number = ++p->s->timers;
    t->cb = cb;
    t->arg = arg;
    list_push_back(&p->timers, &t->link);
    return t;
}

void proc_timer_free(struct ops *ops, struct ops_timer *t)
{
    if (!t)
        return;
    list_remove(&t->link);
    free(t);
}

static struct ops_timer *find_timer(struct sim *s, uint64_t number)
{
    for (int i = 0; i < SIM_PROCS; i++)
        list_for_each (it, &s->procs[i].timers) {
            struct ops_timer *t = list_entry(it, struct ops_timer, link);

            if (t->number == number)
                return t;
        }
    return NULL;
}

static void on_timer(struct sim *s, struct msg *m, uint64_t number, uint64_t generation)
{
    struct ops_timer *t = find_timer(s, number);
    struct proc *p;

    if (!t || t->generation != generation)
        return;
    p = t->p;
    if (p->paused_until_ns > s->now_ns) {
        sim_at(s, p->paused_until_ns, on_timer, NULL, number, generation);
        return;
    }
    t->generation++;
    t->cb(t->arg);
    proc_after_callback(p);
}

void proc_timer_set(struct ops *ops, struct ops_timer *t, int64_t mono_ns)
{
    t->generation++;
    if (mono_ns > 0)
        sim_at(t->p->s, mono_ns - MONO_START_NS, on_timer, NULL, t->number, t->generation);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void bury(struct proc *p)
{
    struct sim *s = p->s;

    p->muted = true;
    lease_free(p->lease);
    manager_free(p->m);
    gate_free(p->gate);
    p->lease = NULL;
    p->m = NULL;
    p->gate = NULL;
    assert(list_empty(&p->calls));
    assert(list_empty(&p->timers));
    p->up = p->doomed = false;
    p->paused_until_ns = 0;
    sim_note(s, "op%d is gone", p->index);
}

static void on_start(struct sim *s, struct msg *m, uint64_t index, uint64_t b)
{
    if (!s->procs[index].up && !s->procs[index].stopped)
        proc_start(s, (int)index);
}

void proc_after_callback(struct proc *p)
{
    struct sim *s = p->s;

    if (p->m && !p->doomed)
        manager_turn(p->m);
    net_check_streams(s, p);
    if (!p->doomed)
        return;
    bury(p);
    sim_after_ms(s, sim_between(s, 100, 5000), on_start, (uint64_t)p->index, 0);
}

void proc_kill(struct sim *s, int index)
{
    struct proc *p = &s->procs[index];

    if (!p->up)
        return;
    p->doomed = p->muted = true;
    proc_after_callback(p);
}

void proc_stop(struct sim *s, int index)
{
    s->procs[index].stopped = true;
    if (s->procs[index].up)
        bury(&s->procs[index]);
}

static bool may_act(void *arg)
{
    const struct proc *p = arg;

    return !p->lease || lease_leading(p->lease);
}

static void on_leading(void *arg)
{
    struct proc *p = arg;

    sim_note(p->s, "op%d leads", p->index);
    p->active_ns = p->s->now_ns;
    manager_set_active(p->m, true);
}

static void die(void *arg)
{
    struct proc *p = arg;

    p->doomed = p->muted = true;
}

/* Whether the API server answers every request. What policy.c refuses does not count. */
static bool server_is_well(const struct sim *s)
{
    return s->cfg.api_faults == 0 && s->cfg.fault == FAULT_NONE && !s->cfg.refuse;
}

static void on_gate_turn(void *arg)
{
    struct proc *p = arg;

    if (server_is_well(p->s))
        sim_fail(p->s, "op%d takes the API server for down", p->index);
    if (p->m)
        manager_gate_turned(p->m);
}

/* As on SIGTERM: gives the lease up, then ends. */
void proc_release(struct sim *s, int index)
{
    struct proc *p = &s->procs[index];

    if (!p->up || !p->lease || p->doomed || p->paused_until_ns > s->now_ns)
        return;
    sim_note(s, "op%d is told to end", index);
    manager_set_active(p->m, false);
    lease_release(p->lease, die, p);
    proc_after_callback(p);
}

void proc_start(struct sim *s, int index)
{
    struct proc *p = &s->procs[index];
    struct manager_opts mo = {
        .policy = &s->policy, .keys = &sim_keys, .may_act = may_act, .arg = p};
    struct lease_opts lo = {.ns = "arl-system",
                            .name = "arl-operator",
                            .on_leading = on_leading,
                            .on_lost = die,
                            .arg = p};
    const struct gate_opts go = {.on_turn = on_gate_turn, .arg = p};

    snprintf(p->identity, sizeof(p->identity), "op%d-%u", index, ++p->life);
    sim_note(s, "%s starts", p->identity);
    p->up = true;
    s->lives++;
    p->muted = p->doomed = false;
    p->active_ns = s->now_ns;
    p->lease_until_ns = 0;
    p->skew_ns = sim_between(s, 0, 400) * SIM_MS - (s->cfg.calm ? 0 : 200 * SIM_MS);
    mo.instance = lo.identity = p->identity;
    p->gate = gate_new(&p->ops, &go);
    p->m = manager_new(gate_ops(p->gate), &mo);
    if (s->cfg.leases)
        p->lease = lease_new(gate_ops(p->gate), &lo);
    else
        manager_set_active(p->m, true);
    proc_after_callback(p);
}

void net_init(struct sim *s)
{
    for (int i = 0; i < SIM_PROCS; i++) {
        struct proc *p = &s->procs[i];

        p->ops.v = &net_vtable;
        p->s = s;
        p->index = i;
        list_init(&p->calls);
        list_init(&p->timers);
        if (i < s->cfg.procs)
            sim_after_ms(s, sim_between(s, 0, 2000), on_start, (uint64_t)i, 0);
    }
}

void net_done(struct sim *s)
{
    for (int i = 0; i < SIM_PROCS; i++)
        if (s->procs[i].up)
            bury(&s->procs[i]);
}
