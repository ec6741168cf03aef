/* Writes of single objects that the cluster refuses, by a policy or because a webhook is down. The
 * API server itself works then, and nobody else's objects have to wait. */
#include "tests/sim/sim.h"

#include <stdio.h>

#include "common/base/json.h"

static void on_over(struct sim *s, struct msg *m, uint64_t generation, uint64_t b)
{
    if (s->denied.generation == generation)
        policy_clear(s);
}

void policy_clear(struct sim *s)
{
    sim_note(s, "no policy refuses anything");
    s->denied = (struct refusals_of_one){.generation = s->denied.generation + 1};
}

void policy_change(struct sim *s)
{
    s->denied.generation++;
    if (sim_below(s, 2))
        s->denied.task_webhook = true;
    else
        snprintf(s->denied.claims_of, sizeof(s->denied.claims_of), "box%u",
                 (unsigned)sim_below(s, 5));
    sim_note(s, "refused are claims of \"%s\"%s", s->denied.claims_of,
             s->denied.task_webhook ? ", statuses of tasks" : "");
    sim_after_ms(s, sim_between(s, 500, 20000), on_over, s->denied.generation, 0);
}

bool policy_refuses(struct sim *s, struct msg *m, const struct obj *o, struct json_object *patch,
                    bool status)
{
    const char *box = json_get_str(json_get_path(patch, "metadata.labels"), POD_LABEL_SANDBOX);

    if (o->kind == SIM_TASK && status && s->denied.task_webhook)
        api_status(m, 500, "InternalError",
                   "Internal error occurred: failed calling webhook \\\"w\\\": no route to host");
    else if (o->kind == SIM_POD && box && strcmp(box, s->denied.claims_of) == 0)
        api_status(m, 403, "Forbidden", "by a policy");
    else
        return false;
    return true;
}
