#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "sidecar/app/install.h"
#include "sidecar/auth/agent_key.h"

#include "tests/unit/unit.h"

#define FILE_BYTES (2 * CHANNEL_KEY_BYTES)

static char dir[] = "/tmp/arl-agent-key-XXXXXX";
static char *state_dir, *key_file, *temp_file, *message;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int set_up(void **state)
{
    return sodium_init() < 0 || !mkdtemp(dir);
}

/* Each test begins without the folder. */
static int begin(void **state)
{
    state_dir = xasprintf("%s/state", dir);
    key_file = xasprintf("%s/agent-key", state_dir);
    temp_file = xasprintf("%s/agent-key.new", state_dir);
    message = xasprintf("%s/message", dir);
    return 0;
}

static int end(void **state)
{
    nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    unlink(message);
    free(state_dir);
    free(key_file);
    free(temp_file);
    free(message);
    return 0;
}

static int tear_down(void **state)
{
    return rmdir(dir);
}

static void put(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

static size_t get(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, ret, size);

    assert_true(fd >= 0 && n >= 0);
    close(fd);
    return (size_t)n;
}

static void test_made_and_kept(void **state)
{
    struct channel_pair first, second, loaded;
    struct stat st;

    assert_int_equal(agent_key_load(state_dir, &loaded, NULL), -ENOENT);
    assert_int_equal(agent_key_make(state_dir, &first, NULL), 0);
    assert_int_equal(stat(key_file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, FILE_BYTES);
    assert_int_equal(stat(temp_file, &st), -1);
    assert_int_equal(agent_key_make(state_dir, &second, NULL), 0);
    assert_int_equal(agent_key_load(state_dir, &loaded, NULL), 0);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_memory_equal(&first, &loaded, sizeof(first));
}

/* A damaged file is no key: a new key takes its place. */
static void test_damaged(void **state)
{
    struct channel_pair first, pair;
    char text[FILE_BYTES + 1] = {0};

    assert_int_equal(agent_key_make(state_dir, &first, NULL), 0);
    assert_int_equal(get(key_file, text, sizeof(text)), FILE_BYTES);
    for (size_t len = 0; len <= FILE_BYTES + 1; len++) {
        put(key_file, text, len);
        assert_int_equal(agent_key_load(state_dir, &pair, NULL), len == FILE_BYTES ? 0 : -EBADMSG);
    }
    for (size_t i = 0; i < FILE_BYTES; i++) {
        text[i] ^= 16;
        put(key_file, text, FILE_BYTES);
        assert_int_equal(agent_key_load(state_dir, &pair, NULL), -EBADMSG);
        text[i] ^= 16;
    }
    put(key_file, text, FILE_BYTES - 1);
    assert_int_equal(agent_key_make(state_dir, &pair, NULL), 0);
    assert_memory_not_equal(&pair, &first, sizeof(pair));
    assert_int_equal(agent_key_load(state_dir, &first, NULL), 0);
    assert_memory_equal(&pair, &first, sizeof(pair));
}

/* A call that was cut short has left a part of the file beside its place. */
static void test_cut_short(void **state)
{
    struct channel_pair pair, loaded;

    assert_int_equal(mkdir(state_dir, 0700), 0);
    put(temp_file, "half", 4);
    assert_int_equal(chmod(temp_file, 0400), 0);
    assert_int_equal(agent_key_load(state_dir, &loaded, NULL), -ENOENT);
    assert_int_equal(agent_key_make(state_dir, &pair, NULL), 0);
    assert_int_equal(agent_key_load(state_dir, &loaded, NULL), 0);
    assert_memory_equal(&pair, &loaded, sizeof(pair));
}

/* A link in the key's place is not followed, and not taken for an absent key. */
static void test_link(void **state)
{
    struct channel_pair pair;

    assert_int_equal(mkdir(state_dir, 0700), 0);
    assert_int_equal(symlink(message, key_file), 0);
    assert_int_equal(agent_key_load(state_dir, &pair, NULL), -ELOOP);
    assert_int_equal(agent_key_make(state_dir, &pair, NULL), -ELOOP);
}

static void test_message(void **state)
{
    char want[64] = CHANNEL_KEY_PREFIX, got[128];
    struct channel_pair pair;

    /* Nothing of what was there before stays. */
    put(message, want, sizeof(want));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(install_key(state_dir, message, NULL), 0);
        assert_int_equal(agent_key_load(state_dir, &pair, NULL), 0);
        channel_key_format(pair.public_key, want + strlen(CHANNEL_KEY_PREFIX));
        assert_int_equal(strlen(want), 14 + 43);
        assert_int_equal(get(message, got, sizeof(got)), strlen(want));
        assert_memory_equal(got, want, strlen(want));
    }
}

static void test_errors_are_no_message(void **state)
{
    struct err err;
    char got[8];

    put(state_dir, "", 0);
    put(message, "", 0);
    assert_int_equal(install_key(state_dir, message, &err), -ENOTDIR);
    assert_non_null(strstr(err.msg, state_dir));
    assert_int_equal(get(message, got, sizeof(got)), 0);
    unlink(state_dir);
    assert_int_equal(install_key(state_dir, "/dev/full", &err), -ENOSPC);
    assert_string_equal(err.msg, "write /dev/full: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_and_kept, begin, end),
        cmocka_unit_test_setup_teardown(test_damaged, begin, end),
        cmocka_unit_test_setup_teardown(test_cut_short, begin, end),
        cmocka_unit_test_setup_teardown(test_link, begin, end),
        cmocka_unit_test_setup_teardown(test_message, begin, end),
        cmocka_unit_test_setup_teardown(test_errors_are_no_message, begin, end),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
