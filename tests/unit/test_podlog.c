#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "sidecar/runner/mainlog.h"
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

/* Two thousand lines of two bytes: their labels count against the limit. */
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

/* A log that nobody reads does not hold a step up. What was lost is told when there is room. */
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

/* Others write to the same pipe: it stays blocking for them. */
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

static void test_what_could_move_a_terminal_is_escaped(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"a\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
         "a\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"x\r[other/step] y", "x\\x0d[other/step] y"},
        {"\x1b[1A\x7f\b\v\f", "\\x1b[1A\\x7f\\x08\\x0b\\x0c"},
        {"\xc2\x9b"
         "1A\xc2\x85",
         "\\xc2\\x9b1A\\xc2\\x85"}, /* C1 */
        {"\xe2\x80\xa8\xe2\x80\xae\xe2\x80\x8b", "\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xe2\\x80\\x8b"},
        {"\xff\xc0\x80\xed\xa0\x80\xe2\x82",
         "\\xff\\xc0\\x80\\xed\\xa0\\x80\\xe2\\x82"}, /* not UTF-8 */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *want = xasprintf("[task/step] %s\n", rows[i].want);

        put(0, rows[i].text);
        put(0, "\n");
        assert_string_equal(taken(), want);
    }
    podlog_set_label(&step, "t/\xe2\x80\xae\xc3\xa4");
    put(0, "x\n");
    assert_string_equal(taken(), "[t/\\xe2\\x80\\xae\xc3\xa4] x\n");
}

/* One byte becomes four: such lines are broken further, and count as what they take. */
static void test_escaped_lines_are_broken(void **state)
{
    static char text[PODLOG_LINE_BYTES + 1];
    const char *p;
    int lines = 0;

    memset(text, 1, sizeof(text) - 1);
    put(0, text);
    p = taken();
    assert_int_equal(strlen(p), 4 * PODLOG_LINE_BYTES + 4 * strlen("[task/step] \n"));
    for (; (p = strstr(p, "[task/step] ")); p++)
        lines++;
    assert_int_equal(lines, 4);
}

/* ---- the main command ------------------------------------------------------------------------ */

static int command[2];
static struct mainlog main_log;

static void begin_main(void)
{
    assert_int_equal(pipe2(command, O_NONBLOCK), 0);
    main_log = (struct mainlog){.in = command[0], .log = &podlog};
}

static void end_main(void)
{
    close(command[1]);
    mainlog_finish(&main_log, 1000);
    mainlog_done(&main_log);
    assert_false(podlog.busy);
}

static void say(const char *text)
{
    assert_int_equal(write(command[1], text, strlen(text)), strlen(text));
    mainlog_on_poll(&main_log);
}

static void test_the_main_commands_lines_pass_but_those_like_ours(void **state)
{
    begin_main();
    say("{\"a\": [1]}\n[INFO] up\n[grade/tests] 100 passed\narl-runner: gone\nx\r\x1b[[a/b] c\nno "
        "e");
    assert_string_equal(taken(), "{\"a\": [1]}\n[INFO] up\nmain: [grade/tests] 100 passed\n"
                                 "main: arl-runner: gone\nx\\x0d\\x1b[[a/b] c\n");
    /* A step's line does not come into the middle of it. */
    put(0, "step\n");
    say("nd\n");
    assert_string_equal(taken(), "[task/step] step\nno end\n");
    say("rest");
    end_main();
    assert_string_equal(taken(), "rest\n");
}

static void test_a_long_line_is_broken_and_marked_again(void **state)
{
    static char text[MAINLOG_LINE_BYTES + 8];
    cleanup_free char *want = NULL;
    struct pollfd fd;

    begin_main();
    memset(text, 'a', MAINLOG_LINE_BYTES);
    strcpy(text + MAINLOG_LINE_BYTES, "[t/s] x");
    assert_int_equal(write(command[1], text, strlen(text)), strlen(text));
    for (int i = 0; i < 10; i++)
        mainlog_on_poll(&main_log);
    assert_true(mainlog_poll(&main_log, &fd) && fd.fd == command[0]);
    end_main();
    want = xasprintf("%.*s\nmain: [t/s] x\n", (int)MAINLOG_LINE_BYTES, text);
    assert_string_equal(taken(), want);
}

/* The command waits. Lines of a step are lost meanwhile: they are not mixed with its lines. */
static void test_a_full_log_holds_the_main_command_up(void **state)
{
    struct pollfd fd;

    begin_main();
    fill_pipe();
    say("one\n");
    assert_true(mainlog_poll(&main_log, &fd));
    assert_int_equal(fd.fd, podlog.fd);
    assert_int_equal(fd.events, POLLOUT);
    assert_int_equal(write(command[1], "two\n", 4), 4);
    mainlog_on_poll(&main_log);
    taken();
    put(0, "lost\n");
    assert_true(step.dropped > 0);
    mainlog_on_poll(&main_log);
    assert_string_equal(taken(), "one\ntwo\n");
    end_main();
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
        TEST(test_what_could_move_a_terminal_is_escaped),
        TEST(test_escaped_lines_are_broken),
        TEST(test_the_main_commands_lines_pass_but_those_like_ours),
        TEST(test_a_long_line_is_broken_and_marked_again),
        TEST(test_a_full_log_holds_the_main_command_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
