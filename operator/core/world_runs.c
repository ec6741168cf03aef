/* The part of the world that runs share: memory, turns to write, turns to show output, streams. */
#include "common/base/limits.h"
#include "operator/core/plan_key.h"
#include "operator/core/world.h"

/* ---- memory ---------------------------------------------------------------------------------- */

/* The run whose output is dropped first: the largest one of the namespace that uses most. NULL: no
 * run has output to drop. */
static struct run *largest_run(const struct world *w)
{
    struct run *best = NULL, *r;
    size_t best_ns = 0, pos = 0;

    while ((r = map_next(&w->runs, &pos, NULL))) {
        size_t of_ns;

        if (r->over || r->dropped || r->reading || r->memory.state != TURN_HAS ||
            r->result->output_bytes <= 2 * RUN_TAIL_BYTES)
            continue;
        of_ns = turns_used_by(&w->run_memory, r->memory.ns);
        if (best &&
            (of_ns < best_ns || (of_ns == best_ns && r->memory.bytes <= best->memory.bytes)))
            continue;
        best = r;
        best_ns = of_ns;
    }
    return best;
}

bool world_drop_output(struct world *w)
{
    struct run *r = largest_run(w);

    if (!r)
        return false;
    run_drop_output(r);
    turns_take(&w->run_memory, &r->memory, r->memory.key, run_memory(r));
    return true;
}

struct run *world_next_to_read(struct world *w)
{
    struct turn *turn;

    while ((turn = turns_next(&w->run_memory))) {
        struct run *r = container_of(turn, struct run, read_turn);

        if (!r->over)
            return r;
        turns_end(&w->run_memory, turn);
    }
    return NULL;
}

/* A run that was read again keeps its turn for that, and its memory counts there, until its result
 * is written. Without the turn another run could be granted room beyond the budget: see has_room()
 * in turns.c. */
void world_note_run_memory(struct world *w, const char *key, struct run *r)
{
    if (r->read_turn.state == TURN_HAS) {
        turns_take(&w->run_memory, &r->memory, key, sizeof(*r));
        turns_take(&w->run_memory, &r->read_turn, key,
                   r->reading ? MAX(r->read_turn.bytes, run_memory(r)) : run_memory(r));
    } else {
        turns_take(&w->run_memory, &r->memory, key, run_memory(r));
    }
    while (turns_over(&w->run_memory) && world_drop_output(w))
        ;
}

/* ---- final statuses -------------------------------------------------------------------------- */

bool world_result_turn(struct world *w, const char *key, struct run *r, size_t bytes)
{
    return turns_ask(&w->results, &r->result_turn, key, bytes);
}

void world_result_written(struct world *w, struct run *r)
{
    struct turn *next;

    turns_end(&w->results, &r->result_turn);
    while ((next = turns_next(&w->results)))
        world_queue(w, PLAN_TASK, next->key);
}

/* ---- output that is shown -------------------------------------------------------------------- */

static uint64_t *served_of(struct world *w, const char *ns)
{
    return map_ensure(&w->progress_served, ns, sizeof(uint64_t));
}

static void served_forget(struct world *w)
{
    uint64_t *served;
    size_t pos = 0;

    while ((served = map_next(&w->progress_served, &pos, NULL)))
        free(served);
    map_done(&w->progress_served);
}

/* Picks the next of the line: the first one of the namespace that was served least. */
static void progress_pick(struct world *w)
{
    uint64_t least = UINT64_MAX;

    w->progress_next = NULL;
    list_for_each (it, &w->progress_line) {
        struct run *r = list_entry(it, struct run, progress_link);
        uint64_t served = *served_of(w, r->memory.ns);

        if (served >= least)
            continue;
        least = served;
        w->progress_next = r;
    }
    if (!w->progress_next)
        served_forget(w);
}

/* The next run of the line is planned when it may show its output. */
static void progress_plan_next(struct world *w)
{
    char full[PLAN_KEY_MAX];

    progress_pick(w);
    if (!w->progress_next || w->standby)
        return;
    plan_key(full, PLAN_TASK, w->progress_next->memory.key);
    queue_after(w->queue, full, plan_lane(full), MAX(w->progress_free_ns, 1));
}

