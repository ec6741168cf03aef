/*
 * A kind for tests of the API machinery: Toy, toys.example.com/v1, with one field spec.color. An
 * object whose metadata has no name does not decode.
 */
#ifndef ARL_TESTS_FAKE_KIND_H
#define ARL_TESTS_FAKE_KIND_H

#include "operator/api/meta.h"

struct toy {
    struct meta meta;
    char *color;
};

extern const struct api_kind fake_kind;
extern const struct api_kind fake_kind_pb; /* the same, asked for in protobuf */

/* A new toy; strings are copied. */
struct meta *fake_toy(const char *ns, const char *name, const char *uid, const char *rv);
/* The JSON of a toy, as the API server writes it; the caller frees it. */
char *fake_toy_json(const char *ns, const char *name, const char *uid, const char *rv,
                    const char *color);
/* How many toys exist: leaks and double frees show here even without a sanitizer. */
extern int fake_toys_alive;

#endif
