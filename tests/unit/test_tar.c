/* The verbs tar and untar, and archives that are hostile. */
#include "sidecar/runner/tar.h"

#include "tests/unit/verb_rig.h"

/* ---- archives -------------------------------------------------------------------------------- */

static struct buf archive = BUF_INIT(TEXT_MAX);

static void add(enum tar_type type, const char *name, const char *link, const char *text)
{
    struct tar_entry e = {.type = type,
                          .name = xstrdup(name),
                          .link = xstrdup(link),
                          .mode = 04755,
                          .size = strlen(str_or_empty(text)),
                          .mtime_ns = 1000000000 * NSEC_PER_SEC};

    tar_write_head(&archive, &e);
    buf_append(&archive, str_or_empty(text), e.size);
    memset(buf_extend(&archive, tar_padding(e.size)), 0, tar_padding(e.size));
    tar_entry_done(&e);
}

/* With a checksum that fits. */
static void add_block(const char *name, char type, const char *size, const char *data)
{
    char block[TAR_BLOCK] = {0};
    unsigned sum = 0;

    memcpy(block, name, strlen(name));
    memcpy(block + 100, "0000644", 7);
    memcpy(block + 124, size, strlen(size));
    memcpy(block + 148, "        ", 8);
    block[156] = type;
    memcpy(block + 257, "ustar  ", 7);
    for (size_t i = 0; i < sizeof(block); i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    buf_append(&archive, block, sizeof(block));
    if (data) {
        buf_append(&archive, data, strlen(data));
        memset(buf_extend(&archive, tar_padding(strlen(data))), 0, tar_padding(strlen(data)));
    }
}

static void end(void)
{
    tar_write_end(&archive);
    set_input(archive.data, archive.len);
}

static int begin(void **state)
{
    buf_clear(&archive);
    return set_up(state);
}

static int finish(void **state)
{
    buf_done(&archive);
    return tear_down(state);
}

/* ---- what is taken --------------------------------------------------------------------------- */

#define LONG "a-folder-whose-name-is-long-enough-that-two-of-it-have-no-room-in-a-header-of-tar"

static void test_there_and_back(void **state)
{
    cleanup_free char *fifo = path("from/fifo"), *text = xmalloc(200000);
    struct buf packed = BUF_INIT(TEXT_MAX);

    memset(text, 'x', 199999);
    text[199999] = '\0';
    put_text("from/a/f", "text");
    put_text("from/" LONG "/" LONG "/f", "deep");
    put_text("from/large", text);
    put_text("from/empty", "");
    make_link("a/f", "from/l");
    make_link("../" LONG "/" LONG "/f", "from/a/l");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(call("mkdir --mode 0700 from/d"), 0);
    assert_int_equal(call("tar from"), 0);
    has(err, "{\"entries\":10,\"skipped\":1,\"size\":");
    buf_append(&packed, out.data, out.len);
    set_input(packed.data, packed.len);
    assert_int_equal(call("untar x/to"), 0);
    has(out, "{\"entries\":10,\"size\":");
    check_file("x/to/a/f", "text");
    check_file("x/to/l", "text");
    check_file("x/to/a/l", "deep");
    check_file("x/to/large", text);
    check_file("x/to/empty", "");
    assert_int_equal(mode_of("x/to/d") & 07777, 0700);
    assert_int_equal(mode_of("x/to/a/f") & 07777, 0644);
    /* Once more, over what is there. */
    assert_int_equal(call("untar --size %zu x/to", packed.len), 0);
    check_file("x/to/large", text);
    refused("CUT", 1, "untar --size %zu x/to", packed.len + 1);
    buf_done(&packed);
}

static void test_untar(void **state)
{
    cleanup_free char *file = path("d/f");
    struct stat st;

    add(TAR_FOLDER, "./", NULL, NULL);
    add(TAR_FILE, "./f", NULL, "one");
    add(TAR_FILE, "g//./h", NULL, "two");
    add(TAR_HARDLINK, "hard", "./f", NULL);
    add(TAR_SYMLINK, "g/soft", "../f", NULL);
    end();
    assert_int_equal(call("untar d"), 0);
    check_file("d/hard", "one");
    check_file("d/g/h", "two");
    check_file("d/g/soft", "one");
    assert_int_equal(mode_of("d/f") & 07777, 0755);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mtime, 1000000000);
    assert_int_equal(st.st_nlink, 2);
}

/* As GNU tar writes them. */
static void test_gnu(void **state)
{
    char size[32];

    snprintf(size, sizeof(size), "%011zo", strlen(LONG "/" LONG "/f"));
    add_block("././@LongLink", 'L', size, LONG "/" LONG "/f");
    add_block("cut", '0', "00000000002", "hi");
    end();
    assert_int_equal(call("untar ."), 0);
    check_file(LONG "/" LONG "/f", "hi");
}

/* ---- what is not ----------------------------------------------------------------------------- */

static void bad_entry(enum tar_type type, const char *name, const char *link, const char *code)
{
    buf_clear(&archive);
    add(TAR_FILE, "before", NULL, "b");
    add(type, name, link, NULL);
    end();
    refused(code, 1, "untar d");
    check_file("d/before", "b");
    assert_false(is_there("x"));
}