bool world_progress_turn(struct world *w, struct run *r, struct now now, int64_t *ret_when)
{
    *ret_when = 0;
    if (r->memory.state != TURN_HAS)
        return true; /* its memory is not counted: it is not in the world */
    if (list_empty(&r->progress_link))
        list_push_back(&w->progress_line, &r->progress_link);
    if (!w->progress_next)
        progress_pick(w);
    if (w->progress_next != r)
        return false;
    *ret_when = w->progress_free_ns;
    return now.mono_ns >= w->progress_free_ns;
}

void world_progress_written(struct world *w, struct run *r, size_t bytes, struct now now)
{
    int64_t takes_ns = (int64_t)bytes * NSEC_PER_SEC / LIMIT_PROGRESS_BYTES_PER_S;

    if (r->memory.state != TURN_HAS)
        return;
    *served_of(w, r->memory.ns) += bytes;
    w->progress_free_ns = MAX(w->progress_free_ns, now.mono_ns) + takes_ns;
    list_remove(&r->progress_link);
    progress_plan_next(w);
}

static void progress_leave(struct world *w, struct run *r)
{
    list_remove(&r->progress_link);
    if (w->progress_next == r)
        progress_plan_next(w);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void stream_opened(struct world *w, struct run *r, struct now now)
{
    assert(r->stream_turn.state == TURN_HAS && list_empty(&r->stream_link));
    r->stream_mono_ns = now.mono_ns;
    list_push_back(&w->streams_open, &r->stream_link);
}

bool world_stream_turn(struct world *w, const char *key, struct run *r, struct now now)
{
    if (r->stream_turn.state != TURN_NONE)
        return r->stream_turn.state == TURN_HAS;
    if (!turns_ask(&w->streams, &r->stream_turn, key, 1))
        return false;
    stream_opened(w, r, now);
    return true;
}

void world_stream_closed(struct world *w, struct run *r)
{
    list_remove(&r->stream_link);
    turns_end(&w->streams, &r->stream_turn);
}

struct run *world_stream_next(struct world *w, struct now now)
{
    struct turn *turn = turns_next(&w->streams);
    struct run *r = turn ? container_of(turn, struct run, stream_turn) : NULL;

    if (r)
        stream_opened(w, r, now);
    return r;
}

/* A stream that sends large steps stays open: otherwise they would have to be sent again. */
static bool may_give_way(const struct run *r)
{
    return r->start_turn.state != TURN_HAS;
}

struct run *world_stream_gives_way(const struct world *w, struct now now, int64_t *ret_due)
{
    const char *ns = turns_giver(&w->streams);

    *ret_due = 0;
    list_for_each (it, &w->streams_open) {
        struct run *r = list_entry(it, struct run, stream_link);
        int64_t due = r->stream_mono_ns + LIMIT_STREAM_SLICE_MS * NSEC_PER_MSEC;

        if (!may_give_way(r) || !str_eq(r->stream_turn.ns, ns))
            continue;
        if (now.mono_ns >= due)
            return r;
        *ret_due = due;
        return NULL;
    }
    return NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

void world_free_run(struct world *w, struct run *r)
{
    assert(r->read_turn.state != TURN_HAS || r->memory.state == TURN_HAS);
    world_result_written(w, r);
    progress_leave(w, r);
    turns_end(&w->run_memory, &r->memory);
    turns_end(&w->run_memory, &r->read_turn);
    turns_end(&w->starts, &r->start_turn);
    world_stream_closed(w, r);
    run_free(r);
}

void world_runs_init(struct world *w)
{
    size_t memory = w->policy->run_memory, streams = w->policy->streams;

    turns_init(&w->run_memory, memory ? memory : LIMIT_RUN_MEMORY_BYTES);
    turns_init(&w->results, LIMIT_RESULTS_BYTES);
    turns_init(&w->starts, LIMIT_STARTS_BYTES);
    turns_init(&w->streams, streams ? streams : LIMIT_STREAMS);
    list_init(&w->progress_line);
    list_init(&w->streams_open);
}

void world_runs_done(struct world *w)
{
    struct run *r;
    size_t pos = 0;

    while ((r = map_next(&w->runs, &pos, NULL)))
        world_free_run(w, r);
    map_done(&w->runs);
    served_forget(w);
    turns_done(&w->run_memory);
    turns_done(&w->results);
    turns_done(&w->starts);
    turns_done(&w->streams);
}
