#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "sidecar/runner/podlog.h"

#include "tests/unit/unit.h"

/* The container's log: a pipe, as container runtimes give it. */
static int ends[2];
static struct podlog podlog;
static struct podlog_step step;

static int setup(void **state)
{
    assert_int_equal(pipe(ends), 0);
    podlog = podlog_open(ends[1]);
    step = (struct podlog_step){.label = "task/step"};
    return 0;
}

static int teardown(void **state)
{
    podlog_close(&podlog);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* All that is in the pipe now. */
static char *taken(void)
{
    static char text[1 << 20];
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    size_t len = 0;

    while (poll(&fd, 1, 0) == 1)
        len += (size_t)read(ends[0], text + len, sizeof(text) - 1 - len);
    text[len] = 0;
    return text;
}

static void put(int stream, const char *text)
{
    podlog_put(&podlog, &step, stream, text, strlen(text));
}

static void fill_pipe(void)
{
    char page[4096] = {0};
    int flags = fcntl(ends[1], F_GETFL);

    fcntl(ends[1], F_SETFL, flags | O_NONBLOCK);
    while (write(ends[1], page, sizeof(page)) > 0)
        ;
    fcntl(ends[1], F_SETFL, flags);
}

static void test_lines_are_marked_when_they_are_whole(void **state)
{
    put(0, "one\ntw");
    assert_string_equal(taken(), "[task/step] one\n");
    put(1, "error\n");
    put(0, "o\n\n");
    assert_string_equal(taken(), "[task/step] error\n[task/step] two\n[task/step] \n");
    put(0, "rest");
    put(1, "more");
    assert_string_equal(taken(), "");
    podlog_end(&podlog, &step);
    assert_string_equal(taken(), "[task/step] rest\n[task/step] more\n");
}

static void test_long_lines_are_broken(void **state)
{
    static char text[PODLOG_LINE_BYTES + 2];
    cleanup_free char *want = NULL;

    memset(text, 'a', sizeof(text) - 1);
    put(0, text);
    podlog_end(&podlog, &step);
    want = xasprintf("[task/step] %.*s\n[task/step] a\n", PODLOG_LINE_BYTES, text);
    assert_string_equal(taken(), want);
}

/* Two thousand lines of two bytes: their labels count. */
static void test_a_step_has_a_limit(void **state)
{
    static const char last[] = "[task/step] (further output of this step is not shown here)\n";
    size_t total = 0, len = 0;
    char *text = NULL;

    for (int i = 0; i < 10000; i++) {
        put(0, "x\n");
        text = taken();
        len = strlen(text);
        total += len;
        if (len > sizeof(last))
            break;
    }
    assert_string_equal(text + len - strlen(last), last);
    assert_in_range(total, PODLOG_STEP_BYTES, PODLOG_STEP_BYTES + 2 * sizeof(last));
    put(0, "nothing\n");
    podlog_end(&podlog, &step);
    assert_string_equal(taken(), "");
}

/* A log that nobody reads never holds a step up; what was lost is told when there is room. */
static void test_a_full_pipe_drops(void **state)
{
    fill_pipe();
    put(0, "lost\n");
    assert_int_equal(step.dropped, strlen("[task/step] lost\n"));
    taken();
    put(0, "kept\n");
    podlog_end(&podlog, &step);
    assert_string_equal(taken(), "[task/step] kept\n[task/step] (17 bytes were lost here)\n");
}

/* What others write to stays as it was: its writes may wait. */
static void test_the_descriptor_is_not_changed(void **state)
{
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_not_equal(podlog.fd, ends[1]);
}

static void test_a_file_is_asked_first(void **state)
{
    char path[] = "/tmp/arl-podlog-XXXXXX", text[64] = "";
    int fd = mkstemp(path);
    struct podlog p = podlog_open(fd);

    unlink(path);
    assert_int_equal(p.fd, fd);
    assert_true(p.wait);
    podlog_put(&p, &step, 0, "hi\n", 3);
    podlog_close(&p);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), strlen("[task/step] hi\n"));
    assert_string_equal(text, "[task/step] hi\n");
    close(fd);
}

static void test_without_a_log_all_is_dropped(void **state)
{
    struct podlog none = {.fd = -1};

    podlog_put(&none, &step, 0, "hi\n", 3);
    podlog_end(&none, &step);
    assert_true(step.dropped > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_are_marked_when_they_are_whole),
        TEST(test_long_lines_are_broken),
        TEST(test_a_step_has_a_limit),
        TEST(test_a_full_pipe_drops),
        TEST(test_the_descriptor_is_not_changed),
        TEST(test_a_file_is_asked_first),
        TEST(test_without_a_log_all_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
