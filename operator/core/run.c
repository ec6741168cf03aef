#include "operator/core/run.h"

#include <errno.h>
#include <inttypes.h>

#include "common/base/limits.h"

/* The exit code of an attempt that ended without one: that of a killed command in a shell. */
#define CODE_LOST 137

struct run *run_new(struct run_target target, int64_t attempt, size_t step_count, struct now now)
{
    struct run *r = xcalloc(1, sizeof(*r));

    r->target = target;
    r->result = task_result_new(step_count);
    r->result->attempt = attempt;
    r->begun_mono_ns = now.mono_ns;
    r->begun_wall_ns = now.wall_ns;
    list_init(&r->progress_link);
    list_init(&r->stream_link);
    return r;
}

void run_target_done(struct run_target *t)
{
    free(t->ns);
    free(t->sandbox);
    free(t->task_uid);
    free(t->sandbox_uid);
    free(t->pod_uid);
    free(t->pod_name);
    free(t->address);
    free(t->key_id);
    free(t->agent_key);
    *t = (struct run_target){0};
}

struct run_target run_target_copy(const struct run_target *t, char *task_uid)
{
    return (struct run_target){.ns = xstrdup(t->ns),
                               .sandbox = xstrdup(t->sandbox),
                               .task_uid = task_uid,
                               .sandbox_uid = xstrdup(t->sandbox_uid),
                               .pod_uid = xstrdup(t->pod_uid),
                               .pod_name = xstrdup(t->pod_name),
                               .address = xstrdup(t->address),
                               .key_id = xstrdup(t->key_id),
                               .agent_key = xstrdup(t->agent_key)};
}

void run_free(struct run *r)
{
    if (!r)
        return;
    run_target_done(&r->target);
    task_result_free(r->result);
    task_result_free(r->kept);
    free(r->message);
    free(r->refused_why);
    free(r);
}

static const struct {
    enum task_end_reason from;
    const char *to;
    bool retryable;
} end_reasons[] = {
    {TASK_END_COMPLETED, "Completed", false},
    {TASK_END_STEP_FAILED, "StepFailed", true},
    {TASK_END_CANCELED, "Canceled", false},
    {TASK_END_AGENT_LOST, "AgentRestarted", true},
};

/* Keeps the end of the output of the last step that has begun. */
static void keep_end(struct run *r, size_t bytes)
{
    size_t last = r->result->step_count;

    while (last > 1 && !r->result->steps[last - 1].started)
        last--;
    task_result_keep_tail(r->result, last - 1, bytes);
}

static void over(struct run *r, struct now now)
{
    assert(r->reason && !r->over && !r->reading);
    r->over = true;
    r->over_mono_ns = now.mono_ns;
}

static void finish(struct run *r, const char *reason, bool retryable, struct now now)
{
    assert(reason && !r->ended && !r->over);
    r->reason = reason;
    r->retryable = retryable;
    r->result->completion_wall_ns = now.wall_ns;
    if (r->result->start_wall_ns == 0)
        r->result->start_wall_ns = r->begun_wall_ns;
    if (!r->dropped) {
        over(r, now);
        return;
    }
    r->ended = true;
    keep_end(r, RUN_ENDED_TAIL_BYTES);
}

/* Times that an agent reports are cut to what is possible. Nothing begins before the task was made
 * (or before this process began it), or in the future. Nothing takes longer than the time since. */
static int64_t believed_wall(const struct run *r, int64_t wall_ns, struct now now)
{
    return MIN(MAX(wall_ns, r->earliest_wall_ns), now.wall_ns);
}

static int64_t believed_duration(const struct run *r, int64_t ns, struct now now)
{
    int64_t seen_ns = now.mono_ns - r->begun_mono_ns;
    int64_t longest_ns = r->fresh              ? seen_ns
                         : r->earliest_wall_ns ? MAX(now.wall_ns - r->earliest_wall_ns, seen_ns)
                                               : INT64_MAX;

    return MIN(MAX(ns, 0), longest_ns);
}

/* All events were read again. The end stays as it was reported the first time. */
static void read_whole(struct run *r, struct now now)
{
    assert(r->ended && r->kept);
    r->result->code = r->kept->code;
    r->result->duration_ns = r->kept->duration_ns;
    r->result->start_wall_ns = r->kept->start_wall_ns;
    r->result->completion_wall_ns = r->kept->completion_wall_ns;
    task_result_free(r->kept);
    r->kept = NULL;
    r->reading = false;
    over(r, now);
}

