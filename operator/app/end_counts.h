/* How many Sandboxes failed, and how many attempts of Tasks ended, by reason: for the metrics. */
#ifndef ARL_OPERATOR_APP_END_COUNTS_H
#define ARL_OPERATOR_APP_END_COUNTS_H

#include "common/base/buf.h"
#include "operator/api/meta.h"

#define END_REASONS 25

struct end_counts {
    uint64_t counts[END_REASONS];
};

/* Such a status was written. A reason that is no end is ignored. */
void end_count(struct end_counts *e, const struct api_kind *kind, const char *reason);
void end_counts_metrics(const struct end_counts *e, struct buf *out);

#endif
