#include "operator/app/end_counts.h"

#include <stdio.h>

#include "common/base/metrics.h"
#include "operator/api/sandbox.h"
#include "operator/api/task.h"

static const struct {
    const struct api_kind *kind;
    const char *reason;
} ends[END_REASONS] = {
    {&api_sandbox, "AgentKeyChanged"}, {&api_sandbox, "AgentNotBelieved"},
    {&api_sandbox, "AgentTooOld"},     {&api_sandbox, "InvalidSpec"},
    {&api_sandbox, "NoPodAvailable"},  {&api_sandbox, "PodBroken"},
    {&api_sandbox, "PodLost"},         {&api_sandbox, "PodTaken"},
    {&api_sandbox, "PoolNotFound"},    {&api_task, "AgentRefused"},
    {&api_task, "AgentRestarted"},     {&api_task, "AgentUnavailable"},
    {&api_task, "Canceled"},           {&api_task, "Completed"},
    {&api_task, "InvalidSpec"},        {&api_task, "PodLost"},
    {&api_task, "ResultLost"},         {&api_task, "Retrying"},
    {&api_task, "SandboxDeleted"},     {&api_task, "SandboxFailed"},
    {&api_task, "SandboxNotFound"},    {&api_task, "SpecTooLarge"},
    {&api_task, "StepFailed"},         {&api_task, "Deleted"},
    {&api_sandbox, "Deleted"},
};

void end_count(struct end_counts *e, const struct api_kind *kind, const char *reason)
{
    for (size_t i = 0; i < END_REASONS; i++)
        if (ends[i].kind == kind && str_eq(ends[i].reason, reason))
            e->counts[i]++;
}

void end_counts_metrics(const struct end_counts *e, struct buf *out)
{
    char label[64];

    metrics_head(out, "arl_ends_total", "counter",
                 "Sandboxes that failed, and attempts of tasks that ended, by reason.");
    for (size_t i = 0; i < END_REASONS; i++) {
        snprintf(label, sizeof(label), "kind=\"%s\",reason=\"%s\"", ends[i].kind->kind,
                 ends[i].reason);
        metrics_value(out, "arl_ends_total", label, (double)e->counts[i]);
    }
}
