#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    assert(code < 0);
    if (!err)
        return code;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return code;
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
    char what[ERR_MSG_MAX / 2];
    va_list ap;

    assert(errnum > 0);
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return err_set(err, -errnum, "%s: %s", what, strerror(errnum));
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    char old[ERR_MSG_MAX];
    char what[ERR_MSG_MAX / 4];
    va_list ap;

    if (!err)
        return -1;
    memcpy(old, err->msg, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    /* The cut at the end of a long chain is intended: the outermost context matters most. */
    snprintf(err->msg, sizeof(err->msg), "%s: %.*s", what,
             (int)(sizeof(err->msg) - strlen(what) - 3), old);
    return err->code;
}
