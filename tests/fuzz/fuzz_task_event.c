/* A line of a task's stream: from inside a pod. What can be read is written and read the same. */
#include "common/limits.h"
#include "common/task_proto.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf again = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf line = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    struct task_event a, b;

    if (task_event_decode((const char *)data, size, &scratch, &a, NULL) < 0)
        return 0;
    property(a.type != TASK_EVENT_OUT || a.data_len <= LIMIT_EVENT_CHUNK_BYTES);
    property(task_event_encode(&a, &line) == 0);
    property(task_event_decode(line.data, line.len - 1, &again, &b, NULL) == 0);
    property(a.seq == b.seq && a.type == b.type && a.code == b.code && a.reason == b.reason);
    property(a.data_len == b.data_len && (a.data_len == 0 || !memcmp(a.data, b.data, a.data_len)));
    property(a.gap_bytes == b.gap_bytes && a.duration_ns == b.duration_ns &&
             str_eq(a.error, b.error));
    return 0;
}
