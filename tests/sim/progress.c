/* The output that is shown while a task runs has to be short, and all tasks together may write no
 * more of it in a second than etcd can take. */
#include "tests/sim/sim.h"

#include <inttypes.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"

/* What stands beside the output in a status, and the marker of each step. */
#define BESIDE_BYTES (4u << 10)
#define STEP_BYTES 512u

static size_t shown_bytes(struct json_object *status, size_t *steps)
{
    struct json_object *list = json_get(status, "steps");
    size_t sum = strlen(str_or_empty(json_get_str(status, "stdout")));

    *steps = json_array_len(list);
    for (size_t i = 0; i < *steps; i++)
        sum += strlen(str_or_empty(json_get_str(json_object_array_get_idx(list, i), "stdout")));
    return sum;
}

/* Each life of an operator begins with a budget of its own. Writes that were sent at different
 * times may arrive together. */
static void check_budget(struct sim *s, const struct told_progress *t)
{
    int64_t ms = (s->now_ns - t->since_ns) / SIM_MS + 2 * s->cfg.answer_delay_ms;
    uint64_t most =
        (uint64_t)ms * LIMIT_PROGRESS_BYTES_PER_S / 1000 + (uint64_t)t->largest * (s->lives + 1);

    if (t->bytes > most)
        sim_fail(s, "%" PRIu64 " bytes were written to show output, %" PRIu64 " are the most",
                 t->bytes, most);
}

void progress_written(struct sim *s, const struct obj *task)
{
    struct told_progress *t = &s->shown;
    size_t steps, bytes = shown_bytes(json_get(task->j, "status"), &steps);

    if (bytes == 0)
        return;
    if (bytes > TASK_PROGRESS_BYTES + steps * STEP_BYTES + BESIDE_BYTES)
        sim_fail(s, "task %s shows %zu bytes of output while it runs", task->name, bytes);
    if (t->since_ns == 0)
        t->since_ns = s->now_ns;
    t->bytes += strlen(task->text);
    t->largest = MAX(t->largest, strlen(task->text));
    check_budget(s, t);
}
