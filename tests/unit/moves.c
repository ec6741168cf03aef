/* Prints what each state table allows, one "TABLE: FROM -> TO" a line: see tests/unit/moves. */
#include <stdio.h>

#include "common/base/base.h"
#include "common/io/http_call_state.h"
#include "operator/agent/errands.h"
#include "operator/core/write_state.h"
#include "operator/auth/exec_step.h"
#include "operator/core/agent_step.h"
#include "operator/core/plan.h"
#include "operator/kube/gate_step.h"
#include "operator/kube/lease_step.h"
#include "operator/kube/queue.h"
#include "operator/kube/watch_step.h"
#include "sidecar/attempt/attempt_step.h"

int main(void)
{
    const struct sm_table *tables[] = {
        &agent_table, &errand_table,   &exec_table,    &gate_table, &http_call_table, &lease_table,
        &queue_table, &attempt_states, &sandbox_table, &task_table, &watch_table,     &write_table};

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (size_t from = 0; from < tables[i]->count; from++)
            for (size_t to = 0; to < tables[i]->count; to++)
                if (sm_may_follow(tables[i], from, to))
                    printf("%s: %s -> %s\n", tables[i]->name, sm_state_str(tables[i], from),
                           sm_state_str(tables[i], to));
    return 0;
}
