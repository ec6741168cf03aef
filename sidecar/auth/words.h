/*
 * UIDs and numbers in paths and lines that callers send to the agent: hostile input. A word is not
 * NUL-terminated: it comes with its length. These functions leave *ret as it was if they return
 * false.
 */
#ifndef ARL_SIDECAR_AUTH_WORDS_H
#define ARL_SIDECAR_AUTH_WORDS_H

#include "common/base/base.h"
#include "common/base/limits.h"

/* A UID of Kubernetes is a UUID. Accepted are letters, digits and dashes, which are safe in a path.
 */
bool word_uid(const char *text, size_t len, char ret[LIMIT_UID_BYTES + 1]);
/* Only digits, without leading zeroes; at most max. */
bool word_number(const char *text, size_t len, uint64_t max, uint64_t *ret);

#endif
