#include "common/base/limits.h"
#include "sidecar/attempt/outlog.h"

#include "tests/unit/unit.h"

/* Puts the events of a log together again. */
struct reader {
    struct buf out[2];
    uint64_t gap[2];
    size_t head[2]; /* bytes before the gap */
    size_t events;
};

static void read_log(const struct outlog *l, struct reader *r)
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    const struct outlog_line *line;

    *r = (struct reader){.out = {BUF_INIT(64 << 20), BUF_INIT(64 << 20)}};
    for (uint64_t seq = 1; (line = outlog_line(l, seq)); seq++) {
        struct task_event ev;

        assert_int_equal(line->text[line->len - 1], '\n');
        assert_int_equal(task_event_decode(line->text, line->len - 1, &scratch, &ev, NULL), 0);
        assert_int_equal(ev.seq, seq);
        r->events++;
        if (ev.type == TASK_EVENT_OUT)
            buf_append(&r->out[ev.fd - 1], ev.data, ev.data_len);
        if (ev.type == TASK_EVENT_GAP) {
            r->gap[ev.fd - 1] += ev.gap_bytes;
            r->head[ev.fd - 1] = r->out[ev.fd - 1].len;
        }
    }
}

static void reader_done(struct reader *r)
{
    buf_done(&r->out[0]);
    buf_done(&r->out[1]);
}

/* Byte i of what a program prints. */
static char byte_at(size_t i)
{
    return (char)(i * 31 + i / 251);
}

static void push(struct outlog *l, int fd, size_t from, size_t len)
{
    cleanup_free char *data = xmalloc(len);

    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(from + i);
    outlog_data(l, fd, data, len);
}

/* Prints `total` bytes in chunks through a limit: head and tail are exact, and the gap counts the
 * rest. */
static void check(size_t limit, size_t total, size_t chunk)
{
    CLEANUP(outlog_done) struct outlog l;
    CLEANUP(reader_done) struct reader r;
    size_t keep = MIN(total, limit), head = limit - limit / 2;

    outlog_init(&l, limit);
    outlog_begin_step(&l, 0);
    for (size_t i = 0; i < total; i += chunk)
        push(&l, 1, i, MIN(chunk, total - i));
    outlog_flush(&l);
    read_log(&l, &r);
    assert_int_equal(r.out[0].len, keep);
    assert_int_equal(r.gap[0], total - keep);
    for (size_t i = 0; i < keep; i++) {
        size_t from = i < head || total <= limit ? i : total - keep + i;

        if (r.out[0].data[i] != byte_at(from))
            fail_msg("limit %zu, %zu bytes by %zu: byte %zu is wrong", limit, total, chunk, i);
    }
    if (r.gap[0] > 0)
        assert_int_equal(r.head[0], head);
}

static void test_limits(void **state)
{
    static const size_t limits[] = {1, 2, 7, 100, 4096, 10000};
    static const size_t totals[] = {0, 1, 2, 6, 7, 8, 99, 100, 101, 4095, 5000, 9999, 10001, 40000};
    static const size_t chunks[] = {1, 3, 64, 4096, 32768};

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        for (size_t j = 0; j < ARRAY_SIZE(totals); j++)
            for (size_t k = 0; k < ARRAY_SIZE(chunks); k++)
                check(limits[i], totals[j], chunks[k]);
}

static void test_default_limit(void **state)
{
    check(LIMIT_OUTPUT_BYTES_DEFAULT, 200000, 32768);
    check(LIMIT_OUTPUT_BYTES_DEFAULT, 1000000, 32768);
    check(LIMIT_OUTPUT_BYTES_DEFAULT, LIMIT_OUTPUT_BYTES_DEFAULT, 1000);
}

static void append(const char *data, size_t len, void *arg)
{
    buf_append(arg, data, len);
}