static void on_end(struct run *r, const struct task_event *ev, struct now now)
{
    if (r->reading) {
        read_whole(r, now);
        return;
    }
    r->result->code = ev->code;
    r->result->duration_ns = believed_duration(r, ev->duration_ns, now);
    for (size_t i = 0; i < ARRAY_SIZE(end_reasons); i++)
        if (end_reasons[i].from == ev->reason)
            finish(r, end_reasons[i].to, end_reasons[i].retryable, now);
    if (ev->reason == TASK_END_AGENT_LOST)
        r->message = xstrdup("the agent in the pod restarted while a step ran");
    /* A success needs a good end of every step: the end event of a pod alone is not trusted. */
    for (size_t i = 0; i < r->result->step_count && ev->reason == TASK_END_COMPLETED; i++)
        if (!r->result->steps[i].ended || r->result->steps[i].code != 0)
            r->reason = "StepFailed";
}

static void on_exit_event(struct run *r, const struct task_event *ev, struct now now)
{
    struct task_step_result *s = &r->result->steps[ev->step];

    s->ended = true;
    s->code = ev->code;
    s->duration_ns = believed_duration(r, ev->duration_ns, now);
    task_result_set_error(r->result, ev->step, ev->error);
    if (ev->spool)
        task_result_set_output_file(r->result, ev->step, ev->spool);
    task_result_trim(r->result, RUN_OUTPUT_MAX);
}

static void on_step(struct run *r, const struct task_event *ev, struct now now)
{
    struct task_step_result *s = &r->result->steps[ev->step];

    s->started = true;
    s->start_wall_ns = believed_wall(r, ev->time_unix_ms * NSEC_PER_MSEC, now);
    if (r->result->start_wall_ns == 0)
        r->result->start_wall_ns = s->start_wall_ns;
}

static void on_output(struct run *r, const struct task_event *ev)
{
    r->output_events++;
    r->output_seen += r->reading ? 0 : ev->data_len;
    /* Twice the limit: an attempt is trimmed when a step ends, and a pod must not fill our memory
     * until then. */
    if (ev->data_len + r->result->output_bytes > 2u * RUN_OUTPUT_MAX)
        task_result_add_gap(r->result, ev->step, ev->fd, ev->data_len);
    else
        task_result_add_output(r->result, ev->step, ev->fd, ev->data, ev->data_len);
    if (r->dropped && r->result->output_bytes > 2 * RUN_TAIL_BYTES)
        task_result_keep_tail(r->result, ev->step, RUN_TAIL_BYTES);
}

/* Keeps the end of an output only to show it while the step runs. The output itself comes later. */
static void on_tail(struct run *r, const struct task_event *ev)
{
    const struct task_step_result *s =
        ev->step < r->result->step_count ? &r->result->steps[ev->step] : NULL;

    if (!s || !s->started || s->ended || r->over || r->ended || r->reading)
        return;
    r->output_events++;
    task_result_set_tail(r->result, ev->step, ev->fd, ev->data, ev->data_len, ev->gap_bytes);
}

int run_event(struct run *r, const struct task_event *ev, struct now now, struct err *err)
{
    if (ev->type == TASK_EVENT_TAIL) {
        on_tail(r, ev);
        return 0;
    }
    if (ev->seq <= r->last_seq || r->over || (r->ended && !r->reading))
        return 0;
    if (ev->seq != r->last_seq + 1)
        return err_set(err, -EPROTO, "event %" PRIu64 " follows %" PRIu64, ev->seq, r->last_seq);
    if (ev->type != TASK_EVENT_ACCEPTED && ev->type != TASK_EVENT_END &&
        ev->step >= r->result->step_count)
        return err_set(err, -EPROTO, "an event of step %" PRIu32 " of %zu", ev->step,
                       r->result->step_count);
    r->last_seq = ev->seq;
    if (r->accepted_mono_ns == 0)
        r->accepted_mono_ns = now.mono_ns;
    switch (ev->type) {
    case TASK_EVENT_ACCEPTED:
    case TASK_EVENT_TAIL:
        break;
    case TASK_EVENT_STEP:
        on_step(r, ev, now);
        break;
    case TASK_EVENT_OUT:
        on_output(r, ev);
        break;
    case TASK_EVENT_GAP:
        task_result_add_gap(r->result, ev->step, ev->fd, ev->gap_bytes);
        break;
    case TASK_EVENT_EXIT:
        on_exit_event(r, ev, now);
        break;
    case TASK_EVENT_END:
        on_end(r, ev, now);
        break;
    }
    return 0;
}

