/*
 * The names and UIDs of the pods that this process has made, or has found to be its own. A pod with
 * one of these names is ours only if it also has the UID. Names are random and never used twice, so
 * another UID means that somebody else has made a pod in place of ours.
 *
 * Limit: MADE_MAX names; then the oldest is dropped. By that time its seal is too old for a copy
 * (pod_seal.h), unless more than MADE_MAX pods are made in ten minutes.
 */
#ifndef ARL_OPERATOR_CORE_MADE_H
#define ARL_OPERATOR_CORE_MADE_H

#include "common/base/map.h"

#define MADE_MAX 16384

struct made {
    struct map uids; /* "namespace/name" -> char *uid */
    char **order;    /* the keys, a ring; allocated with the first one */
    size_t next;     /* where the next key goes */
};

void made_done(struct made *m);
/* NULL: the name is not known. */
const char *made_uid(const struct made *m, const char *key);
/* The first UID of a name stays. */
void made_note(struct made *m, const char *key, const char *uid);

#endif
