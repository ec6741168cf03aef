#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/runner/user.h"

#include "tests/unit/unit.h"

static char root[] = "/tmp/arl-test-user-XXXXXX";

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken\n"
                             "bad:x:one:2::/x:/bin/sh\n"
                             "app:x:1000:1001:The app,,,:/home/app:/bin/sh\n"
                             "1234:x:77:78::/home/number:/bin/sh\n"
                             "last:x:5:6::/home/last:/bin/sh";
static const char group[] = "root:x:0:\n"
                            "docker:x:300:other,app\n"
                            "apps:x:301:apple\n"
                            "wheel:x:302:app";

static void put(const char *name, const char *text)
{
    cleanup_free char *path = xasprintf("%s%s", root, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void take_away(const char *name)
{
    cleanup_free char *path = xasprintf("%s%s", root, name);

    unlink(path);
}

static void check(const char *text, const char *want)
{
    char why[FRAME_TEXT_MAX];
    cleanup_free char *got = NULL;
    struct user u;

    if (user_find(root, text, &u, why) < 0) {
        got = xasprintf("refused: %s", why);
    } else {
        got = xasprintf("%u:%u %s", u.uid, u.gid, u.home);
        for (size_t i = 0; i < u.group_count; i++)
            str_set(&got, xasprintf("%s +%u", got, u.groups[i]));
    }
    user_done(&u);
    assert_string_equal(got, want);
}

static void test_found(void **state)
{
    check("app", "1000:1001 /home/app +300 +302");
    check("1000", "1000:1001 /home/app +300 +302");
    check("app:docker", "1000:300 /home/app");
    check("app:9", "1000:9 /home/app");
    check("last", "5:6 /home/last");
    check("root", "0:0 /root");
    check("1000:1000", "1000:1000 /home/app");
    check("4321", "4321:0 /");
    check("4321:docker", "4321:300 /");
    /* A name of digits comes before a number. */
    check("1234", "77:78 /home/number");
    check("4294967294", "4294967294:0 /");
}

#define NO_NAME "there is no such name in the container's /etc/passwd"

static void test_refused(void **state)
{
    check("nobody", "refused: user \"nobody\": " NO_NAME);
    check("broken", "refused: user \"broken\": " NO_NAME);
    check("bad", "refused: user \"bad\": " NO_NAME);
    check("", "refused: user \"\": " NO_NAME);
    check("-1", "refused: user \"-1\": " NO_NAME);
    /* What means "unchanged" to setuid(2). */
    check("4294967295", "refused: user \"4294967295\": " NO_NAME);
    check("app:none", "refused: user \"app:none\": there is no such group in the container's "
                      "/etc/group");
    check("app:", "refused: user \"app:\": there is no such group in the container's /etc/group");
}

/* Images without these files, and files that are none: nothing waits. */
static void test_files(void **state)
{
    cleanup_free char *fifo = xasprintf("%s/etc/passwd", root);

    take_away("/etc/passwd");
    check("7:8", "7:8 /");
    check("app", "refused: user \"app\": the container has no /etc/passwd that could be read; name "
                 "the user by number, such as 1000 or 1000:1000");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check("7", "7:0 /");
    take_away("/etc/passwd");
    assert_int_equal(symlink("/dev/zero", fifo), 0);
    check("7", "7:0 /");
    take_away("/etc/passwd");
    /* Larger than it may be. */
    put("/etc/passwd", passwd);
    assert_int_equal(truncate(fifo, USER_FILE_BYTES_MAX + 1), 0);
    check("1000", "1000:0 /");
    put("/etc/passwd", passwd);
    take_away("/etc/group");
    check("app", "1000:1001 /home/app");
    put("/etc/group", group);
}

static int set_up(void **state)
{
    cleanup_free char *etc = NULL;

    if (!mkdtemp(root))
        return -1;
    etc = xasprintf("%s/etc", root);
    if (mkdir(etc, 0755) < 0)
        return -1;
    put("/etc/passwd", passwd);
    put("/etc/group", group);
    return 0;
}

static int tear_down(void **state)
{
    cleanup_free char *etc = xasprintf("%s/etc", root);

    take_away("/etc/passwd");
    take_away("/etc/group");
    return rmdir(etc) < 0 || rmdir(root) < 0 ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
