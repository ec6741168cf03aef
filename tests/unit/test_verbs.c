/* The verbs of docs/files.md but for tar and untar. */
#include "tests/unit/verb_rig.h"

#include <sys/prctl.h>
#include <sys/xattr.h>

#include "sidecar/runner/replace.h"

/* ---- put and get ----------------------------------------------------------------------------- */

#define HELLO_HASH "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_put(void **state)
{
    set_input("hello and more", 14);
    assert_int_equal(call("put --size 5 a/b/c"), 0);
    assert_string_equal(buf_str(&out), "{\"size\":5,\"sha256\":\"" HELLO_HASH
                                       "\",\"created\":true,\"inPlace\":false}\n");
    check_file("a/b/c", "hello");
    assert_int_equal(mode_of("a/b/c") & 07777, 0644);
    assert_int_equal(mode_of("a/b") & 07777, 0755);
    assert_int_equal(call("put --size 5 --sha256 " HELLO_HASH " --mode 0750 %s/a/b/c", root), 0);
    has(out, "\"created\":false");
    assert_int_equal(mode_of("a/b/c") & 07777, 0750);
    /* The mode is kept, as no other is given. */
    put_text("a/b/c", "");
    has(out, EMPTY_HASH);
    assert_int_equal(mode_of("a/b/c") & 07777, 0750);
    assert_int_equal(call("put --size 0 --dir a/b d"), 0);
    assert_int_equal(call("put --size 0 --dir %s/a -- -e", root), 0);
    assert_true(is_there("a/b/d") && is_there("a/-e"));
}

/* Whatever is wrong with the body, the old file stays as it was. */
static void test_put_fails_whole(void **state)
{
    cleanup_free char *folder = path("a");

    put_text("a/f", "before");
    set_input("hell", 4);
    refused("CUT", 1, "put --size 5 a/f");
    refused("FRAME", 1, "put --framed a/f");
    refused("CHECKSUM", 1, "put --size 4 --sha256 " HELLO_HASH " a/f");
    set_input("\0\0\0\5hello", 9);
    refused("CUT", 1, "put --framed a/f");
    set_input("\0\0\0", 3);
    refused("CUT", 1, "put --framed a/f");
    set_input("\0\0\0\0", 4);
    refused("CUT", 1, "put --framed a/f");
    set_input("\0\x10\0\1", 4);
    refused("FRAME", 1, "put --framed a/f");
    set_input("\0\0\0\0"
              "01234567890123456789012345678901",
              36);
    refused("CHECKSUM", 1, "put --framed a/f");
    check_file("a/f", "before");
    assert_int_equal(call("ls a"), 0);
    assert_string_equal(buf_str(&err), "{\"entries\":1}\n");
    assert_int_equal(chmod(folder, 0755), 0);
}

static void test_put_framed(void **state)
{
    char body[64] = "\0\0\0\2he\0\0\0\3llo\0\0\0\0";
    unsigned char hash[SHA256_DIGEST_LENGTH];

    assert_true(verb_hash_parse(HELLO_HASH, hash));
    memcpy(body + 17, hash, sizeof(hash));
    set_input(body, 17 + sizeof(hash));
    assert_int_equal(call("put --framed f"), 0);
    has(out, "{\"size\":5,\"sha256\":\"" HELLO_HASH "\"");
    check_file("f", "hello");
}

/* The file has two names: if it were replaced, the other name would keep the old text. */
static void test_put_in_place(void **state)
{
    cleanup_free char *a = path("a"), *b = path("b");

    put_text("a", "a long text");
    assert_int_equal(link(a, b), 0);
    put_text("a", "short");
    has(out, "\"inPlace\":true");
    check_file("b", "short");
    set_input("x", 1);
    refused("CUT", 1, "put --size 2 a");
    check_file("b", "short");
}

/* Writes a new text to the file `f`. After `f` was found, another file is put in its place. */
static struct replace replace_exchanged(const char *other)
{
    cleanup_free char *file = path("f"), *from = path(other);
    struct walk at;
    struct replace r = {.at = &at, .mode = REPLACE_KEEP_MODE, .data = "new", .len = 3};

