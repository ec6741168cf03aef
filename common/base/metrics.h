/*
 * Metrics in the Prometheus text format, and in OpenMetrics 1.0, which has exemplars. Counters,
 * gauges and histograms with fixed buckets are plain members of the struct that counts, and are
 * written out on demand. There is no registry and no allocation. The caller takes label values from
 * fixed sets, so the number of series is bounded.
 */
#ifndef ARL_COMMON_BASE_METRICS_H
#define ARL_COMMON_BASE_METRICS_H

#include "common/base/base.h"
#include "common/base/buf.h"

/* Upper bounds in seconds: 1 ms to 60 s, about three a decade, as latencies here need them. */
#define METRICS_BUCKETS 14
extern const double metrics_bounds_s[METRICS_BUCKETS];

struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* the last: above all bounds */
    uint64_t count;
    int64_t sum_ns;
};

void metrics_observe(struct metrics_histogram *h, int64_t ns);

/* The last observation of each bucket that has a trace ID. An OpenMetrics exemplar has at most
 * 128 characters of labels; longer identifiers, and those that would need escaping, are left out.
 */
#define METRICS_TRACE_MAX 120
struct metrics_exemplars {
    struct {
        char trace[METRICS_TRACE_MAX + 1]; /* "": none */
        double seconds;
        int64_t wall_ns;
    } of[METRICS_BUCKETS + 1];
};
/* As metrics_observe(); trace may be NULL. */
void metrics_observe_traced(struct metrics_histogram *h, struct metrics_exemplars *ex, int64_t ns,
                            const char *trace, int64_t wall_ns);

/* The HELP and TYPE lines of a family; type is "counter", "gauge" or "histogram". */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
/* A sample; labels as "a=\"b\",c=\"d\"" with values that need no escaping, or NULL. */
void metrics_value(struct buf *out, const char *name, const char *labels, double value);
/* ex: NULL: none */
void metrics_histogram(struct buf *out, const char *name, const struct metrics_histogram *h,
                       const struct metrics_exemplars *ex);

/* The functions above write lines for both formats. This makes a page in one of them. */
enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };
enum metrics_format metrics_format_of(const char *accept); /* the header; NULL: none */
const char *metrics_content_type(enum metrics_format f);
void metrics_page(const struct buf *written, enum metrics_format f, struct buf *out);

#endif