/* Until something is dropped, all of a stream can be had again, wherever it is kept. */
static void test_replay(void **state)
{
    static const size_t limits[] = {1, 7, 100, 9000, 70000};
    static const size_t chunks[] = {1, 3, 1000, 32768};

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        for (size_t j = 0; j < ARRAY_SIZE(chunks); j++) {
            CLEANUP(outlog_done) struct outlog l;
            cleanup_buf struct buf got = BUF_INIT(1 << 20);
            size_t n = 0;

            outlog_init(&l, limits[i]);
            outlog_begin_step(&l, 0);
            push(&l, 1, 5, 1);
            outlog_flush(&l);
            outlog_begin_step(&l, 1);
            push(&l, 2, 7, 1);
            while (!outlog_overflows(&l, 1, chunks[j])) {
                push(&l, 1, n, chunks[j]);
                n += chunks[j];
            }
            assert_true(n <= limits[i] && n + chunks[j] > limits[i]);
            outlog_replay(&l, 1, append, &got);
            assert_int_equal(got.len, n);
            for (size_t k = 0; k < n; k++)
                assert_int_equal(got.data[k], byte_at(k));
            push(&l, 1, n, chunks[j]);
            assert_true(outlog_overflows(&l, 1, 1));
        }
}

/* The first half goes out as it comes. */
static void test_live(void **state)
{
    CLEANUP(outlog_done) struct outlog l;

    outlog_init(&l, 10);
    outlog_begin_step(&l, 0);
    outlog_data(&l, 1, "abc", 3);
    assert_int_equal(l.count, 1);
    outlog_data(&l, 1, "defgh", 5);
    assert_int_equal(l.count, 2);
    outlog_data(&l, 1, "ij", 2);
    assert_int_equal(l.count, 2);
    outlog_flush(&l);
    assert_int_equal(l.count, 3);
}

/* The only tail line in it; false: there is none. Its data points into scratch. */
static bool tail_of(struct outlog *l, struct buf *scratch, struct task_event *ret)
{
    cleanup_buf struct buf b = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    size_t count = l->count;

    outlog_tail(l, &b);
    assert_int_equal(l->count, count); /* it is no line of the log */
    if (b.len == 0)
        return false;
    assert_ptr_equal(memchr(b.data, '\n', b.len), b.data + b.len - 1);
    assert_int_equal(task_event_decode(b.data, b.len - 1, scratch, ret, NULL), 0);
    assert_int_equal(ret->type, TASK_EVENT_TAIL);
    assert_int_equal(ret->fd, 1);
    return true;
}

/* The bytes that went out, those that the tail counts and those in it are all that was printed. */
static void test_tail(void **state)
{
    static const size_t limit = 20000;
    static const size_t chunks[] = {10000, 1, 100, 4095, 1, 5000, 30000, 7};
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    CLEANUP(outlog_done) struct outlog l;
    struct task_event ev;
    size_t all = 0;

    outlog_init(&l, limit);
    outlog_begin_step(&l, 3);
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        push(&l, 1, all, chunks[i]);
        all += chunks[i];
        assert_int_equal(tail_of(&l, &scratch, &ev), i > 0); /* the first half has gone out */
        if (i == 0)
            continue;
        assert_int_equal(ev.step, 3);
        assert_int_equal(ev.data_len, MIN(all - limit / 2, (size_t)LIMIT_TAIL_BYTES));
        assert_int_equal(limit / 2 + ev.gap_bytes + ev.data_len, all);
        for (size_t k = 0; k < ev.data_len; k++)
            assert_int_equal(ev.data[k], byte_at(all - ev.data_len + k));
        assert_false(tail_of(&l, &scratch, &ev)); /* nothing new */
    }
    outlog_tail_anew(&l);
    assert_true(tail_of(&l, &scratch, &ev));
    push(&l, 1, all, 1);
    outlog_flush(&l);
    assert_false(tail_of(&l, &scratch, &ev)); /* all of it has gone out */
    outlog_tail_anew(&l);
    assert_false(tail_of(&l, &scratch, &ev));
}

