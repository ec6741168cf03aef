/*
 * Time as a value. Code that decides never reads a clock: its caller gives it a `struct now`, so
 * that each decision can be repeated. Only the shells (ops_uv, the sidecar's main loop) call
 * clock_read().
 */
#ifndef ARL_COMMON_BASE_CLOCK_H
#define ARL_COMMON_BASE_CLOCK_H

#include "common/base/base.h"

struct now {
    int64_t mono_ns; /* CLOCK_MONOTONIC: for durations, deadlines and order */
    int64_t
        wall_ns; /* CLOCK_REALTIME since the epoch: only for what people and other programs read */
};

struct now clock_read(void);

/* RFC 3339 in UTC as Kubernetes writes it, "2026-01-02T03:04:05Z" (seconds). buf holds >= 21 bytes.
 */
#define RFC3339_MAX 32
void rfc3339_format(char *buf, int64_t wall_ns);
/* With microseconds, as metav1.MicroTime ("...05.000000Z"), for leases. */
void rfc3339_format_micro(char *buf, int64_t wall_ns);
/* Parses seconds or any fraction, Z or an offset. 0, or -EINVAL. */
int rfc3339_parse(const char *s, int64_t *ret_wall_ns);

/* Parses a Go duration (time.ParseDuration) without a sign: "300s", "1m30.5s", "250ms". -ERANGE:
 * above INT64_MAX ns; -EINVAL: malformed. */
int duration_parse(const char *s, int64_t *ret_ns);
/* "1.5s", "2m0s", "850µs"; buf holds >= 40 bytes. */
#define DURATION_MAX 40
void duration_format(char *buf, int64_t ns);

#endif
