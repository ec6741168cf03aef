/*
 * Command-line flags from a table: "--name value", "--name=value"; booleans also plain "--name".
 * The owner of the table owns the targets; string targets point into argv or at the default.
 */
#ifndef ARL_COMMON_BASE_FLAGS_H
#define ARL_COMMON_BASE_FLAGS_H

#include "common/base/base.h"
#include "common/base/err.h"

enum flag_type {
    FLAG_STRING,   /* const char * */
    FLAG_BOOL,     /* bool: true, false, 1, 0, or nothing for true */
    FLAG_DURATION, /* int64_t in milliseconds, from a Go duration */
    FLAG_SIZE,     /* size_t in bytes, from a number with optional Ki, Mi, Gi */
    FLAG_INT,      /* int64_t, 0..INT32_MAX */
    FLAG_STRINGS,  /* struct flag_strings: may be given several times */
};

#define FLAG_STRINGS_MAX 16
struct flag_strings {
    const char *values[FLAG_STRINGS_MAX];
    size_t count;
};

struct flag {
    const char *name; /* without the dashes; NULL ends the table */
    enum flag_type type;
    void *target;     /* holds the default when flags_parse() is called */
    const char *arg;  /* the name of the value in --help; "": no value */
    const char *help; /* one sentence */
};

/*
 * Parses argv[1..]. *ret_rest is the index of the first argument that is no flag (argc when there
 * is none; "--" ends the flags and is skipped). Flags must come before other arguments. -EINVAL
 * with a message that names the flag. -h is --help.
 */
int flags_parse(const struct flag *flags, int argc, char **argv, int *ret_rest, struct err *err);
/* Prints the table with its defaults to stdout (call it before flags_parse changes them). */
void flags_help(const struct flag *flags);

#endif