    assert_int_equal(walk_to(file, 0, &at), 0);
    assert_int_equal(rename(from, file), 0);
    assert_int_equal(replace_prepare(&r), 0);
    assert_int_equal(replace_commit(&r), 0);
    close(at.dir);
    r.at = NULL;
    return r;
}

/* Owner, mode and attributes are those of one file, never some of one and some of the other. */
static void test_put_over_one_that_was_exchanged(void **state)
{
    cleanup_free char *f = path("f"), *other = path("other");
    struct stat st;
    bool has_attributes;

    assert_int_equal(call("put --size 0 --mode 0600 f"), 0);
    assert_int_equal(call("put --size 0 --mode 0640 other"), 0);
    has_attributes = setxattr(other, "user.colour", "blue", 4, 0) == 0;
    assert_false(replace_exchanged("other").in_place);
    check_file("f", "new");
    assert_int_equal(mode_of("f") & 07777, 0640);
    assert_true(!has_attributes || getxattr(f, "user.colour", NULL, 0) == 4);
    if (geteuid() != 0)
        return;
    /* One that cannot be replaced is written in place. */
    assert_int_equal(call("put --size 0 --mode 0600 f"), 0);
    assert_int_equal(call("put --size 0 --mode 0644 other"), 0);
    assert_int_equal(chown(other, 4321, 4321), 0);
    assert_true(replace_exchanged("other").in_place);
    check_file("f", "new");
    assert_int_equal(stat(f, &st), 0);
    assert_int_equal(st.st_uid, 4321);
}

static void test_get(void **state)
{
    put_text("f", "hello");
    assert_int_equal(call("get f"), 0);
    assert_string_equal(buf_str(&out), "hello");
    assert_string_equal(buf_str(&err), "{\"size\":5,\"sha256\":\"" HELLO_HASH "\"}\n");
    assert_int_equal(call("get --offset 1 --length 3 f"), 0);
    assert_string_equal(buf_str(&out), "ell");
    assert_int_equal(call("get --offset 9 f"), 0);
    has(err, "\"size\":0,\"sha256\":\"" EMPTY_HASH);
    refused("ENOENT", 1, "get none");
    refused("ENOENT", 1, "get none/f");
    refused("ENOTDIR", 1, "get f/f");
    refused("EISDIR", 1, "get .");
    refused("EISDIR", 1, "get /");
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void test_paths(void **state)
{
    static const char *const verbs[] = {"get",   "ls",  "stat",  "rm",
                                        "mkdir", "tar", "untar", "put --size 0"};

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        refused("PATH", 1, "%s ../x", verbs[i]);
        refused("PATH", 1, "%s a/../x", verbs[i]);
        refused("PATH", 1, "%s --dir .. x", verbs[i]);
        refused("PATH", 1, "%s --dir %s/.. x", verbs[i], root);
        refused("PATH", 1, "%s ", verbs[i]);
    }
    assert_int_equal(call("mkdir ..x"), 0);
    assert_int_equal(call("stat ./..x/."), 0);
    has(out, "{\"name\":\"..x\",\"type\":\"dir\"");
    refused("EISDIR", 1, "put --size 0 new/");
    put_text("f", "");
    refused("ENOTDIR", 1, "ls f/");
}

