#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/runner/hunks.h"

#include "tests/unit/unit.h"

#define NO_NEWLINE "\\ No newline at end of file\n"

/* 0, or a sentence in *ret_why, for a patch of one file. */
static int apply(const char *old, size_t old_len, const char *text, size_t len, unsigned fuzz,
                 struct hunks_text *ret, char **ret_why)
{
    CLEANUP(diff_done) struct diff d = {0};
    int r = diff_parse(text, len, &d, ret_why);

    if (r < 0)
        return r;
    assert_int_equal(d.count, 1);
    return hunks_apply(old, old_len, &d.files[0], fuzz, ret, ret_why);
}

static void check_applies(const char *old, const char *diff, unsigned fuzz, const char *want,
                          const char *want_notes)
{
    CLEANUP(hunks_text_done) struct hunks_text t = {0};
    cleanup_free char *why = NULL;

    if (apply(old, strlen(old), diff, strlen(diff), fuzz, &t, &why) < 0)
        fail_msg("%s\n%s", why, diff);
    if (t.len != strlen(want) || memcmp(t.data, want, t.len) != 0)
        fail_msg("got \"%.*s\", want \"%s\"", (int)t.len, t.data, want);
    if (strcmp(str_or_empty(t.notes), str_or_empty(want_notes)) != 0)
        fail_msg("got the notes \"%s\", want \"%s\"", str_or_empty(t.notes),
                 str_or_empty(want_notes));
}

static void check_refused(const char *old, const char *diff, const char *want)
{
    CLEANUP(hunks_text_done) struct hunks_text t = {0};
    cleanup_free char *why = NULL;

    assert_int_equal(apply(old, strlen(old), diff, strlen(diff), 0, &t, &why), -EINVAL);
    assert_null(t.data);
    if (strcmp(why, want) != 0)
        fail_msg("got \"%s\", want \"%s\" for\n%s", why, want, diff);
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
        {"a\nb\n", "@@ -0,0 +1 @@\n+x\n@@ -2 +3 @@\n-b\n+c\n", "x\na\nc\n"},
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
        check_applies(rows[i].old, rows[i].diff, 0, rows[i].want, NULL);
}

#define EXPECTED(hunk, want, line, got)                                                            \
    "hunk " #hunk " does not fit: expected \"" want "\" at line " #line ", found \"" got "\""
#define TOO_SHORT(hunk, want, line, has)                                                           \
    "hunk " #hunk " does not fit: expected \"" want "\" at line " #line ", and the file has " #has \
    " lines"
#define NO_HEAD(line, found)                                                                       \
    "line " #line                                                                                  \
    " of the patch: expected a hunk's head such as \"@@ -1,3 +1,4 @@\", found \"" found "\""

