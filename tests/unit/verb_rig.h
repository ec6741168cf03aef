/*
 * For tests of the verbs of docs/files.md: calls one in a process of its own, in a folder of its
 * own, as pods/exec does.
 */
#ifndef ARL_TESTS_VERB_RIG_H
#define ARL_TESTS_VERB_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "sidecar/runner/verb_io.h"
#include "sidecar/runner/verbs.h"

#include "tests/unit/unit.h"

#define ARGS_MAX 12
#define TEXT_MAX (1u << 20)

static char root[] = "/tmp/arl-test-verbs-XXXXXX";
static struct verbs_place place = {.here = true, .alone = true};
/* Of the verb that was called last. */
static struct buf out = BUF_INIT(TEXT_MAX), err = BUF_INIT(TEXT_MAX);
/* What it reads. */
static const char *input = "";
static size_t input_len;

/* ---- tools ----------------------------------------------------------------------------------- */

static inline void read_all(int fd, struct buf *b)
{
    char data[4096];
    ssize_t n;

    buf_clear(b);
    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, data, sizeof(data))) > 0)
        assert_int_equal(buf_append(b, data, (size_t)n), 0);
    close(fd);
}

static inline int file_in_memory(const char *data, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static inline int call_argv(int argc, char **argv)
{
    int fds[3] = {file_in_memory(input, input_len), file_in_memory("", 0), file_in_memory("", 0)};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        for (int i = 0; i < 3; i++)
            dup2(fds[i], i);
        _exit(chdir(root) < 0 ? 99 : verbs_main(&place, argc, argv));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    close(fds[0]);
    read_all(fds[1], &out);
    read_all(fds[2], &err);
    return WEXITSTATUS(status);
}

/* Words, divided by spaces. The exit status. */
PRINTF_LIKE(1, 2)
static inline int call(const char *fmt, ...)
{
    char *argv[ARGS_MAX + 1];
    cleanup_free char *text = NULL;
    va_list args;
    int argc = 0;

    va_start(args, fmt);
    assert_true(vasprintf(&text, fmt, args) > 0);
    va_end(args);
    for (char *p = text; p; argc++) {
        char *space = strchr(p, ' ');

        assert_true(argc < ARGS_MAX);
        argv[argc] = p;
        if (space)
            *space = '\0';
        p = space ? space + 1 : NULL;
    }
    argv[argc] = NULL;
    return call_argv(argc, argv);
}

static inline void set_input(const char *data, size_t len)
{
    input = data;
    input_len = len;
}

static inline char *path(const char *name)
{
    return xasprintf("%s/%s", root, name);
}

static inline void put_text(const char *name, const char *text)
{
    set_input(text, strlen(text));
    assert_int_equal(call("put --size %zu %s", strlen(text), name), 0);
}

static inline void check_file(const char *name, const char *want)
{
    cleanup_free char *file = path(name);
    struct buf b = BUF_INIT(TEXT_MAX);
    int fd = open(file, O_RDONLY);

    assert_true(fd >= 0);
    read_all(fd, &b);
    assert_string_equal(buf_str(&b), want);
    buf_done(&b);
}

static inline mode_t mode_of(const char *name)
{
    cleanup_free char *file = path(name);
    struct stat st;

    assert_int_equal(lstat(file, &st), 0);
    return st.st_mode;
}

static inline bool is_there(const char *name)
{
    cleanup_free char *file = path(name);
    struct stat st;

    return lstat(file, &st) == 0;
}

static inline void make_link(const char *target, const char *name)
{
    cleanup_free char *file = path(name);

    assert_int_equal(symlink(target, file), 0);
}

#define has(b, text) assert_non_null(strstr(buf_str(&(b)), text))

/* A call that fails, with this code. */
PRINTF_LIKE(3, 4)
static inline void refused(const char *code, int status, const char *fmt, ...)
{
    cleanup_free char *text = NULL, *want = xasprintf("{\"error\":\"%s\",\"message\":\"", code);
    va_list args;

    va_start(args, fmt);
    assert_true(vasprintf(&text, fmt, args) > 0);
    va_end(args);
    assert_int_equal(call("%s", text), status);
    if (strncmp(buf_str(&err), want, strlen(want)) != 0)
        fail_msg("%s: %s", text, buf_str(&err));
    assert_int_equal(buf_str(&err)[err.len - 1], '\n');
}

static inline int set_up(void **state)
{
    memcpy(root + strlen(root) - 6, "XXXXXX", 6);
    set_input("", 0);
    place = (struct verbs_place){.here = true, .alone = true};
    umask(022);
    return mkdtemp(root) ? 0 : -1;
}

static inline int tear_down(void **state)
{
    set_input("", 0);
    place = (struct verbs_place){.here = true, .alone = true};
    if (call("rm -r %s", root) != 0)
        fail_msg("%s", buf_str(&err));
    buf_done(&out);
    buf_done(&err);
    return 0;
}

#endif