/* Moves the names of the steps to the result that is the run's from now on. */
static void move_names(struct task_result *from, struct task_result *to)
{
    char **names = from->step_names;

    if (!names)
        return;
    from->step_names = NULL;
    for (size_t i = 0; i < from->step_count; i++)
        from->memory -= sizeof(*names) + strlen(names[i]) + 1;
    task_result_set_names(to, names);
}

/* The attempt has ended, and its whole output cannot be read any more: keeps the end of it. */
static void settle_for_tail(struct run *r, const char *message, struct now now)
{
    assert(r->ended && r->reading == (r->kept != NULL));
    if (r->reading) {
        move_names(r->result, r->kept);
        task_result_free(r->result);
        r->result = r->kept;
        r->kept = NULL;
        r->reading = false;
    }
    if (!r->message)
        r->message = xasprintf("only the end of the output is here: %s", message);
    over(r, now);
}

void run_fail(struct run *r, const char *reason, const char *message, bool may_go_on,
              struct now now)
{
    if (r->over)
        return;
    if (r->ended) {
        settle_for_tail(r, message, now);
        return;
    }
    r->dropped = false;
    r->result->code = CODE_LOST;
    r->result->duration_ns = now.mono_ns - r->begun_mono_ns;
    finish(r, reason, false, now);
    r->may_go_on = may_go_on;
    r->message = xstrdup(message);
}

void run_drop_output(struct run *r)
{
    assert(!r->over && !r->reading);
    r->dropped = true;
    keep_end(r, RUN_TAIL_BYTES);
}

void run_read_again(struct run *r, struct now now)
{
    struct task_result *again = task_result_new(r->result->step_count);

    assert(r->ended && !r->over && !r->reading);
    again->attempt = r->result->attempt;
    move_names(r->result, again);
    r->kept = r->result;
    r->result = again;
    r->reading = true;
    r->read_mono_ns = now.mono_ns;
    r->dropped = false;
    r->last_seq = 0;
}

size_t run_memory_to_read(const struct run *r)
{
    assert(r->ended && !r->over);
    /* Buffers grow by doubling, so an attempt is trimmed only when it has twice the limit. */
    return r->result->memory + 2 * MIN(r->output_seen, 2u * RUN_OUTPUT_MAX);
}

size_t run_memory(const struct run *r)
{
    return sizeof(*r) + r->result->memory + (r->kept ? r->kept->memory : 0);
}

int64_t run_deadline_ns(const struct run *r)
{
    int64_t grace_ms = RUN_GRACE_MS + RUN_STEP_GRACE_MS * (int64_t)r->result->step_count;
    int64_t from_ns = r->accepted_mono_ns ? r->accepted_mono_ns
                                          : r->begun_mono_ns + AGENT_LOST_MS * NSEC_PER_MSEC;

    if (r->reading)
        return r->read_mono_ns + RUN_READ_MS * NSEC_PER_MSEC;
    if (r->limit_ms <= 0 || r->ended || r->held || r->limit_ms > RUN_LIMIT_MAX_MS)
        return INT64_MAX;
    return from_ns + (r->limit_ms + grace_ms) * NSEC_PER_MSEC;
}

bool run_may_go_on(const struct run *r)
{
    return (!r->over && !r->ended) || r->may_go_on;
}

/* The first wait is half a second, and each further one is twice as long. */
static void write_later(struct run *r, struct now now)
{
    int64_t wait_ms = 500LL << MIN(r->refusals - 1, 20);

    assert(r->refusals > 0);
    r->next_write_mono_ns = now.mono_ns + MIN(wait_ms, RUN_WRITE_WAIT_MAX_MS) * NSEC_PER_MSEC;
}

void run_status_refused(struct run *r, enum run_refusal why, const char *message, struct now now)
{
    assert(r->over);
    r->refusals++;
    str_set(&r->refused_why, xstrdup(message));
    if (why == RUN_FORBIDDEN || r->bare)
        write_later(r, now);
    else if (why == RUN_INVALID || (r->room && r->room <= RUN_ROOM_LEAST))
        r->bare = true;
    else
        r->room = r->room ? r->room / 4 : RUN_ROOM_FIRST;
}
