/* The part of the world that checks it: what must be true of it between two turns. */
#include "operator/core/world.h"

/* Each object that belongs into an index is there, and nothing else is. */
static void check_indexes(const struct world *w)
{
    char key[META_KEY_MAX];
    const struct meta *m;
    size_t pos = 0, waiting = 0, promised = 0, tasks = 0, bound = 0;

    while ((m = store_next(w->sandboxes, &pos))) {
        const struct sandbox *s = container_of(m, struct sandbox, meta);

        if (world_sandbox_waits(s)) {
            meta_key(key, m->ns, s->pool);
            assert(bucket_has(index_get(&w->waiting_by_pool, key), m));
            waiting++;
        } else if (world_sandbox_promised(s)) {
            meta_key(key, m->ns, s->status.pod_name);
            assert(bucket_has(index_get(&w->sandboxes_by_pod, key), m));
            promised++;
        }
    }
    assert(index_check(&w->waiting_by_pool) == waiting);
    assert(index_check(&w->sandboxes_by_pod) == promised);
    pos = 0;
    while ((m = store_next(w->tasks, &pos))) {
        const struct task *t = container_of(m, struct task, meta);

        if (!world_task_in_line(t))
            continue;
        meta_key(key, m->ns, t->sandbox);
        assert(bucket_has(index_get(&w->tasks_by_sandbox, key), m));
        tasks++;
    }
    assert(index_check(&w->tasks_by_sandbox) == tasks);
    pos = 0;
    while ((m = store_next(w->pods, &pos))) {
        const struct pod *p = container_of(m, struct pod, meta);

        if (!p->sandbox)
            continue;
        meta_key(key, m->ns, p->sandbox);
        assert(bucket_has(index_get(&w->pods_by_sandbox, key), m));
        bound++;
    }
    assert(index_check(&w->pods_by_sandbox) == bound);
    assert(index_check(&w->pods_by_pool) == store_count(w->pods));
}

/* See the diagram in run.h. */
static void check_run(const struct run *r)
{
    assert(r->result);
    assert(r->reading == (r->kept != NULL));
    assert(!r->reading || (r->ended && !r->over));
    assert(!(r->ended || r->over) || r->reason);
    assert(!r->may_go_on || r->over);
    assert((r->stream_turn.state == TURN_HAS) == !list_empty(&r->stream_link));
    assert(list_empty(&r->progress_link) || r->memory.state == TURN_HAS);
}

static void check_runs(const struct world *w)
{
    const struct run *r;
    size_t pos = 0, memory = 0, streams = 0, results = 0, starts = 0;

    while ((r = map_next(&w->runs, &pos, NULL))) {
        check_run(r);
        memory += r->memory.state == TURN_HAS ? r->memory.bytes : 0;
        memory += r->read_turn.state == TURN_HAS ? r->read_turn.bytes : 0;
        streams += r->stream_turn.state == TURN_HAS;
        results += r->result_turn.state == TURN_HAS ? r->result_turn.bytes : 0;
        starts += r->start_turn.state == TURN_HAS ? r->start_turn.bytes : 0;
    }
    assert(w->run_memory.used == memory);
    assert(w->streams.used == streams);
    assert(w->results.used == results);
    assert(w->starts.used == starts);
    turns_check(&w->run_memory);
    turns_check(&w->streams);
    turns_check(&w->results);
    turns_check(&w->starts);
    assert(!w->progress_next || !list_empty(&w->progress_next->progress_link));
}

static void check_states(const struct world *w)
{
    const struct sandbox_state *st;
    const struct pool_state *pool;
    size_t pos = 0, kept = 0;

    while ((st = map_next(&w->sandbox_states, &pos, NULL))) {
        assert(!st->not_believed_why == !st->agent.not_believed_since_mono_ns);
        assert(st->claims_refused > 0 || !st->claim_error);
        assert(!st->outside || st->next_claim_mono_ns);
        assert(!st->fenced_pod == !st->fenced_rv);
        assert(!st->fenced_pod || map_get(&w->promising, st->fenced_pod));
        assert(!st->fenced_pod || map_get(&w->kept, st->fenced_pod));
        kept += st->fenced_pod != NULL;
    }
    assert(w->kept.count == kept);
    pos = 0;
    while ((pool = map_next(&w->pool_states, &pos, NULL))) {
        assert(!pool->create_error || pool->create_error_reason);
        assert(pool->refusals_told <= pool->refusals);
    }
}

void world_check(const struct world *w)
{
    world_check_shelves(w);
    check_indexes(w);
    ledger_check(w->ledger);
    check_runs(w);
    check_states(w);
}
