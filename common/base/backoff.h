/*
 * How long to wait before what failed is tried again: first_ms after one failure, twice as long
 * after each further one in a row, max_ms at most. The caller counts the failures, and adds what
 * chance is to add.
 */
#ifndef ARL_COMMON_BASE_BACKOFF_H
#define ARL_COMMON_BASE_BACKOFF_H

#include <stdint.h>

/* 0 failures wait as long as one. Both times are constants: 0 < first_ms <= max_ms <= a year. */
int64_t backoff_ns(int64_t first_ms, int64_t max_ms, unsigned failures);

#endif