static void test_arguments(void **state)
{
    refused("ARGUMENTS", 2, "put f");
    refused("ARGUMENTS", 2, "put --size f");
    refused("ARGUMENTS", 2, "put --size -1 f");
    refused("ARGUMENTS", 2, "put --size 1x f");
    refused("ARGUMENTS", 2, "put --size 99999999999999999999 f");
    refused("ARGUMENTS", 2, "put --size 1 --framed f");
    refused("ARGUMENTS", 2, "put --framed --sha256 " HELLO_HASH " f");
    refused("ARGUMENTS", 2, "put --size 1 --sha256 abc f");
    refused("ARGUMENTS", 2, "put --size 1 --mode 9 f");
    refused("ARGUMENTS", 2, "put --size 1 --mode 10000 f");
    refused("ARGUMENTS", 2, "get -r f");
    refused("ARGUMENTS", 2, "get f g");
    refused("ARGUMENTS", 2, "get");
    refused("USER", 126, "get --user no-such-user f");
    assert_int_equal(call("get --help"), 0);
    has(out, "Usage: ");
    assert_int_equal(call("get -h"), 0);
    has(out, "Usage: ");
    place.here = false;
    refused("HERE", 126, "get /etc/passwd");
}

/* ---- links ----------------------------------------------------------------------------------- */

static void test_links(void **state)
{
    put_text("d/f", "text");
    make_link("d", "to-d");
    make_link("d/f", "to-f");
    make_link("none", "dead");
    assert_int_equal(call("get to-d/f"), 0);
    assert_int_equal(call("stat to-f"), 0);
    has(out, "\"name\":\"to-f\",\"type\":\"symlink\",\"size\":3,");
    has(out, "\"target\":\"d/f\"}");
    assert_int_equal(call("stat --follow to-f"), 0);
    has(out, "\"type\":\"file\",\"size\":4,\"mode\":\"0644\"");
    refused("ENOENT", 1, "put --size 0 dead");
    refused("ENOENT", 1, "stat --follow dead");
    put_text("to-f", "other");
    check_file("d/f", "other");
    assert_int_equal(call("rm to-d"), 0);
    assert_int_equal(call("rm -r to-f"), 0);
    check_file("d/f", "other");
    assert_false(is_there("to-d") || is_there("to-f"));
}

/* Root reads and writes through nobody's links but root's. */
static void test_foreign_links(void **state)
{
    cleanup_free char *file = path("l"), *folder = path("to-d");

    if (geteuid() != 0)
        skip();
    put_text("d/f", "secret");
    make_link("d/f", "l");
    make_link("d", "to-d");
    assert_int_equal(lchown(file, 4321, 4321), 0);
    assert_int_equal(lchown(folder, 4321, 4321), 0);
    refused("LINK", 1, "get l");
    refused("LINK", 1, "put --size 0 l");
    refused("LINK", 1, "ls to-d");
    refused("LINK", 1, "tar to-d");
    refused("LINK", 1, "untar to-d");
    refused("LINK", 1, "rm to-d/f");
    refused("LINK", 1, "stat --follow l");
    refused("LINK", 1, "mkdir -p to-d/x");
    assert_int_equal(call("rm -r to-d"), 0);
    check_file("d/f", "secret");
}

static void test_user(void **state)
{
    cleanup_free char *folder = path("d");

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(call("mkdir d"), 0);
    set_input("x", 1);
    refused("EACCES", 1, "put --user 4321:4322 --size 1 d/f");
    assert_int_equal(chown(folder, 4321, 4322), 0);
    assert_int_equal(call("put --user 4321:4322 --size 1 d/f"), 0);
    assert_int_equal(call("stat d/f"), 0);
    has(out, "\"uid\":4321,\"gid\":4322}");
    assert_int_equal(call("put --size 1 --mode 0600 secret"), 0);
    refused("EACCES", 1, "get --user 4321 secret");
}

/* ---- ls, stat, mkdir, rm --------------------------------------------------------------------- */