static void test_many_small(void **state)
{
    CLEANUP(outlog_done) struct outlog l;
    CLEANUP(reader_done) struct reader r;

    outlog_init(&l, 1 << 20);
    outlog_begin_step(&l, 0);
    for (size_t i = 0; i < 100000; i++)
        push(&l, 2, i, 1);
    outlog_tick(&l);
    read_log(&l, &r);
    assert_int_equal(r.out[1].len, 100000);
    assert_true(r.events < OUTLOG_EAGER_EVENTS + 100);
}

/* Lines take memory beside their bytes. That is bounded as well, however a program writes and
 * whatever the number of steps; and all that was printed is there. */
static void test_small_lines_are_bounded(void **state)
{
    static const size_t each = 2 * OUTLOG_EAGER_EVENTS;
    CLEANUP(outlog_done) struct outlog l;
    CLEANUP(reader_done) struct reader r;
    size_t bytes = 0;

    outlog_init(&l, 1 << 20);
    for (unsigned i = 0; i < LIMIT_STEPS; i++) {
        outlog_begin_step(&l, i);
        for (size_t k = 0; k < each; k++) {
            push(&l, 1, i * each + k, 1);
            push(&l, 2, i * each + k, 1);
            outlog_tick(&l);
        }
        outlog_flush(&l);
    }
    read_log(&l, &r);
    assert_true(r.events > OUTLOG_SMALL_EVENTS);
    assert_in_range(r.events, 0, OUTLOG_SMALL_EVENTS + 1 + 2 * LIMIT_STEPS);
    for (size_t i = 0; i < l.count; i++)
        bytes += l.lines[i]->len + sizeof(*l.lines[i]) + sizeof(l.lines[i]);
    assert_in_range(l.bytes, bytes, 3u << 20);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(r.out[s].len, LIMIT_STEPS * each);
        for (size_t i = 0; i < r.out[s].len; i++)
            assert_int_equal(r.out[s].data[i], byte_at(i));
    }
}

/* Steps have limits of their own, and one for all of them together. */
static void test_all_steps(void **state)
{
    CLEANUP(outlog_done) struct outlog l;
    CLEANUP(reader_done) struct reader r;
    size_t limit = 1 << 20, steps = 20;

    outlog_init(&l, limit);
    for (size_t i = 0; i < steps; i++) {
        outlog_begin_step(&l, (uint32_t)i);
        for (size_t j = 0; j < limit; j += 32768) {
            push(&l, 1, j, 32768);
            push(&l, 2, j, 32768);
        }
        outlog_flush(&l);
    }
    read_log(&l, &r);
    assert_int_equal(r.out[0].len + r.out[1].len, OUTLOG_TOTAL_BYTES);
    assert_int_equal(r.gap[0] + r.gap[1], 2 * steps * limit - OUTLOG_TOTAL_BYTES);
}

static unsigned lines_seen;

static void on_line(const struct outlog_line *line, void *arg)
{
    lines_seen++;
}

static void test_restore(void **state)
{
    CLEANUP(outlog_done) struct outlog l, copy;
    struct task_event ev = {.type = TASK_EVENT_ACCEPTED};

    outlog_init(&l, 10);
    outlog_init(&copy, 10);
    l.on_line = on_line;
    outlog_emit(&l, &ev);
    outlog_emit(&l, &ev);
    assert_int_equal(lines_seen, 2);
    outlog_restore(&copy, outlog_line(&l, 1)->text, outlog_line(&l, 1)->len);
    assert_memory_equal(outlog_line(&copy, 1)->text, outlog_line(&l, 1)->text,
                        outlog_line(&l, 1)->len);
    outlog_emit(&copy, &ev);
    assert_int_equal(ev.seq, 2);
    assert_null(outlog_line(&copy, 0));
    assert_null(outlog_line(&copy, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_default_limit),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_many_small),
        cmocka_unit_test(test_all_steps),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_small_lines_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
