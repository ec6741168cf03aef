/*
 * Metrics in the Prometheus text format: counters, gauges and fixed-bucket histograms as plain
 * values inside whatever struct counts, written out on demand. No registry, no allocation; label
 * values are chosen from fixed sets by the caller, so the number of series is bounded.
 */
#ifndef ARL_COMMON_METRICS_H
#define ARL_COMMON_METRICS_H

#include "common/base.h"
#include "common/buf.h"

/* Upper bounds in seconds: 1 ms to 60 s, about three a decade, as latencies here need them. */
#define METRICS_BUCKETS 14
extern const double metrics_bounds_s[METRICS_BUCKETS];

struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* the last: above all bounds */
    uint64_t count;
    int64_t sum_ns;
};

void metrics_observe(struct metrics_histogram *h, int64_t ns);

/* The HELP and TYPE lines of a family; type is "counter", "gauge" or "histogram". */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
/* A sample; labels as "a=\"b\",c=\"d\"" with values that need no escaping, or NULL. */
void metrics_value(struct buf *out, const char *name, const char *labels, double value);
void metrics_histogram(struct buf *out, const char *name, const struct metrics_histogram *h);

#endif
