#include "operator/core/plan.h"

#include <stdio.h>

void plan_key(char *buf, const char *prefix, const char *key)
{
    int n = snprintf(buf, PLAN_KEY_MAX, "%s/%s", prefix, key);

    assert(n > 0 && n < PLAN_KEY_MAX);
}

enum queue_lane plan_lane(const char *plan_key)
{
    return strncmp(plan_key, PLAN_POOL "/", strlen(PLAN_POOL "/")) == 0 ? QUEUE_NORMAL
                                                                        : QUEUE_URGENT;
}

void plan(struct world *w, const char *key, struct now now, struct actions *out)
{
    static const struct {
        const char *prefix;
        void (*fn)(struct world *w, const char *key, struct now now, struct actions *out);
    } kinds[] = {
        {PLAN_POOL "/", pool_plan},
        {PLAN_SANDBOX "/", sandbox_plan},
        {PLAN_TASK "/", task_plan},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(key, kinds[i].prefix, len) == 0) {
            kinds[i].fn(w, key + len, now, out);
            return;
        }
    }
    assert(!"a key of an unknown kind");
}