static void test_names(void **state)
{
    bad_entry(TAR_FILE, "../x", NULL, "ARCHIVE");
    bad_entry(TAR_FILE, "a/../../x", NULL, "ARCHIVE");
    bad_entry(TAR_FILE, "a/..", NULL, "ARCHIVE");
    bad_entry(TAR_FILE, "/x", NULL, "ARCHIVE");
    bad_entry(TAR_FILE, "", NULL, "ARCHIVE");
    bad_entry(TAR_FOLDER, "../x", NULL, "ARCHIVE");
    bad_entry(TAR_SYMLINK, "l", "/etc/passwd", "ARCHIVE");
    bad_entry(TAR_SYMLINK, "l", "..", "ARCHIVE");
    bad_entry(TAR_SYMLINK, "a/l", "../..", "ARCHIVE");
    bad_entry(TAR_SYMLINK, "a/l", "b/../../..", "ARCHIVE");
    bad_entry(TAR_HARDLINK, "l", "../x", "ARCHIVE");
    bad_entry(TAR_HARDLINK, "l", "/etc/passwd", "ARCHIVE");
    bad_entry(TAR_HARDLINK, "l", "", "ARCHIVE");
    bad_entry(TAR_HARDLINK, "l", "none", "ENOENT");
    bad_entry(TAR_FILE, "before/x", NULL, "ENOTDIR");
}

static void test_kinds(void **state)
{
    static const char kinds[] = "346SVMDX";

    for (const char *k = kinds; *k; k++) {
        buf_clear(&archive);
        add_block("x", *k, "00000000000", NULL);
        end();
        refused("ARCHIVE", 1, "untar .");
        assert_false(is_there("x"));
    }
    buf_clear(&archive);
    add_block("pax", 'x', "00000000026", "22 GNU.sparse.major=1\n");
    add_block("x", '0', "00000000000", NULL);
    end();
    refused("ARCHIVE", 1, "untar .");
    assert_false(is_there("x"));
}

/* Links that are in the way are not followed: neither those of the archive nor those of somebody
 * else. */
static void test_through_links(void **state)
{
    put_text("out/kept", "kept");
    add(TAR_SYMLINK, "in", "sub", NULL);
    add(TAR_FILE, "in/f", NULL, "text");
    end();
    refused("ENOTDIR", 1, "untar d");
    make_link("../out", "d/foreign");
    make_link("../out/kept", "d/kept");
    buf_clear(&archive);
    add(TAR_FILE, "kept", NULL, "new");
    add(TAR_FILE, "foreign/kept", NULL, "new");
    end();
    refused("ENOTDIR", 1, "untar d");
    check_file("out/kept", "kept");
    check_file("d/kept", "new");
    buf_clear(&archive);
    add(TAR_FOLDER, "foreign", NULL, NULL);
    end();
    refused("ENOTDIR", 1, "untar d");
    buf_clear(&archive);
    add(TAR_HARDLINK, "stolen", "foreign/kept", NULL);
    end();
    refused("ENOTDIR", 1, "untar d");
    assert_false(is_there("d/stolen"));
}

static void test_cut(void **state)
{
    add(TAR_FILE, "a", NULL, "a");
    add(TAR_FILE, "b", NULL, "b");
    end();
    for (size_t n = 0; n < archive.len; n += 128) {
        set_input(archive.data, n);
        refused("CUT", 1, "untar d");
    }
    set_input("no archive", 10);
    refused("CUT", 1, "untar d");
    archive.data[0] ^= 1;
    set_input(archive.data, archive.len);
    refused("ARCHIVE", 1, "untar d");
}

static void test_pax(void **state)
{
    static const char *const headers[] = {
        "0 path=x\n",
        "13 path=../x\n",
        "99 path=x\n",
        "x",
        "10 pathxx\n",
        "10 path=x ",
        "10 size=x\n",
        "11 size=-1\n",
        "32 size=99999999999999999999999\n",
        "12 mtime=x1\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        char size[32];

        buf_clear(&archive);
        snprintf(size, sizeof(size), "%011zo", strlen(headers[i]));
        add_block("pax", 'x', size, headers[i]);
        add_block("y", '0', "00000000000", NULL);
        end();
        refused("ARCHIVE", 1, "untar d");
        assert_false(is_there("d/y") || is_there("x"));
    }
    buf_clear(&archive);
    add_block("pax", 'x', "77777777777", NULL);
    end();
    refused("ARCHIVE", 1, "untar d");
    buf_clear(&archive);
    add_block("pax", 'x', "00000000037", "10 path=x\n21 mtime=12345.67890\n");
    add_block("y", '0', "00000000000", NULL);
    end();
    assert_int_equal(call("untar d"), 0);
    assert_int_equal(call("stat d/x"), 0);
    has(out, "\"mtimeNs\":12345678900000,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, begin, finish),
        cmocka_unit_test_setup_teardown(test_untar, begin, finish),
        cmocka_unit_test_setup_teardown(test_gnu, begin, finish),
        cmocka_unit_test_setup_teardown(test_names, begin, finish),
        cmocka_unit_test_setup_teardown(test_kinds, begin, finish),
        cmocka_unit_test_setup_teardown(test_through_links, begin, finish),
        cmocka_unit_test_setup_teardown(test_cut, begin, finish),
        cmocka_unit_test_setup_teardown(test_pax, begin, finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
