/*
 * WarmPool: spec and status as the planner needs them. The pod template is kept as JSON text,
 * because only pod_build() reads it.
 */
#ifndef ARL_OPERATOR_API_WARMPOOL_H
#define ARL_OPERATOR_API_WARMPOOL_H

#include "operator/api/condition.h"
#include "operator/api/meta.h"

struct buf;

enum warmpool_phase {
    WARMPOOL_PHASE_NONE,
    WARMPOOL_PENDING,  /* no pod is ready yet */
    WARMPOOL_READY,    /* as many idle pods are ready as asked for */
    WARMPOOL_SCALING,  /* some are ready, others will be soon */
    WARMPOOL_DEGRADED, /* pods fail */
};
const char *warmpool_phase_str(enum warmpool_phase p);

struct warmpool_status {
    enum warmpool_phase phase;
    int64_t replicas; /* idle pods, ready or not, as `kubectl scale` counts them */
    int64_t ready_replicas;
    int64_t allocated_replicas;
    int64_t observed_generation;
    struct condition ready;
    struct condition pods_failing;
};

struct warmpool {
    struct meta meta;
    int64_t replicas;
    char *template_json;    /* spec.template */
    char template_hash[17]; /* of template_json, hex */
    char *invalid;          /* why the spec cannot be used; NULL: it can */
    struct warmpool_status status;
};

void warmpool_status_done(struct warmpool_status *s);
/* The selector of the scale subresource: the pool's idle pods. ret holds >= 512 bytes. */
void warmpool_selector(const struct warmpool *p, char *ret, size_t size);
/* A merge patch of the status subresource. */
int warmpool_status_patch(const struct warmpool *p, const struct warmpool_status *s,
                          struct buf *out);

#endif
