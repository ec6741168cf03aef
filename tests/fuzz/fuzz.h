/*
 * What every fuzz target has: LLVMFuzzerTestOneInput(), called with any bytes. With libFuzzer
 * (-Dfuzzers=true, clang) they come from its mutations; otherwise replay.c hands over the files of
 * the corpus, as an ordinary test.
 */
#ifndef ARL_TESTS_FUZZ_H
#define ARL_TESTS_FUZZ_H

#include "common/base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a target wants to say of the whole corpus, once replay.c has handed it over; a target may
 * have it or not. */
void fuzz_replayed(void);

/* A property that must hold for every input; asserts stay on in all builds. */
#define property(x) assert(x)

#endif