static void test_ls(void **state)
{
    cleanup_free char *fifo = path("d/fifo"), *odd = path("d/a\"\xff\n");

    put_text("d/f", "abc");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mkdir(odd, 0700), 0);
    make_link("/x\xff", "d/l");
    assert_int_equal(call("ls d"), 0);
    assert_string_equal(buf_str(&err), "{\"entries\":4}\n");
    has(out, "{\"name\":\"f\",\"type\":\"file\",\"size\":3,\"mode\":\"0644\",\"mtimeNs\":");
    has(out, "{\"name\":\"fifo\",\"type\":\"fifo\",");
    has(out, "{\"name\":\"a\\\"\xef\xbf\xbd\\n\",\"nameBase64\":\"YSL/Cg==\",\"type\":\"dir\",");
    has(out, "\"target\":\"/x\xef\xbf\xbd\",\"targetBase64\":\"L3j/\"}");
    refused("ENOTDIR", 1, "ls d/f");
    refused("NOTAFILE", 1, "get d/fifo");
    refused("NOTAFILE", 1, "put --size 0 d/fifo");
    assert_int_equal(call("ls /"), 0);
    assert_int_equal(call("stat /"), 0);
    has(out, "{\"name\":\"/\",\"type\":\"dir\",");
}

/* More lines than are held at once. */
static void test_ls_long(void **state)
{
    size_t lines = 0;

    assert_int_equal(call("mkdir d"), 0);
    for (int i = 0; i < 1500; i++) {
        cleanup_free char *name = xasprintf("%s/d/a-name-that-is-long-%d", root, i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);

        assert_true(fd >= 0);
        close(fd);
    }
    assert_int_equal(call("ls d"), 0);
    assert_string_equal(buf_str(&err), "{\"entries\":1500}\n");
    for (const char *p = buf_str(&out); (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 1500);
}

static void test_mkdir(void **state)
{
    assert_int_equal(call("mkdir d"), 0);
    assert_string_equal(buf_str(&out), "{\"created\":true}\n");
    refused("EEXIST", 1, "mkdir d");
    refused("ENOENT", 1, "mkdir a/b");
    assert_int_equal(call("mkdir -p --mode 2700 a/b"), 0);
    assert_int_equal(mode_of("a/b") & 07777, 02700);
    assert_int_equal(call("mkdir -p a/b"), 0);
    assert_string_equal(buf_str(&out), "{\"created\":false}\n");
    put_text("f", "");
    refused("EEXIST", 1, "mkdir -p f");
    refused("ENOTDIR", 1, "mkdir -p f/x");
    make_link("d", "l");
    refused("EEXIST", 1, "mkdir l");
    assert_int_equal(call("mkdir -p l"), 0);
}

static void test_rm(void **state)
{
    cleanup_free char *deep = path("deep");

    put_text("d/e/f", "x");
    put_text("d/g", "x");
    put_text("kept/f", "x");
    make_link("../kept", "d/l");
    make_link("../../kept/f", "d/e/l");
    refused("EISDIR", 1, "rm d");
    refused("ENOENT", 1, "rm -r none");
    refused("EBUSY", 1, "rm -r /");
    assert_int_equal(call("rm -r -f none"), 0);
    assert_string_equal(buf_str(&out), "{\"removed\":0}\n");
    assert_int_equal(call("rm -r d"), 0);
    assert_string_equal(buf_str(&out), "{\"removed\":6}\n");
    assert_false(is_there("d"));
    check_file("kept/f", "x");
    /* Deeper than anybody goes. */
    assert_int_equal(mkdir(deep, 0755), 0);
    for (int i = 0; i < 250; i++) {
        str_set(&deep, xasprintf("%s/d", deep));
        assert_int_equal(mkdir(deep, 0755), 0);
    }
    refused("ELOOP", 1, "rm -r deep");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rmdir(deep), 0);
        *strrchr(deep, '/') = '\0';
    }
}

/* ---- what runs beside them ------------------------------------------------------------------- */

/* Their descriptors then belong to root alone, see proc(5). */
static void test_not_dumpable(void **state)
{
    char verb[] = "ls", help[] = "--help", *argv[] = {verb, help, NULL};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDOUT_FILENO);
        prctl(PR_SET_DUMPABLE, 1);
        verbs_main(&place, 2, argv);
        _exit(prctl(PR_GET_DUMPABLE));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_put_fails_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_put_framed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_put_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_put_over_one_that_was_exchanged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_get, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arguments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ls_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mkdir, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rm, set_up, tear_down),
        cmocka_unit_test(test_not_dumpable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
