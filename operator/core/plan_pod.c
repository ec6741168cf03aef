#include "operator/core/plan_pod.h"

#include "common/wire/task_proto.h"

#define UNREADY_NS (120 * NSEC_PER_SEC)

static bool tells_no_key(const struct pod *p)
{
    return p->ready && pod_idle(p) && p->wire_version == WIRE_VERSION && !p->agent_key;
}

static bool should_be_ready(const struct pod *p)
{
    return !p->ready && (p->was_ready || p->has_restarted || p->lacks_runner);
}

bool plan_pod_suspect(const struct pod *p)
{
    return p->broken || tells_no_key(p) || should_be_ready(p);
}

char *plan_pod_broken(struct pod *p, struct now now, int64_t *ret_due_mono_ns)
{
    *ret_due_mono_ns = 0;
    if (p->broken)
        return xstrdup(p->broken);
    if (tells_no_key(p))
        return xstrdup("its init container " POD_INIT " has not reported the key of the agent");
    if (!should_be_ready(p)) {
        p->unready_mono_ns = 0;
        return NULL;
    }
    if (p->unready_mono_ns == 0)
        p->unready_mono_ns = now.mono_ns;
    if (now.mono_ns < p->unready_mono_ns + UNREADY_NS) {
        *ret_due_mono_ns = p->unready_mono_ns + UNREADY_NS;
        return NULL;
    }
    return xasprintf("it has not been ready for 2m0s%s%s", p->trouble_message ? ": " : "",
                     str_or_empty(p->trouble_message));
}
