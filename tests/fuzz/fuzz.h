/*
 * What every fuzz target has: LLVMFuzzerTestOneInput(), called with any bytes. With libFuzzer
 * (-Dfuzzers=true, clang) they come from its mutations; otherwise replay.c hands over the files of
 * the corpus, as an ordinary test.
 */
#ifndef ARL_TESTS_FUZZ_H
#define ARL_TESTS_FUZZ_H

#include "common/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input; asserts stay on in all builds. */
#define property(x) assert(x)

#endif
