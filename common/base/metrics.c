#include "common/base/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"

const double metrics_bounds_s[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                  0.25,  0.5,    1,     2.5,  5,     10,   60};

static size_t bucket_of(int64_t ns)
{
    double s = (double)ns / (double)NSEC_PER_SEC;
    size_t i = 0;

    while (i < METRICS_BUCKETS && s > metrics_bounds_s[i])
        i++;
    return i;
}

void metrics_observe(struct metrics_histogram *h, int64_t ns)
{
    h->buckets[bucket_of(ns)]++;
    h->count++;
    h->sum_ns += ns;
}

static bool traceable(const char *trace)
{
    size_t len = trace ? strlen(trace) : 0;

    for (size_t i = 0; i < len; i++)
        if (trace[i] < '!' || trace[i] > '~' || trace[i] == '"' || trace[i] == '\\')
            return false;
    return len > 0 && len <= METRICS_TRACE_MAX;
}

void metrics_observe_traced(struct metrics_histogram *h, struct metrics_exemplars *ex, int64_t ns,
                            const char *trace, int64_t wall_ns)
{
    size_t i = bucket_of(ns);

    metrics_observe(h, ns);
    if (!traceable(trace))
        return;
    memcpy(ex->of[i].trace, trace, strlen(trace) + 1);
    ex->of[i].seconds = (double)ns / (double)NSEC_PER_SEC;
    ex->of[i].wall_ns = wall_ns;
}

#define WHOLE_MAX 1e15

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_value(struct buf *out, const char *name, const char *labels, double value)
{
    bool whole = value > -WHOLE_MAX && value < WHOLE_MAX && value == (double)(int64_t)value;

    buf_puts(out, name);
    if (labels)
        buf_printf(out, "{%s}", labels);
    if (whole) /* as most are: it takes less, and is the same text */
        buf_printf(out, " %" PRId64 "\n", (int64_t)value);
    else
        buf_printf(out, " %.15g\n", value);
}

#define EXEMPLAR " # {"

static void exemplar(struct buf *out, const struct metrics_exemplars *ex, size_t i)
{
    if (ex && *ex->of[i].trace)
        buf_printf(out, EXEMPLAR "trace_id=\"%s\"} %.9g %.3f", ex->of[i].trace, ex->of[i].seconds,
                   (double)ex->of[i].wall_ns / (double)NSEC_PER_SEC);
    buf_putc(out, '\n');
}

void metrics_histogram(struct buf *out, const char *name, const struct metrics_histogram *h,
                       const struct metrics_exemplars *ex)
{
    uint64_t total = 0;

    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        total += h->buckets[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64, name, metrics_bounds_s[i], total);
        exemplar(out, ex, i);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64, name, h->count);
    exemplar(out, ex, METRICS_BUCKETS);
    buf_printf(out, "%s_sum %.9f\n", name, (double)h->sum_ns / (double)NSEC_PER_SEC);
    buf_printf(out, "%s_count %" PRIu64 "\n", name, h->count);
}

/* ---- pages ----------------------------------------------------------------------------------- */

enum metrics_format metrics_format_of(const char *accept)
{
    return accept && strstr(accept, "application/openmetrics-text") ? METRICS_OPENMETRICS
                                                                    : METRICS_PROMETHEUS;
}

const char *metrics_content_type(enum metrics_format f)
{
    return f == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                    : "text/plain; version=0.0.4";
}

/* Of "# HELP NAME ..." and "# TYPE NAME ...": an OpenMetrics family has not its samples' suffix. */
static void put_family(struct buf *out, const char *line, size_t len)
{
    static const char total[] = "_total";
    size_t head = strlen("# HELP "), name = strcspn(line + head, " "), end = head + name;
    bool counts =
        name > strlen(total) && strncmp(line + end - strlen(total), total, strlen(total)) == 0;

    buf_append(out, line, counts ? end - strlen(total) : end);
    buf_append(out, line + end, len - end);
}

void metrics_page(const struct buf *written, enum metrics_format f, struct buf *out)
{
    for (const char *line = buf_str(written); *line;) {
        size_t len = strcspn(line, "\n");
        const char *more = memmem(line, len, EXEMPLAR, strlen(EXEMPLAR));

        if (f == METRICS_OPENMETRICS && *line == '#')
            put_family(out, line, len);
        else if (f == METRICS_PROMETHEUS && *line != '#' && more)
            buf_append(out, line, (size_t)(more - line));
        else
            buf_append(out, line, len);
        buf_putc(out, '\n');
        line += len + (line[len] == '\n');
    }
    if (f == METRICS_OPENMETRICS)
        buf_puts(out, "# EOF\n");
}
