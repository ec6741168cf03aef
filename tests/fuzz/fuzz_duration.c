/* Durations and times of specs and of the API server. What can be read is written and read the
 * same. */
#include "common/base/clock.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xmemdup0(data, size);
    char again[DURATION_MAX];
    int64_t a = 0, b = 0;

    if (duration_parse(text, &a) == 0) {
        property(a >= 0);
        duration_format(again, a);
        property(strlen(again) < sizeof(again) && duration_parse(again, &b) == 0 && a == b);
    }
    if (rfc3339_parse(text, &a) == 0 && a >= 0) {
        char time[RFC3339_MAX];

        rfc3339_format(time, a);
        property(rfc3339_parse(time, &b) == 0);
        property(a - b >= 0 && a - b < NSEC_PER_SEC);
    }
    return 0;
}