static void test_refused(void **state)
{
    static const struct {
        const char *old, *diff, *want;
    } rows[] = {
        {"a\n", "", "the patch has no hunk: it is empty"},
        {"a\n", " \n\r\n", "the patch has no hunk: it is empty"},
        {"a\n", "\n1c1\r\n< a\n---\n> b\n",
         "the patch has no hunk: it is no unified diff, and begins with \"1c1\""},
        {"a\n", "--- a\n+++ b\n",
         "the patch ends where a hunk's head such as \"@@ -1,3 +1,4 @@\" is expected"},
        {"a\nb\n", "@@ -1,2 +1,2 @@\n a\n-c\n+d\n", EXPECTED(1, "c", 2, "b")},
        /* What differs is said. */
        {"a \n", "@@ -1 +1 @@\n-a\n+b\n",
         EXPECTED(1, "a", 1, "a ") ": they differ only in white space"},
        {"a\r\n", "@@ -1 +1 @@\n-a\n+b\n",
         EXPECTED(1, "a", 1,
                  "a\\r") ": they differ only in line ends, the file has CRLF and the patch LF"},
        {"a\n", "@@ -1 +1 @@\n-a\r\n+b\r\n",
         EXPECTED(1, "a\\r", 1,
                  "a") ": they differ only in line ends, the file has LF and the patch CRLF"},
        {"\xef\xbb\xbf"
         "a\n",
         "@@ -1 +1 @@\n-a\n+b\n",
         EXPECTED(1, "a", 1,
                  "\xef\xbb\xbf"
                  "a") ": the file begins with a byte order mark, which the patch does not have"},
        {"a", "@@ -1 +1 @@\n-a\n+b\n",
         EXPECTED(1, "a", 1,
                  "a") ": they differ only in the newline, which the file does not have"},
        {"a\n", "@@ -1 +1 @@\n-a\n" NO_NEWLINE "+b\n",
         EXPECTED(1, "a", 1, "a") ": they differ only in the newline, which the file has"},
        {"a\x1b[2Jb\n", "@@ -1 +1 @@\n-x\n+b\n", EXPECTED(1, "x", 1, "a\\x1b[2Jb")},
        {"a\nb\n", "@@ -5 +5 @@\n-c\n+b\n", TOO_SHORT(1, "c", 5, 2)},
        {"", "@@ -1 +1 @@\n-a\n+b\n", TOO_SHORT(1, "a", 1, 0)},
        {"a\n", "@@ -7,0 +8 @@\n+b\n", "hunk 1 is for line 7, and the file has 1 lines"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_refused(rows[i].old, rows[i].diff, rows[i].want);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *old, *diff, *want;
    } rows[] = {
        /* Counts. */
        {"a\n", "@@ -1 +1 @@\n-a\n", "hunk 1 says 1 new lines and has 0 (line 3 of the patch)"},
        {"a\n", "@@ -1 +1 @@\n-a\n+b\n+c\n",
         "hunk 1 says 1 new lines and has more: 2 (line 4 of the patch)"},
        {"a\nb\n", "@@ -1 +1 @@\n-a\n-b\n+c\n",
         "hunk 1 says 1 old lines and has more: 2 (line 3 of the patch)"},
        {"a\n", "@@ -1,5 +1,5 @@\n a\n b\n c\n d\n e\n f\n",
         "hunk 1 says 5 old lines and has more: 6 (line 7 of the patch)"},
        {"a\n", "@@ -1 +1 @@\n*a\n", "hunk 1 says 1 old lines and has 0 (line 2 of the patch)"},
        /* The line about a missing newline stands once, behind another line. */
        {"a\n\n", "@@ -2 +2,2 @@\n+b\n\\\n \n",
         "hunk 1 says 1 old lines and has 0 (line 3 of the patch)"},
        {"a\n", "@@ -1 +1 @@\n" NO_NEWLINE "-a\n+b\n",
         "hunk 1 says 1 old lines and has 0 (line 2 of the patch)"},
        {"a", "@@ -1 +1 @@\n-a\n" NO_NEWLINE NO_NEWLINE "+b\n",
         "hunk 1 says 1 new lines and has 0 (line 4 of the patch)"},
        {"a\n", "@@ -1 @@\n-a\n", NO_HEAD(1, "@@ -1 @@")},
        {"a\n", "@@ -0 +1 @@\n-a\n+b\n", NO_HEAD(1, "@@ -0 +1 @@")},
        {"a\n", "@@ -1,0 +1,0 @@\n", NO_HEAD(1, "@@ -1,0 +1,0 @@")},
        {"a\n", "@@ -99999999999999999999 +1 @@\n-a\n+b\n",
         NO_HEAD(1, "@@ -99999999999999999999 +1 @@")},
        {"a\nb\n", "@@ -2 +2 @@\n-b\n+B\n@@ -1 +1 @@\n-a\n+A\n",
         "hunk 2 is for line 1, which hunk 1 has passed: hunks have to be in order"},
        /* Something behind a line that has no newline. */
        {"a\nb\n", "@@ -1 +1 @@\n-a\n+A\n" NO_NEWLINE,
         "a line would stand behind one without a newline"},
        {"a\n", "@@ -1 +1,2 @@\n-a\n+A\n" NO_NEWLINE "+B\n",
         "a line would stand behind one without a newline"},
        /* Other formats. */
        {"a\n", "```diff\n@@ -1 +1 @@\n-a\n+b\n```\n",
         "line 1 of the patch is a Markdown fence (```): leave the fences out"},
        {"a\n", "@@ -1 +1 @@\n-a\n+b\n```\n",
         "line 4 of the patch is a Markdown fence (```): leave the fences out"},
        {"a\n", "*** Begin Patch\n*** Update File: f\n-a\n+b\n",
         "line 1 of the patch is of another format (a context diff, or \"*** Begin Patch\"): only "
         "unified diffs can be applied"},
        /* Several places. */
        {"x\na\nx\na\nx\n", "@@ -1 +1 @@\n a\n-x\n+y\n",
         "hunk 1 says 1 old lines and has more: 2 (line 3 of the patch)"},
        {"0\nx\na\nz\nx\na\nz\n", "@@ -1,3 +1,3 @@\n x\n-a\n+b\n z\n",
         "hunk 1 does not fit at line 1, and fits at several other places, lines 2 and 5 among "
         "them"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_refused(rows[i].old, rows[i].diff, rows[i].want);
}

static void test_another_place(void **state)
{
    check_applies("0\n0\nx\na\nz\n", "@@ -1,3 +1,3 @@\n x\n-a\n+b\n z\n", 0, "0\n0\nx\nb\nz\n",
                  "hunk 1 fits at line 3, not at line 1\n");
    /* The next hunk is looked for at the same distance. */
    check_applies("0\nx\na\nz\np\nq\nr\n",
                  "@@ -1,3 +1,3 @@\n x\n-a\n+b\n z\n@@ -4,3 +4,3 @@\n p\n-q\n+Q\n r\n", 0,
                  "0\nx\nb\nz\np\nQ\nr\n", "hunk 1 fits at line 2, not at line 1\n");
    /* A hunk without context at its end belongs to the end of the file. */
    check_refused("0\nx\na\n1\n", "@@ -1,2 +1,2 @@\n x\n-a\n+b\n", EXPECTED(1, "x", 1, "0"));
    check_applies("0\nx\na\n", "@@ -1,2 +1,2 @@\n x\n-a\n+b\n", 0, "0\nx\nb\n",
                  "hunk 1 fits at line 2, not at line 1\n");
    /* A hunk for line 1 without context in front belongs to the beginning of the file. */
    check_refused("0\na\nz\n", "@@ -1,2 +1,2 @@\n-a\n+b\n z\n", EXPECTED(1, "a", 1, "0"));
}

static void test_fuzz(void **state)
{
    static const char diff[] = "@@ -1,3 +1,3 @@\n x\n-a\n+b\n z\n";

    check_refused("X\na\nz\n", diff, EXPECTED(1, "x", 1, "X"));
    check_applies("X\na\nZ\n", diff, 1, "X\nb\nZ\n", "hunk 1 fits at line 1 with fuzz 1\n");
    check_applies("0\nX\na\nZ\n", diff, 1, "0\nX\nb\nZ\n",
                  "hunk 1 fits at line 2, not at line 1, with fuzz 1\n");
}

static void test_limit(void **state)
{
    cleanup_free char *old = xmalloc(HUNKS_FILE_MAX + 1), *why = NULL;
    static const char diff[] = "@@ -1,0 +2 @@\n+a\n";
    struct hunks_text t = {0};

    memset(old, '\n', HUNKS_FILE_MAX + 1);
    for (size_t len = HUNKS_FILE_MAX - 1; len <= HUNKS_FILE_MAX + 1; len++) {
        assert_int_equal(apply(old, len, diff, strlen(diff), 0, &t, &why), -EINVAL);
        assert_string_equal(why, "a file larger than 8388608 bytes can not be patched");
        str_set(&why, NULL);
    }
    assert_int_equal(apply(old, HUNKS_FILE_MAX - 2, diff, strlen(diff), 0, &t, &why), 0);
    assert_int_equal(t.len, HUNKS_FILE_MAX);
    hunks_text_done(&t);
}

/* A file and a hunk that nearly fits everywhere: the search gives up in time. */
static void test_search_ends(void **state)
{
    size_t old_len = 4u << 20, lines = 60000;
    cleanup_free char *old = xmalloc(old_len), *diff = xmalloc(3 * lines + 200), *why = NULL;
    struct hunks_text t = {0};
    char *p = diff + sprintf(diff, "@@ -1,%zu +1,%zu @@\n", lines + 2, lines + 2);

    for (size_t i = 0; i < old_len; i += 2)
        memcpy(old + i, "a\n", 2);
    for (size_t i = 0; i < lines; i++)
        p += sprintf(p, " a\n");
    p += sprintf(p, "-b\n+c\n a\n");
    assert_int_equal(apply(old, old_len, diff, (size_t)(p - diff), 2, &t, &why), -EINVAL);
    assert_string_equal(why, "hunk 1 does not fit: expected \"b\" at line 60001, found \"a\"");
}

/* ---- files of a patch ------------------------------------------------------------------------ */

static void check_files(const char *text, const char *want)
{
    static const char *const names[] = {"modify", "create", "delete", "rename", "copy"};
    CLEANUP(diff_done) struct diff d = {0};
    cleanup_free char *why = NULL, *got = xstrdup("");

    if (diff_parse(text, strlen(text), &d, &why) < 0)
        str_set(&got, xasprintf("refused: %s", why));
    for (size_t i = 0; i < d.count; i++)
        str_set(&got, xasprintf("%s%s %s %s %o %o %d;", got, names[d.files[i].change],
                                d.files[i].old_path ? d.files[i].old_path : "-",
                                d.files[i].new_path ? d.files[i].new_path : "-",
                                (unsigned)d.files[i].old_mode, (unsigned)d.files[i].new_mode,
                                d.files[i].hunks != NULL));
    if (strcmp(got, want) != 0)
        fail_msg("got \"%s\", want \"%s\" for\n%s", got, want, text);
}

#define GIT(name) "diff --git a/" name " b/" name "\n"
#define HUNK "@@ -1 +1 @@\n-a\n+b\n"

static void test_files(void **state)
{
    check_files(GIT("f") "index 1..2 100644\n--- a/f\n+++ b/f\n" HUNK, "modify f f 0 0 1;");
    check_files(GIT("f") "old mode 100644\nnew mode 100755\n", "modify f f 100644 100755 0;");
    check_files(GIT("f") "old mode 100644\nnew mode 100755\nindex 1..2\n--- a/f\n+++ b/f\n" HUNK,
                "modify f f 100644 100755 1;");
    check_files(GIT("x/e") "new file mode 100644\nindex 0000000..e69de29\n",
                "create - x/e 0 100644 0;");
    check_files(GIT("f") "deleted file mode 100644\nindex 1..0\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 "
                         "@@\n-a\n",
                "delete f - 100644 0 1;");
    check_files("diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n" GIT(
                    "h") "--- a/h\n+++ b/h\n" HUNK,
                "rename f g 0 0 0;modify h h 0 0 1;");
    check_files(
        "diff --git a/f b/g\nsimilarity index 60%\ncopy from f\ncopy to g\n--- a/f\n+++ b/g\n" HUNK,
        "copy f g 0 0 1;");
    check_files(
        "diff --git \"a/\\303\\274 x\" \"b/\\303\\274 x\"\nold mode 100644\nnew mode 100755\n",
        "modify \xc3\xbc x \xc3\xbc x 100644 100755 0;");
    check_files("--- old/f.c\t2026-01-01 00:00:00\n+++ new/f.c\t2026-01-02\n" HUNK
                "--- old/g\n+++ new/g\n" HUNK,
                "modify f.c f.c 0 0 1;modify g g 0 0 1;");
    check_files("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", "create - f 0 0 1;");
    check_files("Index: f\n===\n--- a/f\n+++ b/f\n" HUNK "\nIndex: g\n===\n--- a/g\n+++ b/g\n" HUNK,
                "modify f f 0 0 1;modify g g 0 0 1;");
    /* Two mails. */
    check_files("From 1 Mon\nSubject: x\n---\n f | 2 +-\n\n" GIT(
                    "f") "--- a/f\n+++ b/f\n" HUNK
                         "-- \n2.39.5\n\nFrom 2 Mon\n---\n g | 2 +-\n\n" GIT(
                             "g") "--- a/g\n+++ b/g\n" HUNK "-- \n2.39.5\n\n",
                "modify f f 0 0 1;modify g g 0 0 1;");
}

#define FILE_OF(name) "--- a/" name "\n+++ b/" name "\n" HUNK
#define BOTH "modify f f 0 0 1;modify g g 0 0 1;"

/* As git apply has it. */
static void test_text_between(void **state)
{
    static const char *const texts[] = {
        "words\n",
        "\nNow the other one:\n\n- a point\n- **another**\n  more of it\n\n---\n\n",
        "\n    indented words\n\ndiff -u is what made it\n===\n",
        "words\n\n- a point\n> a word of somebody else's\n1. one\n2,3 c 4\n",
        "From now on:\n\n* a point\n*** bold ***\n",
        "\nrename from here\nto there\n",
        "words of git@example.com\n@ an address\n",
        "-- \n2.39.5\n\n-any\n+thing\n",
        "From 0123 Mon Sep 17 00:00:00 2001\n-any\n+thing\n",
        "commit 0123456789\n+any\n",
        "\n--------------2.39.5--\n\n+any\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_free char *both = xasprintf(FILE_OF("f") "%s" FILE_OF("g"), texts[i]);
        cleanup_free char *behind = xasprintf(FILE_OF("f") "%s", texts[i]);
        cleanup_free char *moved =
            xasprintf(GIT("f") "old mode 100644\nnew mode 100755\n%s" FILE_OF("g"), texts[i]);

        check_files(both, BOTH);
        check_files(behind, "modify f f 0 0 1;");
        check_files(moved, "modify f f 100644 100755 0;modify g g 0 0 1;");
    }
    check_files(FILE_OF("f") "rubbish\n", "modify f f 0 0 1;");
}

/* A line that may belong to a hunk, or that tells of a change, is not taken for text. */
static void test_nothing_is_lost_in_text(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } rows[] = {
        {"\n+c\n", 7},
        {"\n-c\n", 7},
        {"\n- c\n", 7},
        {"rubbish\n+c\n", 7},
        {"rubbish\n\n+ c\n", 8},
        {"rubbish\n-c\n", 7},
        {"rubbish\n-  c\n", 7},
        {"rubbish\n-\n", 7},
        {"rubbish\n- * c\n", 7},
        {"rubbish\n- */\n", 7},
        {"rubbish\n" NO_NEWLINE, 7},
        {"rubbish\n@@\n", 7},
        {"rubbish\n@@ def f(): @@\n", 7},
        {"rubbish\n--- a/h\n", 7},
        {"rubbish\n+++ b/h\n", 7},
        {"rubbish\n  @@ -1 +1 @@\n  -a\n  +b\n", 7},
        {"rubbish\n> @@ -1 +1 @@\n> -a\n> +b\n", 7},
        {"rubbish\n\tdiff --git a/h b/h\n\told mode 100644\n", 7},
        {"rubbish\n1c1\n< a\n---\n> b\n", 7},
        {"rubbish\n2,3d1\n< a\n< b\n", 7},
        {"From now on:\n+c\n", 7},
        {"\n---------------\n+c\n", 7},
        {NO_NEWLINE NO_NEWLINE, 7},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *all = xasprintf(FILE_OF("f") "%s" FILE_OF("g"), rows[i].text);
        const char *line = all;
        cleanup_free char *want = NULL;

        for (unsigned n = 1; n < rows[i].line; n++)
            line = strchr(line, '\n') + 1;
        want = xasprintf("refused: line %u of the patch: expected the next file, the next hunk or "
                         "the end, found \"%.*s\"",
                         rows[i].line, (int)strcspn(line, "\n"), line);
        check_files(all, want);
    }
    check_files(FILE_OF("f") "words\n@@ -9 +9 @@\n-a\n+b\n",
                "refused: line 7 of the patch: a hunk without the names of its file");
    check_files(FILE_OF("f") "words\nrename from g\nrename to h\n",
                "refused: line 7 of the patch belongs to a line \"diff --git\", which is missing");
    check_files(FILE_OF("f") "words\nGIT binary patch\nliteral 1\nIcmZ\n",
                "refused: line 7 of the patch tells of a binary file without its content");
    check_files(
        "*** a/h\n--- b/h\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n" FILE_OF("f"),
        "refused: line 1 of the patch is of another format (a context diff, or \"*** Begin "
        "Patch\"): only unified diffs can be applied");
}

static void test_files_refused(void **state)
{
    static const char *const both[] = {
        "copy from f\ncopy to g\nrename to h\n",
        "rename from f\nrename to g\ncopy to h\n",
        "old mode 100644\nnew file mode 100644\ndeleted file mode 100644\n",
        "old mode 100644\nnew file mode 100644\nrename from g\n",
        "index 1..2\ndeleted file mode 100644\nnew file mode 100644\n",
    };

    check_files(
        GIT("l") "new file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 "
                 "@@\n+t\n" NO_NEWLINE,
        "refused: l is a symbolic link in the patch (line 2): make links with a Command step");
    check_files(GIT("s") "index 1..2 160000\n--- a/s\n+++ b/s\n" HUNK,
                "refused: s is a submodule in the patch (line 2), which can not be applied");
    check_files(
        GIT("b") "index 1..2 100644\nGIT binary patch\nliteral 1\n",
        "refused: b is a binary file in the patch (line 3), which can not be applied: write "
        "it with content and encoding base64");
    check_files(
        GIT("b") "index 1..2 100644\nBinary files a/b and b/b differ\n",
        "refused: b is a binary file in the patch (line 3), which can not be applied: write "
        "it with content and encoding base64");
    check_files(GIT("f") "index 1..2 100644\n",
                "refused: the patch ends where a hunk, a mode or new names is expected");
    check_files("diff --git a/f b/g\n" HUNK,
                "refused: line 1 of the patch: the two names differ, and no line with \"rename "
                "from\", \"copy from\" or \"--- NAME\" follows");
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        cleanup_free char *text = xasprintf(GIT("f") "%s", both[i]);

        check_files(text, "refused: line 4 of the patch contradicts one before it: a file is made, "
                          "deleted, renamed or copied");
    }
    check_files("--- a/f\n+++ b/f\n" HUNK "-- \n2.39\n@@ -9 +9 @@\n-a\n+b\n",
                "refused: line 8 of the patch: a hunk without the names of its file");
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

/* Whether the diff has one hunk, for an empty file. With -U0, diff makes such a hunk of lines in
 * front, too. */
static bool is_new_file(char *diff, size_t len)
{
    const char *first;

    diff[len] = '\0';
    first = strstr(diff, "\n@@ ");
    return first && strncmp(first, "\n@@ -0,0 ", 9) == 0 && !strstr(first + 1, "\n@@ ");
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
        size_t new_len = edited(&seed, old, old_len, new), diff_len;
        size_t other_len = edited(&seed, old, old_len, other);
        CLEANUP(hunks_text_done) struct hunks_text t = {0};
        cleanup_free char *why = NULL;

        put_file("old", old, old_len);
        put_file("new", new, new_len);
        if (run(diffs[i % ARRAY_SIZE(diffs)]) != 1)
            continue;
        diff_len = get_file("diff", diff, sizeof(diff));
        if (old_len > 0 && is_new_file(diff, diff_len))
            continue;
        assert_int_equal(apply(old, old_len, diff, diff_len, 0, &t, &why), 0);
        assert_int_equal(t.len, new_len);
        assert_memory_equal(t.data, new, t.len);
        hunks_text_done(&t);
        if (apply(other, other_len, diff, diff_len, 0, &t, &why) != 0)
            continue;
        put_file("other", other, other_len);
        assert_int_equal(run("patch -s -F0 -o patched other diff >log 2>&1"), 0);
        assert_int_equal(get_file("patched", patched, sizeof(patched)), t.len);
        assert_memory_equal(t.data, patched, t.len);
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
        cmocka_unit_test(test_applies),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_malformed),     cmocka_unit_test(test_another_place),
        cmocka_unit_test(test_fuzz),          cmocka_unit_test(test_limit),
        cmocka_unit_test(test_search_ends),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_text_between),  cmocka_unit_test(test_nothing_is_lost_in_text),
        cmocka_unit_test(test_files_refused), cmocka_unit_test(test_against_gnu),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
