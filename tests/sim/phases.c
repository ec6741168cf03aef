/* Which phase of a pool or sandbox, or state of a task, may follow which, as docs/api.md says.
 * Every change is checked against this table, and each move that was ever made is marked in it. */
#include "tests/sim/sim.h"

#include <stdio.h>

static struct {
    enum sim_kind kind;
    const char *from; /* "": none yet */
    const char *to;
    bool made;
} moves[] = {
    {SIM_POOL, "", "Pending"},          {SIM_POOL, "", "Ready"},
    {SIM_POOL, "", "Degraded"},         {SIM_POOL, "Pending", "Ready"},
    {SIM_POOL, "Pending", "Scaling"},   {SIM_POOL, "Pending", "Degraded"},
    {SIM_POOL, "Ready", "Pending"},     {SIM_POOL, "Ready", "Scaling"},
    {SIM_POOL, "Ready", "Degraded"},    {SIM_POOL, "Scaling", "Pending"},
    {SIM_POOL, "Scaling", "Ready"},     {SIM_POOL, "Scaling", "Degraded"},
    {SIM_POOL, "Degraded", "Pending"},  {SIM_POOL, "Degraded", "Ready"},
    {SIM_POOL, "Degraded", "Scaling"},  {SIM_POOL, "", "Scaling"},
    {SIM_SANDBOX, "", "Pending"},       {SIM_SANDBOX, "", "Bound"},
    {SIM_SANDBOX, "", "Ready"},         {SIM_SANDBOX, "", "Failed"},
    {SIM_SANDBOX, "Pending", "Bound"},  {SIM_SANDBOX, "Pending", "Ready"},
    {SIM_SANDBOX, "Pending", "Failed"}, {SIM_SANDBOX, "Bound", "Ready"},
    {SIM_SANDBOX, "Bound", "Failed"},   {SIM_SANDBOX, "Ready", "Failed"},
    {SIM_SANDBOX, "Ready", "Bound"},    {SIM_TASK, "", "Pending"},
    {SIM_TASK, "", "Running"},          {SIM_TASK, "", "Succeeded"},
    {SIM_TASK, "", "Failed"},           {SIM_TASK, "Pending", "Running"},
    {SIM_TASK, "Pending", "Succeeded"}, {SIM_TASK, "Pending", "Failed"},
    {SIM_TASK, "Running", "Succeeded"}, {SIM_TASK, "Running", "Failed"},
};

void phase_moved(struct sim *s, const struct obj *o, const char *from, const char *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
        if (moves[i].kind == o->kind && str_eq(moves[i].from, from) && str_eq(moves[i].to, to)) {
            moves[i].made = true;
            return;
        }
    sim_fail(s, "%s %s went from %s to %s", api_kind_name(o->kind), o->name, *from ? from : "none",
             *to ? to : "none");
}

unsigned phases_never_made(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
        if (moves[i].made)
            continue;
        n++;
        printf("  %s: %s -> %s was never made\n", api_kind_name(moves[i].kind),
               *moves[i].from ? moves[i].from : "none", moves[i].to);
    }
    return n;
}
