/* A line of a task's stream: from inside a pod. What can be read is written and read the same. */
#include "common/base/limits.h"
#include "common/wire/task_proto.h"
#include "tests/fuzz/fuzz.h"

/* Less than task_proto.c keeps of a text. */
#define SHORT 2000

/* What the operator relies on. */
static void check_ranges(const struct task_event *e)
{
    bool tail = e->type == TASK_EVENT_TAIL;
    bool of_stream = tail || e->type == TASK_EVENT_OUT || e->type == TASK_EVENT_GAP;

    property(tail ? e->seq == 0 : e->seq >= 1 && e->seq <= INT64_MAX);
    property(e->step < LIMIT_STEPS);
    property(of_stream ? e->fd == 1 || e->fd == 2 : e->fd == 0);
    property(e->code >= 0 && e->code <= 255 && e->duration_ns >= 0 && e->time_unix_ms >= 0);
    property(e->data_len <= LIMIT_EVENT_CHUNK_BYTES && e->gap_bytes <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf again = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf line = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    cleanup_buf struct buf line_of_b = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    struct task_event a, b;

    if (task_event_decode((const char *)data, size, &scratch, &a, NULL) < 0)
        return 0;
    check_ranges(&a);
    property(task_event_encode(&a, &line) == 0);
    property(task_event_decode(line.data, line.len - 1, &again, &b, NULL) == 0);
    property(a.seq == b.seq && a.type == b.type && a.code == b.code && a.reason == b.reason);
    property(a.data_len == b.data_len && (a.data_len == 0 || !memcmp(a.data, b.data, a.data_len)));
    property(a.gap_bytes == b.gap_bytes && a.duration_ns == b.duration_ns);
    property(!a.error == !b.error && !a.spool == !b.spool);
    property(task_event_encode(&b, &line_of_b) == 0);
    /* Long texts are cut. Bytes that are not UTF-8 are replaced by more bytes. A text that came out
     * short does not change any more. */
    if (strlen(str_or_empty(b.error)) < SHORT && strlen(str_or_empty(b.spool)) < SHORT)
        property(line.len == line_of_b.len && !memcmp(line.data, line_of_b.data, line.len));
    return 0;
}
