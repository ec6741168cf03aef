#include "operator/core/plan_key.h"

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
