/*
 * What it means for the state that an action begins: see plan_begun(). A function for each type of
 * action of which something is noted here. The ledger and the sidecar client note the others.
 */
#include "operator/core/plan.h"

/* The planned object. */
struct view {
    struct world *w;
    const char *key; /* "namespace/name" */
    const struct action *a;
    struct now now;
};

static void create_begun(const struct view *v)
{
    plan_create_begun(world_pool_state(v->w, v->key), v->now.mono_ns);
}

static void delete_begun(const struct view *v)
{
    if (v->a->pool)
        refill_delete_begun(&world_pool_state(v->w, v->key)->refill, v->now.mono_ns);
    if (v->a->failure)
        plan_pod_ended(world_pool_state(v->w, v->key), v->now.mono_ns);
    if (v->a->ended)
        str_set(&world_pool_state(v->w, v->key)->ended, xstrdup(v->a->ended));
}

/* ---- statuses -------------------------------------------------------------------------------- */

static void pool_told(const struct view *v)
{
    struct pool_state *st = world_pool_state(v->w, v->key);

    st->status_mono_ns = v->now.mono_ns;
    st->refusals_told = v->a->refusals;
}

static void sandbox_told(const struct view *v)
{
    struct sandbox_state *st = world_sandbox_state(v->w, v->key);

    if (v->a->note == NOTE_TELLING)
        st->told_mono_ns = v->now.mono_ns;
    if (v->a->note != NOTE_PIN)
        return;
    st->pin_mono_ns = v->now.mono_ns;
    st->pins++;
}

static void task_told(const struct view *v)
{
    struct run *run = world_run(v->w, v->key);

    if (v->a->note != NOTE_OUTPUT || !run)
        return;
    run->output_events_told = v->a->output_events;
    run->progress_mono_ns = v->now.mono_ns;
    world_progress_written(v->w, run, v->a->stored_bytes, v->now);
}

static void status_begun(const struct view *v)
{
    if (v->a->kind == &api_warmpool)
        pool_told(v);
    else if (v->a->kind == &api_sandbox)
        sandbox_told(v);
    else
        task_told(v);
}

/* ---- the others ------------------------------------------------------------------------------ */

static void stop_begun(const struct view *v)
{
    struct run *run = world_run(v->w, v->key);

    if (run)
        run->stop_mono_ns = v->now.mono_ns;
}

static void audit_begun(const struct view *v)
{
    agent_step(&world_sandbox_state(v->w, v->key)->agent, AGENT_EV_AUDIT, v->now.mono_ns);
}

static void foreign_told(const struct view *v)
{
    const struct warmpool *pool = world_pool(v->w, v->key);

    world_pool_state(v->w, v->key)->foreign_mono_ns = v->now.mono_ns;
    if (pool)
        plan_foreign_told(v->w, pool);
}

static void event_begun(const struct view *v)
{
    struct run *run = v->a->note == NOTE_REFUSAL ? world_run(v->w, v->key) : NULL;

    if (v->a->note == NOTE_FOREIGN)
        foreign_told(v);
    if (v->a->refusals > 0)
        world_pool_state(v->w, v->key)->refusals_told = v->a->refusals;
    if (run)
        run->refusal_told = true;
}

void plan_begun(struct world *w, const char *key, const struct action *a, struct now now)
{
    static void (*const notes[])(const struct view *) = {
        [ACTION_CREATE_POD] = create_begun,
        [ACTION_CLAIM_POD] = NULL,
        [ACTION_DELETE] = delete_begun,
        [ACTION_STATUS] = status_begun,
        [ACTION_READ] = NULL,
        [ACTION_RUN_START] = NULL,
        [ACTION_RUN_CANCEL] = NULL,
        [ACTION_RUN_STOP] = stop_begun,
        [ACTION_RUN_FORGET] = NULL,
        [ACTION_AUDIT] = audit_begun,
        [ACTION_EVENT] = event_begun,
        [ACTION_AFTER] = NULL,
    };
    struct view v = {.w = w, .key = strchr(key, '/') + 1, .a = a, .now = now};

    if (notes[a->type])
        notes[a->type](&v);
}
