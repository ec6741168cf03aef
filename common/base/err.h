/*
 * Error values. A function that can fail takes `struct err *err` last and returns 0 or a negative
 * errno value; on failure it fills *err (the caller may pass NULL when it does not care) and leaves
 * every other output untouched.
 *
 * The struct is a plain value of fixed size: no ownership, nothing to free. Messages longer than
 * the array are cut. A message is a sentence for people, without the final full stop. It names the
 * action and the object.
 */
#ifndef ARL_COMMON_BASE_ERR_H
#define ARL_COMMON_BASE_ERR_H

#include "common/base/base.h"

#define ERR_MSG_MAX 512

struct err {
    int code; /* negative errno value, 0 when unset */
    char msg[ERR_MSG_MAX];
};

/* Fills *err (if not NULL) and returns code, which must be negative. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* As err_set with -errnum as the code; appends ": <strerror>" to the message. */
int err_errno(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "<text>: " in front of the message that is there; returns err->code. */
int err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
