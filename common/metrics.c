#include "common/metrics.h"

#include <inttypes.h>

#include "common/clock.h"

const double metrics_bounds_s[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                  0.25,  0.5,    1,     2.5,  5,     10,   60};

void metrics_observe(struct metrics_histogram *h, int64_t ns)
{
    double s = (double)ns / (double)NSEC_PER_SEC;
    size_t i = 0;

    while (i < METRICS_BUCKETS && s > metrics_bounds_s[i])
        i++;
    h->buckets[i]++;
    h->count++;
    h->sum_ns += ns;
}

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_value(struct buf *out, const char *name, const char *labels, double value)
{
    if (labels)
        buf_printf(out, "%s{%s} %.15g\n", name, labels, value);
    else
        buf_printf(out, "%s %.15g\n", name, value);
}

void metrics_histogram(struct buf *out, const char *name, const struct metrics_histogram *h)
{
    uint64_t total = 0;

    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        total += h->buckets[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, metrics_bounds_s[i], total);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    buf_printf(out, "%s_sum %.9f\n", name, (double)h->sum_ns / (double)NSEC_PER_SEC);
    buf_printf(out, "%s_count %" PRIu64 "\n", name, h->count);
}
