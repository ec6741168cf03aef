/*
 * Kubernetes conditions (metav1.Condition) as compact values. A status struct owns its conditions'
 * texts. reason is one of a documented list (docs/api.md), message is for people.
 */
#ifndef ARL_OPERATOR_API_CONDITION_H
#define ARL_OPERATOR_API_CONDITION_H

#include "common/base/base.h"

struct json_object;
struct json_writer;

enum condition_status {
    CONDITION_ABSENT,
    CONDITION_FALSE,
    CONDITION_TRUE,
    CONDITION_UNKNOWN,
};

struct condition {
    enum condition_status status;
    char *reason;
    char *message;
    int64_t since_wall_ns; /* lastTransitionTime */
};

void condition_done(struct condition *c);
/* Finds the condition of this type in an array of conditions (NULL: none) and fills *ret. */
void condition_decode(struct json_object *conditions, const char *type, struct condition *ret);
/* Sets status, reason and message (copied). The time changes only if the status does. Returns
 * whether anything has changed. */
bool condition_set(struct condition *c, enum condition_status status, const char *reason,
                   const char *message, int64_t wall_ns);
/* Whether they are equal, apart from the time. */
bool condition_eq(const struct condition *a, const struct condition *b);
void condition_copy(struct condition *to, const struct condition *from);
/* Writes an element of a conditions array; nothing for CONDITION_ABSENT. */
void condition_write(struct json_writer *w, const char *type, const struct condition *c,
                     int64_t observed_generation);

#endif
