/* A token bucket, as a value: a burst at once, and then a rate in each second. */
#ifndef ARL_OPERATOR_CORE_BUCKET_H
#define ARL_OPERATOR_CORE_BUCKET_H

#include "common/base/clock.h"

struct bucket {
    int64_t spent; /* how much of the burst is spent */
    int64_t at_ns; /* the time of that */
};

/* false: less than n is left, and nothing was taken. */
static inline bool bucket_take(struct bucket *b, int64_t n, int64_t burst, int64_t per_s,
                               int64_t now_ns)
{
    int64_t passed_ns = MIN(now_ns - b->at_ns, 3600 * NSEC_PER_SEC);
    int64_t back = passed_ns / NSEC_PER_MSEC * per_s / MSEC_PER_SEC;

    if (back > 0) {
        b->spent = MAX(b->spent - back, 0);
        b->at_ns = now_ns;
    }
    if (b->spent + n > burst)
        return false;
    b->spent += n;
    return true;
}

#endif
