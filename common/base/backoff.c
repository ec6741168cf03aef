#include "common/base/backoff.h"

#include "common/base/base.h"

#define BACKOFF_MAX_MS (365LL * 24 * 3600 * MSEC_PER_SEC)

int64_t backoff_ns(int64_t first_ms, int64_t max_ms, unsigned failures)
{
    int64_t ms = first_ms;

    assert(first_ms > 0 && first_ms <= max_ms && max_ms <= BACKOFF_MAX_MS);
    for (unsigned i = 1; i < failures && ms < max_ms; i++)
        ms *= 2;
    return MIN(ms, max_ms) * NSEC_PER_MSEC;
}
