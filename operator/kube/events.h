/*
 * Events for `kubectl describe`: best effort, and they never hold up work. One Event is written at
 * a time. Events with the same object, reason and message within EVENTS_REPEAT_MS are one Event
 * with a count, which is written at most once in EVENTS_COUNT_MS. At most EVENTS_QUEUE_MAX wait;
 * further ones are dropped, and so is an Event that the API server refuses.
 */
#ifndef ARL_OPERATOR_KUBE_EVENTS_H
#define ARL_OPERATOR_KUBE_EVENTS_H

#include "operator/api/meta.h"
#include "operator/seam/ops.h"

#define EVENTS_REPEAT_MS 600000
#define EVENTS_COUNT_MS 5000 /* an earlier repetition is counted with the next write */
#define EVENTS_QUEUE_MAX 64
#define EVENTS_REMEMBERED 256 /* at most, for EVENTS_REPEAT_MS; the oldest is forgotten first */
#define EVENTS_MESSAGE_MAX 1024

struct events;

/* instance: the reporter of the Events, the name of the pod or host. */
struct events *events_new(struct ops *ops, const char *instance);
void events_free(struct events *e); /* waiting Events are lost */
/* Adds an Event about this object. trace: the caller's own identifier, which becomes the annotation
 * EVENTS_TRACE; NULL: none. reason: one word in CamelCase. Strings are copied. */
#define EVENTS_TRACE "arl.infra.io/trace-id"
void events_add(struct events *e, const struct api_kind *kind, const char *ns, const char *name,
                const char *uid, const char *trace, bool warning, const char *reason,
                const char *message);
uint64_t events_dropped(const struct events *e);

#endif
