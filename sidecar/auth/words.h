/*
 * The words that callers of the agent name a task by, in paths and in lines: they are hostile
 * input. Not NUL-terminated: each has its length. False leaves *ret as it was.
 */
#ifndef ARL_SIDECAR_AUTH_WORDS_H
#define ARL_SIDECAR_AUTH_WORDS_H

#include "common/base/base.h"
#include "common/base/limits.h"

/* A UID of Kubernetes is a UUID; letters, digits and dashes are what a path may have, too. */
bool word_uid(const char *text, size_t len, char ret[LIMIT_UID_BYTES + 1]);
/* Digits alone, without zeroes in front, at most max. */
bool word_number(const char *text, size_t len, uint64_t max, uint64_t *ret);

#endif
