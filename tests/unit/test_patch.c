#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/runner/patch.h"

#include "tests/unit/unit.h"

#define NO_NEWLINE "\\ No newline at end of file\n"

static void check_applies(const char *old, const char *diff, const char *want)
{
    cleanup_free char *out = NULL;
    size_t len;
    uint32_t fault = patch_apply(old, strlen(old), diff, strlen(diff), &out, &len);

    if (fault) {
        cleanup_free char *text = patch_fault_text(fault);

        fail_msg("%s\n%s", text, diff);
    }
    if (len != strlen(want) || memcmp(out, want, len) != 0)
        fail_msg("got \"%.*s\", want \"%s\"", (int)len, out, want);
}

static void check_fault(const char *old, const char *diff, const char *want)
{
    char *out = NULL;
    size_t len;
    uint32_t fault = patch_apply(old, strlen(old), diff, strlen(diff), &out, &len);
    cleanup_free char *text = patch_fault_text(fault);

    assert_null(out);
    assert_int_not_equal(fault, 0);
    if (strcmp(text, want) != 0)
        fail_msg("got \"%s\", want \"%s\" for\n%s", text, want, diff);
}

static void test_applies(void **state)
{
    static const struct {
        const char *old, *diff, *want;
    } rows[] = {
        {"a\nb\nc\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", "a\nB\nc\n"},
        {"a\nb\nc\n", "@@ -2 +2 @@ section\n-b\n+B\n", "a\nB\nc\n"},
        {"1\n2\n3\n4\n", "@@ -1,2 +1 @@\n-1\n 2\n@@ -4 +3,2 @@\n 4\n+5\n", "2\n3\n4\n5\n"},
        /* Without context: behind the line of that number. */
        {"a\nb\n", "@@ -1,0 +2 @@\n+x\n", "a\nx\nb\n"},
        {"a\n", "@@ -0,0 +1 @@\n+x\n", "x\na\n"},
        {"a\nb\n", "@@ -2 +1,0 @@\n-b\n", "a\n"},
        /* A file that is made, one that becomes empty. */
        {"", "--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n", "a\nb\n"},
        {"", "@@ -0,0 +1 @@\n+a\n" NO_NEWLINE, "a"},
        {"a\n", "@@ -1 +0,0 @@\n-a\n", ""},
        /* The newline at the end. */
        {"a\nb", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n" NO_NEWLINE, "A\nb"},
        {"a", "@@ -1 +1 @@\n-a\n" NO_NEWLINE "+a\n", "a\n"},
        {"a\n", "@@ -1 +1 @@\n-a\n+a\n" NO_NEWLINE, "a"},
        {"a\nb\nc", "@@ -1 +1 @@\n-a\n+A\n", "A\nb\nc"},
        /* What other programs leave out or add. */
        {"a\n\nb\n", "@@ -1,3 +1,3 @@\n-a\n+x\n\n b", "x\n\nb\n"},
        {"a\n", "diff --git a/f b/f\nindex 1..2\n@@ -1 +1,2 @@\n a\n+b\n-- \n2.39\n", "a\nb\n"},
        {"a\n", "From: me\n\n@@ -1 +1 @@\n-a\n+b\n\n\n", "b\n"},
        {"a\r\nb\r\n", "@@ -1,2 +1,2 @@\r\n a\r\n-b\r\n+c\r\n", "a\r\nc\r\n"},
        {"-- x\n", "@@ -1 +1 @@\n--- x\n+++ y\n", "++ y\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_applies(rows[i].old, rows[i].diff, rows[i].want);
}

#define BAD(n) "line " #n " of the patch is not what a unified diff has there"
#define OTHER(n) "the patch does not fit: line " #n " of the file is not what it expects"

static void test_faults(void **state)
{
    static const struct {
        const char *old, *diff, *want;
    } rows[] = {
        {"a\n", "", "the patch has no hunk"},
        {"a\n", "--- a\n+++ b\n", "the patch has no hunk"},
        {"a\nb\n", "@@ -1,2 +1,2 @@\n a\n-c\n+d\n", OTHER(2)},
        /* One line off, space at the end, a newline too few or too many: no fuzz. */
        {"x\na\n", "@@ -1 +1 @@\n-a\n+b\n", OTHER(1)},
        {"a \n", "@@ -1 +1 @@\n-a\n+b\n", OTHER(1)},
        {"a", "@@ -1 +1 @@\n-a\n+b\n", OTHER(1)},
        {"a\n", "@@ -1 +1 @@\n-a\n" NO_NEWLINE "+b\n", OTHER(1)},
        {"a\nb\n", "@@ -5 +5 @@\n-a\n+b\n", OTHER(3)},
        {"", "@@ -1 +1 @@\n-a\n+b\n", OTHER(1)},
        {"a\n", "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", OTHER(1)},
        {"a\n", "@@ -1 +1 @@\n-a\n", BAD(3)},
        {"a\n", "@@ -1 +1 @@\n-a\n+b\n+c\n", BAD(4)},
        {"a\nb\n", "@@ -1 +1 @@\n-a\n-b\n+c\n", BAD(3)},
        {"a\n", "@@ -1 +1 @@\n-a\n+b\nrubbish\n", BAD(4)},
        {"a\n", "@@ -1 +1 @@\n*a\n", BAD(2)},
        {"a\n", "@@ -1 +1 @@\n" NO_NEWLINE, BAD(2)},
        {"a\n", "@@ -1 @@\n-a\n", BAD(1)},
        {"a\n", "@@ -0 +1 @@\n-a\n+b\n", BAD(1)},
        {"a\n", "@@ -1,0 +1,0 @@\n", BAD(1)},
        {"a\n", "@@ -99999999999999999999 +1 @@\n-a\n+b\n", BAD(1)},
        {"a\nb\n", "@@ -2 +2 @@\n-b\n+B\n@@ -1 +1 @@\n-a\n+A\n", BAD(5)},
        /* Something behind a line that has no newline. */
        {"a\nb\n", "@@ -1 +1 @@\n-a\n+A\n" NO_NEWLINE, BAD(5)},
        {"a\n", "@@ -1 +1,2 @@\n-a\n+A\n" NO_NEWLINE "+B\n", BAD(5)},
        {"a\nb\nc\n", "@@ -1 +1 @@\n-a\n+A\n" NO_NEWLINE "@@ -3 +1,0 @@\n-c\n", BAD(6)},
        {"a\n", "@@ -1 +1 @@\n-a\n+b\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n",
         "the patch is for more than one file (its line 4)"},
        {"a\n", "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
         "the patch removes the file (its line 2)"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_fault(rows[i].old, rows[i].diff, rows[i].want);
}

static void test_limit(void **state)
{
    cleanup_free char *old = xmalloc(PATCH_FILE_MAX + 1);
    static const char diff[] = "@@ -0,0 +1 @@\n+a\n";
    char *out = NULL;
    size_t len;

    memset(old, '\n', PATCH_FILE_MAX + 1);
    assert_int_equal(
        patch_fault_error(patch_apply(old, PATCH_FILE_MAX + 1, diff, strlen(diff), &out, &len)),
        PATCH_TOO_LARGE);
    assert_int_equal(
        patch_fault_error(patch_apply(old, PATCH_FILE_MAX, diff, strlen(diff), &out, &len)),
        PATCH_TOO_LARGE);
    assert_int_equal(patch_apply(old, PATCH_FILE_MAX - 2, diff, strlen(diff), &out, &len), 0);
    assert_int_equal(len, PATCH_FILE_MAX);
    free(out);
}

static void test_any_fault_has_a_text(void **state)
{
    for (uint32_t error = 0; error < 256; error++) {
        cleanup_free char *text = patch_fault_text(error << PATCH_FAULT_LINE_BITS | 7);

        assert_true(strlen(text) > 10);
    }
}

/* ---- against GNU diff and patch -------------------------------------------------------------- */

static char dir[] = "/tmp/arl-test-patch-XXXXXX";

static void put_file(const char *name, const char *data, size_t len)
{
    cleanup_free char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static size_t get_file(const char *name, char *data, size_t room)
{
    cleanup_free char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        return 0;
    n = fread(data, 1, room, f);
    fclose(f);
    return n;
}

/* A line for the shell, in the folder; its exit status. */
static int run(const char *line)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (chdir(dir) == 0)
            execl("/bin/sh", "sh", "-c", line, NULL);
        _exit(126);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* Few words, so that lines repeat; the last newline is missing now and then. */
static size_t random_text(unsigned *seed, char *ret, size_t lines)
{
    static const char *const words[] = {"a\n",  "b\n",  "\n",           "-c\n",
                                        "+d\n", " e\n", "@@ -1 +1 @@\n"};
    size_t len = 0;

    for (size_t i = 0; i < lines; i++) {
        const char *w = words[next_random(seed) % ARRAY_SIZE(words)];

        memcpy(ret + len, w, strlen(w));
        len += strlen(w);
    }
    return len > 0 && next_random(seed) % 3 == 0 ? len - 1 : len;
}

/* Some lines of old, some of its own. */
static size_t edited(unsigned *seed, const char *old, size_t old_len, char *ret)
{
    size_t len = 0;

    for (size_t i = 0; i < old_len;) {
        const char *newline = memchr(old + i, '\n', old_len - i);
        size_t n = newline ? (size_t)(newline - old) + 1 - i : old_len - i;
        unsigned what = next_random(seed) % 12;

        if (what == 0 && (newline || len > 0))
            len += random_text(seed, ret + len, 1);
        if (len > 0 && ret[len - 1] != '\n')
            ret[len++] = '\n';
        if (what > 1) {
            memcpy(ret + len, old + i, n);
            len += n;
        }
        i += n;
    }
    return len;
}

/* A diff of two texts turns one into the other; and so does GNU patch, where we say that it fits a
 * third text. */
static void test_against_gnu(void **state)
{
    static const char *const diffs[] = {"diff -U0 old new >diff", "diff -U1 old new >diff",
                                        "diff -U3 old new >diff"};
    char old[2000], new[4000], other[4000], diff[16000], patched[16000];
    unsigned seed = 42, both = 0;

    if (run("diff --version >log && patch --version >log") != 0)
        skip();
    for (unsigned i = 0; i < 150; i++) {
        size_t old_len = random_text(&seed, old, next_random(&seed) % 40);
        size_t new_len = edited(&seed, old, old_len, new), diff_len, len;
        size_t other_len = edited(&seed, old, old_len, other);
        char *out = NULL;

        put_file("old", old, old_len);
        put_file("new", new, new_len);
        if (run(diffs[i % ARRAY_SIZE(diffs)]) != 1)
            continue;
        diff_len = get_file("diff", diff, sizeof(diff));
        assert_int_equal(patch_apply(old, old_len, diff, diff_len, &out, &len), 0);
        assert_int_equal(len, new_len);
        assert_memory_equal(out, new, len);
        free(out);
        if (patch_apply(other, other_len, diff, diff_len, &out, &len) != 0)
            continue;
        put_file("other", other, other_len);
        assert_int_equal(run("patch -s -F0 -o patched other diff >log 2>&1"), 0);
        assert_int_equal(get_file("patched", patched, sizeof(patched)), len);
        assert_memory_equal(out, patched, len);
        free(out);
        both++;
    }
    assert_true(both > 0);
}

static int set_up(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    return run("rm -r \"$PWD\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_applies),     cmocka_unit_test(test_faults),
        cmocka_unit_test(test_limit),       cmocka_unit_test(test_any_fault_has_a_text),
        cmocka_unit_test(test_against_gnu),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
