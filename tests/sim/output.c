/* Whether the output in a status is what the steps have printed, byte for byte, apart from the
 * bytes that a marker counts as dropped. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#define MARKER "\n[... "
#define MARKER_END " bytes dropped ...]\n"

/* HEAD, the marker and TAIL in place of text. Returns where they end in out; NULL: out has
 * something else. */
static const char *skip_cut(const char *out, const char *text, size_t least)
{
    const char *marker = strstr(out, MARKER), *end;
    size_t len = strlen(text), head, tail;
    uint64_t dropped;
    int used = 0;

    if (!marker || sscanf(marker, MARKER "%" SCNu64 "%n", &dropped, &used) != 1)
        return NULL;
    end = marker + used;
    head = (size_t)(marker - out);
    if (strncmp(end, MARKER_END, strlen(MARKER_END)) != 0 || head > len || dropped == 0 ||
        dropped > len - head || strncmp(out, text, head) != 0)
        return NULL;
    end += strlen(MARKER_END);
    tail = len - head - (size_t)dropped;
    if (tail < MIN(least, len) || strncmp(end, text + len - tail, tail) != 0)
        return NULL;
    return end + tail;
}

bool output_is_tail(const char *out, const char *task_uid, const struct agent_truth *truth,
                    int64_t attempt, size_t least)
{
    for (size_t i = 0; i < truth->printed && out; i++) {
        cleanup_free char *text = agent_step_text(task_uid, attempt, i);
        size_t len = strlen(text);
        bool last = i + 1 == truth->printed;

        out = strncmp(out, text, len) == 0 ? out + len : skip_cut(out, text, last ? least : 0);
    }
    return out && !*out;
}
